"""Faults of a cluster, in the form of `tests.faults.cases`: what takes a job away is SLURM itself.

A case is a generator of a prepared study and the cluster: it yields what was seen while the call goes on by itself, or
after it where a second call is needed. A training is halted (SIGSTOP) until its fault has come, so that it comes in
time on any machine.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tests.cluster.slurm import Cluster, rows
from tests.faults.cases import Outcome, compared
from tests.faults.study import LOG, TRAINED, Study, after, halted, until

SUBMIT = (
    "--workflow-profile",
    "profiles/slurm",
    "--slurm-init-seconds-before-status-checks",
    "1",
    "--configfile",
    "study.yaml",
    "--retries",
    "1",
)
ALIVE = "PENDING,RUNNING,COMPLETING"
Case = Callable[[Study, Cluster], Iterator[str]]


def perform(case: Case, study: Study, cluster: Cluster, undisturbed: dict[str, np.ndarray]) -> Outcome:
    """Inject a fault, let the call or the next one recover, end the study here, and compare every number."""
    steps = case(study, cluster)
    seen = next(steps)
    started = time.monotonic()
    for _ in steps:
        raise AssertionError("a case yields once")
    study.recover()
    return compared(case, study, undisturbed, seen, time.monotonic() - started)


@contextmanager
def submitted(study: Study, **resources: str) -> Iterator[subprocess.Popen]:
    """A call that submits the training, with such resources; it has ended well when the block is over."""
    given = {"mem_mb": "2000", "runtime": "20"} | resources
    words = [f"unfold_nominal:{name}={value}" for name, value in given.items()]
    with study.running(TRAINED, *SUBMIT, "--set-resources", *words) as running:
        yield running
        running.wait(timeout=1800)
    assert running.returncode in (0, -signal.SIGKILL), study.text("call.log") + study.text(LOG)


def jobs(study: Study, cluster: Cluster, states: str = "all") -> list[str]:
    """The ids of the jobs that a call has submitted, in their order."""
    call = re.search(r"SLURM run ID: (\S+)", study.text("call.log"))[1]
    return sorted((row["id"] for row in rows(cluster.jobs(states), name=call)), key=int)


def saved(study: Study, number: int) -> tuple[int, str, int]:
    """Wait until the training has saved its state for a signal; the last epoch that it ended."""
    until(lambda: f"Interrupted: signal {number}: state saved" in study.text(LOG), "the state")
    return study.trained()[-1]


def scancel(study: Study, cluster: Cluster) -> Iterator[str]:
    """`scancel` of a running training: in its first fit."""
    with submitted(study):
        with halted(study) as process:
            [first] = jobs(study, cluster)
            cluster.run("scancel", first)
            until(lambda: _has_pending(process, signal.SIGTERM), "the signal")
        ended = saved(study, signal.SIGTERM)
        yield "SIGTERM: state saved; Snakemake submits the job again"
        until(lambda: study.trained()[:1] == [after(ended)], "the job that goes on", 900)
        assert len(jobs(study, cluster)) == 2


def time_limit(study: Study, cluster: Cluster) -> Iterator[str]:
    """Time limit with 30 s notice (`--signal`): that of a running training is set to the next minute but one."""
    with submitted(study, runtime="20*attempt", slurm_extra="'--signal=USR1@30'"):
        with halted(study) as process:
            [first] = jobs(study, cluster)
            minutes = int(cluster.run("squeue", "--noheader", f"--jobs={first}", "--format=%M").split(":")[0])
            cluster.run("scontrol", "update", f"JobId={first}", f"TimeLimit={minutes + 2}")
            # SLURM may wake a halted process for it.
            until(lambda: _has_pending(process, signal.SIGUSR1), "the notice", 900)
        ended = saved(study, signal.SIGUSR1)
        yield "SIGUSR1: state saved; Snakemake submits the job again, with more time"
        until(lambda: study.trained()[:1] == [after(ended)], "the job that goes on", 900)
        assert "TimeLimit=00:40:00" in cluster.run("scontrol", "show", "job", jobs(study, cluster)[1])


def out_of_memory(study: Study, cluster: Cluster) -> Iterator[str]:
    """Out of memory: a job with 330 MB at its first attempt."""
    with submitted(study, mem_mb="330*attempt**3"):
        until(lambda: "submitted" in study.text("call.log"), "the first job")
        [first] = jobs(study, cluster)
        until(lambda: first not in jobs(study, cluster, ALIVE), "the end of the first job", 900)
        assert "MinMemoryNode=330M" in cluster.run("scontrol", "show", "job", first)
        assert any("exceeded memory limit" in cluster.log(f"slurmd-{node}") for node in ("c1", "c2"))
        assert study.unfinished()
        yield "job killed for its memory; Snakemake submits it again, with more"
        until(lambda: len(jobs(study, cluster)) == 2, "the second job", 900)
        assert "MinMemoryNode=2640M" in cluster.run("scontrol", "show", "job", jobs(study, cluster)[1])


def requeue(study: Study, cluster: Cluster) -> Iterator[str]:
    """`scontrol requeue` of a running training: in its first fit."""
    with submitted(study):
        yield from _again(study, cluster, "scontrol", "requeue", "{job}")


def preemption(study: Study, cluster: Cluster) -> Iterator[str]:
    """Preemption: a job of another partition takes both nodes from a running training."""
    with submitted(study, slurm_partition="preempt"):
        taker = ("sbatch", "-p", "cpu", "--exclusive", "--nodes=2", "--output=/dev/null", "--wrap", "sleep 1")
        yield from _again(study, cluster, *taker)


def _again(study: Study, cluster: Cluster, *command: str) -> Iterator[str]:
    """A command after which SLURM ends the training, and runs the same job once more."""
    with halted(study) as process:
        [first] = jobs(study, cluster)
        cluster.run(*(word.format(job=first) for word in command))
        until(lambda: _has_pending(process, signal.SIGTERM), "the signal")
    ended = saved(study, signal.SIGTERM)
    assert study.unfinished()
    yield "SIGTERM: state saved; SLURM runs the same job again"
    until(lambda: study.trained()[:1] == [after(ended)], "the job that goes on", 900)
    assert jobs(study, cluster) == [first]
    assert "Restarts=1" in cluster.run("scontrol", "show", "job", first)


def orphan(study: Study, cluster: Cluster) -> Iterator[str]:
    """SIGKILL of Snakemake, then a second call while its SLURM job still runs: both jobs run at once."""
    with submitted(study) as running, halted(study) as process:
        [first] = jobs(study, cluster, "RUNNING")
        running.kill()
        running.wait()
        study.call("--unlock", "--configfile", "study.yaml")
        with submitted(study):
            until(lambda: "is being made by another job" in study.text(LOG), "a second job that waits", 900)
            assert len({first, *jobs(study, cluster, "RUNNING")}) == 2
            assert study.trainer() == process
            assert not study.trained()
            os.kill(process, signal.SIGCONT)
            yield "the second job waits for the first, and takes up what that made; one writer"
    assert "was done by a job of the same key that outlived its call: nothing to do" in study.text(LOG)
    assert not study.trained()


def finished_orphan(study: Study, cluster: Cluster) -> Iterator[str]:
    """SIGKILL of Snakemake, then a second call after its SLURM job's end: nobody is there to take note of it."""
    with submitted(study) as running:
        study.until_trains()
        running.kill()
        running.wait()
        until(lambda: not cluster.jobs(ALIVE), "the end of the job", 900)
    assert study.path(TRAINED).exists()
    yield "artefacts whole, but none that Snakemake has a record of"
    study.recover()
    assert "was done by a job of the same key that outlived its call: nothing to do" in study.text(LOG)
    assert not study.trained()


def _has_pending(process: int, number: int) -> bool:
    """Whether a signal waits for a halted process; true of one that is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):  # The latter where it ends between the opening and the reading.
        return True
    return bool(int(re.search(r"^ShdPnd:\s*(\w+)", status, re.MULTILINE)[1], 16) >> (number - 1) & 1)


CLUSTER: dict[str, Case] = {
    case.__name__: case for case in (scancel, time_limit, out_of_memory, requeue, preemption, orphan, finished_orphan)
}
