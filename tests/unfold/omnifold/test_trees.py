"""OmniFold with boosted trees: closure, replicas as responses of the leaves, and events that come in blocks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.unfold.omnifold import test_stream as blocks
from tests.unfold.omnifold.test_omnifold import closes
from tests.unfold.omnifold.test_stream import small  # noqa: F401 (a fixture)
from tests.unfold.omnifold.test_stream import toy as tables  # noqa: F401 (a fixture)
from truthward.errors import ConfigError, DivergedError
from truthward.ratio.boosted_trees import BinnedEvents, Trees
from truthward.ratio.refilled import refilled
from truthward.study.plugins import build, check
from truthward.unfold.ibu import Ibu
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica
from truthward.unfold.omnifold.sample import OmnifoldBlock
from truthward.unfold.omnifold.steps import RECO, StepEvents
from truthward.unfold.omnifold.tree_steps import TreeSteps
from truthward.unfold.stage import unfold_all

TREES: dict[str, Any] = {"kind": "omnifold", "classifier": "boosted_trees", "trees": {"smallest_leaf": 100}}
BOOTSTRAPS = [Replica("data_bootstrap", 0), Replica("mc_bootstrap", 1), Replica("combined", 0)]


def unfolded(inputs, members=(NOMINAL,), **options):
    """Columns of the unfolded sample."""
    others = [r for r in members if r != NOMINAL]
    rows = list(unfold_all(build("unfold", TREES | options), inputs, others, seed=1).rows)
    return {name: np.concatenate([r[name] for r in rows]) for name in rows[0]}


def figures(columns, replica=NOMINAL):
    """Yield, mean and width of x0."""
    x, w = columns["truth_x0"].astype(float), columns[replica.column()]
    mean = np.average(x, weights=w)
    return np.array([w.sum(), mean, np.sqrt(np.average((x - mean) ** 2, weights=w))])


@pytest.mark.parametrize("fakes", ["absolute", "share"])
def test_closure_with_misses_fakes_and_background(toy, fakes):
    inputs, nature = toy(events=6000, share=fakes == "share", background=0.05 if fakes == "absolute" else 0.0)
    found = figures(unfolded(inputs, fakes=fakes))
    assert closes(found, nature, 6000), found
    rows = list(Ibu(fakes=fakes).unfold(inputs, [NOMINAL], seed=1).rows)
    x, w = (np.concatenate([r[n] for r in rows]) for n in ("truth_x0", "weight:x0"))
    assert found[0] == pytest.approx(w.sum(), rel=0.015)
    assert found[1] == pytest.approx(np.average(x, weights=w), abs=0.04)


def test_signed_weights_close(toy):
    inputs, nature = toy(events=6000, simulated=20000, negative_weights=0.1)
    inputs = replace(inputs, data_weight=np.ones_like(inputs.data_weight))
    assert (inputs.weight < 0).any()
    assert closes(figures(unfolded(inputs)), nature, 6000)


@pytest.mark.parametrize("by", ["response", "training"])
def test_a_bootstrap_with_all_counts_one_is_the_nominal(toy, monkeypatch, by):
    inputs, _ = toy(events=1000, simulated=2000)
    monkeypatch.setattr("truthward.unfold.inputs.arrays.poisson_weights", lambda ids, **_: np.ones(len(ids)))
    found = unfolded(inputs, BOOTSTRAPS, replicas={"by": by}, iterations=3)
    for replica in BOOTSTRAPS:
        np.testing.assert_allclose(found[replica.column()], found["weight"], rtol=2e-5)


@pytest.mark.parametrize("family", ["data_bootstrap", "mc_bootstrap"])
def test_responses_spread_as_trainings_do(toy, family):
    """Of mean and yield; the benchmark measures it bin by bin.

    Trees of a training have other splits, so a replica by response is not close to the same one by training.
    """
    inputs, _ = toy(events=2000, simulated=6000)
    members = [Replica(family, i) for i in range(20)]
    found = {}
    for by in ("response", "training"):
        columns = unfolded(inputs, members, replicas={"by": by})
        found[by] = np.array([figures(columns, r)[:2] for r in members])
    for column in range(2):
        a, b = (f[:, column] for f in found.values())
        assert np.corrcoef(a, b)[0, 1] > 0.4
        assert 0.75 < a.std() / b.std() < 1.3


def test_combined_replicas_choose_their_own_splits(toy):
    inputs, _ = toy(events=1000, simulated=2000)
    member = Replica("combined", 0)
    found = [unfolded(inputs, [member], replicas={"by": by})[member.column()] for by in ("response", "training")]
    np.testing.assert_array_equal(*found)


def test_the_nominal_depends_on_the_events_and_on_no_seed(toy):
    inputs, _ = toy(events=1000, simulated=2000)
    first, second = (build("unfold", TREES).unfold(inputs, [NOMINAL], seed=s) for s in (1, 2))
    a, b = (np.concatenate([r["weight"] for r in found.rows]) for found in (first, second))
    np.testing.assert_array_equal(a, b)


HELD_OUT: dict[str, Any] = {
    "trees": {"trees": 30, "learning_rate": 0.2, "patience": 3, "smallest_leaf": 50},
    "calibrate": "isotonic",
}


@pytest.mark.parametrize(
    ("options", "sample"),
    [
        ({}, {}),
        ({"folds": 2}, {}),
        (HELD_OUT, {}),
        ({"fakes": "share", "background": "subtract"}, {"negative_weights": 0.1, "background": 0.05}),
    ],
    ids=["plain", "folds", "held_out", "signed"],
)
def test_an_initialisation_differs_by_its_splits_alone(toy, monkeypatch, options, sample):
    inputs, _ = toy(events=2000, simulated=4000, **sample)
    members, options = [Replica("initialisation", i) for i in range(5)], {"iterations": 3} | options
    found = unfolded(inputs, members, **options)
    nominal, each = found["weight"], np.stack([found[r.column()] for r in members])
    assert (np.abs(each / nominal - 1).mean(axis=1) > 0.02).all()
    assert not np.allclose(each[0], each[1], rtol=0.02)
    # Single events scatter with the splits, and sums over many events do not.
    np.testing.assert_allclose(each.sum(axis=1), nominal.sum(), rtol=0.02)
    assert np.mean([figures(found, r)[1] for r in members]) == pytest.approx(figures(found)[1], abs=0.04)
    with monkeypatch.context() as ones:
        ones.setattr("truthward.unfold.inputs.arrays.poisson_weights", lambda ids, **_: np.ones(len(ids)))
        same = unfolded(inputs, members[:1], **options)
    np.testing.assert_allclose(same[members[0].column()], nominal, rtol=2e-4)


def test_an_initialisation_depends_on_no_other_replica_and_on_no_way_to_compute_them(toy):
    inputs, _ = toy(events=1000, simulated=2000)
    member = Replica("initialisation", 1)
    alone = unfolded(inputs, [member])[member.column()]
    others = [Replica("initialisation", 0), member, *BOOTSTRAPS]
    for options in ({"replicas": {"by": "training"}}, {"replicas": {"by": "response", "stack": 1}}):
        np.testing.assert_array_equal(unfolded(inputs, others, **options)[member.column()], alone)


def test_an_event_has_the_same_count_in_both_steps_and_another_one_in_each_replica(toy):
    inputs, _ = toy(events=1000, simulated=2000)
    # Data and simulation may have the same ids. Their counts must differ, or both would move together.
    inputs = replace(inputs, data_id=inputs.event_id[: len(inputs.data_id)])
    block = OmnifoldBlock([inputs], train=np.arange(2000) % 2 == 0, hold_out=False, scaling=None)
    reco, truth = block.counts(Replica("initialisation", 0))
    data, matched = len(block.data_weight), len(block.matched_weight)
    assert (len(reco), len(truth)) == (len(block.reco), len(block.matched_truth))
    np.testing.assert_array_equal(reco[data : data + matched], truth)
    whole = inputs.counts(Replica("initialisation", 0))
    assert abs(np.corrcoef(whole[0], whole[1][:data])[0, 1]) < 0.1
    other, _ = block.counts(Replica("initialisation", 1))
    assert abs(np.corrcoef(reco, other)[0, 1]) < 0.1
    assert reco.mean() == pytest.approx(1.0, abs=0.1)
    assert reco.var() == pytest.approx(1.0, abs=0.15)


def test_leaves_hold_the_weights_and_splits_the_counts():
    rng = np.random.default_rng(2)
    x = torch.from_numpy(rng.normal(size=(3000, 2)).astype(np.float32))
    numerator, weights = x[:, 0].numpy() + rng.normal(size=3000) > 0, np.ones((3000, 1))
    held = np.zeros(3000, dtype=bool)
    events = StepEvents(lambda _: (x, numerator, weights, held), np.array([[3000, 0]]), 10**6, kept=True)
    counts = rng.poisson(1.0, 3000)
    recipe = build("unfold", TREES).recipe
    steps = [TreeSteps(recipe, 1, name="toy", counts=c) for c in (None, [counts, counts])]
    for own in steps:
        own.find(RECO, events, 0)
    nominal, trees = (Trees.from_array(own.arrays["0.reco.trees"]) for own in steps)
    again, _, _ = refilled(trees, x, weights[:, 0], weights[:, 0] * numerator, recipe.trees.learning_rate)
    np.testing.assert_allclose(trees.values, again.values, rtol=1e-12)
    grown, _, _ = BinnedEvents(x, recipe.trees).grow(counts, counts * numerator, recipe.trees.trees)
    np.testing.assert_array_equal(trees.places(x), grown.places(x))
    assert not np.array_equal(trees.places(x), nominal.places(x))


def test_a_regularisation_continues_the_nominal(toy):
    inputs, _ = toy(events=1500, simulated=3000)
    inputs = replace(inputs, kinds={"stop": "regularisation"}, variations={"stop": lambda index: {}})
    columns = unfolded(inputs, [Replica("systematic:stop", 0), Replica("systematic:stop", 1)], iterations=2)
    for iterations, index in ((1, 0), (4, 1)):
        alone = unfolded(inputs, iterations=iterations)["weight"]
        np.testing.assert_allclose(columns[f"replica:systematic:stop:{index}"], alone, rtol=1e-6)


def test_held_out_events_choose_the_number_of_trees_and_calibrate(toy):
    inputs, nature = toy(events=6000)
    options = {"trees": {"trees": 60, "learning_rate": 0.2, "patience": 3, "smallest_leaf": 20}}
    result = build("unfold", TREES | options | {"calibrate": "isotonic"}).unfold(inputs, [NOMINAL], seed=1)
    first = result.history[0]
    assert 1 <= first["trees_reco"] < 60
    assert first["held_out_loss_reco"] < np.log(2)
    rows = list(build("unfold", TREES | options).unfold(inputs, [NOMINAL], seed=1).rows)
    columns = {n: np.concatenate([r[n] for r in rows]) for n in ("truth_x0", "weight")}
    assert closes(figures(columns), nature, 6000)


def test_a_cross_fit_closes_and_keeps_the_yield(toy):
    inputs, nature = toy(events=6000, simulated=18000)
    plain, crossed = (figures(unfolded(inputs, folds=folds)) for folds in (0, 2))
    assert closes(crossed, nature, 6000)
    assert crossed[0] == pytest.approx(plain[0], rel=0.01)


def test_blocks_give_what_memory_gives(tables, small):  # noqa: F811 (fixtures)
    """What is left of a difference is that of float32 from float64."""
    entry = TREES | {"iterations": 2}
    others = ("initialisation", "systematic:jes", "systematic:norm")
    replicas = [*BOOTSTRAPS, *(Replica(family, 1) for family in others)]
    whole = blocks.weights(entry, Inputs.load(*tables, blocks.OBSERVABLES, seed=1), replicas)
    found = blocks.weights(entry, blocks.streamed(tables), replicas)
    assert set(found) == set(whole)
    for replica in (NOMINAL, *replicas):
        a, b = whole[replica.column()], found[replica.column()]
        # A weight that rounds to the other side of a split moves a whole leaf: rare, and it must not matter.
        assert np.mean(np.abs(a - b) > 1e-3 * np.abs(a).mean()) < 0.02, str(replica)
        assert b.sum() == pytest.approx(a.sum(), rel=1e-3)


def test_a_bootstrap_that_loses_its_events_names_the_way_out(toy, monkeypatch):
    inputs, _ = toy(events=300, simulated=600)
    counts = lambda ids, **_: np.where(np.arange(len(ids)) < 20, 1.0, 0.0)  # noqa: E731
    monkeypatch.setattr("truthward.unfold.inputs.arrays.poisson_weights", counts)
    with pytest.raises(DivergedError, match="by: training"):
        unfolded(inputs, [Replica("mc_bootstrap", 0)], trees={"smallest_leaf": 10})


def test_trees_take_observables_and_no_constituents():
    with pytest.raises(ConfigError, match="boosted_trees take observables"):
        build("unfold", TREES | {"inputs": "constituents"})


def test_the_former_place_of_the_classifier_is_named():
    with pytest.raises(ConfigError, match="has moved to classifier; write classifier: deep_sets"):
        check("unfold", {"kind": "omnifold", "network": {"kind": "deep_sets"}}, "unfold.methods.omnifold")


def test_a_trained_bootstrap_does_not_depend_on_its_stack(toy):
    """Held-out events may end the trainings of one at another number of trees than those of another."""
    inputs, _ = toy(events=1500, simulated=3000)
    options = {"trees": {"trees": 30, "learning_rate": 0.3, "patience": 2, "smallest_leaf": 20}, "iterations": 3}
    members = [Replica("data_bootstrap", i) for i in range(3)]
    found = [unfolded(inputs, group, replicas={"by": "training"}, **options) for group in (members, members[1:2])]
    columns = [f[members[1].column()] for f in found]
    np.testing.assert_allclose(columns[0], columns[1], rtol=1e-12)
