"""What the workflow itself costs: a call that finds all done, a plan of 1,000 replica jobs, a job here and on SLURM.

A job of the measurement makes 1,000 Gaussian events, which takes milliseconds: the rest of its time is overhead, from
Python's start to the last check of Snakemake. QUICK takes a part of the chain for the first figure, and fewer jobs.
"""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from _common import HERE, QUICK, report

sys.path.insert(0, str(HERE.parent))

from tests.cluster.slurm import Cluster
from tests.workflow.conftest import Clone, new_clone

REPEATS = 1 if QUICK else 5
JOBS = 3 if QUICK else 16
POLL = ("--workflow-profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "5")
ALONE = ("--slurm-array-jobs", "none")  # The name of no rule.


def seconds(clone: Clone, *words: str, study: str = "study.yaml") -> float:
    """Wall time of a call of Snakemake."""
    start = time.perf_counter()
    done = clone.call(*words, "--configfile", study)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return time.perf_counter() - start


def no_op(clone: Clone, target: str) -> dict[str, Any]:
    """A call that finds everything done."""
    jobs = len(clone.planned(target))
    clone.run(target)
    assert not clone.planned(target)
    return {"jobs": jobs, "seconds": statistics.median(seconds(clone, target, "--cores", "1") for _ in range(REPEATS))}


def plan(clone: Clone) -> dict[str, Any]:
    """A dry run of a study with 1,000 jobs of replicas, of which nothing is done."""

    def change(study: dict[str, Any]) -> None:
        study["study"] = "thousand"
        study["unfold"] |= {"jobs": 1000, "replicas": {"data_bootstrap": 1000}}
        study["unfold"]["methods"] = {"omnifold": study["unfold"]["methods"]["omnifold"]}

    clone.study(change)
    jobs = len(clone.planned("unfold_all"))
    assert jobs > 1000, jobs
    return {
        "jobs": jobs,
        "seconds": statistics.median(seconds(clone, "unfold_all", "-n", "-q") for _ in range(REPEATS)),
    }


def chunks(clone: Clone, jobs: int) -> Clone:
    """The study with so many jobs of 1,000 simulated events each."""
    clone.study(lambda s: s["samples"]["simulation"].update(events=1000 * jobs, chunks=jobs))
    clone.study(lambda s: s["samples"]["pseudodata"].update(events=1000))
    return clone


def local(folder: Path) -> dict[str, Any]:
    """Jobs one after another on one core, less a call that does nothing."""
    clone = chunks(new_clone(folder), JOBS)
    whole = seconds(clone, "simulate_all", "--cores", "1")
    nothing = seconds(clone, "simulate_all", "--cores", "1")
    return {"jobs": JOBS + 1, "seconds_per_job": (whole - nothing) / (JOBS + 1)}


def elapsed(line: str) -> float:
    """Seconds that a job of SLURM held its node, from its line in the log of finished jobs."""
    start, end = (datetime.fromisoformat(re.search(rf"{name}=(\S+)", line)[1]) for name in ("StartTime", "EndTime"))
    return (end - start).total_seconds()


def slurm(folder: Path) -> dict[str, Any]:
    """Jobs as an array and one by one, two at a time; whole seconds are all that SLURM tells of a job."""
    cluster = Cluster(cpus=1)
    if reason := cluster.impossible():
        return {"absent": reason}
    figures: dict[str, Any] = {}
    known: set[str] = set()
    with cluster:
        for name, more in (("array", ()), ("single", ALONE))[: 1 if QUICK else 2]:
            clone = chunks(new_clone(folder / name), JOBS)
            wall = seconds(clone, "simulate_all", *POLL, *more)
            new = {job["id"] for job in cluster.jobs()} - known
            assert len(new) == JOBS + 1, new
            assert all(("_" in job) == (name == "array") for job in new), new
            held = [elapsed(line) for line in cluster.log("finished").splitlines()[len(known) :]]
            figures[name] = {"jobs": len(new), "seconds_per_job": statistics.mean(held), "wall": wall}
            known |= new
    return figures


def main() -> None:
    """Measure, print a line each, report."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = {"no_op": no_op(new_clone(folder / "no_op"), "simulate_all" if QUICK else "all")}
        print("no-op:", figures["no_op"])
        figures["plan"] = plan(new_clone(folder / "plan"))
        print("plan:", figures["plan"])
        figures["local"] = local(folder / "local")
        print("local:", figures["local"])
        figures["slurm"] = slurm(folder / "slurm")
        print("slurm:", figures["slurm"])
    report("overhead", figures)


if __name__ == "__main__":
    main()
