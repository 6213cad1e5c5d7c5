"""The summary of a run, from what Snakemake and its jobs wrote."""

import io
import os
import time
from pathlib import Path

import pytest
from rich.console import Console

from truthward.cli import watch

LOG = """Building DAG of jobs...
Job stats:
job           count
----------  -------
simulate          3
ingest            2
publish           1
all               1
total             7

Select jobs to execute...
[Sun Nov 22 15:40:54 2026]
rule simulate:
    output: results/toy/simulate/a/0.root
    log: results/toy/logs/simulate/a.0.log
    jobid: 1
    reason: Missing output files: results/toy/simulate/a/0.root
[Sun Nov 22 15:40:54 2026]
rule simulate:
    output: results/toy/simulate/a/1.root
    log: results/toy/logs/simulate/a.1.log
    jobid: 2
[Sun Nov 22 15:40:54 2026]
rule simulate:
    output: results/toy/simulate/a/2.root
    log: results/toy/logs/simulate/a.2.log
    jobid: 3
Submitted array job with Snakemake IDs 1,2,3 and SLURM job ID 70. The individual task IDs are 1-3.
[Sun Nov 22 15:41:08 2026]
Finished jobid: 1 (Rule: simulate)
1 of 7 steps (14%) done
[Sun Nov 22 15:41:08 2026]
Error in rule simulate:
    message: SLURM-job '70_2' failed
    jobid: 2
    output: results/toy/simulate/a/1.root
    log: results/toy/logs/simulate/a.1.log (check log file(s) for error details)
"""
AGAIN = """Trying to restart job 2.
rule simulate:
    output: results/toy/simulate/a/1.root
    log: results/toy/logs/simulate/a.1.log
    jobid: 2
Job 2 has been submitted with SLURM jobid 80 (log: .snakemake/slurm_logs/rule_simulate/toy_a_1/80.log).
"""
GROUP = """[Sun Nov 22 15:41:33 2026] Group job ingested (jobs in lexicogr. order):
    [Sun Nov 22 15:41:33 2026]
    rule ingest:
        output: results/toy/ingest/a.parquet
        log: results/toy/logs/ingest/a.log
        jobid: 4
Job 3f2c has been submitted with SLURM jobid 90 (log: .snakemake/slurm_logs/group_x/90.log).
"""


@pytest.fixture
def results(tmp_path) -> Path:
    results = tmp_path / "results" / "toy"
    (results / "logs" / "simulate").mkdir(parents=True)
    (tmp_path / ".snakemake" / "log").mkdir(parents=True)
    return results


def write(results: Path, text: str, name: str = "2026-01-01") -> None:
    (results.parent.parent / ".snakemake" / "log" / f"{name}.snakemake.log").write_text(text)


def shown(results: Path, monkeypatch, queue: dict[str, str]) -> str:
    monkeypatch.setattr(watch, "queue", lambda: queue)
    console = Console(width=150, color_system=None, record=True, file=io.StringIO())
    console.print(watch.view(results))
    return console.export_text()


def test_jobs_are_counted_by_what_became_of_them() -> None:
    planned, started = watch.parse(LOG)
    assert planned == {"simulate": 3, "ingest": 2, "publish": 1}
    assert [(s.state, s.slurm) for s in started.values()] == [
        ("done", "70_1"),
        ("failed", "70_2"),
        ("running", "70_3"),
    ]


def test_a_target_is_no_job() -> None:
    target = "localrule all:\n    input: results/toy/publication/metadata.json\n    jobid: 0\n"
    assert watch.parse(LOG + target) == watch.parse(LOG)


def test_a_restarted_job_runs_again() -> None:
    second = watch.parse(LOG + AGAIN)[1]["2"]
    assert (second.state, second.slurm) == ("running", "80")


def test_jobs_of_a_group_count_each() -> None:
    assert watch.parse(LOG + GROUP)[1]["4"] == watch.Started("ingest", "results/toy/logs/ingest/a.log", "group")


def test_it_says_how_much_is_done_and_what_jobs_say(results, monkeypatch) -> None:
    write(results, LOG)
    log = results / "logs" / "simulate" / "a.2.log"
    log.write_text("first\nepoch 3 of [bold]9[/bold] \x1b]0;title\x07\n")
    os.utime(log, (time.time() - 50,) * 2)
    text = shown(results, monkeypatch, {"70_3": "RUNNING gpu g1"})
    lines = text.splitlines()
    assert lines[0] == "toy: 1 of 6 jobs are done"
    assert next(line.split() for line in lines if " simulate " in line) == ["simulate", "1", "1", "·", "1", "·"]
    row = next(line for line in lines if "simulate/a.2" in line)
    assert "70_3 RUNNING gpu g1" in row
    assert "50 s" in row
    assert "epoch 3 of [bold]9[/bold] ]0;title" in row
    assert "to come: ingest 2, publish 1" in text


def test_a_job_that_waits_in_the_queue_does_not_run(results, monkeypatch) -> None:
    write(results, LOG)
    text = shown(results, monkeypatch, {"70_3": "PENDING cpu (Resources)"})
    assert next(line.split() for line in text.splitlines() if " simulate " in line)[1:5] == ["1", "·", "1", "1"]
    assert "simulate/a.2" not in text


def test_the_last_call_for_this_study_counts(results, monkeypatch) -> None:
    assert "no call of Snakemake" in shown(results, monkeypatch, {})
    write(results, LOG)
    write(results, LOG.replace("results/toy/", "results/toy2/").replace("Finished", "Began"), "2026-01-02")
    assert "toy: 1 of 6" in shown(results, monkeypatch, {})


def test_once_prints_and_ends(results, monkeypatch, capsys) -> None:
    write(results, LOG)
    monkeypatch.setattr(watch, "queue", dict)
    assert watch.run(results, once=True) == 0
    assert "toy: 1 of 6 jobs are done" in capsys.readouterr().out
