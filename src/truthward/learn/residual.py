"""Residuals of a linear regression of one level's columns on the columns of the other level."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from truthward.errors import InputError

RIDGE = 1e-4
"""Added to the variances of the given columns: two equal columns would leave the regression without a solution."""


class Residual(nn.Module):
    """z -> (z - slope (given - mean_given) - mean) / sigma, column by column, (N, D) -> (N, D).

    A narrow response (z: reco columns, given: truth columns) becomes a distribution of unit width. A network with a
    squared loss learns this well. Only the absolute values of weights count, as in `learn.scaling`.

    Args:
        given: number of known columns.
        size: D.
    """

    slope: Tensor
    mean_given: Tensor
    mean: Tensor
    sigma: Tensor

    def __init__(self, given: int, size: int) -> None:
        super().__init__()
        self.register_buffer("slope", torch.zeros(size, given))
        self.register_buffer("mean_given", torch.zeros(given))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("sigma", torch.ones(size))

    def fit(self, given: Tensor, z: Tensor, weights: Tensor | None = None) -> Residual:
        """Regress `z` (N, D) on `given` (N, K) with `weights` (N,).

        Raises:
            InputError: values that are not finite, or no event of non-zero weight.
        """
        w = torch.ones(len(z), dtype=torch.float64) if weights is None else weights.double().abs()
        bad = int((~torch.isfinite(z)).sum() + (~torch.isfinite(given)).sum())
        if bad or not w.sum() > 0:
            raise InputError(
                f"linear residual: {len(z)} events, {bad} values not finite, sum of weights {float(w.sum())}; finite "
                "values and a positive sum are needed"
            )
        w = (w / w.sum())[:, None]
        mean_given, mean = (w * given.double()).sum(0), (w * z.double()).sum(0)
        a, b = given.double() - mean_given, z.double() - mean
        normal = (w * a).T @ a + RIDGE * torch.eye(a.shape[1], dtype=torch.float64)
        slope = torch.linalg.solve(normal, (w * a).T @ b).T
        sigma = (w * (b - a @ slope.T).square()).sum(0).sqrt()
        for buffer, value in zip(self.buffers(), (slope, mean_given, mean, sigma.clamp(min=1e-3)), strict=True):
            buffer.copy_(value)
        return self

    def forward(self, given: Tensor, z: Tensor) -> Tensor:
        """(N, K) and (N, D) -> (N, D): in the sample of the fit, mean 0, width 1 and no correlation with `given`."""
        return (z - self.mean - (given - self.mean_given) @ self.slope.T) / self.sigma

    def inverse(self, given: Tensor, residual: Tensor) -> Tensor:
        """(N, K) and (N, D) -> (N, D), back to the columns of `fit`."""
        return residual * self.sigma + self.mean + (given - self.mean_given) @ self.slope.T
