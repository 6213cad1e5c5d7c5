"""What is the same in two samples, or in two columns, and should differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ingest.conftest import SIZE, Columns, simulation
from tests.ingest.test_sanity import both, set_reco, set_weights
from truthward.errors import InputError


def varied(column: str, value: Any):
    def change(s: Columns, d: Columns) -> None:
        s[column] = value(s)

    return change


def twice(s: Columns, d: Columns) -> None:
    for name in list(s):
        s[name] = np.concatenate([s[name], s[name]])
    s["event_id"][SIZE:] += 10**6
    s["weight"] /= 2


def taken(s: Columns, d: Columns) -> None:
    """Half of the data are the simulation's events."""
    d["reco_m"][:1200] = s["reco_m"][s["pass_reco"]][:1200]


def set_both(value: Any):
    return both(set_reco("data", value), set_reco("simulation", value))


ALIKE = {
    "events twice": (
        twice,
        "simulation",
        "50.0% of the events at reco level have the same observables as another event",
    ),
    "data out of the simulation": (
        taken,
        "data",
        "50.0% of the events have the same observables at reco level as an event of simulation",
    ),
    "no detector": (varied("reco_m", lambda s: s["truth_m"]), "simulation", "are the same number in 2"),
    "levels of different events": (
        varied("reco_m", lambda s: np.roll(s["reco_m"], 1)),
        "simulation",
        "reco_m hardly depends on truth_m",
    ),
    "a variation that is none": (
        varied("reco_m:jes:0", lambda s: s["reco_m"]),
        "simulation",
        "variation jes:0 is equal to the nominal sample in reco_m",
    ),
    "one variation twice": (
        both(varied("reco_m:jes:0", lambda s: s["reco_m"] + 1), varied("reco_m:jes:1", lambda s: s["reco_m"] + 1)),
        "simulation",
        "variations jes:0 and jes:1 are the same",
    ),
    "a factor as a weight": (
        both(set_weights("simulation", 1e-3), varied("weight:scale:0", lambda s: np.full(SIZE, 1.02))),
        "simulation",
        "weight:scale:0 sums to 1020 times the nominal weights, so it may be a factor",
    ),
    "weights that few events have": (
        varied("weight", lambda s: np.where(np.arange(SIZE) % 60, 1e-3, 50.0)),
        "simulation",
        "the effective number of events is ",
    ),
    "data with weights": (set_weights("data", 1.05), "data", "its weights are all 1.05, but counted events"),
    "data with negative weights": (
        lambda s, d: d["weight"].__setitem__(slice(100), -1.0),
        "data",
        "its weights are from -1 to 1, but counted events",
    ),
}


@pytest.mark.parametrize("trouble", ALIKE)
def test_what_is_the_same_and_should_differ_or_counts_otherwise_is_flagged(look, trouble) -> None:
    change, sample, said = ALIKE[trouble]
    assert any(said in text for text in look(change, yield_difference=None)[sample])


def test_values_that_are_rounded_are_not_taken_for_events_that_are_there_twice(look) -> None:
    for step in (0.001, 0.01, 0.1, 1.0):
        assert look(set_both(lambda x, step=step: np.round(x / step) * step)) == {"simulation": [], "data": []}


def test_variations_that_differ_are_no_trouble(look) -> None:
    def change(s: Columns, d: Columns) -> None:
        s["reco_m:jes:0"], s["reco_m:jes:1"] = s["reco_m"] + 1, s["reco_m"] - 1
        s["weight:scale:0"] = s["weight"] * 1.1

    assert look(change) == {"simulation": [], "data": []}


def test_an_alternative_that_is_the_simulation_itself_is_refused_and_its_events_with_other_weights_are_flagged(
    look,
) -> None:
    with pytest.raises(
        InputError, match=r"herwig: 100\.0% of its events are events of simulation, with the same weights"
    ):
        look(other=simulation())
    other = simulation()
    other["weight"] = 1.0 + 0.01 * (other["truth_m"] - 50.0)
    (text,) = look(other=other)["herwig"]
    assert "differs in little but its weights" in text
