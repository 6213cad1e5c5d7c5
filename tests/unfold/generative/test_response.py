"""Bootstraps of the generative method as weights of the nominal's draws, against trainings and what is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.options import merged
from tests.unfold.generative.test_generative import QUICK, SHORT, blocks, toy
from truthward.errors import DivergedError
from truthward.study.plugins import build
from truthward.unfold.contract import Result, Unfolder
from truthward.unfold.generative import response
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica

BOOTSTRAPS = [Replica(family, i) for family in ("data_bootstrap", "mc_bootstrap") for i in range(12)]


def method(entry: dict, **options: object) -> Unfolder:
    return build("unfold", merged(entry, options))


def moments(result: Result, replicas: list[Replica]) -> np.ndarray:
    """Yield and mean of each replica, (R, 2)."""
    rows = Result(list(result.rows), [])
    each = (blocks(rows, r) for r in replicas)
    return np.array([(w.sum(), np.average(x[:, 0], weights=w)) for x, w in each])


@pytest.fixture(scope="module")
def trained() -> tuple[Inputs, dict[str, np.ndarray]]:
    inputs = toy(4000, misses=True, fakes=0.1)
    return inputs, method(QUICK).unfold(inputs, [NOMINAL], seed=3).trained


def test_responses_spread_as_trainings_do(trained) -> None:
    """Of yield and mean, over a few bootstraps: the benchmark measures it bin by bin."""
    inputs, nominal = trained
    found = {
        by: moments(method(QUICK, replicas={"by": by}).unfold(inputs, BOOTSTRAPS, seed=3, nominal=nominal), BOOTSTRAPS)
        for by in ("response", "training")
    }
    for family, rows in (("data", slice(0, 12)), ("mc", slice(12, 24))):
        for column, name in enumerate(("yield", "mean")):
            a, b = (f[rows, column] for f in found.values())
            # Trainings of the same bootstrap with other initial weights would differ as well.
            assert np.corrcoef(a, b)[0, 1] > (0.98 if family == "data" else 0.8), (family, name)
            assert 0.75 < a.std() / b.std() < 1.33, (family, name)


@pytest.mark.parametrize(("background", "ratio"), [("expected", "dense"), ("subtract", "boosted_trees")])
def test_unchanged_weights_are_the_nominal_replica(trained, monkeypatch, background, ratio) -> None:
    inputs, _ = trained
    inputs = replace(inputs, signal=np.arange(len(inputs.weight)) % 20 > 0)
    monkeypatch.setattr(Inputs, "_counts", lambda self, ids, replica: np.ones(len(ids)))
    unfolder = method(SHORT, background=background, iterations=3, classifiers=SHORT["classifiers"] | {"ratio": ratio})
    first = unfolder.unfold(inputs, [NOMINAL], seed=3)
    others = unfolder.unfold(inputs, [BOOTSTRAPS[0], BOOTSTRAPS[12]], seed=3, nominal=first.trained)
    x, w = blocks(first)
    rows = Result(list(others.rows), [])
    for number in (0, 12):
        y, v = blocks(rows, BOOTSTRAPS[number])
        np.testing.assert_array_equal(y, x)
        np.testing.assert_allclose(v, w, rtol=1e-6)
    (nominal, *replicas) = (
        [h["contents"] for h in result.history if "contents" in h and h["replica"] == str(replica)]
        for result, replica in ((first, NOMINAL), (others, BOOTSTRAPS[0]), (others, BOOTSTRAPS[12]))
    )
    assert len(nominal) == 3
    for found in replicas:
        np.testing.assert_allclose(found, nominal, rtol=1e-6)


def test_yields_are_those_of_the_weights(trained) -> None:
    """Without misses and fakes each data event keeps its weight, whatever is removed of the prior."""
    inputs = toy(2000)
    unfolder = method(SHORT, iterations=3)
    nominal = unfolder.unfold(inputs, [NOMINAL], seed=3).trained
    replicas = [BOOTSTRAPS[0], BOOTSTRAPS[1], BOOTSTRAPS[12]]
    found = moments(unfolder.unfold(inputs, replicas, seed=3, nominal=nominal), replicas)
    expected = [inputs.varied(r).data_weight.sum() for r in replicas]
    # The draws of the result are not those for which the factors are normalised.
    np.testing.assert_allclose(found[:, 0], expected, rtol=2e-3)
    assert np.ptp(found[:, 1]) > 0.01


def test_what_is_held_out_is_not_used(trained) -> None:
    """With a patience the networks are trained on four fifths of the events; so are the responses."""
    inputs = toy(2000, misses=True, fakes=0.1)
    unfolder = method(SHORT, training={"patience": 2})
    nominal = unfolder.unfold(inputs, [NOMINAL], seed=3).trained
    found = moments(unfolder.unfold(inputs, BOOTSTRAPS[10:14], seed=3, nominal=nominal), BOOTSTRAPS[10:14])
    assert (np.ptp(found, axis=0) > 0).all()


@pytest.mark.parametrize("lost", [0.9, 0.1])
def test_says_how_to_go_on_if_replicas_are_far_from_the_nominal(trained, monkeypatch, lost) -> None:
    inputs, nominal = trained
    monkeypatch.setattr(response, "LOST", lost)
    if lost < 0.5:
        monkeypatch.setattr(response.Tilt, "__call__", lambda *args: np.full((1, 2), np.inf))
    with pytest.raises(DivergedError, match=r"of 1 replicas by response .*replicas: \{by: training\}"):
        method(QUICK).unfold(inputs, BOOTSTRAPS[:1], seed=3, nominal=nominal)


def test_draws_that_move_are_trained() -> None:
    assert method(QUICK).respond
    assert not method(QUICK, model={"kind": "bridge", "pairing": "paired"}).respond
    assert not method(QUICK, condition={"median": "x", "by": "mass"}).respond
    assert not method(QUICK, replicas={"by": "training"}).respond
