"""The user's files are held against the list that came with them, before anything is read."""

import zlib

import pytest

from truthward.errors import CorruptError, InputError
from truthward.events.readers.flat_tree import FlatTree
from truthward.events.table import EventTable
from truthward.ingest.stage import ingest
from truthward.ingest.sums import check
from truthward.run.artefact import sha256
from truthward.run.files import File


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "data" / name for name in ("a.root", "b c.root")]
    paths[0].parent.mkdir()
    for path in paths:
        path.write_bytes(path.name.encode() * 100)
    return paths


def given(paths) -> list[File]:
    return [File(str(path)) for path in paths]


def adler(path) -> str:
    return f"adler32:{zlib.adler32(path.read_bytes()):08x}"


FORMS = {
    "sha256sum": lambda path: f"{sha256(path)}  {path.name}",
    "binary": lambda path: f"{sha256(path).upper()} *some/where/{path.name}",
    "prefixed": lambda path: f"sha256:{sha256(path)}\t{path.name}",
    "adler32": lambda path: f"{adler(path)} {path.name}",
    "both": lambda path: f"{adler(path)} {path.name}\n{sha256(path)}  {path.name}",
}


@pytest.mark.parametrize("form", FORMS)
def test_listed_files_pass_and_a_flipped_byte_does_not(files, form) -> None:
    listing = files[0].parent / "SUMS"
    listing.write_text("# a comment\n\n" + "\n".join(FORMS[form](path) for path in files) + "\n")
    check(given(files), listing)
    content = bytearray(files[1].read_bytes())
    content[50] ^= 1
    files[1].write_bytes(content)
    with pytest.raises(CorruptError, match=r"b c\.root: its (sha256|adler32) is .*SUMS says .*copy it again"):
        check(given(files), listing)


def test_the_form_of_cern_open_data(files) -> None:
    listing = files[0].parent / "index.txt"
    listing.write_text(f"root://eospublic.cern.ch//eos/opendata/x/a.root\t600\t{adler(files[0])}\n")
    check(given(files[:1]), listing)
    listing.write_text(f"root://eospublic.cern.ch//eos/opendata/x/a.root\t600\t{adler(files[1])}\n")
    with pytest.raises(CorruptError, match=r"a\.root: its adler32"):
        check(given(files[:1]), listing)


def test_a_file_that_is_not_listed_is_named(files) -> None:
    listing = files[0].parent / "SUMS"
    listing.write_text(FORMS["sha256sum"](files[0]))
    with pytest.raises(InputError, match=r"b c\.root: not in .*SUMS; .* add it \(`sha256sum '.*b c\.root' >> "):
        check(given(files), listing)


def test_equal_names_go_by_their_paths(files) -> None:
    other = files[0].parent / "more" / "a.root"
    other.parent.mkdir()
    other.write_text("other")
    listing = files[0].parent / "SUMS"
    listing.write_text(f"{sha256(other)}  more/a.root\n{sha256(files[0])}  a.root\n")
    check(given([files[0], other]), listing)
    listing.write_text(f"{sha256(other)}  x/a.root\n{sha256(files[0])}  y/a.root\n")
    with pytest.raises(InputError, match="listed with different checksums"):
        check(given([other]), listing)


@pytest.mark.parametrize(
    "line", ["a.root", "12ab  a.root", "md5:00  a.root", "x" * 64 + "  a.root", "0" * 64, "0" * 64 + "  a\0"]
)
def test_lines_that_say_nothing_are_refused(files, line) -> None:
    listing = files[0].parent / "SUMS"
    listing.write_text(f"# first\n{line}\n")
    with pytest.raises(InputError, match=r"SUMS:2: '"):
        check(given(files), listing)
    with pytest.raises(InputError, match=r"none\.txt: cannot be read"):
        check(given(files), listing.with_name("none.txt"))


def test_ingest_verifies_first_and_records_the_digest(tmp_path, write_root, events, mass, record) -> None:
    path = write_root(events(), "in.root")
    listing, output = tmp_path / "SUMS", tmp_path / "out.parquet"
    options = {"output": output, "observables": mass, "role": "simulation", "record": record}
    listing.write_text(f"{sha256(path)}  in.root\n")
    ingest(FlatTree(files=[str(path)], same_names=True), **options, checksums=listing)
    assert EventTable(output).metadata["origin"]["sha256"] == [sha256(path)]
    output.unlink()
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CorruptError, match=r"in\.root: its sha256"):
        ingest(FlatTree(files=[str(path)], same_names=True), **options, checksums=listing)
    assert not output.exists()
