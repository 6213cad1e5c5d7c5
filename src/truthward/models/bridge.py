"""Bridges: generation starts from the condition instead of from noise alone."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from truthward.errors import ConfigError
from truthward.learn.nets import MLP, waves
from truthward.models.base import Transport


class Bridge(Transport):
    """Carries a condition x_0 (t = 0, reco values) to x_1 (t = 1, truth) along dx/dt = v.

    The start is y = x_0 + sigma e, with e standard normal, and x_t = (1 - t) y + t x_1. The loss is
    |v(x_t) - (x_1 - y)|^2 / D. Its minimum is the velocity that carries p(y) to p(x_1) (couplings that depend on data:
    2310.03725). x_0 is the first min(C, D) columns of the condition. If D > C, the other columns start from e.
    `pairing` says which x_0 and x_1 are coupled:

    - conditional: v also sees the condition. For one x_0 the start is N(x_0, sigma^2), and p(x_1 | condition) is
      learned. This is exactly the conditional Schroedinger bridge (SBUnfold 2308.12351, 2411.02495). The Brownian
      bridge from x_0 is X_s = (1 - s) x_0 + s x_1 + sigma sqrt(s (1 - s)) e. It is X_s = x_0 + l (x_t - x_0) with
      l = s + sqrt(s (1 - s)) and t = s / l. So both have the same probability flow, but the flow of x_t has no
      singular first step. Sampling and density are exact, except for the network and the solver.
    - paired: v sees x_t only. It maps the distribution of x_0 + sigma e, with the p(x_0) of the training, to p(x_1).
      The pairs make the map short. sigma = 0 is direct diffusion (2411.02495). With sigma > 0 this is not a Brownian
      bridge, which has other distributions at the times in between.
    - unpaired: as paired, but each x_1 is coupled with the x_0 of another event of the batch. It is for samples that
      have no common events. The loss does not know the weight of that other event, so p(x_0) is the distribution of
      the events without weights. Prior removal by weights would act on the truth only, so it is refused.

    A map of distributions gives no p(x_1 | x_0) for a single event and has no density. With sigma = 0 it cannot spread
    events of equal x_0 (an integer, for example) over several values of x_1.

    Args:
        dimensions: D, given by the program.
        conditions: C, given by the program.
        pairing: which reco values and truth values are coupled: conditional, paired or unpaired, see above.
        noise: sigma, in units of the scaled columns; it must be above 0 if `pairing` is conditional.
        width: number of nodes in each hidden layer.
        depth: number of hidden layers.
        activation: function between the hidden layers.
        frequencies: number of sines and cosines of the time that the network sees, see `learn.nets.waves`.
        solver: solver of dx/dt = v; midpoint, heun and rk4 make fixed steps, dopri5 chooses its own.
        steps: number of equal steps of the fixed solvers.
        tolerance: absolute and relative tolerance of dopri5.
        batch: events that are carried at once, so that the activations stay in the processor's cache.
        precision: number format of the velocity while sampling; bf16 is faster on processors that support it.
    """

    BOUNDS = (
        (">= 0", "noise frequencies"),
        (">= 1", "width depth steps batch"),
        ("> 0", "tolerance"),
    )

    def __init__(
        self,
        *,
        dimensions: int,
        conditions: int,
        pairing: Literal["conditional", "paired", "unpaired"] = "conditional",
        noise: float = 0.5,
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
        self.CONDITIONAL = self.LIKELIHOOD = pairing == "conditional"
        self.PAIRED = pairing != "unpaired"
        if noise < 0 or (noise == 0 and self.CONDITIONAL):
            raise ConfigError(
                f"bridge: noise {noise} given; at least 0 is needed, and more than 0 for `pairing: conditional`, where "
                "one reco event leads to many truth events"
            )
        if min(width, depth) < 1 or frequencies < 0:
            raise ConfigError(
                f"bridge: width {width}, depth {depth}, frequencies {frequencies} given; at least 1 (frequencies: 0) "
                "is needed"
            )
        self.pairing, self.noise, self.frequencies = pairing, float(noise), frequencies
        self.started = min(conditions, dimensions)
        inputs = dimensions + (conditions if self.CONDITIONAL else 0) + 1 + 2 * frequencies
        self.network = MLP(inputs, dimensions, width=width, depth=depth, activation=activation)

    def loss(self, x: Tensor, condition: Tensor) -> Tensor:
        """Squared error of the velocity at a random time, mean over dimensions, (B, D), (B, C) -> (B,)."""
        if not self.PAIRED:
            # Batches are in random order, so the neighbour can be any other event.
            condition = condition.roll(1, 0)
        t = torch.rand(x.shape[0], 1, device=x.device, dtype=x.dtype)
        start = self._start(condition, torch.randn(x.shape, device=x.device, dtype=x.dtype))
        predicted = self.velocity((1.0 - t) * start + t * x, t, condition)
        return (predicted - (x - start)).square().mean(-1)

    def velocity(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """See `Transport`."""
        seen = [x, condition] if self.CONDITIONAL else [x]
        return self.network(torch.cat([*seen, waves(t, self.frequencies)], dim=-1))

    def sample(self, condition: Tensor, noise: Tensor | None = None) -> Tensor:
        """(B, C) -> (B, D); e is `noise` (B, D)."""
        if noise is None:
            noise = torch.randn(condition.shape[0], self.dimensions, device=condition.device, dtype=condition.dtype)
        return super().sample(condition, self._start(condition, noise))

    def log_prob(self, x: Tensor, condition: Tensor) -> Tensor:
        """See `Transport`; only for pairing: conditional."""
        if not self.LIKELIHOOD:
            raise ConfigError(f"bridge: pairing {self.pairing} has no tractable density; set `pairing: conditional`")
        return super().log_prob(x, condition)

    def _start(self, condition: Tensor, noise: Tensor) -> Tensor:
        first = condition[:, : self.started] + self.noise * noise[:, : self.started]
        return torch.cat([first, noise[:, self.started :]], dim=-1)

    def _log_start(self, x: Tensor, condition: Tensor) -> Tensor:
        first = (x[:, : self.started] - condition[:, : self.started]) / self.noise
        noise = torch.cat([first, x[:, self.started :]], dim=-1)
        return super()._log_start(noise, condition) - self.started * math.log(self.noise)
