"""Files behind an address give what they give on a disk, through all that servers and networks do."""

import logging
import sys
from importlib import import_module

import numpy as np
import pytest
import uproot
from fsspec.implementations.local import LocalFileSystem

from tests.served import serving
from truthward.cli.check import probes
from truthward.errors import CorruptError, InputError
from truthward.events.readers.flat_tree import FlatTree
from truthward.events.table import EventTable
from truthward.ingest.stage import ingest
from truthward.run import files
from truthward.run.artefact import sha256
from truthward.run.files import File, planned

MAP = {"truth_m": "truth_m", "reco_m": "reco_m"}


@pytest.fixture
def served(tmp_path, monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setattr(files, "WAITS", (0.001, 0.002, 0.004))
    with serving(tmp_path) as server:
        yield server


@pytest.fixture
def path(write_root, events):
    """A file of many baskets."""
    return write_root(events(20_000), parts=10)


def read(*texts: str, branches=MAP, rows=3000, **options):
    parts = list(FlatTree(files=list(texts), branches=branches, **options).batches(("truth", "reco"), rows=rows))
    return {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]}


def assert_same(one, two) -> None:
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])


def test_values_and_ids_are_those_of_a_local_copy(served, path) -> None:
    here = read(str(path))
    assert_same(read(f"{served.address}/in.root"), here)
    assert len(served.asked) < 3 * (path.stat().st_size / files.BUFFER + 4), "read in large pieces"
    assert_same(read(f"{served.address}/in.root:events"), here)
    assert len(np.unique(here["event_id"])) == 20_000


def test_rntuples_are_read(served, tmp_path) -> None:
    with uproot.recreate(tmp_path / "n.root") as file:
        made = file.mkrntuple("events", {"truth_m": np.float64, "reco_m": np.float64})
        made.extend({"truth_m": np.arange(5000.0), "reco_m": np.arange(5000.0) + 1})
    assert_same(read(f"{served.address}/n.root"), read(str(tmp_path / "n.root")))


@pytest.mark.parametrize("fault", [503, 429, "drop", "cut", "short"])
def test_a_piece_that_fails_is_asked_for_again(served, path, monkeypatch, caplog, fault) -> None:
    monkeypatch.setattr(files, "BUFFER", 1 << 14)
    here = read(str(path))
    # aiohttp itself asks once more where a connection ends without an answer.
    each = 2 if fault == "drop" else 1
    served.faults = [*["fine"] * 3, *[fault] * 3 * each, *["fine"] * 5, *[fault] * each]
    with caplog.at_level(logging.WARNING, "truthward"):
        assert_same(read(f"{served.address}/in.root"), here)
    said = [r.getMessage() for r in caplog.records if "follows" in r.getMessage()]
    assert [text.rpartition("; ")[2] for text in said] == [
        "try 2 follows in 0.001 s",
        "try 3 follows in 0.002 s",
        "try 4 follows in 0.004 s",
        "try 2 follows in 0.001 s",
    ]
    assert all(text.startswith(f"{served.address}/in.root: ") for text in said)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (503, r"the server answers 503 Service Unavailable, 4 tries\); check the address"),
        ("drop", r"ServerDisconnectedError.*, 4 tries\)"),
        ("cut", r"ClientPayloadError.*, 4 tries\)"),
        ("short", r"ConnectionError: \d+ of \d+ bytes came, 4 tries\)"),
        ("whole", r"the server sends no parts of files; read a copy on a disk here"),
        (403, r"cannot be read \(the server answers 403 Forbidden\)"),
        (404, r"there is no such file on the server"),
    ],
)
def test_a_server_that_stays_broken_is_named(served, path, monkeypatch, fault, said) -> None:
    monkeypatch.setattr(files, "BUFFER", 1 << 12)
    served.faults = [fault] * 8
    with pytest.raises(InputError, match=f"{served.address}/in.root: .*{said}"):
        read(f"{served.address}/in.root")


@pytest.mark.parametrize(("piece", "change"), [(0, "other"), (5, "other"), (5, "truncated"), (5, "gone")])
def test_a_file_that_changes_is_refused(served, path, monkeypatch, piece, change) -> None:
    monkeypatch.setattr(files, "BUFFER", 1 << 12)

    def now() -> None:
        content = path.read_bytes()
        path.unlink()
        if change != "gone":
            path.write_bytes(content if change == "other" else content[:2000])

    served.faults = [*["fine"] * piece, now]
    said = "there is no such file" if change == "gone" else r"changed while it was read \((size|ETag) was .*, is .*\)"
    with pytest.raises(InputError, match=f"{served.address}/in.root: {said}"):
        read(f"{served.address}/in.root")


def test_a_truncated_file_is_refused(served, path) -> None:
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(InputError, match=f"{served.address}/in.root: .*truncated"):
        read(f"{served.address}/in.root")


def test_what_is_not_there_is_named(served, path, tmp_path) -> None:
    with pytest.raises(InputError, match=f"{served.address}/none.root: there is no such file on the server"):
        read(f"{served.address}/none.root")
    with pytest.raises(InputError, match=f"{served.address}/in.root: no tree jets; nearest names: events"):
        read(f"{served.address}/in.root:jets")
    with pytest.raises(InputError, match=r"in\.root: no tree jets; nearest names: events"):
        read(f"{path}:jets")
    (tmp_path / "page.root").write_text("<html>")
    with pytest.raises(InputError, match=r"page\.root: cannot be read as a ROOT file: it begins with b'<htm'"):
        read(f"{served.address}/page.root")


def test_a_server_that_is_not_there_is_named(served, monkeypatch, caplog) -> None:
    with serving(served.folder) as other:
        address = f"{other.address}/in.root"
    with pytest.raises(InputError, match=f"{address}: cannot be read .*Cannot connect to host .*, 4 tries"):
        read(address)
    assert len(caplog.records) == 3


def test_a_missing_package_is_named(served, path, monkeypatch) -> None:
    for scheme in ("http", "https"):
        monkeypatch.delitem(import_module("fsspec.registry")._registry, scheme, raising=False)
    monkeypatch.setitem(sys.modules, "fsspec.implementations.http", None)
    with pytest.raises(InputError, match=r"http:// is read by a package that is not installed: pip install aiohttp$"):
        read(f"{served.address}/in.root")
    monkeypatch.setitem(sys.modules, "fsspec_xrootd", None)
    said = r"root://server//in\.root: root:// is read by a package that is not installed: pip install fsspec-xrootd$"
    with pytest.raises(InputError, match=said):
        read("root://server//in.root")


def test_addresses_of_xrootd_reach_fsspec(path, monkeypatch) -> None:
    class XRootD(LocalFileSystem):
        """A stand-in, whose server is this machine's disk."""

        protocol = "root"

        @classmethod
        def _strip_protocol(cls, address):
            return address.removeprefix("root://server/")

        def cat_file(self, path, start=None, end=None, timeout=None):
            return super().cat_file(path, start, end)

    monkeypatch.setitem(import_module("fsspec.registry")._registry, "root", XRootD)
    assert_same(read(f"root://server/{path}"), read(str(path)))


def test_each_file_may_have_its_tree(served, tmp_path) -> None:
    with uproot.recreate(tmp_path / "two.root") as file:
        for number, name in enumerate(("nominal", "other")):
            file.mktree(name, {"m": np.float64, "n": np.int64}).extend({"m": np.full(5, number), "n": np.arange(5)})
    branches = {"truth_m": "m", "reco_m": "m", "event_id": "n"}
    found = read(f"{served.address}/two.root:other", branches=branches)
    assert found["reco_m"].tolist() == [1.0] * 5
    joined = {"x": {"files": [f"{served.address}/two.root:other"], "by": "n"}}
    found = read(f"{tmp_path}/two.root:nominal", branches=branches | {"truth_m": "x.m"}, join=joined)
    assert found["truth_m"].tolist() == [1.0] * 5
    with pytest.raises(InputError, match=r"two\.root:other: `tree` is nominal"):
        read(f"{tmp_path}/two.root:other", tree="nominal")


def table(texts, tmp_path, mass, record, *, name="out.parquet", **options):
    with_ids = {"event_id": "event_id"} if options.pop("ids", True) else {}
    reader = FlatTree(files=list(texts), branches=MAP | with_ids)
    ingest(reader, output=tmp_path / name, observables=mass, role="simulation", record=record, **options)
    return EventTable(tmp_path / name)


def test_the_whole_file_is_read_only_where_it_must_be(served, path, tmp_path, mass, record) -> None:
    address = f"{served.address}/in.root"
    with uproot.open(path) as file:
        content = f"uuid {file.file.uuid}, {path.stat().st_size} bytes"
    assert table([address], tmp_path, mass, record).metadata["origin"]["sha256"] == [content]
    found = table([address], tmp_path, mass, record, name="ids.parquet", ids=False)
    assert found.metadata["origin"]["sha256"] == [sha256(path)]


@pytest.mark.parametrize("kind", ["sha256", "adler32"])
def test_checksums_are_those_of_the_content(served, path, tmp_path, mass, record, kind) -> None:
    address, listing = f"{served.address}/in.root", tmp_path / "index.txt"
    good = sha256(path) if kind == "sha256" else f"adler32:{File(str(path)).adler32}"
    listing.write_text(f"{address} {path.stat().st_size} {good}\n")
    if kind == "sha256":
        listing.write_text(f"{good}  {address}\n")
    table([address], tmp_path, mass, record, checksums=listing)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptError, match=f"{address}: its {kind} is "):
        table([address], tmp_path, mass, record, checksums=listing)


def test_a_plan_knows_what_servers_said_before(served, path, tmp_path, mass, record) -> None:
    note, file = tmp_path / "note.json", File(f"{served.address}/in.root")
    with serving(tmp_path) as gone:
        dead = File(f"{gone.address}/in.root")
    known = planned([file, dead], note, ask=True, keep=True)
    assert known[file.address]["size"] == path.stat().st_size
    assert known[dead.address] is None
    assert planned([file, dead], note, ask=False, keep=False) == known
    path.write_bytes(path.read_bytes() + b"more")
    assert planned([file], note, ask=False, keep=True)[file.address] == known[file.address]
    assert planned([file], note, ask=True, keep=False)[file.address] != known[file.address]
    assert planned([file], note, ask=False, keep=False)[file.address] == known[file.address]
    with pytest.raises(InputError, match=f"{file}: changed after this job was planned .*size was "):
        table([file.address], tmp_path, mass, record, remote=known)
    note.write_text("damaged")
    assert planned([file], note, ask=False, keep=False) == {file.address: None}


def test_check_says_whether_remote_files_are_there(served, path) -> None:
    entry = {"kind": "flat_tree", "files": [f"{served.address}/in.root", str(path)], "branches": MAP}
    assert probes.probe("x", "events.readers", entry).said.startswith("2 files, 1 of them remote, all there; columns")
    entry["files"] = [f"{served.address}/none.root"]
    assert f"{served.address}/none.root: there is no such file" in probes.probe("x", "events.readers", entry).error
