"""A target of known density, far from Gaussian, whose regions have exact probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ModulatedRing:
    """Points of the plane with radius r ~ N(radius, width) and angle phi ~ (1 + modulation cos(lobes phi)) / 2 pi.

    A ring with lobes, similar to the shells of GANplification (2008.06545, section 3). It is curved, is not uniform in
    angle, and has no density at its centre. Both distribution functions are known. The radius has a normal one
    (P(r < 0) = 1e-12 at the defaults). The angle has [phi + modulation sin(lobes phi) / lobes] / 2 pi. At the defaults
    the columns have unit variance, within a few per cent.
    """

    radius: float = 1.4
    width: float = 0.2
    modulation: float = 0.5
    lobes: int = 3

    def sample(self, events: int, generator: torch.Generator) -> Tensor:
        """Draw (events, 2) points, float32."""
        uniform = torch.rand(events, dtype=torch.float64, generator=generator)
        r = self.radius + self.width * torch.randn(events, dtype=torch.float64, generator=generator)
        low, high = torch.zeros_like(uniform), torch.full_like(uniform, 2.0 * math.pi)
        for _ in range(45):  # Bisection to 2 pi / 2^45.
            middle = 0.5 * (low + high)
            left = self.angle_cdf(middle) < uniform
            low, high = torch.where(left, middle, low), torch.where(left, high, middle)
        return torch.stack([r * low.cos(), r * low.sin()], 1).float()

    def angle_cdf(self, phi: Tensor) -> Tensor:
        """P(angle < phi) for phi (...) from 0 to 2 pi."""
        return (phi + self.modulation / self.lobes * (self.lobes * phi).sin()) / (2.0 * math.pi)


@dataclass(frozen=True)
class Regions:
    """Cells of the plane: `radial` shells of equal probability, each in `angular` sectors of equal angle."""

    target: ModulatedRing
    radial: int = 4
    angular: int = 12

    def probabilities(self) -> Tensor:
        """Exact probability of each cell, (Q,) float64, Q = radial x angular; they sum to one."""
        edges = torch.linspace(0.0, 2.0 * math.pi, self.angular + 1, dtype=torch.float64)
        sector = self.target.angle_cdf(edges).diff()
        return (sector / self.radial).repeat(self.radial)

    def fractions(self, x: Tensor) -> Tensor:
        """Share of the points (..., N, 2) in each cell, (..., Q) float64."""
        inner = torch.arange(1, self.radial, dtype=torch.float64) / self.radial
        bounds = self.target.radius + self.target.width * torch.special.ndtri(inner)
        shell = torch.bucketize(x.double().square().sum(-1).sqrt(), bounds, right=True)
        angle = torch.remainder(torch.atan2(x[..., 1], x[..., 0]).double(), 2.0 * math.pi)
        sector = (angle / (2.0 * math.pi) * self.angular).long().clamp(max=self.angular - 1)
        cell = shell * self.angular + sector
        counts = torch.zeros(*cell.shape[:-1], self.radial * self.angular, dtype=torch.float64)
        counts.scatter_add_(-1, cell, torch.ones_like(cell, dtype=torch.float64))
        return counts / x.shape[-2]
