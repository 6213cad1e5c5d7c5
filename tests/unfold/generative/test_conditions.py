"""A model that is told the median of its sample: what it is told, and that the bias of one prior goes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.options import merged
from truthward.errors import ConfigError, DivergedError
from truthward.study.observable import Observable
from truthward.study.plugins import build
from truthward.unfold.generative.conditions import SUBSETS, Medians, weighted_median
from truthward.unfold.generative.draws import Scaled
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica
from truthward.unfold.stage import unfold_all

MEANS = (-1.0, 0.0, 1.0)
SMEAR = 1.0
OPTION = {"median": "x", "by": "mean"}
QUICK = {
    "kind": "generative",
    "model": {"kind": "flow_matching", "width": 32, "depth": 2},
    "iterations": 1,
    "draws": {"nominal": 1, "replicas": 1},
    "training": {"epochs": 10},
    "classifiers": {"side_epochs": 2, "width": 16},
}


def toy(nature: float = 1.0, *, means: tuple[float, ...] = MEANS, events: int = 2500, data: int = 2000) -> Inputs:
    """Truth N(mean, 0.5), smeared by 1: as many events of each mean; of the data, N(nature, 0.5)."""
    rng = np.random.default_rng(2)
    mean = np.repeat(np.asarray(means, dtype=np.float32), events)
    truth = (mean + 0.5 * rng.standard_normal(len(mean))).astype(np.float32)[:, None]
    reco = truth + SMEAR * rng.standard_normal(truth.shape).astype(np.float32)
    found = nature + np.hypot(0.5, SMEAR) * rng.standard_normal((data, 1)).astype(np.float32)
    ids, yes = rng.permutation(len(mean)).astype(np.uint64), np.ones(len(mean), dtype=bool)
    return Inputs(
        observables=[Observable(name="x", range=(-5.0, 5.0), bins=20)],
        truth=truth,
        reco=reco,
        pass_truth=yes,
        pass_reco=yes,
        weight=np.ones(len(mean)),
        event_id=ids,
        signal=yes,
        split=(ids % 5).astype(np.uint8),
        carried={"x": truth[:, 0], "mean": mean},
        data_reco=found.astype(np.float32),
        data_weight=np.ones(data),
        data_id=np.arange(data, dtype=np.uint64) + 10**6,
        data_validation=np.arange(data) % 5 == 1,
        seed=1,
    )


def medians(inputs: Inputs) -> Medians:
    return Medians(inputs, OPTION, inputs.fixed, 5)


def test_weighted_median_is_that_of_repeated_values() -> None:
    rng = np.random.default_rng(0)
    values, counts = rng.normal(size=101), rng.integers(0, 4, (101, 7))
    found = weighted_median(values, counts)
    for k in range(7):
        repeated = np.sort(np.repeat(values, counts[:, k]))
        assert found[k] == pytest.approx(np.median(repeated), abs=0.03)
    assert weighted_median(values, np.ones((101, 1)))[0] == np.median(values)
    # Pairs of opposite sign beside the others change little.
    signed = np.where(rng.random(5000) < 0.2, -1.0, 1.0)
    assert abs(weighted_median(rng.normal(size=5000), signed[:, None])[0]) < 0.1
    with pytest.raises(DivergedError, match="sum to -1"):
        weighted_median(np.zeros(1), -np.ones((1, 1)))


def test_an_event_is_given_a_median_of_a_subset_of_its_own_group() -> None:
    inputs = toy()
    group = np.searchsorted(MEANS, inputs.carried["mean"])
    condition = medians(inputs)
    given = condition.simulated(inputs.reco[None], inputs.weight[:, None]).numpy()[:, 0, 0]
    given = given * condition.scale + condition.centre
    # That of a sample as large as the data fluctuates by 1.25 sigma / sqrt(n), here for SUBSETS of them.
    error = 1.2533 * np.hypot(0.5, SMEAR) / np.sqrt(len(inputs.data_reco))
    for g, mean in enumerate(MEANS):
        own = given[group == g]
        assert np.median(inputs.reco[group == g]) == pytest.approx(own.mean(), abs=0.5 * error)
        assert own.mean() == pytest.approx(mean, abs=4 * error)
        assert own.std() == pytest.approx(error, rel=4 / np.sqrt(2 * SUBSETS))
        assert 0.9 * SUBSETS < len(np.unique(own)) <= SUBSETS
    # The other groups have no part in it.
    moved = inputs.reco + np.where(group == 2, 3.0, 0.0)[:, None]
    other = condition.simulated(moved[None], inputs.weight[:, None]).numpy()[:, 0, 0] * condition.scale
    other = other + condition.centre
    np.testing.assert_array_equal(other[group < 2].astype(np.float32), given[group < 2].astype(np.float32))
    np.testing.assert_allclose(other[group == 2], given[group == 2] + 3.0, atol=1e-4)


def test_a_sample_of_one_value_has_the_fakes_that_the_data_have() -> None:
    """As many in proportion as the whole simulation; without them it would be another median than that of the data."""
    signal, rng = toy(events=4000, data=16000), np.random.default_rng(3)
    n, fakes, share = len(signal.weight), 4000, 0.25
    data = signal.data_reco.copy()
    data[: int(share * len(data)), 0] = rng.normal(-3.0, 0.3, int(share * len(data)))
    inputs = replace(
        signal,
        truth=np.concatenate([signal.truth, np.full((fakes, 1), np.nan, dtype=np.float32)]),
        reco=np.concatenate([signal.reco, rng.normal(-3.0, 0.3, (fakes, 1)).astype(np.float32)]),
        pass_truth=np.arange(n + fakes) < n,
        pass_reco=np.ones(n + fakes, dtype=bool),
        weight=np.concatenate([np.ones(n), np.full(fakes, n / fakes * share / (1.0 - share))]),
        event_id=np.concatenate([signal.event_id, np.arange(n, n + fakes, dtype=np.uint64)]),
        signal=np.ones(n + fakes, dtype=bool),
        split=np.concatenate([signal.split, np.zeros(fakes, dtype=np.uint8)]),
        carried={"x": np.zeros(n + fakes), "mean": np.concatenate([signal.carried["mean"], np.full(fakes, np.nan)])},
        data_reco=data,
    )
    group = np.searchsorted(MEANS, signal.carried["mean"])
    error = 1.2533 * np.hypot(0.5, SMEAR) / np.sqrt(4000)
    for others, right in ((inputs.fixed, True), (np.zeros(n + fakes, dtype=bool), False)):
        condition = Medians(inputs, OPTION, others, 5)
        given = condition.simulated(inputs.reco[None], inputs.weight[:, None]).numpy()[group == 2, 0, 0].mean()
        measured = condition.measured(data[None], np.ones((len(data), 1))).numpy()[0, 0]
        assert (abs(given - measured) * condition.scale < 4 * error) == right


def test_replicas_have_medians_of_their_own_weights() -> None:
    inputs = toy()
    condition = medians(inputs)
    replicas = [NOMINAL, Replica("mc_bootstrap", 0), Replica("mc_bootstrap", 1)]
    weight = np.stack([inputs.varied(r).weight for r in replicas], axis=1)
    given = condition.simulated(inputs.reco[None], weight).numpy()[..., 0]
    alone = condition.simulated(inputs.reco[None], weight[:, 1:2]).numpy()[:, 0, 0]
    np.testing.assert_array_equal(given[:, 1], alone)
    replicas = [NOMINAL, *(Replica("data_bootstrap", i) for i in range(100))]
    data = np.stack([inputs.varied(r).data_weight for r in replicas], axis=1)
    measured = condition.measured(inputs.data_reco[None], data).numpy()[:, 0] * condition.scale
    error = 1.2533 * np.hypot(0.5, SMEAR) / np.sqrt(len(inputs.data_reco))
    assert measured[1:].std() == pytest.approx(error, rel=0.3)
    first = np.arange(len(inputs.weight))[inputs.carried["mean"] == MEANS[0]]
    spread = given[first].mean(axis=0) * condition.scale
    assert 0.0 < np.abs(spread[1:] - spread[0]).max() < 5 * error


def test_without_a_condition_the_prior_pulls_and_with_it_it_does_not() -> None:
    """One Bayesian inversion with the mean and the width of all means leaves a known share of the shift."""
    inputs = toy(1.0)
    found = {}
    for name, these, option in (
        ("one", toy(1.0, means=(0.0,), events=7500), {}),
        ("range", inputs, {}),
        ("told", inputs, OPTION),
    ):
        unfolder = build("unfold", QUICK | {"condition": option})
        rows = list(unfolder.unfold(these, [NOMINAL], seed=3).rows)
        found[name] = np.average(rows[0]["truth_x"], weights=rows[0]["weight"])
    measured = inputs.data_reco.mean()
    assert found["one"] == pytest.approx(measured * 0.25 / (0.25 + SMEAR**2), abs=0.08)
    variance = 0.25 + np.var(MEANS)
    assert found["range"] == pytest.approx(measured * variance / (variance + SMEAR**2), abs=0.1)
    assert found["told"] == pytest.approx(measured, abs=0.08)


def test_the_median_of_the_data_is_that_of_each_bootstrap() -> None:
    """The mean unfolded goes with the median of the replica, not of the nominal data; in stacks as alone."""
    inputs = toy(0.5, data=300)
    method = build("unfold", QUICK | {"training": {"epochs": 4}, "condition": OPTION})
    replicas = [Replica("data_bootstrap", i) for i in range(25)]
    result = unfold_all(method, inputs, replicas, seed=3)
    means = [np.average(b["truth_x"], weights=b[c]) for b in result.rows for c in b if c.startswith("replica")]
    told = [weighted_median(inputs.data_reco[:, 0], inputs.varied(r).data_weight[:, None])[0] for r in replicas]
    assert np.corrcoef(means, told)[0, 1] > 0.8
    # Without the medians' share a bootstrap moves the mean by sigma(x) / sqrt(n) at most.
    assert np.std(means) > 1.3 * 0.5 / np.sqrt(300)
    training, classifiers = {"epochs": 2, "later_epochs": 1}, {"ratio_epochs": 1}
    options = {"iterations": 2, "training": training, "classifiers": classifiers, "condition": OPTION}
    removed = build("unfold", merged(QUICK, options))
    both = [Replica("mc_bootstrap", 0), Replica("mc_bootstrap", 1)]
    rows = list(removed.unfold(inputs, both, seed=3).rows)
    single = list(removed.unfold(inputs, both[1:], seed=3).rows)
    np.testing.assert_allclose(rows[-1]["truth_x"], single[0]["truth_x"], atol=2e-3)


def test_systematics_move_the_medians() -> None:
    inputs = toy()
    shift = {"scale": lambda index: {"reco": inputs.reco + np.float32(0.3 * (index + 1))}}
    inputs = replace(inputs, variations=shift)
    replicas = [Replica("systematic:scale", i) for i in range(2)]
    unfolder = build("unfold", QUICK | {"training": {"epochs": 3}, "condition": OPTION})
    result = unfold_all(unfolder, inputs, replicas, seed=3)
    means = [np.average(b["truth_x"], weights=b[c]) for b in result.rows for c in b if c.startswith(("weight", "rep"))]
    np.testing.assert_allclose(np.diff(means), -0.3, atol=0.15)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"median": "y", "by": "mean"}, "'y' is not one of x"),
        ({"median": "x", "by": "mass"}, "x, mean"),
        ({"median": "x", "by": "x2"}, "two different, finite values"),
    ],
)
def test_a_condition_without_a_parameter_is_refused(option: dict[str, str], words: str) -> None:
    inputs = toy(data=10, events=10)
    inputs.carried = {**inputs.carried, "x2": np.ones(30, dtype=np.float32)}
    with pytest.raises(ConfigError, match=words):
        Medians(inputs, option, inputs.fixed, 1)


def test_truth_values_are_drawn_relative_to_the_median() -> None:
    """A model that heeds nothing moves the peak along; what is drawn comes back in its own units, within its range."""
    inputs = toy()
    scaled = Scaled(inputs, 1, OPTION)
    condition = scaled.medians
    assert float(condition.steps[0]) == pytest.approx(condition.scale, rel=0.06)
    given = condition.simulated(inputs.reco[None], inputs.weight[:, None])
    target = scaled.target(torch.cat([scaled.reco[:, None], given], dim=-1))[:, 0]
    # Relative to the median the three peaks are one, of the width of each.
    relative = scaled.target_map.inverse(target)[:, 0]
    assert float(relative.std()) == pytest.approx(0.5, abs=0.02)
    back = scaled.truth_of(target, torch.cat([scaled.reco, given[:, 0]], dim=-1))
    np.testing.assert_allclose(back.numpy(), inputs.truth, atol=1e-3)
    far = scaled.truth_of(target, torch.cat([scaled.reco, given[:, 0] + 9.0], dim=-1))
    assert float(far.max()) <= inputs.truth.max()
    discrete = replace(inputs, observables=[Observable(name="x", range=(-5.0, 5.0), atoms=(0.0,))])
    assert float(medians(discrete).steps.abs().max()) == 0.0


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="`median` and `by`"):
        build("unfold", {"kind": "generative", "condition": {"median": "x"}})
