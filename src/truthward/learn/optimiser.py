"""AdamW, the learning rate of a training, and the limit of its gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

BETAS, EPS = (0.9, 0.999), 1e-8


class AdamW:
    """AdamW (1711.05101) with all parameters in one call: the numbers of `torch.optim.AdamW(fused=True)`.

    For a small network the Python code around that call takes longer than the call. It also imports torch's compiler,
    which takes seconds.
    """

    def __init__(self, parameters: Sequence[Tensor], weight_decay: float) -> None:
        self.parameters, self.weight_decay = list(parameters), weight_decay
        self.mean = [torch.zeros_like(p) for p in self.parameters]
        self.square = [torch.zeros_like(p) for p in self.parameters]
        self.steps = [torch.zeros((), device=p.device) for p in self.parameters[:1]]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move the parameters that have a gradient."""
        rows = zip(self.parameters, self.mean, self.square, strict=True)
        moved = [(p, p.grad, mean, square) for p, mean, square in rows if p.grad is not None]
        if not moved:
            return
        parameters, gradients, mean, square = map(list, zip(*moved, strict=True))
        self.steps[0].add_(1)
        torch._fused_adamw_(
            parameters,
            gradients,
            mean,
            square,
            [],
            self.steps * len(parameters),
            lr=rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=self.weight_decay,
            eps=EPS,
            amsgrad=False,
            maximize=False,
        )

    def state_dict(self) -> dict[str, Any]:
        """The moments and the number of steps, which all parameters share."""
        return {"mean": self.mean, "square": self.square, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the state of an optimiser of the same parameters.

        Raises:
            ValueError: other shapes, or another number of parameters.
        """
        for name, own in self.state_dict().items():
            given = state[name]
            if [t.shape for t in given] != [t.shape for t in own]:
                raise ValueError(f"optimiser: the saved {name} belong to other parameters")
            for t, value in zip(own, given, strict=True):
                t.copy_(value)


def learning_rate(largest: float, fraction: float) -> float:
    """The learning rate after a fraction of all steps: a cosine to zero, after a warm-up of 3%."""
    # The first steps of Adam have the size of the rate, whatever the gradient is.
    return largest * min(1.0, (fraction + 1e-9) / 0.03) * 0.5 * (1.0 + math.cos(math.pi * fraction))


def clip(gradients: list[Tensor], limit: float, members: int) -> None:
    """Scale gradients (E, ...) down to norm `limit`, separately for each of E members of a stack. 0: no limit.

    The gradients of a single member may have any shape.
    """
    if not limit or not gradients:
        return
    if members == 1:
        norm = gradients[0].norm() if len(gradients) == 1 else torch.stack(torch._foreach_norm(gradients)).norm()
        if norm.device.type != "cpu":
            # Without a look at the norm, for which the CPU would wait. One that is not finite stays so.
            torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp(max=1.0))
        # Not `if norm > limit`: a norm that is not finite must reach the parameters, where it is detected.
        elif not (found := float(norm)) <= limit:
            torch._foreach_mul_(gradients, limit / (found + 1e-6))
        return
    norms = torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients]).norm(dim=0)
    scale = (limit / (norms + 1e-6)).clamp(max=1.0)
    for g in gradients:
        g.mul_(scale.reshape(-1, *[1] * (g.ndim - 1)))
