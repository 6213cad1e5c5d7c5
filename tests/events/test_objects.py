"""The reader of objects: pairs, misses and fakes against a loop, acceptance, events as rows, and mistakes."""

import awkward as ak
import numpy as np
import pytest
import uproot

from tests.events.formats import FIELDS
from tests.events.reading import preset_reader, read
from truthward.errors import ConfigError, InputError
from truthward.events.readers.objects.method import Objects
from truthward.events.readers.objects.pairing import nearest_first
from truthward.events.table import EventTable
from truthward.ingest.stage import ingest

PT = {"truth_jet_pt": "jets.pt", "reco_jet_pt": "jets.pt"}


def nanoaod(path, truth=True, rows="jets", branches=PT, **options):
    return preset_reader("nanoaod", path, rows, branches, truth, **options)


def loop(file, cut):
    """Pairs, misses and fakes of GenJets above the cut and all Jets, one by one."""
    events = uproot.open(file)["Events"].arrays(["GenJet_pt", "Jet_pt", "Jet_genJetIdx"])
    pairs = misses = fakes = 0
    for event in events:
        taken = {}
        for jet, number in enumerate(event["Jet_genJetIdx"]):
            if 0 <= number < len(event["GenJet_pt"]):
                taken.setdefault(int(number), jet)
        good = [pt > cut for pt in event["GenJet_pt"]]
        pairs += sum(good[n] for n in taken)
        misses += sum(good) - sum(good[n] for n in taken)
        fakes += len(event["Jet_pt"]) - sum(good[n] for n in taken)
    return pairs, misses, fakes


@pytest.mark.parametrize(
    ("name", "pairs", "median"),
    [("nanoAOD_2015_CMS_Open_Data_ttbar.root", 241, 1.107), ("nano_tt_v15.root", 1191, 1.029)],
)
def test_real_nanoaod_has_the_pairs_of_a_loop(shared_data, name, pairs, median):
    collections = {"jets": {"select": {"truth": "pt > 20"}}}
    reader = nanoaod(shared_data / name, collections=collections)
    found = read(reader)
    truth, reco = found["pass_truth"], found["pass_reco"]
    assert (truth & reco).sum() == pairs
    assert loop(shared_data / name, 20) == (pairs, (truth & ~reco).sum(), (~truth & reco).sum())
    both = truth & reco
    assert np.median(found["reco_jet_pt"][both] / found["truth_jet_pt"][both]) == pytest.approx(median, abs=5e-4)
    assert len(set(found["event_id"])) == len(both)
    for column, values in read(reader, rows=37).items():
        np.testing.assert_array_equal(values, found[column])


def test_real_file_becomes_a_table(shared_data, tmp_path, record):
    path = shared_data / "nanoAOD_2015_CMS_Open_Data_ttbar.root"
    ingest(nanoaod(path), output=tmp_path / "t.parquet", observables=[], role="simulation", record=record)
    assert EventTable(tmp_path / "t.parquet").observables == ["jet_pt"]
    with pytest.raises(InputError, match=r"a data sample must not have truth columns, but has .*GenJet_pt"):
        ingest(
            nanoaod(path, truth=False, branches={"reco_jet_pt": "jets.pt"}),
            output=tmp_path / "d.parquet",
            observables=[],
            role="data",
            record=record,
        )


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
    np.testing.assert_array_equal(nearest_first(*args), slow_nearest(*args))


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
            "Muon_pt": ak.Array([[60.0], []]),
            "Muon_eta": ak.Array([[0.05], []]),
            "Muon_phi": ak.Array([[-3.1], []]),
            "Muon_mass": ak.Array([[0.1], []]),
        }
        columns = {name: values for name, values in (columns | changes).items() if name not in drop}
        return str(write_root(columns, tree="Events"))

    return make


def test_pairs_misses_and_fakes(nano):
    cuts = {"jets": {"select": {"truth": "pt > 20", "reco": "abs(eta) < 5"}}}
    found = read(nanoaod(nano(), collections=cuts))
    # First event: two pairs (the second GenJet goes to the nearer of two jets), a miss, a fake. Second event: its index
    # is beyond the GenJets, so a miss and a jet that is out of acceptance.
    assert found["pass_truth"].tolist() == [True, True, True, False, True, False]
    assert found["pass_reco"].tolist() == [True, True, False, True, False, False]
    assert found["truth_jet_pt"][:3].tolist() == [90, 45, 21]
    assert found["reco_jet_pt"][[0, 1, 3]].tolist() == [100, 50, 30]
    assert found["weight"].tolist() == [2, 2, 2, 2, -1, -1]
    by_distance = {"jets": {**cuts["jets"], "match": {"delta_r": 0.15, "index": None}}}
    other = read(nanoaod(nano(), collections=by_distance))
    np.testing.assert_array_equal(other["reco_jet_pt"], found["reco_jet_pt"])  # Across the seam of phi.


def test_acceptance_is_what_the_config_says(nano):
    near = {"jets": {"away_from": {"muons": 0.4}}, "muons": {"truth": None}}
    assert read(nanoaod(nano(), collections=near))["pass_reco"].tolist() == [False, True, False, True, False, True]
    soft = {**near, "muons": {"truth": None, "select": {"reco": "pt > 70"}}}
    assert read(nanoaod(nano(), collections=soft))["pass_reco"].sum() == 4
    for key, expected in ({"first": 2}, [100, 50, 40]), ({"nth": 2}, [50]), ({"first": 1, "order": "-pt"}, [30, 40]):
        found = read(nanoaod(nano(), collections={"jets": {"match": {"index": "genJetIdx"}, **key}}))
        assert sorted(found["reco_jet_pt"][found["pass_reco"]].tolist()) == sorted(expected)


def test_what_is_no_object_is_not_matched(nano):
    """The second GenJet is the nearest to two jets, and would keep one of them if it were an object."""
    cut = {"jets": {"truth": {"*": "GenJet_*", "where": "pt < 30"}, "match": {"delta_r": 9.0, "index": None}}}
    found = read(nanoaod(nano(), collections=cut))
    assert found["truth_jet_pt"][found["pass_truth"]].tolist() == [21]
    pair = found["pass_truth"] & found["pass_reco"]
    assert found["reco_jet_pt"][pair].tolist() == [50]
    # The numbers of objects are those of the file.
    by_number = {"jets": {"truth": {"*": "GenJet_*", "where": "pt < 60"}}}
    found = read(nanoaod(nano(), collections=by_number))
    pair = found["pass_truth"] & found["pass_reco"]
    assert (found["truth_jet_pt"][pair].tolist(), found["reco_jet_pt"][pair].tolist()) == ([45], [50])
    selected = read(nanoaod(nano(), collections={"jets": {"select": {"truth": "pt < 60"}}}))
    assert (selected["pass_truth"] & selected["pass_reco"]).sum() == 1


def test_a_number_is_a_field_of_every_object(nano):
    collections = {"jets": {"reco": {"*": "Jet_*", "mass": 3, "charge": 1}}}
    branches = {"reco_m": "jets.mass", "reco_q": "jets.charge"}
    found = read(nanoaod(nano(), collections=collections, branches=branches), ("reco",))
    assert found["reco_m"][found["pass_reco"]].tolist() == [3, 3, 3, 3]
    assert found["reco_q"][found["pass_reco"]].tolist() == [1, 1, 1, 1]


def test_events_as_rows(nano):
    branches = {
        "reco_n": "count(jets.pt)",
        "reco_ht": "sum(jets.pt)",
        "reco_pt": "jets.pt[0]",
        "truth_n": "count(jets.pt)",
        "reco_mass": "where(count(jets.pt) > 1, (jets[0] + jets[1]).mass, 0)",
        "pass_reco": "(count(jets.pt) > 0) & (jets[0].pt > 20)",
    }
    found = read(nanoaod(nano(), rows="events", branches=branches, collections={"jets": {"select": "abs(eta) < 5"}}))
    assert found["reco_n"].tolist() == [3, 0]
    assert found["reco_ht"].tolist() == [180, 0]
    assert found["truth_n"].tolist() == [3, 1]
    assert found["pass_reco"].tolist() == [True, False]
    assert found["reco_pt"][0] == 100
    e = [np.hypot(m, p * np.cosh(eta)) for p, eta, m in ((100, 0.0, 10), (50, 1.0, 5))]
    p2 = (100 * np.cos(3.14) + 50) ** 2 + (100 * np.sin(3.14)) ** 2 + (50 * np.sinh(1.0)) ** 2
    assert found["reco_mass"].tolist() == pytest.approx([np.sqrt(sum(e) ** 2 - p2), 0])
    assert np.isnan(found["reco_pt"][1])


def test_fields_may_have_names_of_coordinates(nano):
    """The library of vectors takes tau and m for the mass, and x for px."""
    tau = ak.Array([[0.1, 0.2, 0.3], [0.4]])
    branches = {"reco_tau": "jets[0].tau", "reco_m": "jets[0].m", "reco_e": "sum(jets).energy"}
    path = nano(Jet_tau=tau, Jet_m=tau * 10, Jet_x=tau)
    found = read(nanoaod(path, rows="events", branches=branches), ("reco",))
    np.testing.assert_allclose(found["reco_tau"], [0.1, 0.4], rtol=1e-6)
    np.testing.assert_allclose(found["reco_m"], [1, 4], rtol=1e-6)
    plain = read(nanoaod(path, rows="events", branches={"reco_e": "sum(jets).energy"}), ("reco",))
    np.testing.assert_array_equal(found["reco_e"], plain["reco_e"])
    rows = read(nanoaod(path, branches={"reco_tau": "jets.tau", "reco_x": "jets.x", "reco_m": "jets.mass"}), ("reco",))
    np.testing.assert_allclose(rows["reco_tau"][rows["pass_reco"]], [0.1, 0.2, 0.3, 0.4], rtol=1e-6)


def test_data_has_reco_alone(nano):
    truth = [f"GenJet_{name}" for name in FIELDS]
    path = nano(drop=[*truth, "genWeight", "Jet_genJetIdx"])
    reader = nanoaod(path, truth=False, branches={"reco_jet_pt": "jets.pt"})
    assert reader.truth() == []
    assert reader.columns() == ["reco_jet_pt"]
    found = read(reader, ("reco",))
    assert found["pass_reco"].tolist() == [True, True, True, True]
    assert set(found["weight"]) == {1.0}


def test_the_same_ids_in_both_tables_of_pseudodata(nano):
    reader = nanoaod(nano())
    whole = read(reader)
    for level in ("truth", "reco"):
        np.testing.assert_array_equal(read(reader, (level,))["event_id"], whole["event_id"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"files": {"GenJet_eta": ak.Array([[0.0, 1.0], [0.0]])}}, r"have different numbers of objects in 1 events"),
        ({"files": {"Jet_pt": ak.Array([[100.0, np.nan, 30.0], [40.0]])}}, r"jets.pt at reco level: 1 of 4 values"),
        ({"drop": ["Jet_genJetIdx"]}, r"no branch .*genJetIdx, needed for the match"),
        ({"branches": {"weight": "gen_weight"}}, r"no branch gen_weight, needed for weight.*nearest names: genWeight"),
        ({"branches": {"weight": "jets.pt"}}, r"branches.weight: jets is a collection, .*truth_ or reco_"),
        ({"collections": {"jets": {"order": "-btag"}}}, r"no branch btag, needed for the selection of jets"),
        ({"branches": {"reco_b": "jets.btag"}}, r"no branch Jet_btag, needed for reco_b: jets.btag"),
        ({"collections": {"jets": {"match": {"index": "genJetIdx / 2"}}}}, r"keys at reco level are no whole numbers"),
    ],
)
def test_mistakes_in_files(nano, options, message):
    path = nano(drop=options.pop("drop", ()), **options.pop("files", {}))
    branches = PT | options.pop("branches", {})
    with pytest.raises(InputError, match=message):
        read(nanoaod(path, branches=branches, **options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": "jet"}, r"rows: 'jet' is no collection; write events, or one of the collections"),
        ({"collections": {"jets": {"reco": "J_*", "truth": "G_*"}}, "rows": "jets"}, r"its pairs are the rows.*match"),
        ({"collections": {"jets": {"recco": "J_*"}}}, r"collections.jets.recco: .*valid: truth, reco, select"),
        ({"collections": {"jets": {"reco": "J_*", "select": "pt + 1"}}}, r"select.truth: 'pt \+ 1' is a number"),
        ({"collections": {"jets": {"reco": {"pt": "J_pt +"}}}}, r"collections.jets.reco.pt: expression 'J_pt \+'"),
        ({"collections": {"jets": {"reco": "J_*", "away_from": {"muon": 0.4}}}}, r"jets: no collection muon"),
        (
            {"collections": {n: {"reco": "J_*", "away_from": {m: 0.4}} for n, m in (("a", "b"), ("b", "a"))}},
            r"a, b need each other",
        ),
        ({"collections": {"jets": {"reco": "J_*", "match": {"delta_r": 1, "index": "x"}}}}, r"exactly one of"),
        ({"collections": {"jets": {"reco": "J_*", "first": 1, "nth": 2}}}, r"only one of first and nth"),
    ],
)
def test_mistakes_in_a_config(options, message):
    with pytest.raises(ConfigError, match=message):
        Objects(files=["none.root"], branches={"reco_x": "jets.pt"}, **options)
