"""Figures of what came in, against events counted by hand and against a perfect detector."""

import json

import numpy as np
import pytest

from truthward.errors import InputError
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.ingest.summary import summarise


@pytest.fixture
def table(tmp_path, record):
    def make(columns, role="simulation"):
        path = tmp_path / f"{role}.parquet"
        write_table(path, [columns], observables={}, role=role, selection={}, record=record)
        return EventTable(path)

    return make


def test_by_hand(table, mass):
    # Bins of width 2 from 0 to 10. Two in the diagonal, one migrates, one leaves the range, a miss, a fake, background.
    simulation = table(
        {
            "pass_truth": np.array([1, 1, 1, 1, 1, 0, 0]),
            "pass_reco": np.array([1, 1, 1, 1, 0, 1, 1]),
            "weight": np.array([1.0, 1.0, 2.0, 1.0, 4.0, 3.0, 5.0]),
            "process": np.array(["signal"] * 6 + ["background"]),
            "event_id": np.arange(7),
            "truth_m": np.array([1.0, 10.0, 1.0, 1.0, 1.0, -99, -99]),
            "reco_m": np.array([1.0, 9.0, 3.0, 20.0, -99, 3.0, 9.0]),
        }
    )
    data = table(
        {"pass_reco": np.ones(3), "weight": np.ones(3), "event_id": np.arange(3), "reco_m": np.array([1.0, 3.0, 3.0])},
        "data",
    )
    found = summarise(simulation, data, mass)
    m = found["observables"]["m"]
    response = np.zeros((5, 5))
    response[0, 0], response[4, 4], response[0, 1] = 1, 1, 2
    np.testing.assert_array_equal(m["response"], response)
    assert m["efficiency"] == [0.5, None, None, None, 1.0]
    assert m["fake_rate"] == [0.0, 0.6, None, None, 0.0]
    assert m["purity"] == [1.0, 0.0, None, None, 1.0]
    assert m["stability"] == [0.25, None, None, None, 1.0]
    assert m["reco"]["sum"] == [1, 5, 0, 0, 6]
    assert m["reco"]["error"] == pytest.approx([1, np.sqrt(13), 0, 0, np.sqrt(26)])
    assert m["background"]["sum"] == [0, 0, 0, 0, 5]
    assert m["data_over_simulation"] == [1.0, 0.4, None, None, 0.0]
    assert m["data_over_simulation_error"][:2] == pytest.approx([np.sqrt(2), 0.4 * np.sqrt(1 / 2 + 13 / 5**2)])
    assert m["out_of_range"]["reco"] == pytest.approx(1 / 13)
    assert found["events"]["efficiency"] == pytest.approx(5 / 9)
    assert found["events"]["fake_rate"] == pytest.approx(3 / 8)
    assert found["events"]["data_over_simulation"] == pytest.approx(3 / 13)
    json.dumps(found, allow_nan=False)


def test_perfect_detector_and_a_blind_one(table, events, mass):
    given = events(5000)
    given["weight"][:] = 1.0
    given["pass_truth"][:] = given["pass_reco"][:] = True
    rng = np.random.default_rng(3)
    given["truth_m"] = rng.uniform(0, 10, 5000)
    perfect = summarise(table(given | {"reco_m": given["truth_m"]}), None, mass)["observables"]["m"]
    assert perfect["purity"] == perfect["stability"] == perfect["efficiency"] == [1.0] * 5
    assert "data" not in perfect
    blind = summarise(table(given | {"reco_m": rng.uniform(0, 10, 5000)}), None, mass)["observables"]["m"]
    # A fifth of each bin stays there by chance, to five binomial standard deviations of 1000 events.
    assert np.abs(np.array(blind["purity"]) - 0.2).max() < 5 * np.sqrt(0.16 / 900)


def test_needs_a_simulation(table, mass):
    data = table(
        {"pass_reco": np.ones(3), "weight": np.ones(3), "event_id": np.arange(3), "reco_m": np.ones(3)}, "data"
    )
    with pytest.raises(InputError, match="the summary needs a simulation"):
        summarise(data, None, mass)
