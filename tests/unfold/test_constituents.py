"""Constituents among the inputs of an unfolding."""

import awkward as ak
import numpy as np
import pytest

from truthward.errors import InputError
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.run.provenance import Record
from truthward.study.observable import Observable
from truthward.unfold.inputs.arrays import Inputs, Replica


@pytest.fixture
def tables(tmp_path):
    """Data and simulation of 60 events with up to four constituents; the simulation has two systematics."""
    rng = np.random.default_rng(1)

    def write(role: str, levels: tuple[str, ...]) -> EventTable:
        columns = {"weight": np.ones(60), "event_id": np.arange(60, dtype=np.uint64)}
        for level in levels:
            columns |= {f"pass_{level}": rng.random(60) < 0.7, f"{level}_m": rng.normal(size=60)}
            counts = rng.integers(0, 5, 60)
            for name in ("pt", "eta", "phi"):
                columns[f"{level}_constituents_{name}"] = ak.unflatten(rng.random(counts.sum()), counts)
        if role == "simulation":
            columns |= {"reco_m:scale:0": columns["reco_m"] + 1.0}
        path = tmp_path / f"{role}.parquet"
        write_table(path, [columns], role=role, observables={}, selection={}, record=Record.for_tests())
        return EventTable(path)

    return write("data", ("reco",)), write("simulation", ("truth", "reco"))


def test_they_are_loaded_where_asked_for(tables):
    observables = [Observable(name="m", range=(-4.0, 4.0), bins=4)]
    assert Inputs.load(*tables, observables, seed=1).constituents == {}
    inputs = Inputs.load(*tables, observables, seed=1, constituents=5)
    assert {n: x.shape for n, x in inputs.constituents.items()} == {
        "truth": (60, 5, 4),
        "reco": (60, 5, 4),
        "data": (len(inputs.data_reco), 5, 4),
    }
    for level in ("truth", "reco"):
        passed = getattr(inputs, f"pass_{level}")
        np.testing.assert_array_equal(np.isfinite(inputs.constituents[level]).all(axis=(1, 2)), passed)
    assert np.isfinite(inputs.constituents["data"]).all()


def test_a_shift_that_constituents_do_not_follow_is_refused(tables):
    observables = [Observable(name="m", range=(-4.0, 4.0), bins=4)]
    shift = Replica("systematic:scale", 0)
    with pytest.raises(InputError, match="constituents, which do not shift"):
        Inputs.load(*tables, observables, seed=1, constituents=5).varied(shift)
    plain = Inputs.load(*tables, observables, seed=1)
    column = tables[1].read(["reco_m:scale:0"])["reco_m:scale:0"]
    np.testing.assert_array_equal(plain.varied(shift).reco[:, 0][plain.pass_reco], column[plain.pass_reco])
    assert (plain.varied(shift).reco != plain.reco)[plain.pass_reco].any()
