"""Conditional flow matching."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from truthward.errors import ConfigError
from truthward.learn.nets import MLP
from truthward.models.base import GenerativeModel


class FlowMatching(GenerativeModel):
    """A velocity field v(x, t, condition) that carries noise (t = 0) to data (t = 1) along straight lines.

    With x_t = (1 - t) e + t x, e standard normal and t uniform, the loss |v(x_t, t) - (x - e)|^2 / D has the marginal
    velocity of the probability path as its minimiser (Lipman et al. 2210.02747, eqs. 9 and 23 for sigma_min -> 0).

    Args:
        dimensions: D, given by the program.
        conditions: C, given by the program.
        width: of each hidden layer.
        depth: number of hidden layers.
        activation: between them; relu was seen to learn a ring in a third of the steps that silu needs.
        frequencies: sines and cosines of pi k t, k = 1 ... frequencies, beside t itself.
        solver: how dx/dt = v is solved; midpoint and heun are of second order with 2 evaluations a step, rk4 of fourth
            order with 4.
        steps: fixed steps from 0 to 1.
        batch: events that are carried at once, so that the activations stay in the processor's cache.
    """

    def __init__(
        self,
        *,
        dimensions: int,
        conditions: int,
        width: int = 128,
        depth: int = 3,
        activation: Literal["relu", "gelu", "silu", "tanh"] = "relu",
        frequencies: int = 2,
        solver: Literal["midpoint", "heun", "rk4"] = "midpoint",
        steps: int = 6,
        batch: int = 2048,
    ) -> None:
        super().__init__(dimensions=dimensions, conditions=conditions)
        if min(width, depth, steps, batch) < 1 or frequencies < 0:
            raise ConfigError(
                f"flow_matching: width {width}, depth {depth}, steps {steps}, batch {batch}, frequencies {frequencies} "
                "given; at least 1 (frequencies: 0) is needed"
            )
        self.frequencies = frequencies
        self.solver = solver
        self.steps = steps
        self.batch = batch
        inputs = dimensions + conditions + 1 + 2 * frequencies
        self.velocity = MLP(inputs, dimensions, width=width, depth=depth, activation=activation)

    def loss(self, x: Tensor, condition: Tensor) -> Tensor:
        """Squared error of the velocity, mean over dimensions, (B, D), (B, C) -> (B,), at a random time each."""
        # Shapes and not `rand_like`: under vmap the numbers are then shared by all members.
        t = torch.rand(x.shape[0], 1, device=x.device, dtype=x.dtype)
        noise = torch.randn(x.shape, device=x.device, dtype=x.dtype)
        predicted = self._velocity((1.0 - t) * noise + t * x, t, condition)
        return (predicted - (x - noise)).square().mean(-1)

    @torch.no_grad()
    def sample(self, condition: Tensor, noise: Tensor | None = None) -> Tensor:
        """(B, C) -> (B, D) by `steps` steps of the solver; `noise` (B, D) is where the events start."""
        if noise is None:
            noise = torch.randn(condition.shape[0], self.dimensions, device=condition.device, dtype=condition.dtype)
        parts = zip(noise.split(self.batch), condition.split(self.batch), strict=True)
        return torch.cat([self._carry(x, c) for x, c in parts])

    def _carry(self, x: Tensor, condition: Tensor) -> Tensor:
        h = 1.0 / self.steps
        for step in range(self.steps):
            t = step * h

            def slope(x: Tensor, t: float) -> Tensor:
                return self._velocity(x, x.new_full((1, 1), t).expand(x.shape[0], 1), condition)

            k1 = slope(x, t)
            if self.solver == "midpoint":
                x = x + h * slope(x + 0.5 * h * k1, t + 0.5 * h)
            elif self.solver == "heun":
                x = x + 0.5 * h * (k1 + slope(x + h * k1, t + h))
            else:
                k2 = slope(x + 0.5 * h * k1, t + 0.5 * h)
                k3 = slope(x + 0.5 * h * k2, t + 0.5 * h)
                k4 = slope(x + h * k3, t + h)
                x = x + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        return x

    def _velocity(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """(B, D), (B, 1), (B, C) -> (B, D)."""
        angles = t * (math.pi * torch.arange(1, self.frequencies + 1, device=x.device, dtype=x.dtype))
        return self.velocity(torch.cat([x, condition, t, angles.sin(), angles.cos()], dim=-1))
