"""Faults: each is injected, shown to have struck, and survived. Tests and `benchmarks/faults.py` use them alike.

A case is a generator of a study: it injects, yields what was seen, and is taken up again after the recovery, to look at
what that did. Its docstring says how the fault is injected.
"""

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
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.faults.study import EPOCHS, LOG, OPTIONS, PARTS, RESULTS, TARGET, TRAINED, Study, after, halted, until

FIRST, LAST = (1, "reco", 1), (2, "truth", EPOCHS)
Case = Callable[[Study], Iterator[str]]


@dataclass(frozen=True)
class Outcome:
    """One line of the table; `seconds` from the call after the fault to its end."""

    fault: str
    injected: str
    seen: str
    lost: str
    seconds: float


def perform(case: Case, study: Study, undisturbed: dict[str, np.ndarray]) -> Outcome:
    """Inject a fault, recover from it by the same call again, and compare every number with those undisturbed."""
    steps = case(study)
    seen = next(steps)
    started = time.monotonic()
    study.recover()
    seconds = time.monotonic() - started
    for _ in steps:
        raise AssertionError("a case yields once")
    return compared(case, study, undisturbed, seen, seconds)


def compared(case: Callable, study: Study, undisturbed: dict[str, np.ndarray], seen: str, seconds: float) -> Outcome:
    """The line of a study that has recovered; nothing but its artefacts is left in its folder."""
    numbers = study.numbers()
    assert set(numbers) == set(undisturbed)
    lost = [name for name, values in undisturbed.items() if not np.array_equal(numbers[name], values)]
    litter = [p.name for p in study.path(RESULTS).rglob(".*") if p.suffix != ".sha256"]
    assert not litter, litter
    what, _, how = " ".join(case.__doc__.split()).rstrip(".").partition(": ")
    return Outcome(what, how, seen, ", ".join(lost) or "nothing", round(seconds, 1))


def killed_training(study: Study) -> Iterator[str]:
    """SIGKILL of a training: sent to its process in the second of its four fits."""
    with study.running() as running:
        study.until_trains("truth")
        os.kill(study.trainer(), signal.SIGKILL)
    assert running.returncode == 1
    ended = study.trained()[-1]
    assert study.unfinished()
    yield "job failed; states of the fits before, no file under a real name"
    # Of a fit that took less than the 30 s between two states only its end was saved.
    assert study.trained()[0] in {(*ended[:2], 1), after(ended)}


def killed_call(study: Study) -> Iterator[str]:
    """SIGKILL of all: Snakemake and its job, as when the machine goes down."""
    with study.running() as running:
        study.until_trains("truth")
        trainer = study.trainer()
        os.killpg(running.pid, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{trainer}").exists(), "the end of the training")
    ended = study.trained()[-1]
    assert study.unfinished()
    yield "folder locked by a call that is dead; states of the fits before"
    assert study.trained()[0] in {(*ended[:2], 1), after(ended)}


def notice(study: Study) -> Iterator[str]:
    """Notice of a time limit: SIGUSR1 to the training, which has seconds to save its state."""
    with study.running() as running:
        study.until_trains()
        os.kill(study.trainer(), signal.SIGUSR1)
    assert running.returncode == 1
    ended = study.trained()[-1]
    assert "Interrupted: signal 10: state saved in" in study.text(LOG)
    assert study.unfinished()
    yield "`Interrupted: signal 10: state saved`, in the middle of an epoch"
    # The epoch that the signal cut is ended, none is made again.
    assert study.trained()[0] == after(ended)


def ended_session(study: Study) -> Iterator[str]:
    """SIGTERM of all: Snakemake and its job, as at the end of a session."""
    with study.running() as running:
        study.until_trains()
        os.killpg(running.pid, signal.SIGTERM)
    ended = study.trained()[-1]
    assert "Interrupted: signal 15: state saved in" in study.text(LOG)
    assert study.unfinished()
    yield "`Interrupted: signal 15: state saved`, in the middle of an epoch"
    assert study.trained()[0] == after(ended)


def orphan(study: Study) -> Iterator[str]:
    """SIGKILL of Snakemake alone, then a second call: its training lives on while the second call starts."""
    with study.running() as running:
        study.until_trains()
        running.kill()
        running.wait()
        trainer = study.trainer()
        # Halted, or it might be over before the second call's job comes.
        os.kill(trainer, signal.SIGSTOP)
        study.call("--unlock", "--configfile", "study.yaml")
        with study.running():
            until(lambda: "is being made by another job" in study.text(LOG), "a second job that waits")
            assert study.trainer() == trainer
            assert not study.trained()
            os.kill(trainer, signal.SIGCONT)
    log = study.text(LOG)
    assert f"is being made by another job (process {trainer}, since" in log
    assert "was done by a job of the same key that outlived its call: nothing to do" in log
    yield "the second call's job waited for the first one's and took up what that made; one writer"
    assert study.text(LOG) == log


def finished_orphan(study: Study) -> Iterator[str]:
    """SIGKILL of Snakemake alone, then a call after its job's end: the training ends with nobody there to note it."""
    with study.running() as running:
        study.until_trains()
        trainer = study.trainer()
        running.kill()
        running.wait()
        until(lambda: not Path(f"/proc/{trainer}").exists(), "the end of the training")
    assert study.path(TRAINED).exists()
    assert study.trained()[-1] == LAST
    yield "artefacts whole, but none that Snakemake has a record of"
    assert "outlived its call: nothing to do" in study.text(LOG)
    assert not study.trained()


def orphan_of_another_spec(study: Study) -> Iterator[str]:
    """SIGKILL of Snakemake alone, then another config: the training ends, and belongs to the config of before."""
    with other(study, lambda s: s["unfold"]["methods"]["omnifold"]["training"].update(epochs=1, later_epochs=1)):
        with study.running() as running:
            study.until_trains(epoch=1)
            trainer = study.trainer()
            running.kill()
            running.wait()
            until(lambda: not Path(f"/proc/{trainer}").exists(), "the end of the training")
        assert study.path(TRAINED).exists()
        # What Snakemake leaves where such a job ran on a cluster: no record, and no mark of being incomplete either.
        shutil.rmtree(study.path(".snakemake/incomplete"))
    yield "artefacts of the other config, which Snakemake has no record of and would not question"
    assert study.trained()[0] == FIRST
    assert study.trained()[-1] == LAST


def two_calls(study: Study) -> Iterator[str]:
    """Two calls at once on one results folder: the second while the first trains."""
    with study.running() as running:
        # Or the first might be over before the second has started.
        with halted(study):
            second = study.call(TARGET, *OPTIONS)
        assert running.poll() is None
    said = second.stdout + second.stderr
    assert second.returncode != 0
    assert "LockException" in said
    assert "Directory cannot be locked" in said
    assert running.returncode == 0, study.text("call.log")
    log = study.text(LOG)
    assert study.trained()[0] == FIRST
    yield "second call refused (`LockException`), the first not disturbed"
    assert study.text(LOG) == log


def full_disk(study: Study) -> Iterator[str]:
    """Disk full during a write: a tmpfs in place of the folder of the unfolding, with no room for a state."""
    folder = study.path(f"{PARTS}/..").resolve()
    folder.mkdir(parents=True)
    with tmpfs(folder, "4m"):
        (folder / "filler").write_bytes(bytes(2**22 - 2**15))
        first = study.call(TARGET, *OPTIONS)
        assert first.returncode == 1
        said = re.search(r"SpaceError: (\S+): no space left on its disk", study.text(LOG))
        assert said, study.text(LOG)
        assert study.unfinished()
        left = [p.name for p in folder.rglob("*") if p.is_file() and p not in study.states()]
        assert left == ["filler"]
        (folder / "filler").unlink()
        yield "`SpaceError` with the file and the way out; states before it stay, nothing else is there"
        kept = study.path("kept")
        shutil.copytree(folder, kept)
    shutil.rmtree(folder)
    kept.rename(folder)


def damaged(study: Study, name: str, rule: str) -> Iterator[str]:
    """Cut an artefact off, then flip a bit of it: each time the next job finds it and says how to go on."""
    path, whole = study.path(name), study.path(name).read_bytes()
    for damage in (truncated, flipped):
        path.write_bytes(damage(whole))
        failed = study.call(TARGET, *OPTIONS)
        assert failed.returncode == 1
        logs = "".join(p.read_text() for p in study.path(f"{RESULTS}/logs").rglob("*.log"))
        said = re.search(
            rf"CorruptError: {re.escape(name)}: ([^;]*); [^\n]*: (rm .*), then .*reruns rule {rule}\)", logs
        )
        assert said, logs
        assert ("truncated" in said[1]) is (damage is truncated)
        assert not study.path(TARGET).exists()
    subprocess.run(said[2], shell=True, cwd=study.folder, check=True)
    yield f"`CorruptError` before use; it names the file, rule {rule}, and the commands"


def damaged_parquet(study: Study) -> Iterator[str]:
    """Parquet file truncated, then bit-flipped: an event table, before it is unfolded."""
    yield from damaged(study, f"{RESULTS}/ingest/simulation.parquet", "ingest")


def damaged_root(study: Study) -> Iterator[str]:
    """ROOT file truncated, then bit-flipped: simulated events, before they are read."""
    yield from damaged(study, f"{RESULTS}/simulate/simulation/0.root", "simulate")


def damaged_checkpoint(study: Study) -> Iterator[str]:
    """Checkpoint truncated, then bit-flipped: the nominal networks, before replicas start from them."""
    study.run(TRAINED, cores=1)
    yield from damaged(study, TRAINED, "unfold_nominal")


def truncated(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def flipped(whole: bytes) -> bytes:
    middle = len(whole) // 2
    return whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]


def stale_worker(study: Study) -> Iterator[str]:
    """A worker with other code than the scheduler's: `learn/fit.py` is edited between plan and job."""
    # Of a job that has a record the plan is made when the call starts.
    study.run(TARGET, cores=1)
    study.path(f"{RESULTS}/logs/ingest/simulation.log").unlink()
    source = study.path("src/truthward/learn/fit.py")
    before = source.read_text(encoding="utf-8")
    with study.running(TARGET, *OPTIONS, "--forcerun", "ingest") as running:
        until(lambda: "rule ingest starts" in study.text(f"{RESULTS}/logs/ingest/simulation.log"), "the job before")
        source.write_text(before + "\nOTHER = 1\n", encoding="utf-8")
    assert running.returncode == 1
    assert "StaleError: rule unfold_nominal: this job has other versions than the scheduler planned with" in study.text(
        LOG
    ), study.text(LOG)
    assert not study.trained()
    assert not study.path(TRAINED).exists()
    source.write_text(before, encoding="utf-8")
    yield "`StaleError` before it works, with both digests"


def stale_environment(study: Study) -> Iterator[str]:
    """A worker with another package version than the lock's: torch claims to be 0.0.0 there."""
    folder = study.path("elsewhere/torch-0.0.0.dist-info")
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 0.0.0\n", encoding="utf-8")
    environment = study.environment()
    environment["PYTHONPATH"] = os.pathsep.join([str(folder.parent), environment["PYTHONPATH"]])
    failed = subprocess.run(
        [sys.executable, "-m", "snakemake", TARGET, *OPTIONS],
        cwd=study.folder,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert failed.returncode == 1
    assert re.search(r"StaleError: .*torch.*0\.0\.0", study.text(LOG)), study.text(LOG)
    assert not study.trained()
    assert study.unfinished()
    yield "`StaleError` before it works, with both versions"


def state_of_another_spec(study: Study) -> Iterator[str]:
    """Resume state of another spec: put in the place of the study's own."""
    with other(study, lambda s: s["unfold"]["methods"]["omnifold"]["training"].update(learning_rate=1e-3)):
        interrupt(study)
        foreign = study.states()[0]
    study.call("--unlock", "--configfile", "study.yaml")
    interrupt(study)
    assert study.trained()[0] == FIRST, "a state of the other spec was taken up"
    own = next(path for path in study.states() if path.parent != foreign.parent)
    shutil.copy(foreign, own)
    refused = study.call(TARGET, *OPTIONS)
    assert refused.returncode == 1
    assert f"StaleError: {own.relative_to(study.folder)}: this resume state belongs to another spec" in study.text(LOG)
    assert study.unfinished()
    own.unlink()
    yield "not taken up; by force, `StaleError` with the file to delete"
    assert study.trained()[0] == FIRST


def state_of_other_inputs(study: Study) -> Iterator[str]:
    """Resume state of other inputs: the training is interrupted, then its data change."""
    with other(study, lambda s: s["samples"]["pseudodata"].update(events=900)):
        interrupt(study)
        assert study.states()
    yield "not taken up: the training starts anew"
    assert study.trained()[0] == FIRST


def interrupt(study: Study) -> None:
    """A call whose training is interrupted, and has saved its state."""
    with study.running():
        study.until_trains()
        os.kill(study.trainer(), signal.SIGUSR1)
    assert "Interrupted: signal 10: state saved in" in study.text(LOG)


@contextmanager
def other(study: Study, change: Callable[[dict], object]) -> Iterator[None]:
    """Another config, and the study's own again."""
    before = study.text("study.yaml")
    study.study(change)
    yield
    study.path("study.yaml").write_text(before, encoding="utf-8")


@contextmanager
def tmpfs(folder: Path, size: str) -> Iterator[None]:
    """A small disk in place of a folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def can_mount(folder: Path) -> bool:
    """Whether this machine allows it."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder)], check=False, capture_output=True)
    if done.returncode == 0:
        subprocess.run(["umount", str(folder)], check=True)
    return done.returncode == 0


LOCAL: dict[str, Case] = {
    case.__name__: case
    for case in (
        killed_training,
        killed_call,
        notice,
        ended_session,
        orphan,
        finished_orphan,
        orphan_of_another_spec,
        two_calls,
        full_disk,
        damaged_parquet,
        damaged_root,
        damaged_checkpoint,
        stale_worker,
        stale_environment,
        state_of_another_spec,
        state_of_other_inputs,
    )
}
