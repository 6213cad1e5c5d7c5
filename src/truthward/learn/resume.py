"""Save and load the resume state of a training: an undeclared file with a key of spec and code, refused if they differ.

It only saves time. If it is damaged, the log says so and the training starts again. An error would stop each further
call too, until somebody deletes a file that the workflow makes by itself.
"""

from __future__ import annotations

import logging
import pickle
import signal
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from truthward.errors import CorruptError, StaleError, TruthwardError
from truthward.learn.device import rng_state
from truthward.learn.distributed import of_all, rank, world
from truthward.learn.optimiser import AdamW
from truthward.run.artefact import atomic

log = logging.getLogger("truthward.resume")

_FIELDS = ("epoch", "step", "running", "active", "best_loss", "best")

# The archive, its records and torch raise these errors for bytes that are not the state of a training.
_DAMAGE = (
    RuntimeError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    OSError,
    MemoryError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
)


class Interrupted(TruthwardError):
    """A signal ended the training; its state was saved if there is a file for it."""

    def __init__(self, caught: list[int], where: Path | None) -> None:
        # If the signal went to another process, nothing was caught here.
        self.number = caught[0] if caught else signal.SIGTERM
        what = f"state saved in {where}; run again to go on" if where else "stopped"
        super().__init__(f"signal {self.number}: {what}")


def save_state(path: Path, key: str, module: nn.Module, optimiser: AdamW, run: Any, *, done: bool = False) -> None:
    """Write everything that the rest of the training depends on, atomically.

    All processes call it at the same step, because their random states differ. The first one writes.
    """
    rng = of_all(rng_state(next(module.parameters()).device))
    if rank():
        return
    content = {
        "key": key,
        "done": done,
        "module": module.state_dict(),
        "optimiser": optimiser.state_dict(),
        "rng": rng,
        "run": {name: getattr(run, name) for name in _FIELDS},
        "history": asdict(run.history),
    }
    with atomic(path) as temporary:
        torch.save(content, temporary)


def load_state(path: Path, key: str, module: nn.Module, optimiser: AdamW, run: Any) -> bool:
    """Load a saved state if there is a complete one. Return True if that training was already finished.

    Raises:
        StaleError: it belongs to another spec or other code.
        CorruptError: it is complete, but belongs to another training.
    """
    content = _read(path) if path.is_file() else None
    if content is None:
        return False
    device = next(module.parameters()).device
    try:
        if content["key"] != key:
            raise StaleError(
                f"{path}: this resume state belongs to another spec or other code; delete it to train again"
            )
        if len(content["rng"]) != world():
            raise StaleError(
                f"{path}: this resume state belongs to {len(content['rng'])} processes; delete it to train with "
                f"{world()}"
            )
        module.load_state_dict(content["module"])
        optimiser.load_state_dict(content["optimiser"])
        for name in _FIELDS:
            value = content["run"][name]
            setattr(run, name, [t.to(device) for t in value] if isinstance(value, list) else value)
        run.rng = content["rng"]
        for name, value in content["history"].items():
            setattr(run.history, name, value)
        return content["done"]
    except _DAMAGE as error:
        raise CorruptError(f"{path}: no resume state of this training ({error}); delete it to train again") from error


def _read(path: Path) -> Any:
    """Read what `save_state` wrote; None, with a warning in the log, if it is truncated or damaged."""
    try:
        # torch does not check the checksums that it writes: a flipped bit would become part of a weight.
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise ValueError(f"{damaged} does not match its checksum")
        return torch.load(path, weights_only=True, map_location="cpu")
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:160]
        log.warning("%s: resume state is truncated or damaged (%s), so this training starts again", path, reason)
        return None


@contextmanager
def signals() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGUSR1 while training, so that the state is saved between two steps."""
    caught: list[int] = []
    previous = {}
    try:
        for number in (signal.SIGTERM, signal.SIGUSR1):
            previous[number] = signal.signal(number, lambda n, _frame: caught.append(n))
    except ValueError:  # Only the main thread may handle signals.
        previous = {}
    try:
        yield caught
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
