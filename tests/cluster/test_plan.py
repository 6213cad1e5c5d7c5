"""A node whose Python, package, lock or source is not the scheduler's makes nothing."""

import pytest

from tests.cluster.conftest import SUBMIT

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

MADE = "results/tiny/simulate/pseudodata/0.root"


def test_a_node_with_another_python_makes_nothing(clone) -> None:
    # The job reads the workflow again, with this source: its params agree with it whatever the scheduler saw.
    clone.edit("src/truthward/run/digests.py", 'python = f"', 'python = "9." * ("SLURM_JOB_ID" in os.environ) + f"')
    done = clone.call(MADE, *SUBMIT, "--retries", "0", "--configfile", "study.yaml", timeout=1500)
    assert done.returncode != 0
    log = clone.path("results/tiny/logs/simulate/pseudodata.0.log").read_text(encoding="utf-8")
    assert "StaleError: rule simulate: this job has other versions than the scheduler planned with: python (9.3." in log
    assert not clone.path(MADE).exists()


def test_a_node_that_is_as_the_scheduler_has_its_plan(clone) -> None:
    clone.submit(MADE)
    log = clone.path("results/tiny/logs/simulate/pseudodata.0.log").read_text(encoding="utf-8")
    assert "the scheduler planned with did not reach" not in log
    assert "is done" in log
