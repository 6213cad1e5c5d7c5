"""Notices are outlived, and jobs are a matter of speed alone; what dies in the middle is in tests/faults."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from truthward.events.unfolded import Unfolded

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

EDGES = [6.0, 8.0, 9.0, 9.5, 10.0, 10.5, 11.0, 12.0, 14.0]


def test_snakemake_outlives_a_notice_that_time_runs_out(empty) -> None:
    environment = os.environ | {"PYTHONPATH": str(empty.folder / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "snakemake", "simulate_all", "--cores", "1", "--configfile", "study.yaml"]
    running = subprocess.Popen(
        command,
        cwd=empty.folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    limit = time.monotonic() + 600
    while not list(empty.folder.glob("results/tiny/logs/simulate/*.log")):
        assert time.monotonic() < limit, "no job started"
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGUSR1)
    assert running.wait(timeout=600) == 0


@pytest.mark.parametrize("method", ["omnifold", "generative", "ibu"])
def test_the_number_of_jobs_changes_no_result(fork, method) -> None:
    path = fork.path(f"results/tiny/unfold/{method}/unfolded.parquet")
    before = Unfolded(path).histogram("x0", EDGES)
    fork.study(lambda s: s["unfold"].update(jobs=3))
    fork.run(f"results/tiny/unfold/{method}/unfolded.parquet")
    after = Unfolded(path).histogram("x0", EDGES)
    np.testing.assert_allclose(after.nominal, before.nominal, rtol=1e-5)
    assert set(after.replicas) == set(before.replicas)
    for name, replicas in before.replicas.items():
        np.testing.assert_allclose(after.replicas[name], replicas, rtol=1e-5, atol=1e-5 * before.nominal.max())


def test_the_number_of_chunks_changes_no_result(fork) -> None:
    from truthward.events.table import EventTable

    path = fork.path("results/tiny/ingest/simulation.parquet")
    before = EventTable(path).read(["event_id", "truth_x0", "weight", "split"])
    fork.study(lambda s: s["samples"]["simulation"].update(chunks=1))
    fork.run("results/tiny/ingest/simulation.parquet")
    after = EventTable(path).read(["event_id", "truth_x0", "weight", "split"])
    assert sorted(after["event_id"]) == sorted(before["event_id"])
    for name, values in before.items():
        order, again = np.argsort(before["event_id"]), np.argsort(after["event_id"])
        np.testing.assert_allclose(after[name][again], values[order], rtol=1e-5)
