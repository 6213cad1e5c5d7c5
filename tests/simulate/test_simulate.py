"""A chunk on disk: a TTree, the same from the same seed, the same sample from any number of chunks."""

import json
import logging

import awkward as ak
import numpy as np
import pytest
import uproot

from truthward.errors import ConfigError
from truthward.physics.generators.gaussian import Gaussian
from truthward.physics.generators.pythia import Pythia
from truthward.run.provenance import Record
from truthward.simulate.stage import Progress, blocks_of, simulate


def write(path, *, generator=None, events=2500, seed=1, sample="simulation", chunk=0, chunks=1, **more):
    simulate(
        generator or Gaussian(expected=100.0),
        path=path,
        events=events,
        seed=seed,
        sample=sample,
        chunk=chunk,
        chunks=chunks,
        record=Record.for_tests(),
        **more,
    )
    with uproot.open(path) as file:
        assert isinstance(file["events"], uproot.TTree)
        return file["events"].arrays()


def test_chunks_are_runs_of_one_row_of_blocks():
    for chunks in (1, 2, 3, 5):
        runs = [blocks_of(4500, chunk=c, chunks=chunks) for c in range(chunks)]
        assert all(runs)
        assert [block for run in runs for block in run] == [(0, 1000), (1, 1000), (2, 1000), (3, 1000), (4, 500)]


@pytest.mark.parametrize(("events", "chunk", "chunks"), [(2500, 0, 4), (2500, 2, 2), (0, 0, 1)])
def test_impossible_chunks_are_refused(events, chunk, chunks):
    with pytest.raises(ConfigError):
        blocks_of(events, chunk=chunk, chunks=chunks)


def test_number_of_chunks_changes_no_event(tmp_path):
    whole = write(tmp_path / "whole.root")
    parts = [write(tmp_path / f"{c}.root", chunk=c, chunks=3) for c in range(3)]
    joined = ak.concatenate(parts)
    assert len(whole) == 2500
    for name in whole.fields:
        np.testing.assert_array_equal(ak.to_numpy(whole[name]), ak.to_numpy(joined[name]))
    assert ak.to_list(whole.event) == list(range(2500))
    # Each block has a seed of its own.
    assert len(np.unique(ak.to_numpy(whole.truth_x0)[ak.to_numpy(whole.pass_truth)])) == ak.sum(whole.pass_truth)
    assert ak.sum(whole.weight) == pytest.approx(100.0)


def test_seed_and_sample_change_the_events(tmp_path):
    first = write(tmp_path / "a.root")
    for other in (write(tmp_path / "b.root", seed=2), write(tmp_path / "c.root", sample="pseudodata")):
        assert not np.array_equal(ak.to_numpy(first.reco_x0), ak.to_numpy(other.reco_x0))
    assert other.run[0] != first.run[0]


def test_provenance_travels_in_the_file(tmp_path):
    events = write(tmp_path / "a.root")
    with uproot.open(tmp_path / "a.root") as file:
        provenance = json.loads(str(file["provenance"]))
    assert provenance["events_out"] == 2500
    assert provenance["sum_of_weights"] == pytest.approx(float(ak.sum(events.weight)))
    assert provenance["processes"] == ["signal", "background"]
    assert "particle_level" not in provenance
    assert (provenance["sample"], provenance["chunk"], provenance["chunks"]) == ("simulation", 0, 1)


def test_pythia_chunk_has_constituents_and_is_reproducible(tmp_path):
    first, again = (
        write(tmp_path / f"{name}.root", generator=Pythia(), events=30, block=20) for name in ("first", "again")
    )
    assert ak.to_list(first) == ak.to_list(again)
    with uproot.open(tmp_path / "first.root") as file:
        assert json.loads(str(file["provenance"]))["particle_level"] == Pythia.PARTICLE_LEVEL
    assert first.lumi.tolist() == [0] * 20 + [1] * 10
    for level in ("truth", "reco"):
        passed = first[f"pass_{level}"]
        assert first[f"n{level}_constituents"][passed].tolist() == first[f"{level}_M"][passed].tolist()
        px = first[f"{level}_constituents_pt"] * np.cos(first[f"{level}_constituents_phi"])
        py = first[f"{level}_constituents_pt"] * np.sin(first[f"{level}_constituents_phi"])
        total = np.hypot(ak.to_numpy(ak.sum(px, axis=1)), ak.to_numpy(ak.sum(py, axis=1)))
        np.testing.assert_allclose(total[passed], ak.to_numpy(first[f"{level}_jet_pt"][passed]), rtol=1e-4)


class Failing(Gaussian):
    """Breaks off in the second block."""

    def block(self, events, *, total, seed):
        if events < 1000:
            raise ValueError("broken off")
        return super().block(events, total=total, seed=seed)


def test_nothing_is_left_of_a_chunk_that_fails(tmp_path):
    with pytest.raises(ValueError, match="broken off"):
        write(tmp_path / "a.root", generator=Failing(), events=1500)
    assert list(tmp_path.iterdir()) == []


def test_progress_tells_rate_and_remaining_time(caplog):
    with caplog.at_level(logging.INFO, logger="truthward"):
        clock = Progress("simulation", 100)
        clock.advance(1)
        assert not caplog.messages
        clock.last -= 11.0
        clock.started -= 11.0
        clock.advance(50)
        clock.advance(100)
    assert len(caplog.messages) == 2
    assert "50 of 100 events" in caplog.messages[0]
    assert "s left" in caplog.messages[0]
