"""Denoising diffusion with the preconditioning of EDM."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from truthward.errors import ConfigError
from truthward.learn.nets import MLP, waves
from truthward.models.base import Transport


class Diffusion(Transport):
    """A denoiser D(y + sigma e; sigma) of the data y, and its probability-flow ODE (Karras et al. 2206.00364).

    With columns of unit variance, the preconditioning of EDM (their Table 1, sigma_data = 1) depends on one angle phi
    with tan phi = sigma: c_in = cos phi, c_skip = cos^2 phi, c_out = sin phi. The network F(z, phi) sees
    z = c_in (y + sigma e) = cos phi y + sin phi e, and learns what c_skip leaves to it. The denoiser's error has the
    weight 1 / c_out^2, which gives the loss |F - (sin phi y - cos phi e)|^2 / D. Their ODE (eq. 1) becomes
    dz / dphi = -F. It is solved in z, which has unit variance at all times.

    A schedule sets the noise levels in training and the steps in sampling:
        - edm: ln sigma is normal in training (`level_mean`, `level_width`). Equal steps in t are the steps of their
          eq. 5 from sigma_max to sigma_min, which lie close together at low noise. phi is stretched by some per cent,
          so that t = 0 is pure noise and t = 1 has no noise. This allows a short range of sigma.
        - variance_preserving: phi = pi / 2 (1 - t), t uniform in training (the cosine schedule, 2102.09672).

    Args:
        dimensions: D, given by the program.
        conditions: C, given by the program.
        width: number of nodes in each hidden layer.
        depth: number of hidden layers.
        activation: function between the hidden layers.
        frequencies: number of sines and cosines of 1 - 2 phi / pi that the network sees, see `learn.nets.waves`.
        schedule: noise levels of training and sampling: edm or variance_preserving, see above.
        level_mean: for schedule edm: mean of ln sigma in training. The -1.2 of the paper belongs to sigma_data = 0.5.
        level_width: for schedule edm: standard deviation of ln sigma in training.
        sigma_min: for schedule edm: smallest noise level of the steps.
        sigma_max: for schedule edm: largest noise level of the steps. A shorter range of levels needs fewer steps.
        rho: for schedule edm: with a larger rho more steps lie at small noise levels.
        solver: solver of dx/dt = v; midpoint, heun and rk4 make fixed steps, dopri5 chooses its own.
        steps: number of equal steps of the fixed solvers.
        tolerance: absolute and relative tolerance of dopri5.
        batch: events that are carried at once, so that the activations stay in the processor's cache.
        precision: number format of the velocity while sampling; bf16 is faster on processors that support it.
    """

    BOUNDS = (
        (">= 1", "width depth steps batch"),
        (">= 0", "frequencies"),
        ("> 0", "level_width sigma_min sigma_max rho tolerance"),
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
        schedule: Literal["edm", "variance_preserving"] = "edm",
        level_mean: float = -0.5,
        level_width: float = 1.2,
        sigma_min: float = 0.02,
        sigma_max: float = 20.0,
        rho: float = 7.0,
        solver: Literal["midpoint", "heun", "rk4", "dopri5"] = "midpoint",
        steps: int = 8,
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
                f"diffusion: width {width}, depth {depth}, frequencies {frequencies} given; at least 1 "
                "(frequencies: 0) is needed"
            )
        if not (0 < sigma_min < sigma_max and rho > 0 and level_width > 0):
            raise ConfigError(
                f"diffusion: sigma_min {sigma_min}, sigma_max {sigma_max}, rho {rho}, level_width {level_width} given; "
                "0 < sigma_min < sigma_max, and positive rho and level_width, are needed"
            )
        self.frequencies, self.schedule, self.rho = frequencies, schedule, rho
        self.level_mean, self.level_width = level_mean, level_width
        self.sigma_min, self.sigma_max = sigma_min, sigma_max
        self.network = MLP(
            dimensions + conditions + 1 + 2 * frequencies, dimensions, width=width, depth=depth, activation=activation
        )

    def loss(self, x: Tensor, condition: Tensor) -> Tensor:
        """Squared error of F at a random noise level, mean over dimensions, (B, D), (B, C) -> (B,)."""
        # Shapes and not `rand_like`: then all members under vmap share the same numbers.
        if self.schedule == "edm":
            level = torch.randn(x.shape[0], 1, device=x.device, dtype=x.dtype)
            phi = (self.level_mean + self.level_width * level).exp().atan()
        else:
            phi = 0.5 * math.pi * torch.rand(x.shape[0], 1, device=x.device, dtype=x.dtype)
        noise = torch.randn(x.shape, device=x.device, dtype=x.dtype)
        found = self._f(phi.cos() * x + phi.sin() * noise, phi, condition)
        return (found - (phi.sin() * x - phi.cos() * noise)).square().mean(-1)

    def velocity(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """See `Transport`: dz / dt = -F dphi / dt."""
        phi, speed = self.angle(t)
        return -speed * self._f(x, phi, condition)

    def angle(self, t: Tensor) -> tuple[Tensor, Tensor | float]:
        """phi and dphi / dt at time t, in the shape of `t`."""
        if self.schedule == "variance_preserving":
            return 0.5 * math.pi * (1.0 - t), -0.5 * math.pi
        first, last = (sigma ** (1.0 / self.rho) for sigma in (self.sigma_max, self.sigma_min))
        root = first + t * (last - first)
        sigma = root**self.rho
        low = math.atan(self.sigma_min)
        stretch = 0.5 * math.pi / (math.atan(self.sigma_max) - low)
        slope = self.rho * root ** (self.rho - 1.0) * (last - first)
        return stretch * (sigma.atan() - low), stretch * slope / (1.0 + sigma.square())

    def _f(self, z: Tensor, phi: Tensor, condition: Tensor) -> Tensor:
        time = 1.0 - phi / (0.5 * math.pi)
        return self.network(torch.cat([z, condition, waves(time, self.frequencies)], dim=-1))
