"""Flat trees: maps, files and globs, ids, and every kind of file that cannot be used."""

import shutil

import awkward as ak
import numpy as np
import pytest
import uproot

from truthward.errors import ConfigError, InputError
from truthward.events.contract import Batch
from truthward.events.identity import combine
from truthward.events.readers.flat_tree import FlatTree
from truthward.ingest.select import AppliedSelection
from truthward.study.plugins import build, schema

BOTH = ("truth", "reco")


def read(reader, levels=BOTH, **options):
    parts = list(reader.batches(levels, **options))
    return {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]}


def test_identity_without_a_map(write_root, events):
    given = events()
    reader = FlatTree(files=[str(write_root(given))], same_names=True)
    assert reader.columns() == ["truth_m", "reco_m"]
    assert reader.truth() == ["pass_truth", "truth_m"]
    found = read(reader)
    for name, values in given.items():
        np.testing.assert_array_equal(found[name], values)


def test_map_with_units_flags_and_derived_quantities(write_root):
    mass = np.array([1000.0, 2000.0, -1.0], dtype=np.float32)
    path = write_root({"mass": mass, "x": np.float64([3, 6, 1]), "y": np.float64([4, 8, 1]), "weight": np.ones(3)})
    branches = {"truth_m": "mass / 1000", "reco_r": "hypot(x, y)", "pass_reco": "mass > 0", "weight": -2.5}
    found = read(build("events.readers", {"kind": "flat_tree", "files": [str(path)], "branches": branches}))
    np.testing.assert_array_equal(found["truth_m"], [1.0, 2.0, -0.001])
    np.testing.assert_array_equal(found["reco_r"], [5.0, 10.0, np.sqrt(2)])
    np.testing.assert_array_equal(found["pass_reco"], [True, True, False])
    np.testing.assert_array_equal(found["pass_truth"], [True, True, True])
    np.testing.assert_array_equal(found["weight"], [-2.5] * 3)


def test_chunks_change_nothing(write_root, events):
    columns = events(1000)
    del columns["event_id"]
    counts = np.arange(1000) % 7
    columns["reco_constituents_pt"] = ak.unflatten(np.arange(counts.sum(), dtype=np.float32), counts)
    reader = FlatTree(files=[str(write_root(columns, parts=3))], same_names=True)
    (whole,) = reader.batches(BOTH)
    for rows in (64, 333, 1000):
        parts = list(reader.batches(BOTH, rows=rows))
        assert max(len(part["event_id"]) for part in parts) <= rows
        for name in set(whole) - {"reco_constituents_pt"}:
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), whole[name])
        lists = ak.concatenate([part["reco_constituents_pt"] for part in parts])
        assert ak.to_list(lists) == ak.to_list(whole["reco_constituents_pt"])


def test_rntuple_in_clusters(tmp_path, events):
    path = tmp_path / "r.root"
    parts = [events(500, first=i) for i in (0, 500, 1000)]
    with uproot.recreate(path) as file:
        made = file.mkrntuple("events", parts[0])
        made.extend(parts[1])
        made.extend(parts[2])
    for rows in (100, 700, 10_000):
        batches = list(FlatTree(files=[str(path)], same_names=True).batches(BOTH, rows=rows))
        assert max(len(batch["event_id"]) for batch in batches) <= rows
        for name in parts[0]:
            expected = np.concatenate([part[name] for part in parts])
            np.testing.assert_array_equal(np.concatenate([batch[name] for batch in batches]), expected)


def test_globs_and_lists(write_root, events, tmp_path, monkeypatch):
    for index in range(3):
        write_root(events(10, first=10 * index), f"part{index}.root")
    reader = FlatTree(files=[str(tmp_path / "part2.root"), str(tmp_path / "part*.root")], same_names=True)
    assert [path.name for path in reader.paths] == ["part2.root", "part0.root", "part1.root"]
    assert sorted(read(reader)["event_id"]) == list(range(30))
    monkeypatch.chdir(tmp_path)
    assert len(FlatTree(files=["part?.root"], same_names=True).paths) == 3
    (tmp_path / "part0.root").rename(tmp_path / "part[1].root")
    assert [path.name for path in FlatTree(files=["part[1].root"], same_names=True).paths] == ["part[1].root"]
    with pytest.raises(InputError, match=r"nothing\*\.root: no file matches"):
        list(FlatTree(files=["nothing*.root"], same_names=True).batches(BOTH))
    with pytest.raises(InputError, match="empty"):
        list(FlatTree(files=[], same_names=True).batches(BOTH))


def test_ids_come_from_numbers_or_content(write_root, events):
    columns = events(50)
    del columns["event_id"]
    path = write_root(columns)
    by_content = read(FlatTree(files=[str(path)], same_names=True))["event_id"]
    assert len(set(by_content)) == 50
    moved = shutil.copy(path, path.with_name("moved.root"))
    np.testing.assert_array_equal(read(FlatTree(files=[str(moved)], same_names=True), rows=7)["event_id"], by_content)
    numbers = {"run": np.full(50, 1), "lumi": np.arange(50) // 10, "event": np.arange(50)}
    by_number = read(FlatTree(files=[str(write_root(columns | numbers, "b.root"))], same_names=True))["event_id"]
    order = np.arange(50)[::-1]
    back = {name: values[order] for name, values in (columns | numbers).items()}
    backwards = FlatTree(files=[str(write_root(back, "c.root"))], same_names=True)
    np.testing.assert_array_equal(read(backwards)["event_id"], by_number[order])
    assert len(set(by_number)) == 50
    numbers["run"] = np.full(50, 2)
    other = read(FlatTree(files=[str(write_root(columns | numbers, "d.root"))], same_names=True))["event_id"]
    assert not set(other) & set(by_number)


def test_ids_know_run_from_event_whatever_the_order_of_the_map(write_root, events):
    numbers = {"a": np.array([1, 2]), "b": np.array([7, 7]), "c": np.array([2, 1])}
    path = str(write_root(numbers | {"reco_m": np.ones(2)}))
    lines = [("run", "a"), ("lumi", "b"), ("event", "c")]
    mapped = [dict([("reco_m", "reco_m"), *order]) for order in (lines, lines[::-1])]
    first, second = (read(FlatTree(files=[path], branches=each), ("reco",))["event_id"] for each in mapped)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, combine(numbers["a"], numbers["b"], numbers["c"]))
    assert first[0] != first[1], "run 1, event 2 is not run 2, event 1"


def test_processes(write_root, events):
    labels = np.array([0, 1] * 5)
    path = write_root(events(10) | {"is_background": labels.astype(bool)})
    assert list(read(FlatTree(files=[str(path)], same_names=True))["process"]) == ["signal", "background"] * 5
    path = write_root(events(10) | {"process": labels + 1})
    reader = FlatTree(files=[str(path)], same_names=True, processes=["signal", "ttbar", "diboson"])
    assert list(read(reader)["process"]) == ["ttbar", "diboson"] * 5
    with pytest.raises(InputError, match="5 events have a number without a label, such as 2"):
        read(FlatTree(files=[str(path)], same_names=True))


def test_missing_branch_offers_the_nearest(write_root, events):
    path = write_root(events())
    reader = FlatTree(files=[str(path)], branches={"truth_m": "truth_mas / 1000"})
    with pytest.raises(InputError, match=r"in.root: no branch truth_mas, needed for truth_m.*nearest names: truth_m"):
        read(reader)
    with pytest.raises(ConfigError, match=r"branches\.truthm: no such column"):
        FlatTree(files=[str(path)], branches={"truthm": "x"})


def test_branch_that_only_some_files_have(write_root, events):
    files = [write_root(events(10), "a.root")]
    columns = events(10, first=10)
    del columns["reco_m"]
    files.append(write_root(columns, "b.root"))
    with pytest.raises(InputError, match=r"b\.root: no branch reco_m"):
        read(FlatTree(files=[str(path) for path in files], same_names=True))


def test_missing_tree_is_named_with_those_there(write_root, events):
    path = write_root(events(), tree="Delphes")
    with pytest.raises(InputError, match="no tree events; there are: Delphes; set `tree`"):
        read(FlatTree(files=[str(path)], tree="events", same_names=True))


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.root: no such file"):
        read(FlatTree(files=[str(tmp_path / "none.root")], same_names=True))


@pytest.mark.parametrize("kind", ["tree", "ntuple"])
@pytest.mark.parametrize("part", [0.0, 0.002, 0.1, 0.5, 0.9, 0.999])
def test_truncated_file(tmp_path, write_root, events, kind, part):
    if kind == "tree":
        path = write_root(events(5000), parts=3)
    else:
        path = tmp_path / "in.root"
        with uproot.recreate(path) as file:
            file.mkrntuple("events", events(5000))
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(InputError, match=r"in\.root: .*truncated.*copy it again"):
        read(FlatTree(files=[str(path)], same_names=True))


def test_file_whose_inside_is_damaged(write_root, events):
    path = write_root(events(20_000))
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : len(content) // 3 + 500] = bytes(500)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"in\.root"):
        read(FlatTree(files=[str(path)], same_names=True))


def test_not_a_root_file(tmp_path):
    path = tmp_path / "in.root"
    path.write_text("dear diary")
    with pytest.raises(InputError, match=r"in\.root: cannot be read as a ROOT file"):
        read(FlatTree(files=[str(path)], same_names=True))


def test_nan_in_a_branch_behind_a_flag_or_weight(write_root, events):
    columns = events() | {"pt": np.where(np.arange(200) == 17, np.nan, 200.0)}
    path = str(write_root(columns))
    for name in ("pass_reco", "weight"):
        text = "pt > 150" if name == "pass_reco" else "pt / 100"
        with pytest.raises(InputError, match=rf"pt: 1 of 200 values .* and {name} uses them .* first at entry 17"):
            read(FlatTree(files=[path], branches={"reco_m": "reco_m", name: text}), ("reco",))
    guarded = {"reco_m": "reco_m", "pass_reco": "isfinite(pt) & (pt > 150)"}
    assert not read(FlatTree(files=[path], branches=guarded), ("reco",))["pass_reco"][17]


def test_truth_and_reco_lists_of_different_lengths(write_root):
    jets = ak.unflatten(np.ones(30, np.float32), np.full(10, 3))
    other = ak.unflatten(np.ones(30, np.float32), np.array([2, 4] * 5))
    path = str(write_root({"GenJet_pt": jets, "Jet_pt": other}))
    with pytest.raises(InputError, match=r"in\.root: reco_r: expression 'Jet_pt / GenJet_pt'.*equal lengths"):
        read(FlatTree(files=[path], branches={"reco_r": "Jet_pt / GenJet_pt"}), ("reco",))


def test_expressions_over_lists_in_any_chunks(tmp_path):
    rng = np.random.default_rng(2)
    counts = rng.integers(0, 4, 60)
    # Whole chunks without a jet.
    counts[20:32] = 0
    size = int(counts.sum())
    jets = {name: ak.unflatten(rng.uniform(20, 90, size).astype(np.float32), counts) for name in ("pt", "mass")}
    nested = ak.unflatten(ak.unflatten(np.arange(2.0 * size), np.full(size, 2)), counts)
    partner = ak.unflatten(rng.integers(-1, 4, size).astype(np.int16), counts)
    path = tmp_path / "in.root"
    with uproot.recreate(path) as file:
        file.mkrntuple("events", {"pt": jets["pt"], "mass": jets["mass"], "nested": nested, "partner": partner})
    branches = {
        "reco_pair": "(p4(pt, 0.1, pt, mass)[0] + p4(pt, 0.1, pt, mass)[1]).mass",
        "reco_partner": "first(pt[partner])",
        "reco_inner": "max(sum(nested))",
        "reco_n": "count(pt[mass > 50])",
        "pass_reco": "any(pt > 40) & (nested[0][1] > 0)",
    }
    reader = FlatTree(files=[str(path)], branches=branches)
    whole = read(reader, ("reco",))
    for rows in (1, 7, 16):
        for name, values in read(reader, ("reco",), rows=rows).items():
            np.testing.assert_array_equal(values, whole[name])
    assert np.isnan(whole["reco_pair"]).tolist() == (counts < 2).tolist()
    assert whole["pass_reco"].tolist() == [any(pt > 40 for pt in event) for event in jets["pt"]]
    expected = [
        event[i] if 0 <= i < len(event) else np.nan
        for event, i in zip(jets["pt"], ak.fill_none(ak.firsts(partner), -1), strict=True)
    ]
    np.testing.assert_array_equal(whole["reco_partner"], expected)


def test_nan_in_a_list_of_lists_behind_a_flag(tmp_path):
    nested = ak.Array([[[1.0], []], [[2.0, np.nan]], []])
    path = tmp_path / "in.root"
    with uproot.recreate(path) as file:
        file.mkrntuple("events", {"nested": nested, "reco_m": np.ones(3)})
    branches = {"reco_m": "reco_m", "pass_reco": "any(max(nested) > 0)"}
    with pytest.raises(InputError, match=r"nested: 1 of 3 values .* and pass_reco uses them .* first at entry 1"):
        read(FlatTree(files=[str(path)], branches=branches), ("reco",))
    guarded = branches | {"pass_reco": "any(max(nested[isfinite(nested)]) > 1)"}
    found = read(FlatTree(files=[str(path)], branches=guarded), ("reco",))
    assert found["pass_reco"].tolist() == [False, True, False]


def test_tree_with_branches_of_different_lengths(write_root, events, monkeypatch):
    path = write_root(events())
    # uproot cannot write such a file: the length that one branch states is changed as it is opened.
    stated = uproot.TBranch.num_entries.fget
    monkeypatch.setattr(
        uproot.TBranch, "num_entries", property(lambda self: stated(self) - 5 * (self.name == "reco_m")), raising=True
    )
    with pytest.raises(InputError, match=r"branch reco_m has 195 entries, but the tree has 200"):
        read(FlatTree(files=[str(path)], same_names=True))


def test_dotted_branches(shared_data):
    reader = FlatTree(
        files=[str(shared_data / "delphes.root")],
        tree="Delphes",
        branches={"truth_pt": "GenJet.PT[0]", "pass_truth": "count(GenJet.PT) > 0"},
    )
    found = read(reader, ("truth",))
    assert found["pass_truth"].sum() > 10
    assert np.isfinite(found["truth_pt"][found["pass_truth"]]).all()


def test_schema_is_read_without_importing():
    found = schema("events.readers", "flat_tree")
    assert found.required == ("files",)
    assert found.provides_from == "branches"
    assert found.options["tree"] == ("str | None", None)


LISTS = {
    "text as a flag": ({"pass_reco": "name == 1"}, "name holds text, but pass_reco is computed from it"),
    "a letter as a number": ({"reco_m": "name[0]"}, "text where a number is needed"),
    "lists as processes": ({"process": "lists"}, "process: the branch has a list per event"),
}


@pytest.mark.parametrize("case", LISTS)
def test_text_and_lists_are_no_numbers(tmp_path, case):
    change, said = LISTS[case]
    path = tmp_path / "in.root"
    with uproot.recreate(path) as file:
        tree = file.mktree("events", {"name": "string", "reco_m": np.dtype("f4"), "lists": "var * float32"})
        lists = ak.Array([[1.0, 2.0], [3.0]])
        numbers = np.ones(2, dtype=np.float32)
        tree.extend({"name": ["a", "b"], "reco_m": numbers, "lists": lists, "nlists": np.array([2, 1], dtype=np.int32)})
    reader = FlatTree(files=[str(path)], branches={"reco_m": "reco_m"} | change)
    with pytest.raises(InputError, match=said):
        list(reader.batches(["reco"]))


def test_a_list_is_no_condition_of_a_selection():
    columns = {"pass_reco": np.array([True, True]), "reco_q": ak.Array([[1.0, 2.0], [3.0]])}
    with pytest.raises(InputError, match=r"selection\.reco: 'reco_q > 1' is a list per event"):
        AppliedSelection({"reco": "reco_q > 1"}).apply(Batch(columns, source="in.root"))
