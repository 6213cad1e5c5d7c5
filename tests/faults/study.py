"""A study of one short training, started in ways that can be hurt, and what is left to look at afterwards."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from tests.workflow.conftest import Clone, new_clone

EPOCHS = 12
RESULTS = "results/tiny"
PARTS = f"{RESULTS}/unfold/omnifold/parts"
NOMINAL, TRAINED = f"{PARTS}/nominal.parquet", f"{PARTS}/nominal.safetensors"
TARGET = f"{RESULTS}/unfold/omnifold/unfolded.parquet"
LOG = f"{RESULTS}/logs/unfold_nominal/omnifold.log"
LOCK = f"{RESULTS}/logs/unfold_nominal/.omnifold.log.lock"
OPTIONS = ("--cores", "1", "--configfile", "study.yaml")
LINE = re.compile(r"iteration (\d+), (reco|truth): epoch (\d+)/")


def until(true: Callable[[], object], what: str, seconds: float = 600) -> None:
    """Poll until `true()` holds; AssertionError saying what did not come."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what}: not after {seconds} s"
        time.sleep(0.01)


def after(epoch: tuple[int, str, int]) -> tuple[int, str, int]:
    """The epoch that follows."""
    iteration, step, number = epoch
    if number < EPOCHS:
        return iteration, step, number + 1
    return (iteration, "truth", 1) if step == "reco" else (iteration + 1, "reco", 1)


class Study(Clone):
    """A clone with the shortest study that trains: the tiny one with one method and a few replicas of it."""

    @classmethod
    def new(cls, folder: Path) -> Study:
        study = cls(new_clone(folder).folder)
        study.study(_shrink)
        return study

    def fork(self, folder: Path) -> Study:
        shutil.copytree(self.folder, folder, symlinks=True)
        return Study(folder)

    def prepare(self) -> None:
        """All that comes before the unfolding."""
        self.run(f"{RESULTS}/ingest/examined.json", cores=1)

    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(self.folder / "src"), "OMP_NUM_THREADS": "1"}

    def start(self, *words: str) -> subprocess.Popen:
        """A call in a session of its own, of the target where no words say otherwise."""
        # What earlier jobs logged would be taken for its own.
        self.path(LOG).unlink(missing_ok=True)
        with (self.folder / "call.log").open("w") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "snakemake", *(words or (TARGET, *OPTIONS))],
                cwd=self.folder,
                env=self.environment(),
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen]:
        """A call that is over when the block is."""
        running = self.start(*words)
        try:
            yield running
            running.wait(timeout=1500)
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
                running.wait()

    def recover(self) -> str:
        """What a user does next: the same call again, with `--unlock` before it where Snakemake asks for that."""
        done = self.call(TARGET, *OPTIONS)
        if "--unlock" in done.stdout + done.stderr:
            self.call("--unlock", "--configfile", "study.yaml")
            done = self.call(TARGET, *OPTIONS)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:] + self.text(LOG)[-3000:]
        return done.stdout + done.stderr

    def text(self, name: str) -> str:
        return self.path(name).read_text(encoding="utf-8") if self.path(name).is_file() else ""

    def trained(self) -> list[tuple[int, str, int]]:
        """(iteration, step, epoch) of each epoch that the last job of the training has ended."""
        return [(int(i), step, int(epoch)) for i, step, epoch in LINE.findall(self.text(LOG))]

    def trainer(self) -> int:
        """The process that makes the nominal unfolding; it says so in its lock."""
        return int(re.match(r"process (\d+)", self.text(LOCK))[1])

    def states(self) -> list[Path]:
        return sorted(self.path(PARTS).glob(".nominal.parquet.state/*/*.pt"))

    def until_trains(self, step: str = "reco", epoch: int = 2) -> None:
        """Wait for an epoch of the first iteration; more than half of the training is still to come."""
        until(lambda: (1, step, epoch) in self.trained(), f"epoch {epoch} of {step}")

    def unfinished(self) -> bool:
        """No unfolding, whole or half, under any of its names."""
        return not any(self.path(name).exists() for name in (NOMINAL, TRAINED, TARGET))

    def numbers(self) -> dict[str, np.ndarray]:
        """Every column of the unfolded sample."""
        table = pq.read_table(self.path(TARGET))
        return {name: table.column(name).to_numpy() for name in table.column_names}


@contextmanager
def halted(study: Study) -> Iterator[int]:
    """The training's process, halted in its first fit; it goes on when the block is over, if it is still there."""
    study.until_trains()
    process = study.trainer()
    os.kill(process, signal.SIGSTOP)
    try:
        yield process
    finally:
        if Path(f"/proc/{process}").exists():
            os.kill(process, signal.SIGCONT)


def _shrink(content: dict) -> None:
    for stage in ("calibrate", "surrogate", "amplify"):
        del content[stage]
    content["samples"]["simulation"].update(events=1500, chunks=1)
    content["samples"]["simulation"]["generate"].update(expected=1000)
    content["samples"]["pseudodata"].update(events=1000)
    training = {"epochs": EPOCHS, "later_epochs": EPOCHS, "batch_size": 32}
    entry = {"kind": "omnifold", "iterations": 2, "network": {"width": 16, "depth": 2}, "training": training}
    content["unfold"]["methods"] = {"omnifold": entry}
    content["unfold"]["replicas"] = {"data_bootstrap": 2, "mc_bootstrap": 0, "initialisation": 0}
    content["unfold"]["jobs"] = 1
