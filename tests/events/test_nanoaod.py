"""CMS NanoAOD: real files against the counts of their manifest, and matching against a loop."""

import awkward as ak
import numpy as np
import pytest

from truthward.errors import InputError
from truthward.events.readers.nanoaod import Nanoaod, _nearest
from truthward.events.table import EventTable
from truthward.ingest.stage import ingest
from truthward.study.plugins import schema

OPEN = {"reco_pt_min": 0.0, "truth_eta_max": 99.0, "reco_eta_max": 99.0}


def read(reader, levels=("truth", "reco"), rows=1000):
    parts = list(reader.batches(levels, rows=rows))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.parametrize(
    ("name", "pairs", "median"),
    [("nanoAOD_2015_CMS_Open_Data_ttbar.root", 241, 1.107), ("nano_tt_v15.root", 1191, 1.029)],
)
def test_real_files_have_the_pairs_of_their_manifest(shared_data, name, pairs, median):
    reader = Nanoaod(files=[str(shared_data / name)], **OPEN)
    found = read(reader)
    both = found["pass_truth"] & found["pass_reco"]
    assert both.sum() == pairs
    assert np.median(found["reco_jet_pt"][both] / found["truth_jet_pt"][both]) == pytest.approx(median, abs=5e-4)
    assert len(set(found["event_id"])) == len(both)


def test_real_file_in_other_ways(shared_data):
    files = [str(shared_data / "nanoAOD_2015_CMS_Open_Data_ttbar.root")]
    found = read(Nanoaod(files=files, **OPEN))
    for column, values in read(Nanoaod(files=files, **OPEN), rows=37).items():
        np.testing.assert_array_equal(values, found[column])
    # Matching by distance finds nearly the same 241 pairs, not exactly: it is another definition.
    by_distance = read(Nanoaod(files=files, match="delta_r", **OPEN))
    assert 234 < (by_distance["pass_truth"] & by_distance["pass_reco"]).sum() <= 241
    leading = read(Nanoaod(files=files, jets="leading"))
    assert leading["pass_truth"].sum() <= 200
    assert leading["pass_reco"].sum() <= 200


def test_real_file_becomes_a_table(shared_data, tmp_path, record):
    reader = Nanoaod(files=[str(shared_data / "nanoAOD_2015_CMS_Open_Data_ttbar.root")])
    ingest(reader, output=tmp_path / "t.parquet", observables=[], role="simulation", record=record)
    table = EventTable(tmp_path / "t.parquet")
    assert table.observables == list(Nanoaod.PROVIDES) == list(schema("events.readers", "nanoaod").provides)
    with pytest.raises(InputError, match=r"a data sample must not have truth columns, but has GenJet_"):
        ingest(reader, output=tmp_path / "d.parquet", observables=[], role="data", record=record)


def slow_nearest(r, t, distance, count):
    partner, used = np.full(count, -1), set()
    for i in np.lexsort((t, r, distance)):
        if partner[r[i]] < 0 and t[i] not in used:
            partner[r[i]] = t[i]
            used.add(t[i])
    return partner


@pytest.mark.parametrize("seed", range(20))
def test_nearest_pairs_first(seed):
    rng = np.random.default_rng(seed)
    pairs = np.unique(rng.integers(0, 12, (60, 2)), axis=0)
    distance = rng.integers(0, 15, len(pairs)) / 10  # Ties on purpose.
    args = (pairs[:, 0], pairs[:, 1], distance, 12)
    np.testing.assert_array_equal(_nearest(*args), slow_nearest(*args))


@pytest.fixture
def nano(write_root):
    def make(drop=(), **changes):
        columns = {
            "run": np.array([1, 1], np.uint32),
            "luminosityBlock": np.array([1, 1], np.uint32),
            "event": np.array([7, 8], np.uint64),
            "genWeight": np.array([2.0, -1.0], np.float32),
            "Jet_pt": ak.Array([[100.0, 50.0, 30.0], [40.0]]),
            "Jet_eta": ak.Array([[0.0, 1.0, 1.1], [6.0]]),
            "Jet_phi": ak.Array([[3.14, 0.0, 0.0], [0.0]]),
            "Jet_mass": ak.Array([[10.0, 5.0, 3.0], [4.0]]),
            "Jet_genJetIdx": ak.Array([[0, 1, 1], [5]]),
            "GenJet_pt": ak.Array([[90.0, 45.0, 21.0], [35.0]]),
            "GenJet_eta": ak.Array([[0.0, 1.0, -2.0], [0.0]]),
            "GenJet_phi": ak.Array([[-3.14, 0.0, 0.0], [0.0]]),
            "GenJet_mass": ak.Array([[9.0, 4.0, 2.0], [3.0]]),
        }
        columns = {name: values for name, values in (columns | changes).items() if name not in drop}
        return str(write_root(columns, tree="Events"))

    return make


def test_pairs_misses_and_fakes(nano):
    found = read(Nanoaod(files=[nano()], scale=3.0))
    # First event: two pairs (the second GenJet goes to the nearer of two jets), a miss, a fake. Second event: its index
    # is beyond the GenJets, so a miss and a jet that is out of acceptance.
    assert found["pass_truth"].tolist() == [True, True, True, False, True, False]
    assert found["pass_reco"].tolist() == [True, True, False, True, False, False]
    assert found["truth_jet_pt"][:3].tolist() == [90, 45, 21]
    assert found["reco_jet_pt"][[0, 1, 3]].tolist() == [100, 50, 30]
    assert found["weight"].tolist() == [6, 6, 6, 6, -3, -3]
    by_distance = read(Nanoaod(files=[nano()], match="delta_r", delta_r=0.15))
    np.testing.assert_array_equal(by_distance["reco_jet_pt"], found["reco_jet_pt"])  # Across the seam of phi.


def test_data_has_reco_alone(nano):
    truth = [f"GenJet_{name}" for name in ("pt", "eta", "phi", "mass")]
    reader = Nanoaod(files=[nano(drop=[*truth, "genWeight", "Jet_genJetIdx"])])
    assert reader.truth() == []
    assert reader.columns() == ["reco_jet_pt", "reco_jet_eta", "reco_jet_phi", "reco_jet_mass"]
    found = read(reader, ("reco",))
    assert found["pass_reco"].tolist() == [True, True, True, False]
    assert set(found["weight"]) == {1.0}


def test_bad_nanoaod(nano):
    with pytest.raises(InputError, match="GenJet_eta and GenJet_pt have different numbers of jets in 1 events"):
        read(Nanoaod(files=[nano(GenJet_eta=ak.Array([[0.0, 1.0], [0.0]]))]))
    with pytest.raises(InputError, match="Jet_pt: 1 of 4 values are NaN"):
        read(Nanoaod(files=[nano(Jet_pt=ak.Array([[100.0, np.nan, 30.0], [40.0]]))]))
    with pytest.raises(InputError, match="no branch Jet_genJetIdx, needed for NanoAOD jets"):
        read(Nanoaod(files=[nano(drop=["Jet_genJetIdx"])]))
    with pytest.raises(InputError, match="no branch gen_weight, needed for weight; nearest names: genWeight"):
        read(Nanoaod(files=[nano()], weight="gen_weight"))
