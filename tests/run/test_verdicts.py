"""What the terminal says at the end of a call, and before its first job."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.records.examples import example
from truthward.records.validate.method import ValidatedMethod
from truthward.run.artefact import write_json
from truthward.run.verdicts import lines, shown
from truthward.study import checks
from truthward.study.notes import notes
from truthward.unfold.section import Replicas

ROOT = Path(__file__).parents[2]
STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "workflow" / "studies").glob("*.yaml"))]


def content_of(verdict: str, *reasons: str) -> dict:
    """validate/<method>.json with this verdict."""
    return example(ValidatedMethod) | {
        "verdict": {"verdict": verdict, "reasons": list(reasons), "without_truth": False}
    }


def validated(results: Path, method: str, *, age: float = 0.0, content: object = None) -> None:
    unfolded = results / "unfold" / method / "unfolded.parquet"
    unfolded.parent.mkdir(parents=True)
    unfolded.write_bytes(b"")
    path = results / "validate" / f"{method}.json"
    write_json(path, content or content_of("failed", "one", "two"))
    os.utime(path, (path.stat().st_atime, unfolded.stat().st_mtime - age))


def test_each_method_has_its_verdict_with_the_reasons(tmp_path):
    validated(tmp_path, "omnifold")
    validated(tmp_path, "ibu", content=content_of("good"))
    assert lines(tmp_path, ["omnifold", "ibu", "late"]) == [
        "omnifold: failed",
        "  - one",
        "  - two",
        "ibu: good",
        "late: no verdict yet",
    ]
    assert "\nomnifold: failed\n  - one\n" in shown(tmp_path, ["omnifold"])


def test_a_verdict_of_an_earlier_result_is_not_told_as_that_of_the_present_one(tmp_path):
    validated(tmp_path, "omnifold", age=5)
    (line,) = lines(tmp_path, ["omnifold"])
    assert line.startswith("omnifold: no verdict on the present result")


@pytest.mark.parametrize("content", [{"verdict": "failed"}, {"other": 1}, [1]])
def test_a_file_without_a_verdict_says_so_and_stops_nothing(tmp_path, content):
    validated(tmp_path, "omnifold", content=content)
    (line,) = lines(tmp_path, ["omnifold"])
    assert "no verdict" in line
    assert "cannot be read" in line


def test_before_the_first_verdict_nothing_is_said(tmp_path):
    assert shown(tmp_path, ["omnifold"]) == ""


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_ready_made_studies_have_the_replicas_that_their_published_bins_need(path):
    assert not [note for note in notes(checks.load(path)) if note.startswith("observables.")]


def test_too_few_replicas_are_told_with_the_number_that_is_needed_and_the_way_out():
    config = checks.load(ROOT / "workflow" / "studies" / "tiny.yaml")
    x0 = config.observables["x0"]
    fine = config.model_copy(update={"observables": {"x0": x0.model_copy(update={"published": ()})}})
    note, model = notes(fine)
    assert "observables.x0: 20 published bins need 60 replicas of each bootstrap" in note
    assert "data_bootstrap: 9 and mc_bootstrap: 9" in note
    assert "edges of at most 3 bins; the program merges no bins" in note
    assert "without a model uncertainty all bands are statistical" in model
    unfold = fine.unfold.model_copy(update={"replicas": Replicas(data_bootstrap=0, mc_bootstrap=60)})
    note, _ = notes(fine.model_copy(update={"unfold": unfold}))
    assert "unfold.replicas has data_bootstrap: 0." in note
