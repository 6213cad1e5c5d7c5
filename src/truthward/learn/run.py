"""Settings of a training, its losses, and the state that changes while it runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Settings:
    """How to train. A `patience` or `clip` of 0 switches it off."""

    epochs: int = 20
    batch_size: int = 1024
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    patience: int = 0
    clip: float = 1.0
    precision: Literal["fp32", "bf16"] = "fp32"


@dataclass
class History:
    """Losses per epoch, one for each member: `train[epoch][member]`; `best[member]` is the epoch that is used."""

    train: list[list[float]] = field(default_factory=list)
    validation: list[list[float]] = field(default_factory=list)
    best: list[int] = field(default_factory=list)


class Run:
    """What changes while a training runs, and so the content of a resume state."""

    def __init__(self, members: int, parameters: Sequence[Tensor], settings: Settings) -> None:
        self.settings, self.members = settings, members
        self.epoch = self.step = 0
        self.rng: list[Tensor] = []
        self.running = torch.zeros(members, dtype=torch.float64)
        self.active = torch.ones(members, dtype=torch.bool)
        self.best_loss = torch.full((members,), math.inf, dtype=torch.float64)
        self.best = [p.detach().clone() for p in parameters]
        self.history = History(best=[-1] * members)

    def close_epoch(self, train: Tensor, held: Tensor, has_validation: bool, parameters: Sequence[Tensor]) -> None:
        self.history.train.append(train.tolist())
        self.history.validation.append(held.tolist())
        # A member that ran out of patience keeps its weights, even if other members of its stack continue.
        better = self.active & (held < self.best_loss if has_validation else torch.ones_like(self.active))
        self.best_loss = torch.where(better, held, self.best_loss)
        for m in torch.nonzero(better).squeeze(1).tolist():
            self.history.best[m] = self.epoch
            for best, current in zip(self.best, parameters, strict=True):
                if self.members > 1:
                    best[m].copy_(current.detach()[m])
                else:
                    best.copy_(current.detach())
        waited = torch.tensor([self.epoch - b for b in self.history.best])
        if self.settings.patience and has_validation:
            self.active &= waited < self.settings.patience
        self.epoch, self.step = self.epoch + 1, 0

    def restore_best(self, parameters: Sequence[Tensor]) -> None:
        with torch.no_grad():
            torch._foreach_copy_(list(parameters), self.best)
