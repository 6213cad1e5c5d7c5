"""The fit in learned features: closure, and that wrong treatments do not close; replicas; the fit by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from truthward.errors import ConfigError, StaleError
from truthward.learn import fit as fit_module
from truthward.learn.resume import Interrupted
from truthward.unfold.feature_fit import method as module
from truthward.unfold.feature_fit.chi2 import Chi2Sums, solve, spread
from truthward.unfold.feature_fit.method import FeatureFit
from truthward.unfold.inputs.arrays import NOMINAL, Replica
from truthward.unfold.stage import unfold_all

FAST = {"epochs": 6, "learning_rate": 0.01, "width": 16, "activation": "silu", "batch_size": 512}
EVENTS = 6000


def moments(inputs, replicas=(), **options):
    """(yield, mean, width) of x0 of the nominal and of each replica, (1 + R, 3)."""
    rows = list(unfold_all(FeatureFit(**FAST | options), inputs, replicas, seed=1).rows)
    x = np.concatenate([r["truth_x0"] for r in rows]).astype(float)
    return np.array([summary(x, np.concatenate([row[r.column()] for row in rows])) for r in (NOMINAL, *replicas)])


def summary(x, w):
    mean = np.average(x, weights=w)
    return np.array([w.sum(), mean, np.sqrt(np.average((x - mean) ** 2, weights=w))])


def closes(found, nature):
    """Within about four standard deviations for 6,000 data events."""
    truth = np.array([nature.fiducial_yield(EVENTS), nature.mean[0], nature.width[0]])
    return (np.abs(found / truth - 1.0)[[0, 2]] < 0.05).all() and abs(found[1] - truth[1]) < 0.08


@pytest.mark.parametrize("fakes", ["absolute", "share"])
def test_closure_with_misses_fakes_and_background(toy, fakes):
    inputs, nature = toy(events=EVENTS, share=fakes == "share", background=0.05 if fakes == "absolute" else 0.0)
    assert closes(moments(inputs, fakes=fakes)[0], nature)
    prior = summary(inputs.truth[inputs.fiducial, 0].astype(float), inputs.weight[inputs.fiducial])
    assert not closes(prior, nature)


def test_signed_weights_close(toy):
    inputs, nature = toy(events=EVENTS, simulated=20000, negative_weights=0.1)
    inputs = replace(inputs, data_weight=np.ones(len(inputs.data_weight)))
    assert (inputs.weight < 0).any()
    assert closes(moments(inputs)[0], nature)


@pytest.mark.parametrize("mistake", ["no efficiency", "efficiency twice", "no fakes"])
def test_wrong_treatments_do_not_close(toy, mistake):
    inputs, nature = toy(events=EVENTS, efficiency=[0.5, 0.95])
    if mistake == "no fakes":
        inputs = replace(inputs, pass_reco=inputs.pass_reco & ~inputs.fakes)
    if mistake == "no efficiency":
        inputs = replace(inputs, pass_truth=inputs.pass_truth & inputs.pass_reco)
    rows = next(iter(FeatureFit(**FAST).unfold(inputs, [NOMINAL], seed=1).rows))
    x, w = rows["truth_x0"].astype(float), rows["weight"]
    found = summary(x, w / nature.efficiency_at(x) if mistake == "efficiency twice" else w)
    assert not closes(found, nature), found


def test_spread_of_bootstraps_is_the_statistical_error(toy):
    """Of yield and mean, against the analytic error of a detector that only loses and smears."""
    inputs, nature = toy(events=3000, simulated=30000, efficiency=[0.8, 0.8], fakes=[0.0, 0.0])
    found = moments(inputs, [Replica("data_bootstrap", i) for i in range(40)])[1:]
    reconstructed = len(inputs.data_reco)
    expected = np.array([found[:, 0].mean(), np.hypot(nature.width[0], nature.resolution[0])])
    # The standard deviation of 40 replicas is known to 11%.
    ratio = found[:, :2].std(axis=0, ddof=1) * np.sqrt(reconstructed) / expected
    assert ((ratio > 0.65) & (ratio < 1.4)).all(), ratio


def test_bootstraps_of_unchanged_weights_are_the_nominal(toy, monkeypatch):
    inputs, _ = toy(events=1000, simulated=3000)
    monkeypatch.setattr("truthward.unfold.inputs.arrays.poisson_weights", lambda ids, **_: np.ones(len(ids)))
    a = moments(inputs, [Replica("mc_bootstrap", 3), Replica("data_bootstrap", 1)])
    # A fit ends when its chi2 changes by less than a thousandth.
    np.testing.assert_allclose(a[1:], np.stack([a[0], a[0]]), rtol=2e-3, atol=2e-3)


def test_replicas_depend_on_no_other_and_initialisations_differ(toy):
    inputs, _ = toy(events=1500, simulated=3000)
    boot, own = Replica("data_bootstrap", 0), Replica("initialisation", 0)
    a, b = moments(inputs, [boot, own], epochs=2), moments(inputs, [own, boot], epochs=2)
    np.testing.assert_array_equal(a, b[[0, 2, 1]])
    assert abs(a[2, 1] - a[0, 1]) > 1e-5


def test_interrupted_goes_on_to_the_same_weights(toy, tmp_path, monkeypatch):
    inputs, _ = toy(events=800, simulated=1500)
    small = FeatureFit(epochs=2, width=8, depth=1)
    whole = next(iter(small.unfold(inputs, [NOMINAL], seed=1).rows))
    real = module.train_mean

    def stopped(*args, **kwargs):
        raise Interrupted([15], None)

    monkeypatch.setattr(module, "train_mean", stopped)
    with pytest.raises(Interrupted):
        small.unfold(inputs, [NOMINAL], seed=1, state=tmp_path, key="k")
    monkeypatch.setattr(module, "train_mean", real)
    trained, save = [], fit_module.save_state
    monkeypatch.setattr(fit_module, "save_state", lambda *a, **k: (trained.append(1), save(*a, **k)))
    again = next(iter(small.unfold(inputs, [NOMINAL], seed=1, state=tmp_path, key="k").rows))
    np.testing.assert_array_equal(again["weight"], whole["weight"])
    assert len(trained) == 1  # The first of two trainings was done before.
    with pytest.raises(StaleError):
        small.unfold(inputs, [NOMINAL], seed=1, state=tmp_path, key="other")


def test_history_states_the_fit(toy):
    inputs, _ = toy(events=1500, simulated=4000)
    history = FeatureFit(**FAST, passes=3).unfold(inputs, [NOMINAL], seed=1).history
    assert [h["iteration"] for h in history] == [0, 1, 2]
    assert all(h["feature_chi2"] < 3 * h["feature_ndf"] for h in history)
    assert abs(history[-1]["normalisation_reco"]) < 0.02
    with pytest.raises(ConfigError, match="passes"):
        FeatureFit(passes=0)


def test_a_smaller_penalty_pulls_less_to_the_simulation(toy):
    inputs, nature = toy(events=EVENTS)
    width = [moments(inputs, penalty=p)[0, 2] for p in (100.0, 1.0, 0.03)]
    assert 1.0 < width[0] < width[1] < width[2] < nature.width[0] + 0.05


def linear(slope, seed=3, events=20000):
    """Sums of a simulation without smearing whose log ratio to the data is known: slope x."""
    x = torch.randn(events, generator=torch.Generator().manual_seed(seed))
    features = torch.stack([torch.ones(events), x], dim=1)
    wanted = (features * torch.exp(slope * x)[:, None]).sum(dim=0).double()
    return Chi2Sums(features, features, torch.ones(events), wanted, torch.zeros(2, 2).double(), 1.0)


def test_fit_finds_the_exact_answer_and_the_evidence_its_penalty():
    sums, zero = linear(0.3), torch.zeros(2, dtype=torch.float64)
    found = solve(sums, sums.whitening(zero), zero, 100.0, adapt=True, label="test")
    # One parameter, well determined: its prior has the width that it is seen to need.
    assert found.theta[1] == pytest.approx(0.3, abs=0.01)
    assert found.determined == pytest.approx(1.0, abs=0.01)
    assert found.penalty == pytest.approx(1 / 0.3**2, rel=0.2)
    flat = solve(linear(0.0), sums.whitening(zero), zero, 1e8, adapt=False, label="test")
    assert flat.chi2 == pytest.approx(0.0, abs=1e-3)


def test_covariance_is_that_of_poisson_samples():
    rng = np.random.default_rng(5)
    phi = torch.tensor(rng.normal(size=(400, 2)) + [1.0, 0.0], dtype=torch.float32)
    weight = torch.full((400,), 0.5)
    counts = torch.tensor(rng.poisson(1.0, size=(4000, 400)), dtype=torch.float32)
    data = torch.tensor(rng.poisson(0.5, size=(4000, 400)), dtype=torch.float32)
    drawn = (counts * weight - data) @ phi
    expected = spread(phi, weight, 1.0)
    np.testing.assert_allclose(torch.cov(drawn.T), expected, atol=0.08 * float(expected.max()))
