"""Affine scaling of network inputs, learned from the training sample and saved with the network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from truthward.errors import InputError


class Standardise(nn.Module):
    """x -> (x - mean) / sigma, column by column, (N, D) -> (N, D).

    Weighted moments use |w|: with signed weights the signed variance need not be positive.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("sigma", torch.ones(size))

    def fit(self, x: Tensor, weights: Tensor | None = None) -> Standardise:
        """Take mean and sigma from `x` (N, D) with `weights` (N,).

        Raises:
            InputError: fewer than two events, or values that are not finite.
        """
        if len(x) < 2 or not torch.isfinite(x).all():
            raise InputError(f"scaling: {len(x)} events, {int((~torch.isfinite(x)).sum())} values not finite")
        w = torch.ones(len(x), dtype=torch.float64) if weights is None else weights.double().abs()
        w = (w / w.sum())[:, None]
        mean = (w * x.double()).sum(0)
        sigma = (w * (x.double() - mean) ** 2).sum(0).sqrt()
        self.mean.copy_(mean)
        # A constant column carries no information: left at its own scale instead of divided by zero.
        self.sigma.copy_(torch.where(sigma > 1e-6 * (1.0 + mean.abs()), sigma, torch.ones_like(sigma)))
        return self

    def forward(self, x: Tensor) -> Tensor:
        """(N, D) -> (N, D), zero mean and unit width on the sample it was fitted to."""
        return (x - self.mean) / self.sigma

    def inverse(self, z: Tensor) -> Tensor:
        """(N, D) -> (N, D), back to the units of the data."""
        return z * self.sigma + self.mean
