"""Tasks of an array stand and fall alone."""

import pytest

from tests.cluster.conftest import SUBMIT

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

SNAKEFILE = """
from truthward.run.array_task import become_own_job

become_own_job()


rule all:
    input:
        expand("{i}.txt", i=range(4)),


rule task:
    output:
        "{i}.txt",
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        "[ {wildcards.i} != 1 ] && echo {wildcards.i} > {output}"
"""
OPTIONS = ("--keep-going", "--retries", "0", "--latency-wait", "5", "--slurm-array-jobs", "task", "--groups", "no=no")


def test_one_that_fails_takes_no_other_with_it(cluster, clone) -> None:
    clone.path("Snakefile").write_text(SNAKEFILE)
    done = clone.call(*OPTIONS, *SUBMIT, "--configfile", "study.yaml")
    assert done.returncode == 1, done.stderr[-3000:]
    states = {job["id"].partition("_")[2]: job["state"] for job in cluster.jobs() if job["name"] in done.stderr}
    assert sorted(states.values()) == ["COMPLETED"] * 3 + ["FAILED"], states
    assert sorted(path.name for path in clone.folder.glob("*.txt")) == ["0.txt", "2.txt", "3.txt"]
