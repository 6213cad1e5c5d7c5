"""What a reader takes of its files: what the map names and no more, from all files or from none, by any name."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import awkward as ak
import numpy as np
import pytest
import uproot

from truthward.errors import ConfigError, InputError
from truthward.events.readers.flat_tree import FlatTree
from truthward.events.root import opened
from truthward.events.table import EventTable
from truthward.ingest.stage import ingest
from truthward.run.files import File
from truthward.study.plugins import build
from truthward.study.presets import expanded

BOTH = ("truth", "reco")
MAP = {"truth_m": "truth_m", "reco_m": "reco_m"}


def read(reader, levels=BOTH):
    parts = list(reader.batches(levels))
    return {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]}


def written(path, columns, name="events", kind="tree"):
    types = {column: np.asarray(values).dtype for column, values in columns.items()}
    with uproot.recreate(path) as file:
        made = file.mktree(name, types) if kind == "tree" else file.mkrntuple(name, types)
        if len(next(iter(columns.values()))):
            made.extend(columns)
    return str(path)


@pytest.mark.parametrize("first_has_it", [True, False])
@pytest.mark.parametrize("name", ["weight", "pass_truth", "pass_reco", "event_id", "process", "reco_m__jes__0"])
def test_an_optional_branch_is_in_all_files_or_in_none(tmp_path, events, name, first_has_it):
    columns = [events(20, first=i) | {"process": np.zeros(20), "reco_m__jes__0": np.ones(20)} for i in (0, 20)]
    del columns[first_has_it][name]
    files = [written(tmp_path / f"{i}.root", c) for i, c in enumerate(columns)]
    lacking, having = (files[::-1] if first_has_it else files)[:2]
    with pytest.raises(InputError, match=rf"{lacking}: no branch {name}, but {having} has it.*1 of 2 files"):
        read(FlatTree(files=files, same_names=True))
    column = name.replace("__", ":")
    with pytest.raises(InputError, match=rf"{lacking}: no branch {name}, needed for {column}.*{having} has it"):
        read(FlatTree(files=files, branches=MAP | {column: name}))
    # Not named, it is not needed.
    without = read(FlatTree(files=files, branches=MAP))
    assert len(without["weight"]) == 40
    del columns[not first_has_it][name]
    both = read(FlatTree(files=[written(tmp_path / f"{i}.root", c) for i, c in enumerate(columns)], same_names=True))
    assert column not in both or name in ("weight", "pass_truth", "pass_reco", "event_id", "process")


@pytest.mark.parametrize("kind", ["tree", "ntuple"])
@pytest.mark.parametrize("names", [["weight", "pass_truth", "pass_reco", "event_id"], []])
def test_an_empty_file_changes_nothing(tmp_path, events, record, mass, kind, names):
    columns = events(60)
    full = written(tmp_path / "full.root", columns, kind=kind)
    # What is absent in an empty file matters as little as what is there.
    none = {"truth_m": np.empty(0, np.float32), "process": np.empty(0, np.int32)}
    empty = written(tmp_path / "empty.root", none, kind=kind)
    options = {"branches": MAP | {name: name for name in names}} if names else {"same_names": True}
    alone = read(FlatTree(files=[full], **options))
    for files in ([empty, full], [full, empty]):
        found = read(FlatTree(files=files, **options))
        assert set(found) == set(alone)
        for name, values in alone.items():
            np.testing.assert_array_equal(found[name], values)
    empty = written(tmp_path / "empty.root", {name: values[:0] for name, values in columns.items()}, kind=kind)
    options = {"output": tmp_path / "t.parquet", "observables": mass, "role": "simulation", "record": record}
    with pytest.raises(InputError, match="no event is accepted at truth level: 0 read"):
        ingest(FlatTree(files=[empty], branches=MAP), **options)


def test_what_the_map_does_not_name_is_not_used(write_root, events, caplog):
    named = {"process": np.ones(200, np.int32), "run": np.ones(200, np.int32), "lumi": np.arange(200)}
    named |= {"reco_m__jes__0": np.ones(200), "genWeight": np.full(200, 7.0), "other": np.ones(200)}
    path = write_root(events() | named)
    with caplog.at_level(logging.WARNING):
        reader = FlatTree(files=[str(path)], branches=MAP | {"reco_p": "pass_reco * 2"})
        found = read(reader)
    assert reader.columns() == ["truth_m", "reco_m", "reco_p"]
    assert set(found) == {"truth_m", "reco_m", "reco_p", "pass_truth", "pass_reco", "weight", "process", "event_id"}
    assert found["pass_truth"].all()
    assert found["pass_reco"].all()
    assert set(found["weight"]) == {1.0}
    assert set(found["process"]) == {"signal"}
    (line,) = [record.getMessage() for record in caplog.records if "does not use" in record.getMessage()]
    for text in (
        "pass_truth: pass_truth",
        "weight: weight",
        "weight: genWeight",
        "event_id: event_id",
        "run: run",
        "lumi: lumi",
        "process: process",
        '"reco_m:jes:0": reco_m__jes__0',
    ):
        assert text in line
    assert "other" not in line
    assert "pass_reco: pass_reco" not in line, "the map uses this branch"
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        everything = FlatTree(files=[str(path)], same_names=True)
        assert set(read(everything)["weight"]) == {-1.0, 0.0, 2.0}
    assert "reco_m:jes:0" in everything.columns()
    assert not [record for record in caplog.records if "does not use" in record.getMessage()]


def test_a_map_is_needed_and_goes_before_names(write_root, events):
    path = str(write_root(events()))
    with pytest.raises(ConfigError, match="nothing is mapped"):
        FlatTree(files=[path])
    found = read(FlatTree(files=[path], same_names=True, branches={"weight": 3.0, "reco_m": "2 * reco_m"}))
    assert set(found["weight"]) == {3.0}
    np.testing.assert_array_equal(found["reco_m"], 2 * events()["reco_m"].astype(float))
    numbers = FlatTree(files=[path], branches={"reco_c": 1.5})
    np.testing.assert_array_equal(read(numbers, ("reco",))["reco_c"], np.full(200, 1.5))


def test_tree_is_the_only_one_of_a_file(tmp_path, write_root, events):
    only = write_root(events(), tree="Delphes")
    reader = FlatTree(files=[str(only)], branches=MAP)
    assert len(read(reader)["reco_m"]) == 200
    assert reader.describe(BOTH)["tree"] == "Delphes"
    path = tmp_path / "two.root"
    with uproot.recreate(path) as file:
        for name in ("nominal", "deep/jes_up"):
            file.mktree(name, {"x": "f8"}).extend({"x": np.arange(3.0)})
    with pytest.raises(InputError, match=r"two\.root: has 2 trees: nominal, deep/jes_up; say which in `tree`"):
        read(FlatTree(files=[str(path)], branches={"reco_x": "x"}), ("reco",))
    chosen = FlatTree(files=[str(path)], tree="deep/jes_up", branches={"reco_x": "x"})
    assert read(chosen, ("reco",))["reco_x"].tolist() == [0, 1, 2]
    with uproot.recreate(path) as file:
        file["note"] = "no tree"
    with pytest.raises(InputError, match=r"two\.root: has no tree"):
        read(chosen.__class__(files=[str(path)], branches={"reco_x": "x"}))


def _nanoaod(files):
    jets = {"jets": {"match": {"delta_r": 0.2, "index": None}}}
    columns = {"truth_pt": "jets.pt", "reco_pt": "jets.pt"}
    entry = {"preset": "nanoaod", "files": files, "rows": "jets", "collections": jets, "branches": columns}
    return build("events.readers", expanded(entry, truth=True))


def test_nanoaod_looks_at_all_files(write_root):
    jets = {f"{kind}_{q}": ak.Array([[1.0], [2.0]]) for kind in ("Jet", "GenJet") for q in ("pt", "eta", "phi", "mass")}
    numbers = {name: np.array([1, 2], np.uint32) for name in ("run", "luminosityBlock", "event")}
    columns = jets | numbers | {"genWeight": np.ones(2)}
    files = [str(write_root(columns, "mc.root", tree="Events"))]
    data = {name: values for name, values in columns.items() if "Gen" not in name}
    files.append(str(write_root(data, "data.root", tree="Events")))
    for order in (files, files[::-1]):
        with pytest.raises(InputError, match=r"data\.root: no branch GenJet_pt, but .*mc\.root has it"):
            read(_nanoaod(order))
    del columns["genWeight"]
    files[1] = str(write_root(columns, "unweighted.root", tree="Events"))
    with pytest.raises(InputError, match=r"unweighted\.root: no branch genWeight, .*mc\.root has it"):
        read(_nanoaod(files))


def test_names_with_other_characters(tmp_path):
    columns = {
        "jet pt": [1.0, 2.0],
        "a-b": [3.0, 4.0],
        "s/t": [5.0, 6.0],
        "d.x": [7.0, 8.0],
        "sqrt": [9.0, 16.0],
        "weight[0]": [2.0, 3.0],
        "\u00b5": [1.0, 1.0],
    }
    path = written(tmp_path / "in.root", {name: np.array(values) for name, values in columns.items()})
    texts = {
        "reco_a": "`jet pt` + 10 * `a-b`",
        "reco_b": "`s/t` * d.x",
        "reco_c": "sqrt(`sqrt`)",
        "reco_d": "`d.x`",
        "weight": "`weight[0]`",
        "reco_e": "`\u00b5`",
    }
    found = read(FlatTree(files=[path], branches=texts), ("reco",))
    assert found["reco_a"].tolist() == [31, 42]
    assert found["reco_b"].tolist() == [35, 48]
    assert found["reco_c"].tolist() == [3, 4]
    assert found["reco_d"].tolist() == [7, 8]
    assert found["weight"].tolist() == [2, 3]
    assert found["reco_e"].tolist() == [1, 1]


def test_a_branch_goes_before_a_constant(tmp_path):
    texts = {"reco_a": "2 * pi", "reco_b": "where(True, 1, 0)"}
    plain = written(tmp_path / "plain.root", {"x": np.zeros(2)})
    found = read(FlatTree(files=[plain], branches=texts), ("reco",))
    np.testing.assert_array_equal(found["reco_a"], np.full(2, 2 * np.pi))
    assert found["reco_b"].tolist() == [1, 1]
    columns = {"pi": np.array([1.0, 2.0]), "True": np.array([False, True])}
    named = written(tmp_path / "named.root", columns)
    found = read(FlatTree(files=[named], branches=texts), ("reco",))
    assert found["reco_a"].tolist() == [2, 4]
    assert found["reco_b"].tolist() == [0, 1]
    with pytest.raises(InputError, match=r"plain\.root: no branch pi, but .*named\.root has it \(it would stand"):
        read(FlatTree(files=[named, plain], branches=texts), ("reco",))
    with pytest.raises(InputError, match=r"plain\.root: no branch pi, needed for reco_a"):
        read(FlatTree(files=[plain], branches={"reco_a": "2 * `pi`"}), ("reco",))


def test_structs_of_an_rntuple(tmp_path):
    pt, counts = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2, 0, 1])
    jets = ak.unflatten(ak.zip({"pt": np.arange(3.0), "n": np.arange(3)}), counts)
    momentum = ak.zip({"pt": pt[:3], "eta": -pt[:3]})
    path = tmp_path / "in.root"
    with uproot.recreate(path) as file:
        file.mkrntuple("events", {"lv": momentum, "jets": jets, "pt": pt[1:]})
    texts = {"reco_a": "lv.pt / lv.eta", "reco_b": "pt", "reco_c": "jets.pt[1]", "reco_d": "sum(jets.n)"}
    found = read(FlatTree(files=[str(path)], branches=texts), ("reco",))
    assert found["reco_a"].tolist() == [-1, -1, -1]
    assert found["reco_b"].tolist() == [2, 3, 4]
    np.testing.assert_array_equal(found["reco_c"], [1, np.nan, np.nan])
    assert found["reco_d"].tolist() == [1, 0, 2]
    with pytest.raises(
        InputError, match=r"branch lv is a group of branches without numbers; name one of them: `lv\.pt`"
    ):
        read(FlatTree(files=[str(path)], branches={"reco_a": "lv"}), ("reco",))


def test_branches_of_one_name(tmp_path):
    path = tmp_path / "in.root"
    with uproot.recreate(path, compression=None) as file:
        file.mktree("events", {"same_a": "f8", "same_b": "f8"}).extend({"same_a": np.zeros(2), "same_b": np.ones(2)})
    # uproot writes no such file: the name is changed in its bytes.
    path.write_bytes(path.read_bytes().replace(b"same_b", b"same_a"))
    with pytest.raises(InputError, match=r"in\.root: 2 branches have the same path same_a; write the file again"):
        read(FlatTree(files=[str(path)], branches={"reco_a": "same_a"}), ("reco",))


def test_branches_of_one_name_in_groups(shared_data):
    files = [str(shared_data / "uproot-issue-123b.root")]
    with pytest.raises(InputError, match="2 branches are named m_dhFormToken: `/DataHeader/m_dhFormToken`, `/basic"):
        read(FlatTree(files=files, tree="POOLContainer", branches={"reco_a": "m_dhFormToken"}), ("reco",))
    with opened(File(str(shared_data / "uproot-issue-123b.root")), "POOLContainer") as tree:
        for path in ("DataHeader", "basic_DataHeader"):
            names = [f"{path}/m_dhFormToken", f"/{path}/m_dhFormToken"]
            tree.require(names, "a test")
            first, second = next(tree.chunks(names, 50))[1].values()
            assert len(first) == 50
            assert ak.to_list(first) == ak.to_list(second)
    odd = {"reco_a": "`EventInfoAux.xAOD::AuxInfoBase`"}
    with pytest.raises(InputError, match=r"branch EventInfoAux\.xAOD::AuxInfoBase has the type xAOD::EventAuxInfo_v1"):
        read(FlatTree(files=files, tree="CollectionTree", branches=odd), ("reco",))
    with pytest.raises(InputError, match=r"has 9 trees: MetaData, .*CollectionTree; say which in `tree`"):
        read(FlatTree(files=files, branches={"reco_a": "x"}), ("reco",))
    texts = {
        "reco_pt": "AnalysisJetsAuxDyn.pt[0] / 1000",
        "pass_reco": "count(AnalysisJetsAuxDyn.pt) > 0",
        "event_id": "`EventInfoAux.eventNumber`",
    }
    found = read(FlatTree(files=files, tree="CollectionTree", branches=texts), ("reco",))
    assert found["event_id"][:3].tolist() == [186045229, 186044674, 186044737]
    assert 5 < np.median(found["reco_pt"][found["pass_reco"]]) < 500


def test_a_type_that_cannot_be_read_is_not_called_damage(write_root, events, monkeypatch):
    path = write_root(events())
    plain = uproot.TBranch.interpretation.fget
    unknown = uproot.interpretation.identify.UnknownInterpretation("none of these", "in.root", "events")
    patched = property(lambda self: unknown if self.name == "reco_m" else plain(self))
    monkeypatch.setattr(uproot.TBranch, "interpretation", patched)
    with pytest.raises(InputError, match=r"in\.root: branch reco_m has the type .*which cannot be read") as caught:
        read(FlatTree(files=[str(path)], branches=MAP))
    assert "damaged" not in str(caught.value)
    assert len(read(FlatTree(files=[str(path)], branches={"truth_m": "truth_m"}), ("truth",))["truth_m"]) == 200


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NotImplementedError("memberwise serialization"), "which cannot be read .*memberwise"),
        (ValueError("basket 3 has the wrong number of bytes"), "which cannot be read .*basket 3"),
        (StopIteration(), "truncated or damaged"),
    ],
)
def test_failures_inside_of_uproot(write_root, events, monkeypatch, error, said):
    """Of a type that has objects inside, whose bytes are all there, the type is at fault; else the file."""
    path = write_root(events())

    def fails(*args, **options):
        raise error

    odd = SimpleNamespace(typename="map<int, string>")
    plain = uproot.TBranch.interpretation.fget
    if not isinstance(error, StopIteration):
        patched = property(lambda self: odd if self.name == "reco_m" else plain(self))
        monkeypatch.setattr(uproot.TBranch, "interpretation", patched)
        monkeypatch.setattr(uproot.TBranch, "array", fails)
    monkeypatch.setattr(uproot.TTree, "iterate", lambda *args, **options: iter(()))
    with pytest.raises(InputError, match=rf"in\.root: .*{said}") as caught:
        read(FlatTree(files=[str(path)], branches=MAP))
    assert ("damaged" in str(caught.value)) == isinstance(error, StopIteration)


def test_another_kind_of_file_is_not_called_damaged(tmp_path):
    path = tmp_path / "in.root"
    path.write_text("<html>404</html>")
    with pytest.raises(InputError, match=r"in\.root: cannot be read as a ROOT file: it begins with b'<htm'"):
        read(FlatTree(files=[str(path)], branches=MAP))


def test_a_table_of_files_of_which_one_is_empty(tmp_path, events, mass, record):
    """The whole of ingest, and what the metadata say."""
    none = {name: values[:0] for name, values in events(1).items()}
    files = [written(tmp_path / "a.root", none), written(tmp_path / "b.root", events(50))]
    reader = FlatTree(files=files, branches=MAP | {"pass_truth": "pass_truth", "pass_reco": "pass_reco"})
    ingest(reader, output=tmp_path / "t.parquet", observables=mass, role="simulation", record=record)
    table = EventTable(tmp_path / "t.parquet")
    assert table.num_rows == (events(50)["pass_truth"] | events(50)["pass_reco"]).sum()
    assert table.metadata["origin"]["files"] == ["a.root", "b.root"]
    assert table.metadata["origin"]["branches"]["pass_reco"] == "pass_reco"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied"), "cannot be read .*check its permissions and the disk"),
        (ModuleNotFoundError("install the xrootd package"), "needs a package that is not installed"),
        (MemoryError(), "does not fit into memory"),
        (KeyError("fBranches"), "truncated or damaged"),
    ],
)
def test_what_is_not_the_files_fault_is_not_laid_on_it(write_root, events, monkeypatch, error, said):
    path = write_root(events())

    def fails(*args, **options):
        raise error

    monkeypatch.setattr(uproot, "open", fails)
    with pytest.raises(InputError, match=rf"in\.root: .*{said}"):
        read(FlatTree(files=[str(path)], branches=MAP))
