"""A rule with several GPUs runs through torchrun, whole, on as many processes."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from tests.options import merged
from truthward.events.parquet import Parquet

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

PARTS = "results/tiny/unfold/omnifold/parts"
LOG = "results/tiny/logs/unfold_nominal/omnifold.log"


def settle(clone, batch_size: int) -> None:
    """Leave of the study what these tests need."""

    def change(study: dict) -> None:
        study.pop("calibrate", None)
        changes = {"training": {"batch_size": batch_size}, "iterations": 1}
        study["unfold"]["methods"] = {"omnifold": merged(study["unfold"]["methods"]["omnifold"], changes)}

    clone.study(change)


def nominal(clone, batch_size: int, *words: str, fresh: bool = True) -> tuple[dict, np.ndarray]:
    """Metadata and weights of a nominal unfolding that is made anew, or, where not `fresh`, from what is there."""

    settle(clone, batch_size)
    if fresh:
        shutil.rmtree(clone.path(PARTS), ignore_errors=True)
    clone.run(f"{PARTS}/nominal.parquet", *words)
    with Parquet(clone.path(PARTS) / "nominal.parquet", what="a part", way="run it again", keys=("history",)) as file:
        return file.stored, file.read(["weight"]).column("weight").to_numpy()


def test_two_processes_write_one_artefact_with_the_loss_of_the_doubled_batch(empty) -> None:
    two, weights = nominal(empty, 32, "--set-resources", "unfold_nominal:gpus=2")
    log = empty.path(LOG).read_text(encoding="utf-8")
    assert "2 GPUs, one process each through torchrun" in log
    # Nothing is left of the second process, which wrote the same for itself; and only the first one speaks.
    assert sorted(p.name for p in empty.path(PARTS).iterdir() if not p.name.endswith((".sha256", ".state"))) == [
        "nominal.parquet",
        "nominal.safetensors",
    ]
    assert log.count("rule unfold_nominal is done") == log.count("iteration 1, reco: epoch 5/5") == 1
    if not torch.cuda.is_available():
        assert log.count("WARNING 2 GPUs were given, but torch sees none: training on the CPU") == 1
    assert two["provenance"]["device"].startswith("2 x ")
    one, expected = nominal(empty, 64)
    assert "torchrun" not in empty.path(LOG).read_text(encoding="utf-8")
    losses = [
        {name: value for entry in metadata["history"] for name, value in entry.items() if "loss" in name}
        for metadata in (two, one)
    ]
    assert losses[0]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    np.testing.assert_allclose(weights, expected, rtol=1e-4)


def test_processes_whose_torchrun_is_killed_save_their_state_and_end(empty) -> None:
    words = ["--set-resources", "unfold_nominal:gpus=2", "--cores", "2", "--configfile", "study.yaml"]
    settle(empty, 32)
    empty.run(*words[:2], "--omit-from", "unfold_nominal", f"{PARTS}/nominal.parquet")
    environment = os.environ | {"PYTHONPATH": str(empty.folder / "src"), "OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(
        [sys.executable, "-m", "snakemake", f"{PARTS}/nominal.parquet", *words],
        cwd=empty.folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    limit = time.monotonic() + 600
    log = empty.path(LOG)
    while not (log.is_file() and "epoch 1/5" in log.read_text(encoding="utf-8")):
        assert running.poll() is None, "it was over before it could be killed"
        assert time.monotonic() < limit, "no epoch passed"
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait(timeout=600)
    states = empty.path(PARTS) / ".nominal.parquet.state"
    while not (found := list(states.glob("*/*.pt"))):
        assert time.monotonic() < limit, "no state was saved"
        time.sleep(0.1)
    assert len(found) == 1
    empty.call("--unlock", "--configfile", "study.yaml")
    _, resumed = nominal(empty, 32, *words[:2], fresh=False)
    _, whole = nominal(empty, 32, *words[:2])
    np.testing.assert_array_equal(resumed, whole)
