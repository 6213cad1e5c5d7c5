"""Resume state of a training: an undeclared file, keyed by spec and code, refused when they differ."""

from __future__ import annotations

import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from truthward.artefact import atomic
from truthward.errors import CorruptError, StaleError, TruthwardError

_FIELDS = ("epoch", "step", "running", "active", "best_loss", "best", "shadow")

# What torch raises for bytes that are no state of this training.
_DAMAGE = (RuntimeError, EOFError, LookupError, TypeError, ValueError, AttributeError, OSError, pickle.UnpicklingError)


class Interrupted(TruthwardError):
    """A signal ended the training; its state was saved where there is a place for it."""

    def __init__(self, number: int, where: str | None) -> None:
        super().__init__(f"signal {number}: " + (f"state saved in {where}; run again to go on" if where else "stopped"))
        self.number = number


def save_state(
    path: Path, key: str, module: nn.Module, optimiser: torch.optim.Optimizer, run: Any, *, done: bool = False
) -> None:
    """Write everything that the rest of the training depends on, atomically."""
    content = {
        "key": key,
        "done": done,
        "module": module.state_dict(),
        "optimiser": optimiser.state_dict(),
        "rng": torch.get_rng_state(),
        "run": {name: getattr(run, name) for name in _FIELDS},
        "history": asdict(run.history),
    }
    with atomic(path) as temporary:
        torch.save(content, temporary)


def load_state(path: Path, key: str, module: nn.Module, optimiser: torch.optim.Optimizer, run: Any) -> bool:
    """Take up a saved state where there is one; True where that training was already finished.

    Raises:
        StaleError: it belongs to another spec or other code.
        CorruptError: it cannot be read.
    """
    if not path.is_file():
        return False
    try:
        content = torch.load(path, weights_only=True)
        if content["key"] != key:
            raise StaleError(f"{path}: resume state of another spec or other code; delete it to train anew")
        module.load_state_dict(content["module"])
        optimiser.load_state_dict(content["optimiser"])
        for name in _FIELDS:
            setattr(run, name, content["run"][name])
        run.rng = content["rng"]
        for name, value in content["history"].items():
            setattr(run.history, name, value)
        return content["done"]
    except _DAMAGE as error:
        raise CorruptError(f"{path}: not a whole resume state ({error}); delete it to train anew") from error
