"""How far a call is: which jobs run, what is next, and a remaining time that follows from what was measured."""

import os
import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.call_logs import LOG
from truthward.run import progress
from truthward.run.forecast import FEW, SECONDS, TRUSTED, Planned, estimates
from truthward.run.progress import KEPT, Progress, plan

START_OF_CALL = 1_700_000_000.0


def planned(name: str, *needs: str, logs: Path) -> Planned:
    return Planned(log=logs / f"{name}.log", needs=needs)


def chain(logs: Path) -> list[Planned]:
    """The jobs of `LOG`: three chunks, two samples made of them, and the publication."""
    chunks = [f"simulate/a.{i}" for i in range(3)]
    return [
        *(planned(name, logs=logs) for name in chunks),
        planned("ingest/a", *chunks, logs=logs),
        planned("ingest/b", *chunks, logs=logs),
        planned("publish", "ingest/a", "ingest/b", logs=logs),
    ]


def say(log: Path, text: str, when: float) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text)
    os.utime(log, (when, when))


@pytest.fixture
def logs(tmp_path) -> Path:
    return tmp_path / "results" / "toy" / "logs"


def begun(logs: Path, **options) -> Progress:
    return Progress(chain(logs), logs, **{"slots": 2, "queued": False, "now": START_OF_CALL} | options)


def test_a_call_that_starts_goes_by_the_table(logs) -> None:
    run = begun(logs)
    run.look("", START_OF_CALL)
    assert re.search(r"\] 0 of 6 jobs done, next: simulate, ingest; about \d min remain$", run.line(START_OF_CALL))
    assert run.before["simulate/a.0"] == SECONDS["simulate"]
    assert run.before["ingest/a"] == SECONDS["ingest"]
    few = Progress([planned("report_summary", logs=logs)], logs, slots=1, queued=False, now=0)
    assert few.before == {"report_summary": FEW}


def test_a_line_says_what_runs_what_failed_and_what_is_next(logs) -> None:
    run = begun(logs)
    say(logs / "simulate/a.0.log", "12:00 INFO rule simulate is done: 14.0 s, 13.0 s of CPU time\n", START_OF_CALL + 15)
    say(logs / "simulate/a.2.log", "12:00 INFO rule simulate starts: seed 1, threads 1\n", START_OF_CALL + 2)
    run.look(LOG, START_OF_CALL + 20)
    line = run.line(START_OF_CALL + 20)
    assert "] 1 of 6 jobs done, 1 running (simulate a.2), 1 failed, next: ingest, publish; " in line
    assert line.startswith(time.strftime("[%H:%M]", time.localtime(START_OF_CALL + 20)))


def test_what_was_submitted_does_not_run_before_its_log_is_new(logs) -> None:
    """On a cluster a job waits; the log that lies there is of an earlier call."""
    say(logs / "simulate/a.2.log", "12:00 INFO rule simulate is done: 14.0 s, 13.0 s of CPU time\n", START_OF_CALL - 99)
    run = begun(logs, slots=10_000, queued=True)
    run.look(LOG, START_OF_CALL + 20)
    line = run.line(START_OF_CALL + 20)
    assert "1 submitted, 1 failed" in line
    assert "running" not in line
    assert line.endswith("remains, without waits in the queue")


def test_an_earlier_call_is_better_than_the_table_and_this_one_than_both(logs) -> None:
    for i in range(3):
        say(
            logs / f"simulate/a.{i}.log", "INFO rule simulate is done: 1000.0 s, 9.0 s of CPU time\n", START_OF_CALL - 9
        )
    run = begun(logs)
    assert run.before["simulate/a.1"] == 1000.0
    before = run.before["publish"]
    assert before > SECONDS["publish"]
    say(logs / "simulate/a.0.log", "INFO rule simulate is done: 10.0 s, 9.0 s of CPU time\n", START_OF_CALL + 9)
    run.look(LOG, START_OF_CALL + 10)
    now = estimates(run.before, run.measured)
    assert now["simulate/a.1"] == 10.0
    assert now["publish"] == pytest.approx(before * (10.0 + TRUSTED) / (1000.0 + TRUSTED))


def test_a_running_job_has_less_and_less_left_but_never_nothing(logs) -> None:
    jobs = [planned("simulate/a.2", logs=logs)]
    run = Progress(jobs, logs, slots=1, queued=False, now=START_OF_CALL)
    say(logs / "simulate/a.2.log", "", START_OF_CALL + 1)
    run.look(LOG, START_OF_CALL + 1)
    whole = run.remaining(START_OF_CALL + 1)[0]
    assert whole == SECONDS["simulate"]
    for later, left in ((10, whole - 10), (60, whole / 10), (6000, whole / 10)):
        run.look(LOG, START_OF_CALL + 1 + later)
        assert run.remaining(START_OF_CALL + 1 + later)[0] == pytest.approx(left)


def test_the_end_is_seen(logs) -> None:
    run = Progress([planned("simulate/a.0", logs=logs)], logs, slots=1, queued=False, now=START_OF_CALL)
    assert not run.over
    run.look(LOG, START_OF_CALL + 20)
    assert run.over
    assert run.line(START_OF_CALL + 20).endswith("] 1 of 1 jobs done")


class Job(SimpleNamespace):
    """A job as Snakemake has it."""

    __hash__ = object.__hash__


def test_the_plan_has_what_makes_something_in_an_order_that_can_run(logs) -> None:
    a, b = (Job(log=[str(logs / f"{name}.log")], threads=1) for name in ("simulate/a.0", "ingest/a"))
    target, old = Job(log=[], threads=1), Job(log=[str(logs / "simulate/b.0.log")], threads=1)
    dag = SimpleNamespace(
        needrun_jobs=lambda: [target, b, a],
        dependencies={target: {b: set()}, b: {a: set(), old: set()}, a: {}},
        toposorted=lambda jobs: [jobs & {a}, jobs & {b}],
    )
    assert plan(dag) == [planned("simulate/a.0", logs=logs), planned("ingest/a", "simulate/a.0", logs=logs)]


def test_lines_are_said_and_kept_without_a_terminal(logs, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(progress, "LOOK", 0.01)
    call = tmp_path / "call.log"
    call.write_text(LOG)
    job = Job(log=[str(logs / "simulate/a.0.log")], threads=1)
    dag = SimpleNamespace(needrun_jobs=lambda: [job], dependencies={job: {}}, toposorted=lambda jobs: [jobs])
    watched = progress.follow(SimpleNamespace(dag=dag, nodes=None, cores=2), [str(call)], logs)
    watched.join(timeout=60)
    assert not watched.is_alive()
    said = capsys.readouterr().err
    assert said.endswith("] 1 of 1 jobs done\n")
    assert (logs / KEPT).read_text() == said


def test_a_call_without_a_log_goes_on_without_lines(logs) -> None:
    assert progress.follow(SimpleNamespace(dag=None), [], logs) is None
