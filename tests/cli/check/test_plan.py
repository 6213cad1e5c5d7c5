"""What Snakemake's dry run says, in few words."""

from pathlib import Path

import pytest

from truthward.cli.check import plan

CODE = "{'digest': '%s', 'environment': '%s', 'kinds': []}"
SPEC = "{'seed': 1, 'method': {'kind': 'ibu', 'epochs': %d}}"


def params(before: str, now: str) -> str:
    return f"{plan.PARAMS}Union of exclusive params before and now across all output: before: {before} now: {now} "


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (CODE % ("a", "e"), CODE % ("b", "e"), {"code"}),
        (CODE % ("a", "e"), CODE % ("a", "f"), {"locked packages"}),
        (SPEC % 5, SPEC % 6, {"method.epochs: 5 -> 6"}),
        (
            f"{CODE % ('a', 'e')},{SPEC % 5}",
            f"{SPEC % 6},{CODE % ('b', 'f')}",
            {"code", "locked packages", "method.epochs: 5 -> 6"},
        ),
        ("{'digest': 'a', 'kinds': []}", CODE % ("a", "e"), {"locked packages"}),
        ("<nothing exclusive>", SPEC % 6, {"other parameters"}),
        ("{'limit': inf}", "{'limit': 1.0}", {"other parameters"}),
    ],
)
def test_changed_parameters_are_named(before, now, said) -> None:
    assert plan.reasons(params(before, now), ["."], {}) == said


def test_added_and_removed_options_are_named() -> None:
    assert plan.difference({"a": {"b": 1}, "c": 2}, {"a": {"d": 1}, "c": 2}) == ["a.b removed", "a.d added"]
    assert plan.difference({"a": "x" * 60}, {"a": "y"}) == ["a"], "long values are not shown"


def test_reasons_of_files_are_told_apart(tmp_path) -> None:
    there = str(tmp_path)
    text = "Missing output files: b.png; Updated input files: a.root; Input files updated by another job: c, d"
    assert plan.reasons(text, [there, "b.png"], {"c": "ingest"}) == {
        "missing: b.png",
        "newer: a.root",
        "after ingest",
        "newer: d",
    }
    assert plan.reasons(text, ["b.png"], {}) == {"not made yet"}
    assert plan.reasons("Incomplete output files: x", [there], {}) == {"was interrupted"}
    assert plan.reasons("A reason of a later Snakemake", [there], {}) == {"A reason of a later Snakemake"}


DRY_RUN = """\
Job stats:
job       count
ingest        1

[Sun Nov 22 15:32:58 2026]
rule ingest:
    input: raw.root
    output: one.parquet
    jobid: 1
    reason: Updated input files: raw.root
    resources: tmpdir=/tmp
[Sun Nov 22 15:32:58 2026]
rule unfold:
    input: one.parquet
    output: two.parquet, three.parquet
    jobid: 2
    reason: Input files updated by another job: one.parquet
    wildcards: method=ibu
[Sun Nov 22 15:32:58 2026]
rule unfold:
    input: one.parquet
    output: four.parquet
    jobid: 3
    reason: Missing output files: four.parquet; Input files updated by another job: one.parquet
[Sun Nov 22 15:32:58 2026]
localrule all:
    input: two.parquet
    jobid: 0
    reason: Input files updated by another job: two.parquet
"""


def test_jobs_are_counted_by_rule(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two", "three"):
        Path(f"{name}.parquet").touch()
    found = plan.parse(DRY_RUN)
    assert {rule: (p.new, p.again, dict(p.why)) for rule, p in found.items()} == {
        "ingest": (0, 1, {"newer: raw.root": 1}),
        "unfold": (1, 1, {"after ingest": 1, "not made yet": 1}),
    }


def test_place_without_a_workflow_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(plan.PlanError, match="call this where the Snakefile is"):
        plan.dry_run(Path("config.yaml"))
