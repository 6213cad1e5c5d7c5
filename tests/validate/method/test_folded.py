"""The simulation with the result's truth, at reco level: by hand from its own weights."""

from __future__ import annotations

import numpy as np
import pytest

from truthward.events.table import EventTable
from truthward.events.unfolded import Unfolded, write_unfolded
from truthward.run.provenance import Record
from truthward.validate.events import Events
from truthward.validate.method.folded import exact_ratio, folded_events

THIN = {"limit": 10**6, "key": 1}


def reweighted(study, path, factor, **changes):
    """The fiducial events of a simulation with their weights times `factor` of x, as OmniFold has them."""
    table = EventTable(path)
    (batch,) = table.batches(["truth_x", "truth_k", "pass_truth", "weight", "event_id"])
    inside = batch["pass_truth"]
    rows = {n: batch[n][inside] for n in ("truth_x", "truth_k", "event_id")} | changes
    rows["weight"] = batch["weight"][inside] * factor(batch["truth_x"][inside])
    common = {"method": "m", "kind": "m", "observables": ["x", "k"], "joint": True, "families": {}, "history": []}
    write_unfolded(study.folder / "u.parquet", [rows], record=Record.for_tests(), **common)
    return table, Unfolded(study.folder / "u.parquet")


def test_the_weights_of_a_result_that_reweights_are_those_by_hand(study, observables):
    table, result = reweighted(study, study.simulation(), lambda x: np.exp(0.5 * x))
    prior = Events.accepted(table, "truth", observables, **THIN)
    joint = Events.nominal(result, observables, **THIN)
    ratio = exact_ratio(joint, prior)
    assert ratio is not None
    folded = folded_events(table, observables, ratio, joint.sums.total / prior.sums.total, **THIN)
    (every,) = table.batches(["truth_x", "reco_x", "pass_truth", "pass_reco", "weight"])
    seen = every["pass_reco"]
    inside, x = every["pass_truth"][seen], every["truth_x"][seen]
    expected = every["weight"][seen] * np.where(inside, np.exp(0.5 * np.where(inside, x, 0)), 1)
    assert folded.column("x") == pytest.approx(every["reco_x"][seen])
    assert folded.weights == pytest.approx(expected, rel=1e-5)


def test_a_result_that_is_drawn_has_no_exact_weights(study, observables):
    path = study.simulation()
    count = len(Events.accepted(EventTable(path), "truth", observables, **THIN).ids)
    table, same_ids = reweighted(study, path, np.ones_like, truth_x=np.zeros(count))
    prior = Events.accepted(table, "truth", observables, **THIN)
    assert exact_ratio(Events.nominal(same_ids, observables, **THIN), prior) is None, "other values of the same ids"
    _, other = reweighted(study, path, np.ones_like, event_id=np.arange(count, dtype=np.uint64))
    assert exact_ratio(Events.nominal(other, observables, **THIN), prior) is None, "other ids"
    _, whole = reweighted(study, path, np.ones_like)
    part = Events.nominal(whole, observables, limit=1000, key=1)
    assert exact_ratio(part, prior) is None, "a part of the events"
