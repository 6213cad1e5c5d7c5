"""The publication of a finished study stands on its own."""

import json
import subprocess
import sys

import pytest
import yaml

from truthward.errors import CorruptError
from truthward.publish.stage import verify

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]


def test_the_example_runs_without_this_package(fork, tmp_path) -> None:
    publication = fork.path("results/tiny/publication")
    done = subprocess.run(
        [sys.executable, "-I", str(publication / "example.py")], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "example.png").is_file()
    assert "import truthward" not in (publication / "example.py").read_text(encoding="utf-8")


def test_metadata_names_what_made_it(fork) -> None:
    metadata = verify(fork.path("results/tiny/publication"))
    unfolding = metadata["provenance"]["unfolding"]
    assert {"version", "git", "spec", "code", "seed", "device", "wall_seconds", "peak_memory_mb"} <= set(unfolding)
    assert set(metadata["families"]) == {"data_bootstrap", "mc_bootstrap", "initialisation", "systematic:calibration"}
    assert json.dumps(metadata)


def test_the_tables_hold_the_published_yield(fork) -> None:
    publication = fork.path("results/tiny/publication")
    comment, *entries = yaml.safe_load_all((publication / "hepdata/submission.yaml").read_text(encoding="utf-8"))
    assert "tiny: unfolded with omnifold" in comment["comment"]
    assert {f"hepdata/{entry['data_file']}" for entry in entries} < set(verify(publication)["files"])
    fiducial, density = (yaml.safe_load((publication / "hepdata" / e["data_file"]).read_text()) for e in entries[:2])
    (total,) = (entry["value"] for entry in fiducial["dependent_variables"][0]["values"])
    rows = zip(*(density[f"{kind}_variables"][0]["values"] for kind in ("independent", "dependent")), strict=True)
    inside = sum(value["value"] * (ends["high"] - ends["low"]) for ends, value in rows)
    assert 0.99 * total < inside <= total * (1 + 1e-5)


def test_a_changed_byte_is_found(fork) -> None:
    path = fork.path("results/tiny/publication/events.parquet")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptError, match=r"events\.parquet"):
        verify(path.parent)


def test_the_report_is_one_file(fork) -> None:
    done = fork.call("--cores", "1", "--configfile", "study.yaml", "--report", "report.html")
    assert done.returncode == 0, done.stderr
    assert fork.path("report.html").stat().st_size > 500_000
