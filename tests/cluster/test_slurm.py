"""The cluster of the tests does what a site's does: otherwise the tests on it would prove nothing."""

import os
import sys
from pathlib import Path

import pytest

from tests.cluster.slurm import Cluster, rows, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

HOG = "x = bytearray(600_000_000); x[::4096] = b'1' * len(x[::4096]); import time; time.sleep(60)"


def submit(cluster, *options: str, command: str) -> str:
    return cluster.run(
        "sbatch", "--parsable", "--output", f"{cluster.root}/%j.txt", *options, "--wrap", command
    ).strip()


def state(cluster, job: str) -> str:
    return rows(cluster.jobs(), id=job)[0]["state"]


def test_a_gpu_is_given_to_one_job(cluster) -> None:
    jobs = [submit(cluster, "-p", "gpu", "--gpus=1", command="echo $CUDA_VISIBLE_DEVICES; sleep 2") for _ in range(2)]
    wait_until(lambda: {state(cluster, job) for job in jobs} == {"COMPLETED"}, 300, "both jobs")
    assert sorted((cluster.root / f"{job}.txt").read_text().strip() for job in jobs) == ["0", "1"]


def test_memory_is_enforced(cluster) -> None:
    hog = submit(cluster, "--mem=300", command=f'{sys.executable} -c "{HOG}"')
    wait_until(lambda: state(cluster, hog) not in ("PENDING", "RUNNING", "COMPLETING"), 300, "the end of the hog")
    assert state(cluster, hog) in ("OUT_OF_MEMORY", "FAILED", "CANCELLED")


def test_a_cancelled_job_leaves_no_orphan(cluster) -> None:
    job = submit(cluster, command="sh -c 'sh -c \"echo \\$\\$; exec sleep 61\" & exec sleep 62'")
    written = cluster.root / f"{job}.txt"
    wait_until(lambda: written.is_file() and written.read_text().strip(), 300, "the process's id")
    process = Path(f"/proc/{written.read_text().strip()}")
    assert process.exists()
    cluster.run("scancel", job)
    wait_until(lambda: not process.exists(), 300, "the end of the process")


def test_preemption_requeues(cluster) -> None:
    poor = submit(cluster, "-p", "preempt", "--exclusive", "--nodes=2", "--requeue", command="sleep 60")
    wait_until(lambda: state(cluster, poor) == "RUNNING", 300, "the job of preempt")
    rich = submit(cluster, "-p", "cpu", command="sleep 3")
    wait_until(lambda: state(cluster, rich) == "COMPLETED", 300, "the job of cpu")
    assert "Restarts=1" in cluster.run("scontrol", "show", "job", poor)
    cluster.run("scancel", poor)


def test_another_clusters_configuration_is_left_alone(monkeypatch, tmp_path) -> None:
    (tmp_path / "slurm.conf").write_text("ClusterName=site\n")
    monkeypatch.setattr("tests.cluster.slurm.ETC", tmp_path)
    monkeypatch.setattr("tests.cluster.slurm.located", lambda name: name)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "another cluster" in Cluster().impossible()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root" in Cluster().impossible()
