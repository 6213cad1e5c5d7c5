"""OmniFold: closure with misses and fakes, and that wrong treatments of either would be seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.options import merged
from truthward.errors import StaleError
from truthward.events.hashing import uniform
from truthward.learn import fit as fit_module
from truthward.learn.resume import Interrupted
from truthward.study.plugins import build
from truthward.study.seeds import seed_for
from truthward.unfold.ibu import Ibu
from truthward.unfold.inputs.arrays import NOMINAL, Replica
from truthward.unfold.omnifold import steps as module
from truthward.unfold.stage import unfold_all

FAST = {
    "kind": "omnifold",
    "iterations": 4,
    "network": {"width": 16, "depth": 2, "activation": "silu"},
    "training": {"epochs": 6, "later_epochs": 3, "batch_size": 512, "learning_rate": 0.01},
}
SMALL = {
    "kind": "omnifold",
    "iterations": 2,
    "network": {"width": 8, "depth": 1},
    "training": {"epochs": 2, "later_epochs": 1},
}


def moments(inputs, members=(NOMINAL,), **options):
    """(yield, mean, width) of x0 for each replica, (R, 3)."""
    others = [r for r in members if r != NOMINAL]
    rows = list(unfold_all(build("unfold", merged(FAST, options)), inputs, others, seed=1).rows)
    x = np.concatenate([r["truth_x0"] for r in rows]).astype(float)
    found = []
    for r in members:
        w = np.concatenate([row[r.column()] for row in rows])
        mean = np.average(x, weights=w)
        found.append([w.sum(), mean, np.sqrt(np.average((x - mean) ** 2, weights=w))])
    return np.array(found)


def closes(found, nature, events):
    """Within about four standard deviations for 6,000 data events."""
    truth = np.array([nature.fiducial_yield(events), nature.mean[0], nature.width[0]])
    return (np.abs(found / truth - 1.0)[[0, 2]] < 0.05).all() and abs(found[1] - truth[1]) < 0.08


@pytest.mark.parametrize("fakes", ["absolute", "share"])
def test_closure_with_misses_fakes_and_background(toy, fakes):
    inputs, nature = toy(events=6000, share=fakes == "share", background=0.05 if fakes == "absolute" else 0.0)
    total = 6000
    found = moments(inputs, fakes=fakes)[0]
    assert closes(found, nature, total), found
    # With iterative Bayesian unfolding of the same data the fluctuation of the data is in common.
    rows = list(Ibu(fakes=fakes).unfold(inputs, [NOMINAL], seed=1).rows)
    x, w = (np.concatenate([r[n] for r in rows]) for n in ("truth_x0", "weight:x0"))
    assert found[0] == pytest.approx(w.sum(), rel=0.015)
    assert found[1] == pytest.approx(np.average(x, weights=w), abs=0.04)
    prior = inputs.weight[inputs.fiducial].sum(), inputs.truth[inputs.fiducial].mean()
    assert not closes(np.array([*prior, 1.0]), nature, total)


def test_signed_weights_close(toy):
    inputs, nature = toy(events=6000, simulated=20000, negative_weights=0.1)
    inputs = replace(inputs, data_weight=np.abs(inputs.data_weight) * 0 + 1.0)
    assert (inputs.weight < 0).any()
    assert closes(moments(inputs)[0], nature, 6000)


@pytest.mark.parametrize("mistake", ["no efficiency", "efficiency twice", "no fakes", "misses keep the prior"])
def test_wrong_treatments_do_not_close(toy, mistake):
    """Each of the usual mistakes, made on purpose, must be visible in what the closure test looks at."""
    inputs, nature = toy(events=6000, efficiency=[0.5, 0.95])
    if mistake == "no fakes":
        inputs = replace(inputs, pass_reco=inputs.pass_reco & ~inputs.fakes)
    if mistake == "no efficiency":
        inputs = replace(inputs, pass_truth=inputs.pass_truth & inputs.pass_reco)
    rows = next(iter(build("unfold", FAST).unfold(inputs, [NOMINAL], seed=1).rows))
    x, w = rows["truth_x0"].astype(float), rows["weight"]
    if mistake == "efficiency twice":
        w = w / nature.efficiency_at(x)
    if mistake == "misses keep the prior":
        missed = ~inputs.pass_reco[inputs.fiducial]
        w = np.where(missed, inputs.weight[inputs.fiducial], w)
    mean = np.average(x, weights=w)
    found = np.array([w.sum(), mean, np.sqrt(np.average((x - mean) ** 2, weights=w))])
    truth = np.array([nature.fiducial_yield(6000), nature.mean[0], nature.width[0]])
    if mistake == "misses keep the prior":
        # A smaller effect: against the right treatment of the same training instead of the truth.
        right = np.average(x, weights=rows["weight"])
        assert abs(mean - truth[1]) > abs(right - truth[1]) + 0.02
    else:
        assert not closes(found, nature, 6000), (found, truth)


def test_bootstraps_share_the_training_and_initialisations_do_not(toy):
    inputs, _ = toy(events=1500, simulated=3000)
    same = replace(inputs, data_id=inputs.data_id, seed=inputs.seed)
    a = moments(inputs, [NOMINAL, Replica("data_bootstrap", 0), Replica("initialisation", 0)], iterations=1)
    b = moments(same, [NOMINAL, Replica("initialisation", 0), Replica("data_bootstrap", 0)], iterations=1)
    np.testing.assert_allclose(a[1:], b[:0:-1], rtol=1e-5)
    assert abs(a[2, 1] - a[0, 1]) > 1e-5


@pytest.mark.parametrize("by", ["response", "training"])
def test_bootstrap_with_all_counts_one_is_the_nominal(toy, monkeypatch, by):
    inputs, _ = toy(events=1000, simulated=2000)
    monkeypatch.setattr("truthward.unfold.inputs.arrays.poisson_weights", lambda ids, **_: np.ones(len(ids)))
    a = moments(inputs, [NOMINAL, Replica("mc_bootstrap", 3)], iterations=2, replicas={"by": by})
    np.testing.assert_allclose(a[0], a[1], rtol=1e-6)


def test_responses_spread_as_trainings_do(toy):
    """Of mean and yield, over a few bootstraps: the benchmark measures it bin by bin."""
    inputs, _ = toy(events=2000, simulated=6000)
    members = [NOMINAL, *(Replica("data_bootstrap", i) for i in range(12))]
    found = {by: moments(inputs, members, replicas={"by": by})[1:, :2] for by in ("response", "training")}
    for column in range(2):
        a, b = (f[:, column] for f in found.values())
        assert np.corrcoef(a, b)[0, 1] > 0.95
        assert 0.8 < a.std() / b.std() < 1.25


def test_stops_where_the_rule_says_and_replicas_follow(toy):
    inputs, _ = toy(events=2000, simulated=6000)
    entry = FAST | {"iterations": 8, "stop": {"rule": "change", "tolerance": 0.5}}
    result = unfold_all(build("unfold", entry), inputs, [Replica("data_bootstrap", 0)], seed=1)
    changes = [h["change"] for h in result.history if h["replica"] == "nominal:0"]
    stopping = result.extra["stopping"]
    assert stopping["chosen"] == result.iterations == len(changes) < 8
    assert changes[-1] < 0.5 <= min(changes[1:-1], default=1.0)
    assert sum(h["replica"] == "data_bootstrap:0" for h in result.history) == len(changes)
    assert "settled" in stopping["limits"]


def test_a_fold_never_sees_its_own_events(toy):
    """Whatever the events of a fold weigh, their own factors do not know of it."""
    inputs, _ = toy(events=1000, simulated=2000)
    fold = (uniform(inputs.event_id, seed_for(1, "fold")) * 2).astype(int)
    entry = {"kind": "omnifold", "iterations": 1, "folds": 2, "network": {"width": 8}, "training": {"epochs": 2}}
    factors = []
    for weight in (inputs.weight, np.where(fold == 0, 3.0 * inputs.weight, inputs.weight)):
        result = build("unfold", entry).unfold(replace(inputs, weight=weight), [NOMINAL], seed=1)
        factors.append(next(iter(result.rows))["weight"] / weight[inputs.fiducial])
    first = fold[inputs.fiducial] == 0
    np.testing.assert_allclose(factors[0][first], factors[1][first], rtol=1e-6)
    assert not np.allclose(factors[0][~first], factors[1][~first], rtol=1e-4)
    assert result.extra["stopping"]["of_folds"] == [1, 1]


def test_interrupted_goes_on_to_the_same_weights(toy, tmp_path, monkeypatch):
    inputs, _ = toy(events=800, simulated=1500)
    small = build("unfold", SMALL)
    whole = next(iter(small.unfold(inputs, [NOMINAL], seed=1).rows))
    calls, real = [], module.fit_source

    def stopped(*args, **kwargs):
        calls.append(1)
        if len(calls) == 4:
            raise Interrupted([15], None)
        return real(*args, **kwargs)

    monkeypatch.setattr(module, "fit_source", stopped)
    with pytest.raises(Interrupted):
        small.unfold(inputs, [NOMINAL], seed=1, state=tmp_path, key="k")
    trained = []
    save = fit_module.save_state
    monkeypatch.setattr(fit_module, "save_state", lambda *a, **k: (trained.append(1), save(*a, **k)))
    again = next(iter(small.unfold(inputs, [NOMINAL], seed=1, state=tmp_path, key="k").rows))
    np.testing.assert_array_equal(again["weight"], whole["weight"])
    assert len(trained) == 1  # Of four trainings, three were done before.
    with pytest.raises(StaleError):
        small.unfold(inputs, [NOMINAL], seed=1, state=tmp_path, key="other")


def test_early_stopping_reports_the_held_out_loss(toy, monkeypatch):
    inputs, _ = toy(events=800, simulated=1500)
    trained, real = [], module.fit_source
    monkeypatch.setattr(module, "fit_source", lambda *a, **k: trained.append(real(*a, **k)) or trained[-1])
    training = {"epochs": 12, "later_epochs": 4, "learning_rate": 0.05, "patience": 2}
    entry = {"kind": "omnifold", "iterations": 2, "network": {"width": 8}, "training": training}
    history = build("unfold", entry).unfold(inputs, [NOMINAL], seed=1).history
    assert len(trained) == 4
    epochs = []
    for number, fitted in enumerate(trained):
        entry, step = history[number // 2], ("reco", "truth")[number % 2]
        losses = [e[0] for e in fitted.validation]
        best = int(np.argmin(losses))
        assert entry[f"epochs_{step}"] == best + 1
        assert entry[f"held_out_loss_{step}"] == losses[best]
        assert entry[f"loss_{step}"] == fitted.train[best][0]
        assert len(losses) == min(best + 3, training["later_epochs" if number > 1 else "epochs"])
        epochs.append(len(losses))
    assert min(epochs[:2]) < 12, "choose settings with which a training ends early"


@pytest.mark.parametrize("fakes", ["absolute", "share"])
def test_a_cross_fit_has_the_yield_of_a_plain_unfolding(toy, fakes):
    """A chain that sees half of the simulation must take it for all of it."""
    inputs, nature = toy(events=3000, simulated=4000, share=fakes == "share", efficiency=[0.8, 0.8])
    short = {"iterations": 2, "training": {"epochs": 4, "later_epochs": 2}, "fakes": fakes}
    plain, folded = (moments(inputs, **short, folds=folds)[0] for folds in (0, 2))
    # Both have the same data; trainings on other halves move the yield by their own statistics alone, 1 / sqrt(2000).
    assert folded[0] == pytest.approx(plain[0], rel=0.05)
    assert folded[0] == pytest.approx(nature.fiducial_yield(3000), rel=0.1)


def test_a_ratio_that_is_wrong_by_a_factor_changes_nothing(toy, monkeypatch):
    """The networks' normalisation is not trusted: ln 2 on all logits of the reco step comes out again."""
    find = module.TrainingSteps.find

    def doubled(self, step, events, iteration):
        found = find(self, step, events, iteration)
        logits = found.logits
        return replace(found, logits=lambda x: logits(x) + np.log(2.0)) if step == module.RECO else found

    inputs, _ = toy(events=600, simulated=1200, background=0.1)
    small = {n: SMALL[n] for n in ("iterations", "network", "training")}
    for options in ({"fakes": "share", "background": "subtract"}, {"fakes": "share"}, {"fakes": "absolute"}):
        with monkeypatch.context() as changed:
            right = moments(inputs, **small | options)
            changed.setattr(module.TrainingSteps, "find", doubled)
            np.testing.assert_allclose(moments(inputs, **small | options), right, rtol=1e-5, err_msg=str(options))


def test_the_yields_are_in_the_ratio_before_any_normalisation(toy):
    """Networks see balanced classes; three times the data are three times the ratio, without any normalisation."""
    inputs, _ = toy(events=2000, simulated=4000)
    inputs = replace(inputs, data_weight=3 * inputs.data_weight)
    history = build("unfold", FAST | {"iterations": 1}).unfold(inputs, [NOMINAL], seed=1).history
    assert abs(history[0]["normalisation_reco"]) < 0.2


def test_isotonic_calibration_leaves_the_normalisation_of_the_reco_step_right(toy):
    """Known Gaussians, and networks that are trained for too short a time to know their own normalisation."""
    inputs, _ = toy(events=6000, simulated=8000)
    options = {"iterations": 2, "training": {"epochs": 3, "later_epochs": 1}, "calibrate": "isotonic"}
    history = build("unfold", merged(FAST, options)).unfold(inputs, [NOMINAL], seed=1).history
    assert max(abs(h["normalisation_reco"]) for h in history) < 0.1


@pytest.mark.parametrize("start", ["warm", "cold"])
def test_settings_of_an_iteration_by_hand(start):
    training = {"epochs": 6, "later_epochs": 2, "learning_rate": 0.01, "annealing": 0.7, "batch_size": 512}
    recipe = build("unfold", {"kind": "omnifold", "training": training | {"start": start}}).recipe
    found = [recipe.settings(iteration, rows) for iteration, rows in ((0, 64_000), (1, 64_000), (3, 3_200))]
    assert [s.epochs for s in found] == ([6, 2, 2] if start == "warm" else [6, 6, 6])
    assert [s.learning_rate for s in found] == pytest.approx([0.01, 0.007, 0.01 * 0.7**3])
    # 32 batches an epoch at least.
    assert [s.batch_size for s in found] == [512, 512, 100]
    assert recipe.settings(0, 5).batch_size == 1


def test_each_training_has_a_seed_of_its_own_from_that_of_the_study(toy, monkeypatch):
    inputs, _ = toy(events=300, simulated=500)
    seeds, real = [], module.fit_source
    monkeypatch.setattr(module, "fit_source", lambda *a, **k: (seeds.append(k["seed"]), real(*a, **k))[1])
    network, training = {"width": 4, "depth": 1}, {"epochs": 1, "later_epochs": 1}
    small = build("unfold", {"kind": "omnifold", "iterations": 2, "network": network, "training": training})
    for seed in (1, 2):
        unfold_all(small, inputs, [Replica("initialisation", 0), Replica("combined", 0)], seed=seed)
    assert len(seeds) == len(set(seeds)) == 2 * 3 * 2 * 2
