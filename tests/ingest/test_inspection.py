"""What is found in files, and the bins of a first config."""

import awkward as ak
import numpy as np
import pytest
import uproot

from truthward.errors import InputError
from truthward.ingest import draft
from truthward.ingest.inspection import formats, inspect, level
from truthward.run.files import File


@pytest.fixture
def file(tmp_path):
    rng = np.random.default_rng(2)
    truth = rng.exponential(30.0, 500)
    reco = truth * rng.normal(1, 0.1, 500)
    columns = {
        "eventNumber": np.arange(500, dtype=np.uint64) + 2**40,
        "mcWeight": rng.choice([1.0, -1.0], 500),
        "GenPt": truth,
        "recoPt": np.where(np.arange(500) % 50 == 0, -999.0, reco),
        "njets": rng.integers(0, 5, 500).astype(np.int32),
    }
    lists = ak.unflatten(rng.uniform(20, 100, 1000), np.full(500, 2))
    with uproot.recreate(tmp_path / "t.root") as made:
        made.mktree("events", {**{k: v.dtype for k, v in columns.items()}, "jet_e": "var * float64"})
        made["events"].extend({**columns, "jet_e": lists})
        made.mktree("meta", {"sum": np.float64})
        made["meta"].extend({"sum": np.ones(1)})
    return tmp_path / "t.root", columns


def test_branches_have_their_ranges_and_sentinels(file):
    path, columns = file
    events, meta = inspect(File(str(path)), 500)
    assert (events.tree, events.entries, meta.tree, meta.entries) == ("events", 500, "meta", 1)
    found = {branch.name: branch for branch in events.branches}
    assert found["GenPt"].low == columns["GenPt"].min()
    assert found["GenPt"].middle == np.median(columns["GenPt"])
    assert found["recoPt"].odd == "2.0% at -999"
    assert (found["jet_e"].kind, found["jet_e"].length) == ("list", 2.0)
    assert events.weights == ["mcWeight"]
    assert events.numbers == {"event": "eventNumber"}
    ((name, truth, reco, together),) = events.pairs
    assert (name, truth, reco) == ("Pt", "GenPt", "recoPt")
    assert together > 0.9


def test_all_branches_are_looked_at_within_few_entries(file):
    path, _ = file
    seen = []
    events = inspect(File(str(path)), 10, seen.append)[0]
    names = [branch.name for branch in events.branches]
    assert seen[: len(names)] == names
    assert next(b for b in events.branches if b.name == "eventNumber").high == 2**40 + 9


def test_a_file_without_a_tree_is_refused(tmp_path):
    with uproot.recreate(tmp_path / "t.root") as made:
        made["note"] = "none"
    with pytest.raises(InputError, match="has no tree"):
        inspect(File(str(tmp_path / "t.root")), 10)


@pytest.mark.parametrize(
    ("name", "tree", "expected"),
    [
        ("nano_tt_v15.root", "Events", "nanoaod"),
        ("nanoAOD_2015_CMS_Open_Data_ttbar.root", "Events", "nanoaod"),
        ("delphes.root", "Delphes", "delphes"),
        ("uproot-issue-123b.root", "CollectionTree", "physlite"),
    ],
)
def test_real_formats_are_known(shared_data, name, tree, expected):
    found = {each.tree: each for each in inspect(File(str(shared_data / name)), 3)}[tree]
    assert found.formats == [expected]
    assert found.numbers.get("event", "") in ("event", "EventInfoAux.eventNumber", "")


def test_a_special_format_comes_before_the_one_it_is_based_on():
    branches = ["luminosityBlock", "Jet_pt", "JetPFCands_jetIdx"]
    assert formats(branches) == ["pfnano", "nanoaod"]
    assert formats(branches[:2]) == ["nanoaod"]
    assert formats(["x"]) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GenJet_pt", ("truth", "Jet_pt")),
        ("truth_tau21", ("truth", "tau21")),
        ("jet_pt_reco", ("reco", "jet_pt")),
        ("particleLevel.m", ("truth", "Level.m")),
        ("generation", ("", "generation")),
    ],
)
def test_levels_in_names(name, expected):
    assert level(name) == expected


def binned(truth, reco):
    return draft.binned(truth, reco, (truth, reco))


def test_bins_follow_the_resolution():
    rng = np.random.default_rng(1)
    truth = rng.normal(50, 10, 20_000)
    published = {}
    for resolution in (0.5, 8.0):
        reco = truth + rng.normal(0, resolution, truth.size)
        found = binned(truth, reco)
        edges = np.array(found.published)
        assert found.scale == "linear"
        assert set(np.round(edges, 6)) <= set(np.round(np.linspace(found.low, found.high, found.bins + 1), 6))
        inside = np.digitize(truth, edges) == np.digitize(reco, edges)
        for number in range(1, len(edges) - 1):
            chosen = np.digitize(truth, edges) == number
            assert inside[chosen].mean() > 0.5
        published[resolution] = len(edges)
    assert 9 <= published[0.5] <= 12
    assert published[8.0] < published[0.5]


def test_integers_atoms_and_logarithms():
    rng = np.random.default_rng(4)
    counts = rng.poisson(20, 5000).astype(float)
    found = binned(counts, counts)
    assert found.integer
    assert found.low == int(found.low)
    share = np.where(rng.random(5000) < 0.2, 0.0, rng.uniform(0.1, 0.5, 5000))
    assert binned(share, share).atoms == (0.0,)
    steep = 20 * rng.pareto(1.2, 20_000) + 20
    found = binned(steep, steep)
    assert found.scale == "log"
    assert found.low > 0


def test_what_should_be_looked_at_is_said():
    rng = np.random.default_rng(5)
    truth = rng.normal(0, 1, 5000)
    assert "of 10000 accepted values are NaN" in binned(truth, np.where(truth > 2, np.nan, truth)).said[0]
    assert "whether it is the same quantity" in binned(truth, rng.normal(0, 1, 5000)).said[0]
    assert "one value only" in binned(np.ones(50), np.ones(50)).said[0]
