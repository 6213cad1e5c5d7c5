"""The rule that ends iterations, the coarse bins that it looks at, and what is kept of these."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from truthward.errors import ConfigError
from truthward.study.plugins import build
from truthward.unfold.inputs.arrays import NOMINAL, Replica
from truthward.unfold.stage import unfold_all
from truthward.unfold.stop.rules import COARSE, Bins, StopRule, Watch

SMALL = {
    "omnifold": {"network": {"width": 8, "depth": 1}, "training": {"epochs": 2, "later_epochs": 1}},
    "generative": {
        "model": {"kind": "flow_matching", "width": 8, "depth": 1},
        "draws": {"nominal": 2, "replicas": 2, "ratio": 2},
        "training": {"epochs": 2, "later_epochs": 1, "later_learning_rate": 0.003},
        "classifiers": {"ratio_epochs": 1, "side_epochs": 1, "width": 8, "depth": 1},
    },
}


def test_a_rule_ends_by_change_from_the_second_iteration_on_or_at_the_last():
    rule = StopRule(5, "change", 0.1)
    changes = [0.01, 0.5, 0.1, 0.09, 0.0]
    assert [rule.ends(i, c) for i, c in enumerate(changes)] == [False, False, False, True, True]
    assert rule.ends(4, 9.0)
    assert [rule.exactly(3).ends(i, 0.0) for i in range(3)] == [False, False, True]
    assert [StopRule(2, "fixed", 0.1).ends(i, 0.0) for i in range(2)] == [False, True]


def test_a_rule_states_what_it_was_and_what_it_cannot_see():
    stated = StopRule(5, "change", 0.1).stated(3)
    assert {k: stated[k] for k in ("rule", "tolerance", "largest", "chosen")} == {
        "rule": "change",
        "tolerance": 0.1,
        "largest": 5,
        "chosen": 3,
    }
    assert "unseen" in stated["limits"]
    assert StopRule(5, "fixed", 0.1).stated(5)["tolerance"] is None


@pytest.mark.parametrize("bad", [(0, "fixed", 0.1), (3, "change", 0.0), (3, "change", float("nan"))])
def test_impossible_rules_are_refused(bad):
    with pytest.raises(ConfigError, match=f"iterations is {bad[0]}"):
        StopRule(*bad)


def test_bins_hold_all_events_and_members_may_have_their_own():
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(500, 2)), rng.random((500, 3))
    x[:, 1] = x[:, 1].round()
    bins = Bins(x)
    assert len(bins.inner[0]) == COARSE - 1 > len(bins.inner[1])
    filled = bins.filled(10 * x, w)
    np.testing.assert_allclose(filled.reshape(2, COARSE, 3).sum(axis=1), np.tile(w.sum(axis=0), (2, 1)))
    own = np.stack([x, x + 1.0, x - 1.0], axis=1)
    for e in range(3):
        np.testing.assert_allclose(bins.filled(own, w)[:, e], bins.filled(own[:, e], w[:, e : e + 1])[:, 0])


def test_change_is_in_units_of_the_datas_statistical_error():
    """1000 events in each of ten bins, half of them reconstructed: one sigma is sqrt(1000 / 0.5)."""
    x = np.repeat(np.arange(10.0), 1000)[:, None]
    matched = np.arange(10_000) % 2 == 0
    watch = Watch(x, 1)
    watch.start(x, np.ones((10_000, 1)), matched, np.ones((5000, 1)), np.ones((5000, 1)))
    watch.add(x, np.ones((10_000, 1)))
    before = watch.contents
    assert watch.change(before) == [0.0]
    watch.clear()
    sigma = np.sqrt(1000 / 0.5)
    watch.add(x, np.full((10_000, 1), 1 + 2 * sigma / 1000))
    assert watch.change(before)[0] == pytest.approx(2.0 / np.sqrt(1 + 2 * sigma / 1000))


def test_a_unit_of_the_weights_changes_no_change():
    """Data that weigh nine each, and what they unfold to: content and error are nine times what they were."""
    rng = np.random.default_rng(2)
    x, w, matched = rng.normal(size=(800, 2)), rng.random((800, 1)), rng.random(800) < 0.7
    data, found = rng.random((300, 1)), []
    for factor in (1.0, 9.0):
        watch = Watch(x, 1)
        watch.start(x, w, matched, w[matched], factor * data)
        watch.add(x, factor * w)
        before = watch.contents
        watch.clear()
        watch.add(x, factor * w * (1 + 0.1 * x[:, :1]))
        found.append(watch.change(before)[0])
    assert found[1] == pytest.approx(found[0], rel=1e-12)
    # By hand: error^2 of a bin is content times sum d^2 / sum d over the share that is reconstructed.
    place = [np.searchsorted(np.quantile(c, np.linspace(0, 1, 11)[1:-1]), c, side="right") for c in x.T]
    sums = [
        [np.bincount(p, v, minlength=10) for v in (w[:, 0], w[:, 0] * (1 + 0.1 * x[:, 0]), w[:, 0] * matched)]
        for p in place
    ]
    terms = [(b - a) ** 2 / (b * (data**2).sum() / data.sum() * a / m) for a, b, m in sums]
    assert found[0] == pytest.approx(np.sqrt(np.mean(terms)))


@pytest.mark.parametrize("kind", ["omnifold", "ibu"])
def test_stopping_does_not_depend_on_the_unit_of_the_datas_weights(kind, toy):
    """From the second iteration on: the first one moves the simulation, whose weights are in the old unit."""
    inputs, _ = toy(events=600, simulated=900, fakes=[0.0, 0.0])
    options = {"omnifold": {**SMALL["omnifold"], "iterations": 3}, "ibu": {"tolerance": 0.1}}[kind]
    found = []
    for factor in (1.0, 9.0):
        heavy = replace(inputs, data_weight=factor * inputs.data_weight)
        history = build("unfold", {"kind": kind, **options}).unfold(heavy, [NOMINAL], seed=1).history
        found.append(history[0]["changes"][1:] if kind == "ibu" else [h["change"] for h in history][1:])
    assert len(found[0]) > 1
    np.testing.assert_allclose(found[1], found[0], rtol=2e-3)


@pytest.mark.parametrize("kind", SMALL)
def test_the_last_contents_are_those_of_the_result(kind, toy):
    """What validation is given of each iteration is what the method would have published had it been the last."""
    inputs, _ = toy(events=600, simulated=900)
    replicas = [NOMINAL, Replica("data_bootstrap", 0), Replica("initialisation", 1)]
    contents = {}
    for iterations in (1, 2):
        unfolder = build("unfold", {"kind": kind, "iterations": iterations, **SMALL[kind]})
        result = unfold_all(unfolder, inputs, replicas[1:], seed=1)
        inner = result.extra["watched"]["x0"]
        assert len(inner) == COARSE - 1
        rows = list(result.rows)
        for replica in replicas:
            column = replica.column()
            x, w = (np.concatenate([r[c] for r in rows if column in r]) for c in ("truth_x0", column))
            found = np.bincount(np.searchsorted(inner, x, side="right"), w, minlength=COARSE)
            kept = {
                h["iteration"]: h["contents"]
                for h in result.history
                if h["replica"] == str(replica) and "contents" in h
            }
            assert sorted(kept) == list(range(iterations))
            np.testing.assert_allclose(kept[iterations - 1], found, rtol=1e-5, atol=1e-3 * w.sum() / COARSE)
            if iterations == 1:
                contents[replica] = found
            else:
                np.testing.assert_allclose(kept[0], contents[replica], rtol=1e-5, atol=1e-3 * w.sum() / COARSE)
                assert np.abs(np.subtract(kept[1], kept[0])).max() > 1e-2 * w.sum() / COARSE
