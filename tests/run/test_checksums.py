"""An artefact that is not what its rule wrote is named before it is used, with the way out."""

import shutil
import subprocess

import pytest

from truthward.errors import CorruptError
from truthward.run import checksums
from truthward.run.artefact import write_text


@pytest.fixture
def artefact(tmp_path):
    path = tmp_path / "a b.parquet"
    path.write_bytes(bytes(range(256)) * 50)
    checksums.record([path], "ingest")
    return path


def flip(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_whole_artefacts_pass_and_those_without_a_record_are_returned(artefact, tmp_path) -> None:
    other = tmp_path / "own.root"
    other.write_text("x")
    assert checksums.verify([artefact, other]) == [other]


def test_flipped_byte_is_found(artefact) -> None:
    flip(artefact)
    with pytest.raises(
        CorruptError, match=r"a b\.parquet: its content is not what rule ingest wrote.*the same snakemake"
    ):
        checksums.verify([artefact])


def test_truncated_and_grown_files_are_found(artefact) -> None:
    content = artefact.read_bytes()
    artefact.write_bytes(content[:100])
    with pytest.raises(CorruptError, match="truncated to 100 of 12800 bytes"):
        checksums.verify([artefact])
    artefact.write_bytes(content + b"x")
    with pytest.raises(CorruptError, match="it has 12801 bytes, but rule ingest wrote 12800"):
        checksums.verify([artefact])


def test_the_message_says_how_to_accept_and_how_to_make_anew(artefact) -> None:
    flip(artefact)
    with pytest.raises(CorruptError) as caught:
        checksums.verify([artefact])
    said = str(caught.value)
    assert f"remove its record: rm '{checksums.beside(artefact)}'" in said
    assert f"rm '{artefact}' '{checksums.beside(artefact)}', then the same snakemake call again" in said
    checksums.beside(artefact).unlink()
    assert checksums.verify([artefact]) == [artefact]


@pytest.mark.parametrize("damage", [b"", b"# 12800 bytes, rule ingest\n", b"\xff\xfe", b"x" * 90])
def test_damaged_record_is_no_silent_pass(artefact, damage) -> None:
    checksums.beside(artefact).write_bytes(damage)
    with pytest.raises(CorruptError, match=r"\.sha256: this is no record of a checksum"):
        checksums.verify([artefact])


def test_record_of_another_file_is_refused(artefact, tmp_path) -> None:
    other = tmp_path / "other.parquet"
    shutil.copy(artefact, other)
    shutil.copy(checksums.beside(artefact), checksums.beside(other))
    with pytest.raises(CorruptError, match="this is no record"):
        checksums.verify([other])


def test_what_is_made_anew_has_no_old_record(artefact) -> None:
    checksums.forget([artefact, artefact.with_name("never made")])
    flip(artefact)
    assert checksums.verify([artefact]) == [artefact]


def test_a_publication_gets_no_records_beside_its_own_list(tmp_path) -> None:
    made = [tmp_path / "metadata.json", tmp_path / "hepdata" / "submission.yaml", tmp_path / checksums.SUMS]
    for path in made:
        write_text(path, "")
    checksums.record(made, "publish")
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == sorted(made)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_sha256sum_reads_a_record(artefact) -> None:
    command = ["sha256sum", "--check", "--strict", checksums.beside(artefact).name]
    assert subprocess.run(command, cwd=artefact.parent, capture_output=True).returncode == 0
    flip(artefact)
    assert subprocess.run(command, cwd=artefact.parent, capture_output=True).returncode != 0
