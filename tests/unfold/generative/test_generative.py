"""The generative method on toys with known answers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.options import merged
from truthward.errors import ConfigError, InputError
from truthward.models.flow_matching import FlowMatching
from truthward.study.observable import Observable
from truthward.study.plugins import build
from truthward.unfold.contract import Result
from truthward.unfold.generative.posterior import Members
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica
from truthward.unfold.stage import unfold_all

SHIFT, SMEAR = 0.5, 0.7
# What one Bayesian inversion with a Gaussian prior of unit width leaves of a shift of the mean (the width is exact).
REMAINS = SMEAR**2 / (1 + SMEAR**2)
QUICK = {
    "kind": "generative",
    "model": {"kind": "flow_matching", "width": 32, "depth": 2},
    "iterations": 2,
    "stop": {"rule": "fixed"},
    "training": {"epochs": 12, "later_epochs": 6},
    "classifiers": {"width": 24, "batch_size": 256},
}


def shorter(*, epochs: int, ratio_epochs: int, side_epochs: int) -> dict:
    """The entry with so many epochs, and one after each step of prior removal."""
    classifiers = {"ratio_epochs": ratio_epochs, "side_epochs": side_epochs}
    return merged(QUICK, {"training": {"epochs": epochs, "later_epochs": 1}, "classifiers": classifiers})


SHORT = shorter(epochs=2, ratio_epochs=2, side_epochs=2)


def efficiency(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-1.2 - x))


def expected(shift: float, fakes: float, iterations: int) -> tuple[float, float]:
    """Yield per true event, and mean, after so many Bayesian inversions with misses and fakes, on a fine grid."""
    x = np.linspace(-7, 7, 701)

    def normal(values: np.ndarray, mean: float, sigma: float) -> np.ndarray:
        return np.exp(-0.5 * ((values - mean) / sigma) ** 2) / sigma / (2 * np.pi) ** 0.5

    step, eps = x[1] - x[0], efficiency(x)
    response, others = normal(x[:, None], x, SMEAR) * step, 0.75 * fakes * normal(x, -1.0, 1.0)
    data, matched = response @ (eps * normal(x, shift, 1.0)) + others, eps * normal(x, 0.0, 1.0)
    for _ in range(iterations):
        matched = matched * (response / (response @ matched + others)[:, None] * data[:, None]).sum(axis=0)
    found = matched / eps
    return found.sum() * step, float(found @ x / found.sum())


def toy(
    events: int = 8000,
    *,
    seed: int = 1,
    shift: float = SHIFT,
    misses: bool = False,
    fakes: float = 0.0,
    strength: float = 1.0,
    negative: float = 0.0,
) -> Inputs:
    """Truth N(0, 1), of the data N(shift, 1), smeared; acceptance `efficiency`; fakes N(-1, 1) relative to matched."""
    rng = np.random.default_rng(seed)

    def sample(mean: float, signal: int, others: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x = np.concatenate([rng.normal(mean, 1, signal), np.full(others, np.nan)])
        y = np.where(np.isnan(x), rng.normal(-1, 1, len(x)), x + rng.normal(0, SMEAR, len(x)))
        passed = np.isnan(x) | (rng.random(len(x)) < (efficiency(x) if misses else 1.0))
        order = rng.permutation(len(x))
        return x[order], y[order], passed[order]

    matched = 0.75 if misses else 1.0
    x, y, passed = sample(0.0, events, int(fakes * matched * events))
    _, found, kept = sample(shift, rng.poisson(strength * events), rng.poisson(fakes * matched * events))
    weight = np.ones(len(x))
    if negative:
        # Pairs of opposite sign of the same distribution cancel: the density stays what it was.
        weight = np.where(rng.random(len(x)) < negative, -1.0, 1.0)
        weight *= len(x) / weight.sum()
    truth, ids = x.astype(np.float32)[:, None], np.arange(len(x), dtype=np.uint64)
    reco = np.where(passed, y, np.nan).astype(np.float32)[:, None]
    data = found[kept].astype(np.float32)[:, None]
    return Inputs(
        observables=[Observable(name="x", range=(-4.0, 4.0), bins=20)],
        truth=truth,
        reco=reco,
        pass_truth=~np.isnan(x),
        pass_reco=passed,
        weight=weight,
        event_id=ids,
        signal=np.ones(len(x), dtype=bool),
        split=(ids % 5).astype(np.uint8),
        carried={"x": truth[:, 0]},
        data_reco=data,
        data_weight=np.ones(len(data)),
        data_id=np.arange(len(data), dtype=np.uint64) + 10**6,
        data_validation=np.arange(len(data)) % 5 == 1,
        seed=seed,
        variations={"calibration": lambda index: {"reco": reco + np.float32(0.1 * (index + 1))}},
    )


def blocks(result: Result, replica: Replica = NOMINAL) -> tuple[np.ndarray, np.ndarray]:
    """Truth values (n, D) and weights (n,) of one replica."""
    rows = [b for b in result.rows if replica.column() in b]
    names = [n for n in rows[0] if n.startswith("truth_")]
    x = np.concatenate([np.stack([b[n] for n in names], axis=1) for b in rows])
    return x, np.concatenate([b[replica.column()] for b in rows])


def nominal(inputs: Inputs, **options: object) -> tuple[np.ndarray, np.ndarray]:
    return blocks(build("unfold", merged(QUICK, options)).unfold(inputs, [NOMINAL], seed=3))


def test_what_the_model_has_wrong_does_not_enter_the_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data like the simulation and a model that draws all events off by half a sigma: there is nothing to remove."""
    sample = FlowMatching.sample
    monkeypatch.setattr(FlowMatching, "sample", lambda self, given, noise: sample(self, given, noise) + 0.5)
    result = build("unfold", QUICK).unfold(toy(shift=0.0), [NOMINAL], seed=3)
    (entry,) = [h for h in result.history if "effective_size" in h]
    # A ratio to the simulation's own truth would leave exp(-0.5^2) = 0.78 of the events.
    assert entry["effective_size"] > 0.97 * 8000


@pytest.mark.parametrize("classifier", ["dense", "boosted_trees"])
def test_prior_removal_takes_the_bias_that_bayes_theorem_says(classifier) -> None:
    inputs = toy()
    means, error = [], (1 + SMEAR**2) ** 0.5 / len(inputs.data_reco) ** 0.5
    for iterations in (1, 2):
        x, w = nominal(inputs, iterations=iterations, classifiers=QUICK["classifiers"] | {"ratio": classifier})
        mean = np.average(x[:, 0], weights=w)
        means.append(mean)
        assert mean == pytest.approx(SHIFT * (1 - REMAINS**iterations), abs=2.5 * error)
        assert np.average((x[:, 0] - mean) ** 2, weights=w) ** 0.5 == pytest.approx(1.0, abs=0.04)
        assert w.sum() == pytest.approx(len(inputs.data_reco))
    # The prior is off by many sigma; after one iteration much of that remains, and the next takes most of it.
    assert 25 * error < SHIFT
    assert SHIFT - means[0] > 5 * error
    assert abs(SHIFT - means[1]) < 0.55 * (SHIFT - means[0])


def test_the_bias_falls_until_the_rule_ends_it_and_replicas_make_as_many_iterations() -> None:
    inputs, replicas = toy(), [Replica("data_bootstrap", 0), Replica("initialisation", 0)]
    ruled = build("unfold", QUICK | {"iterations": 6, "stop": {"rule": "change", "tolerance": 1.2}})
    result = unfold_all(ruled, inputs, replicas, seed=3)
    history = {
        str(r): [h for h in result.history if h["replica"] == str(r) and "contents" in h] for r in (NOMINAL, *replicas)
    }
    changes = [h["change"] for h in history["nominal:0"]]
    assert 2 < len(changes) == result.iterations == result.extra["stopping"]["chosen"] < 6
    assert changes[-1] < 1.2 < min(changes[1:-1])
    assert result.extra["stopping"]["rule"] == "change"
    for replica in replicas:
        assert len(history[str(replica)]) == result.iterations
    # The nominal's choice is what counts, also where a replica's own changes would have it go on.
    strict = build("unfold", SHORT | {"iterations": 4, "stop": {"rule": "change", "tolerance": 1e-6}})
    given = build("unfold", SHORT).unfold(inputs, [NOMINAL], seed=3).trained
    assert strict.unfold(inputs, replicas[:1], seed=3, nominal=given).iterations == 2
    edges = [-np.inf, *result.extra["watched"]["x"], np.inf]
    wanted = np.diff([0.5 * (1 + math.erf((e - SHIFT) / 2**0.5)) for e in edges]) * len(inputs.data_reco)
    bias = [np.sqrt(((np.array(h["contents"]) - wanted) ** 2 / wanted).mean()) for h in history["nominal:0"]]
    assert bias[0] > 1.5 * bias[1] > 1.5 * bias[2]


def test_the_rule_ends_at_the_least_where_there_is_no_prior_to_remove() -> None:
    """Data as simulated: two iterations, one to move and one to see that nothing did."""
    entry = QUICK | {"iterations": 6, "stop": {"rule": "change", "tolerance": 1.2}}
    same, other = (build("unfold", entry).unfold(toy(4000, shift=s), [NOMINAL], seed=3) for s in (0.0, 1.0))
    assert same.iterations == 2 < other.iterations
    assert "settled" in same.extra["stopping"]["limits"]


def test_misses_and_fakes_enter_exactly_once() -> None:
    inputs = toy(misses=True, fakes=0.15, shift=0.3)
    x, w = nominal(inputs, iterations=3)
    # Three inversions have not quite forgotten the prior, in the share of fakes least of all: by how much is known.
    size, mean = expected(0.3, 0.15, 3)
    tolerance = 0.03 * 8000
    assert size == pytest.approx(1.0, abs=0.02)
    assert w.sum() == pytest.approx(size * 8000, abs=tolerance)
    assert np.average(x[:, 0], weights=w) == pytest.approx(mean, abs=0.045)
    # What would come out with the efficiency never or twice, or with fakes left in: the test would see it.
    eps, fraction = efficiency(x[:, 0]), 1 / (1 + 0.15)
    for wrong in (w * eps, w / eps, w / fraction, w * fraction):
        assert abs(wrong.sum() - 8000) > 3 * tolerance


def test_matched_events_over_their_efficiency_are_the_fiducial_ones_however_short_the_training() -> None:
    """In signed weights too; what is imposed is the sum of 1 / efficiency, not of the efficiency."""
    inputs, short = toy(1500, misses=True, negative=0.1), shorter(epochs=1, ratio_epochs=2, side_epochs=1)
    recipe = build("unfold", short).recipe
    members = Members(recipe, recipe.scaled(inputs, 3), inputs, [NOMINAL], seed=3, state=None, key="")
    efficiency = members.first().efficiency(members.scaled.truth)[members.scaled.matched_fiducial, 0]
    matched, fiducial = inputs.weight[inputs.matched], inputs.weight[inputs.fiducial].sum()
    assert (matched / efficiency).sum() == pytest.approx(fiducial, rel=1e-5)
    assert abs((inputs.weight[inputs.fiducial].sum() - matched.sum()) / fiducial) > 0.1
    # The network itself is far from it, after one epoch.
    assert np.corrcoef(efficiency, 1 / (1 + np.exp(-1.2 - inputs.truth[inputs.matched, 0])))[0, 1] < 0.99


def test_the_share_of_fakes_follows_the_removal_of_the_prior() -> None:
    """The signal is 1.4 times what was simulated, the fakes are what was simulated."""
    inputs = toy(fakes=0.25, strength=1.4, shift=0.0)
    short = shorter(epochs=2, ratio_epochs=2, side_epochs=8) | {"draws": {"nominal": 2, "replicas": 2}}
    before, after = (
        blocks(build("unfold", short | {"iterations": n}).unfold(inputs, [NOMINAL], seed=3))[1].sum() for n in (1, 3)
    )
    expected = len(inputs.data_reco) - 0.25 * 8000
    assert before == pytest.approx(len(inputs.data_reco) / 1.25, rel=0.01)
    assert abs(before - expected) > 0.04 * expected
    assert after == pytest.approx(expected, rel=0.015)


def test_background_is_like_fakes() -> None:
    inputs = toy(1000, fakes=0.15, shift=0.0)
    other = replace(inputs, signal=inputs.pass_truth, truth=np.where(inputs.pass_truth[:, None], inputs.truth, 0.0))
    other.pass_truth = np.ones_like(inputs.pass_truth)
    short = shorter(epochs=1, ratio_epochs=1, side_epochs=1)
    first, second = (blocks(build("unfold", short).unfold(i, [NOMINAL], seed=3)) for i in (inputs, other))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_negative_weights_stand_for_the_density_they_sum_to() -> None:
    x, w = nominal(toy(12000, negative=0.12, misses=True), iterations=2)
    assert w.sum() == pytest.approx(12000, rel=0.04)
    mean = np.average(x[:, 0], weights=w)
    assert mean == pytest.approx(SHIFT * (1 - REMAINS**2), abs=0.1)
    assert np.average((x[:, 0] - mean) ** 2, weights=w) ** 0.5 == pytest.approx(1.0, abs=0.1)


def test_weights_that_sum_to_nothing_are_refused() -> None:
    inputs = toy(500, misses=True)
    inputs.weight[~inputs.pass_reco] = -1.0
    with pytest.raises(InputError, match="misses sum to"):
        build("unfold", QUICK).unfold(inputs, [NOMINAL], seed=3)


def test_integers_and_atoms_come_back_exactly() -> None:
    rng = np.random.default_rng(5)
    inputs = toy(4000)

    def discrete(x: np.ndarray) -> np.ndarray:
        count = np.round(6 + 2 * x)
        grooming = np.where(rng.random(x.shape) < 0.3, 0.0, 0.1 + np.exp(-(x**2)))
        return np.concatenate([count, grooming], axis=1).astype(np.float32)

    inputs = replace(
        inputs,
        observables=[
            Observable(name="count", range=(0.0, 12.0), bins=12, integer=True),
            Observable(name="groomed", range=(0.0, 2.0), bins=10, atoms=(0.0,)),
        ],
        truth=discrete(inputs.truth),
        reco=discrete(inputs.reco),
        data_reco=discrete(inputs.data_reco),
    )
    x, w = nominal(inputs, training={"batch_size": 128})
    assert (x[:, 0] == np.round(x[:, 0])).all()
    assert len(np.unique(x[:, 0])) > 5
    atom, middle = x[:, 1] == 0.0, (x[:, 1] > 0) & (x[:, 1] < 0.09)
    assert np.average(atom, weights=w) == pytest.approx(0.3, abs=0.03)
    assert not middle.any()


@pytest.mark.parametrize("pairing", ["conditional", "paired", "unpaired"])
def test_bridges_unfold_the_distribution_where_prior_and_data_agree(pairing) -> None:
    """Two correlated observables: what smearing takes of the correlation comes back, and where it is not a Gaussian."""
    rng = np.random.default_rng(5)
    inputs = toy(8000, shift=0.0)

    def pair(n: int) -> tuple[np.ndarray, np.ndarray]:
        first = rng.normal(size=n)
        truth = np.stack([first, np.abs(first) + 0.3 * rng.normal(size=n)], axis=1)
        return truth.astype(np.float32), (truth + rng.normal(0, SMEAR, truth.shape)).astype(np.float32)

    truth, reco = pair(len(inputs.truth))
    wanted, data = pair(len(inputs.data_reco))
    inputs = replace(
        inputs,
        observables=[Observable(name=n, range=(-4.0, 4.0), bins=20) for n in ("x", "y")],
        truth=truth,
        reco=reco,
        data_reco=data,
        variations={},
    )
    model = {**QUICK["model"], "kind": "bridge", "pairing": pairing}
    x, w = blocks(build("unfold", QUICK | {"model": model, "iterations": 1}).unfold(inputs, [NOMINAL], seed=3))
    assert w.sum() == pytest.approx(len(data))
    for power in ((0, 1), (0, 2), (1, 0), (2, 0), (2, 1)):
        moments = [np.average((v**power).prod(axis=1), weights=u) for v, u in ((x, w), (wanted, None), (data, None))]
        assert moments[0] == pytest.approx(moments[1], abs=0.09), power
    assert abs(moments[2] - moments[1]) > 0.3


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"draws": {"nominal": 0}}, r"unfold\.draws\.nominal: 0 given, int >= 1 expected"),
        ({"draws": {"replicas": 0}}, r"unfold\.draws\.replicas: 0 given, int >= 1 expected"),
        ({"iterations": 0}, r"unfold\.iterations: 0 given, int >= 1 expected"),
        (
            {"model": {"kind": "bridge", "pairing": "unpaired"}},
            "bridge with these options pairs truth and reco events by itself",
        ),
    ],
)
def test_bad_options_are_refused(option: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build("unfold", {"kind": "generative", **option})


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"flow_matchin.*did you mean .flow_matching"):
        build("unfold", {"kind": "generative", "model": {"kind": "flow_matchin"}})
