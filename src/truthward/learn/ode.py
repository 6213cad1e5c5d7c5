"""Solve dx/dt = v(x, t) with fixed steps, or with the adaptive steps of torchdiffeq."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from truthward.errors import ConfigError

Solver = Literal["midpoint", "heun", "rk4", "dopri5"]

FIXED = {"midpoint": 2, "heun": 2, "rk4": 4}
"""Solver of fixed steps -> number of evaluations of v in a step (and its order)."""


def integrate(
    velocity: Callable[[Tensor, float | Tensor], Tensor],
    x: Tensor,
    *,
    solver: Solver = "midpoint",
    steps: int = 6,
    tolerance: float = 1e-4,
    start: float = 0.0,
    end: float = 1.0,
) -> Tensor:
    """Carry x (B, K) from time `start` to time `end`; either may be the larger one.

    Args:
        velocity: v(x, t), (B, K) and a number -> (B, K).
        solver: midpoint and heun have second order with 2 evaluations per step, rk4 has fourth order with 4. dopri5
            chooses its steps for the whole batch, so an event depends on the others, within `tolerance`. It does not
            run inside `torch.func.vmap` (use `Stack.each`).
        steps: number of equal steps of the fixed solvers.
        tolerance: absolute and relative tolerance of dopri5.

    Raises:
        ConfigError: dopri5 under vmap.
    """
    if solver == "dopri5":
        from torchdiffeq import odeint

        value = velocity(x, start)
        if torch.func.debug_unwrap(value) is not value:
            raise ConfigError(
                "solver: dopri5 has adaptive steps, so networks cannot be stacked; use midpoint, heun or rk4"
            )
        times = x.new_tensor([start, end])
        return odeint(lambda t, x: velocity(x, t), x, times, rtol=tolerance, atol=tolerance, method="dopri5")[-1]
    h = (end - start) / steps
    for step in range(steps):
        t = start + step * h
        k1 = velocity(x, t)
        if solver == "midpoint":
            x = x + h * velocity(x + 0.5 * h * k1, t + 0.5 * h)
        elif solver == "heun":
            x = x + 0.5 * h * (k1 + velocity(x + h * k1, t + h))
        else:
            k2 = velocity(x + 0.5 * h * k1, t + 0.5 * h)
            k3 = velocity(x + 0.5 * h * k2, t + 0.5 * h)
            k4 = velocity(x + h * k3, t + h)
            x = x + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
    return x
