"""The summary of a run, from what Snakemake and its jobs wrote."""

import io
import os
import time
from pathlib import Path

import pytest
from rich.console import Console

from tests.call_logs import LOG
from truthward.cli import watch
from truthward.run.progress import KEPT


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


def test_it_says_how_much_is_done_and_what_jobs_say(results, monkeypatch) -> None:
    write(results, LOG)
    log = results / "logs" / "simulate" / "a.2.log"
    log.write_text("first\nepoch 3 of [bold]9[/bold] \x1b]0;title\x07\n")
    os.utime(log, (time.time() - 50,) * 2)
    (results / "logs" / KEPT).write_text("[15:40] 0 of 6\n[15:41] 1 of 6 jobs done; about 9 min remain\n")
    text = shown(results, monkeypatch, {"70_3": "RUNNING gpu g1"})
    lines = text.splitlines()
    assert lines[0] == "toy: 1 of 6 jobs are done"
    assert next(line.split() for line in lines if " simulate " in line) == ["simulate", "1", "1", "·", "1", "·"]
    row = next(line for line in lines if "simulate/a.2" in line)
    assert "70_3 RUNNING gpu g1" in row
    assert "50 s" in row
    assert "epoch 3 of [bold]9[/bold] ]0;title" in row
    assert "to come: ingest 2, publish 1" in text
    assert lines[-1] == "[15:41] 1 of 6 jobs done; about 9 min remain"


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
