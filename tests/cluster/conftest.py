"""A SLURM for the session, and a clone of the checkout that submits to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.slurm import Cluster
from tests.workflow.conftest import Clone, new_clone

# Snakemake looks after its jobs every few seconds here, not every 40.
SUBMIT = ("--workflow-profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "3")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    reason = cluster.impossible()
    if reason:
        pytest.skip(reason)
    with cluster:
        yield cluster


class Submitter(Clone):
    """A clone whose calls of Snakemake submit to the cluster."""

    def submit(self, *words: str, study: str = "study.yaml", timeout: int = 3600) -> str:
        done = self.call(*words, *SUBMIT, "--configfile", study, timeout=timeout)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
        return done.stdout + done.stderr


@pytest.fixture
def clone(cluster, tmp_path) -> Submitter:
    """A clone without results; make sure that the cluster outlives it."""
    return Submitter(new_clone(tmp_path / "clone").folder)
