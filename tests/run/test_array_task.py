"""Tasks of a SLURM array turn into the jobs that they were given."""

import base64
import json
import os
import sys
import zlib

import pytest

from truthward.run.array_task import become_own_job


@pytest.fixture
def became(monkeypatch) -> list[list[str]]:
    """Commands that the process turned into."""
    commands: list[list[str]] = []
    jobs = {"2": zlib.compress(b"snakemake second").hex(), "3": zlib.compress(b"snakemake third").hex()}
    payload = base64.b64encode(json.dumps(jobs).encode()).decode()
    monkeypatch.setattr(os, "execv", lambda path, words: commands.append([path, *words]))
    monkeypatch.setattr(sys, "argv", ["snakemake", "--mode", "remote", f"--slurm-jobstep-array-execs={payload}"])
    return commands


def test_a_later_task_is_its_own_job(became, monkeypatch) -> None:
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    become_own_job()
    assert became == [["/bin/sh", "sh", "-c", "snakemake third"]]


def test_the_first_task_is_what_the_call_says(became, monkeypatch) -> None:
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    become_own_job()
    assert became == []


def test_outside_of_arrays_nothing_happens(became, monkeypatch) -> None:
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    become_own_job()
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    monkeypatch.setattr(sys, "argv", ["snakemake", "--mode", "remote"])
    become_own_job()
    assert became == []
