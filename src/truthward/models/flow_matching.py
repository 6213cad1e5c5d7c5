"""Conditional flow matching with a dense network."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from truthward.errors import ConfigError
from truthward.learn.nets import MLP, waves
from truthward.models.base import Transport


class FlowMatching(Transport):
    """A velocity field v(x, t, condition) that carries noise (t = 0) to data (t = 1) along straight lines.

    x_t = (1 - t) e + t x, with e standard normal and t uniform. The loss is |v(x_t, t) - (x - e)|^2 / D. Its minimum
    is the marginal velocity of the probability path (Lipman et al. 2210.02747, eqs. 9 and 23 for sigma_min -> 0).

    Args:
        dimensions: D, given by the program.
        conditions: C, given by the program.
        width: number of nodes in each hidden layer.
        depth: number of hidden layers.
        activation: function between the hidden layers; relu learns a ring in fewer steps than silu.
        frequencies: number of sines and cosines of the time that the network sees, see `learn.nets.waves`.
        solver: solver of dx/dt = v; midpoint, heun and rk4 make fixed steps, dopri5 chooses its own.
        steps: number of equal steps of the fixed solvers.
        tolerance: absolute and relative tolerance of dopri5.
        batch: events that are carried at once, so that the activations stay in the processor's cache.
        precision: number format of the velocity while sampling; bf16 is faster on processors that support it.
    """

    BOUNDS = (
        (">= 1", "width depth steps batch"),
        (">= 0", "frequencies"),
        ("> 0", "tolerance"),
    )

    def __init__(
        self,
        *,
        dimensions: int,
        conditions: int,
        width: int = 128,
        depth: int = 3,
        activation: Literal["relu", "gelu", "silu", "tanh"] = "relu",
        frequencies: int = 2,
        solver: Literal["midpoint", "heun", "rk4", "dopri5"] = "midpoint",
        steps: int = 6,
        tolerance: float = 1e-4,
        batch: int = 2048,
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> None:
        super().__init__(
            dimensions=dimensions,
            conditions=conditions,
            solver=solver,
            steps=steps,
            tolerance=tolerance,
            batch=batch,
            precision=precision,
        )
        if min(width, depth) < 1 or frequencies < 0:
            raise ConfigError(
                f"flow_matching: width {width}, depth {depth}, frequencies {frequencies} given; at least 1 "
                "(frequencies: 0) is needed"
            )
        self.frequencies = frequencies
        inputs = dimensions + conditions + 1 + 2 * frequencies
        self.network = MLP(inputs, dimensions, width=width, depth=depth, activation=activation)

    def loss(self, x: Tensor, condition: Tensor) -> Tensor:
        """Squared error of the velocity at a random time, mean over dimensions, (B, D), (B, C) -> (B,)."""
        inputs, velocity = self.regression(x, condition)
        return (self.network(inputs) - velocity).square().mean(-1)

    def regression(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs of the network (..., B, K), at a random time, and the velocity (..., B, D) that it learns there.

        Args:
            x: (..., B, D); condition: (..., B, C). With a member axis all members have the same times and noise.
        """
        # Shapes and not `rand_like`: then all members under vmap share the same numbers.
        t = torch.rand(x.shape[-2], 1, device=x.device, dtype=x.dtype)
        noise = torch.randn(x.shape[-2:], device=x.device, dtype=x.dtype)
        inputs = (1.0 - t) * noise + t * x, condition, waves(t, self.frequencies)
        rows = torch.broadcast_shapes(*(i.shape[:-1] for i in inputs))
        return torch.cat([i.expand(*rows, -1) for i in inputs], dim=-1), x - noise

    def velocity(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """See `Transport`."""
        return self.network(torch.cat([x, condition, waves(t, self.frequencies)], dim=-1))
