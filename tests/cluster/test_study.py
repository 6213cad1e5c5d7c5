"""The tiny study on SLURM, with arrays, groups and a GPU partition, ends in what a laptop makes of it."""

import io
import re
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from tests.cluster.conftest import Submitter
from tests.cluster.slurm import Cluster, rows
from tests.workflow.conftest import Clone, new_clone
from truthward.cli.watch import view

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

METHODS = ("omnifold", "generative", "ibu")
SAMPLES = ("publication/events.parquet", *(f"unfold/{method}/unfolded.parquet" for method in METHODS))


def rule(job: dict[str, str]) -> str:
    """The rule that a job is of; of a group its name and rules, as many as the plugin writes."""
    return re.match(r"rule_(\w+?)(_wildcards|_?\.\.\.|$)", job["comment"])[1]


@pytest.fixture(scope="module")
def submitted(cluster: Cluster, tmp_path_factory) -> Submitter:
    """The tiny study, submitted with the profile's trainings in the partition of GPUs."""
    clone = Submitter(new_clone(tmp_path_factory.mktemp("submitted") / "clone").folder)
    clone.edit("profiles/slurm/config.yaml", "&training {", "&training {slurm_partition: gpu, gpu: 1, ")
    clone.output = clone.submit()
    clone.gpus = dict(line.split() for line in cluster.log("gpus").splitlines())
    clone.jobs = rows(cluster.jobs(), name=re.search(r"SLURM run ID: (\S+)", clone.output)[1])
    return clone


@pytest.fixture(scope="module")
def laptop(tmp_path_factory) -> Clone:
    """As much of the study as its publication needs, run here."""
    clone = new_clone(tmp_path_factory.mktemp("laptop") / "clone")
    clone.run(*(f"results/tiny/{name}" for name in SAMPLES))
    return clone


def test_the_whole_study_is_green(submitted) -> None:
    assert submitted.planned() == set()
    for name in ("publication/metadata.json", "validate/methods.csv", "report/summary.png"):
        assert submitted.path(f"results/tiny/{name}").is_file()
    assert {job["state"] for job in submitted.jobs} == {"COMPLETED"}


@pytest.mark.parametrize("sample", SAMPLES)
def test_it_is_the_laptops_replica_by_replica(submitted, laptop, sample) -> None:
    theirs, ours = (pq.read_table(clone.path(f"results/tiny/{sample}")) for clone in (laptop, submitted))
    assert theirs.column_names == ours.column_names
    weights = [name for name in theirs.column_names if name.startswith(("weight", "replica"))]
    assert len(weights) == 1 + 9 + 9 + 2 + 2  # Nominal, two bootstraps, initialisation, calibration.
    for name in weights:
        assert ours[name].to_numpy().std() > 0
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-5, err_msg=name)


def test_jobs_of_one_rule_went_as_an_array(submitted) -> None:
    tasks = [rule(job) for job in submitted.jobs if re.fullmatch(r"\d+_\d+", job["id"])]
    assert Counter(tasks) == {"simulate": 3, "unfold_part": 2 * len(METHODS), "amplify_draw": 2}


def test_small_jobs_went_as_groups(submitted) -> None:
    comments = [job["comment"] for job in submitted.jobs]
    assert [c for c in comments if "ingest_examine" in c and "ingest_summary" in c]
    assert len(submitted.jobs) < len(list(submitted.path("results/tiny/logs").rglob("*.log")))


def test_trainings_had_a_gpu_each(submitted) -> None:
    rules = {
        partition: {rule(job) for job in rows(submitted.jobs, partition=partition)} for partition in ("cpu", "gpu")
    }
    trainings = {"calibrate", "surrogate", "amplify_study", "unfold_nominal", "unfold_part", "unfold_posterior"}
    assert trainings | {"validate", "validate_surrogate"} == rules["gpu"]
    assert not rules["gpu"] & rules["cpu"]
    alone = [job["id"] for job in submitted.jobs if rule(job) in ("calibrate", "unfold_nominal", "validate")]
    assert {submitted.gpus[job] for job in alone} <= {"0", "1"}
    log = submitted.path("results/tiny/logs/unfold_nominal/omnifold.log").read_text(encoding="utf-8")
    assert "1 GPU was given, but torch sees none: training on the CPU" in log


def test_every_job_has_a_log(submitted) -> None:
    logs = list(submitted.path("results/tiny/logs").rglob("*.log"))
    assert len(logs) > 20
    assert not [path for path in logs if "is done" not in path.read_text(encoding="utf-8")]


def test_the_summary_knows_the_run(submitted) -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(view(submitted.path("results/tiny")))
    assert re.search(r"tiny: (\d+) of \1 jobs are done", console.export_text())
