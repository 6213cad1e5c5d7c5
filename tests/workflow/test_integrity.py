"""An artefact that was damaged after it was made ends the next job, and its message leads back to the same result."""

import re
import shutil
import subprocess

import pytest

from truthward.run import kept
from truthward.run.artefact import read_json, sha256

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

TABLE = "results/tiny/ingest/pseudodata.parquet"
SUMMARY = "results/tiny/ingest/summary.json"
EXAMINED = "results/tiny/ingest/examined.json"


def test_a_flipped_byte_is_found_and_the_way_out_leads_to_the_same_result(empty) -> None:
    empty.run(SUMMARY)
    before = read_json(empty.path(SUMMARY))
    whole = empty.path(TABLE).read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:]):
        empty.path(TABLE).write_bytes(damaged)
        done = empty.call(EXAMINED, "--cores", "1", "--configfile", "study.yaml")
        assert done.returncode != 0
        log = empty.path("results/tiny/logs/ingest_examine.log").read_text()
        said = re.search(rf"CorruptError: {re.escape(TABLE)}: .*: (rm \S+ \S+), then .*reruns rule (\w+)\)", log)
        assert said, log
        assert said[2] == "ingest_pseudodata"
        assert not empty.path(EXAMINED).exists()
        subprocess.run(said[1], shell=True, cwd=empty.folder, check=True)
        empty.run(EXAMINED, SUMMARY)
        after = read_json(empty.path(SUMMARY))
        for summary in (before, after):
            summary.pop("provenance", None)
        assert after == before


def test_records_change_no_plan_and_every_output_has_one(empty) -> None:
    empty.run(SUMMARY)
    made = [p for p in empty.path("results/tiny").rglob("*") if p.suffix in (".root", ".parquet", ".json")]
    assert len(made) == 8
    for path in made:
        record = path.with_name(f".{path.name}.sha256")
        assert path.name in record.read_text()
        record.unlink()
    assert empty.planned(SUMMARY) == set()


def test_own_files_are_held_against_their_list(empty) -> None:
    made = "results/tiny/simulate/pseudodata/0.root"
    empty.run(made)
    own, listing = empty.path("own.root"), empty.path("SHA256SUMS")
    own.write_bytes(empty.path(made).read_bytes())
    read = {"kind": "flat_tree", "files": ["own.root"], "same_names": True}
    entry = {"role": "data", "read": read, "closure": True, "checksums": "SHA256SUMS"}
    empty.study(lambda s: s["samples"].update(pseudodata=entry))
    missing = empty.call(TABLE, "-n", "--configfile", "study.yaml")
    assert "samples.pseudodata.checksums: SHA256SUMS: no such file" in missing.stdout + missing.stderr
    listing.write_text(f"{sha256(own)}  own.root\n")
    empty.run(TABLE)
    own.write_bytes(own.read_bytes()[:-1])
    assert empty.call(TABLE, "--cores", "1", "--configfile", "study.yaml").returncode != 0
    log = empty.path("results/tiny/logs/ingest_pseudodata/pseudodata.log").read_text()
    assert "CorruptError: own.root: its sha256 is" in log
    # A list that is corrected is a reason to read again.
    listing.write_text(f"{sha256(own)}  own.root\n")
    assert empty.planned(TABLE) == {"ingest/pseudodata.parquet"}


def test_a_plan_takes_nothing_away(fork) -> None:
    """Of what a job finished without a call to take note of it only a call that works withdraws the name."""
    table = fork.path("results/tiny/validate/calibrate.json")
    kept.keep([table], table.parent / f".{table.name}.state" / "key")
    shutil.rmtree(fork.path(".snakemake/metadata"))
    for words in (["-n"], ["--dry-run"], ["--unlock"]):
        assert fork.call(*words, "--cores", "1", "--configfile", "study.yaml").returncode == 0
        assert table.is_file(), words
    # It is made again, and nothing else: the others have no record either, but none of them was left behind.
    fork.run("results/tiny/validate/calibrate.json")
    assert table.is_file()
    assert not (table.parent / f".{table.name}.state").exists()
