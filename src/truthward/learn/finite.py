"""Refuse losses that are not finite, without waiting for the device after each step."""

from __future__ import annotations

import torch
from torch import Tensor

from truthward.errors import DivergedError
from truthward.learn.distributed import sum_over_processes

EVERY = 16
"""Number of batches between two looks: on a GPU each look waits until all work is done."""


class Losses:
    """The losses of the last batches, at which nobody has looked yet."""

    def __init__(self) -> None:
        self._kept: list[tuple[str, Tensor, Tensor]] = []

    def add(self, where: str, value: Tensor, per_event: Tensor) -> None:
        """Keep the mean losses of a batch, (E,), summed over all processes, and the losses of its own events."""
        self._kept.append((where, value, per_event))

    @property
    def due(self) -> bool:
        """Whether to `look`; it is the same in all processes."""
        return len(self._kept) >= EVERY

    def look(self) -> None:
        """Raise DivergedError for the first batch whose sum over all processes is not finite.

        So all processes raise it together.
        """
        kept, self._kept = self._kept, []
        if not kept or bool(torch.isfinite(torch.stack([value for _, value, _ in kept]).sum())):
            return
        for where, value, per_event in kept:
            if not bool(torch.isfinite(value.sum())):
                counts = torch.tensor([int((~torch.isfinite(per_event)).sum()), per_event.numel()], device=value.device)
                sum_over_processes([counts])
                bad, every = counts.tolist()
                raise DivergedError(
                    f"{where}: {bad} of {every} losses are not finite; lower `learning_rate`, or check the inputs"
                )
