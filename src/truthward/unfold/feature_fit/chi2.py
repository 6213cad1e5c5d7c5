"""The penalised chi2 fit of `feature_fit`: re-weight matched events until sums of features agree with the data."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from truthward.errors import DivergedError

log = logging.getLogger("truthward.unfold")

KEPT = 1e-6
"""Directions of the features' correlation matrix with a smaller eigenvalue, relative to the largest, are dropped."""

STEPS, SMALL = 100, 1e-3
"""Largest number of Gauss-Newton steps, and the change of the objective (a chi2) at which they end."""


@dataclass
class Chi2Sums:
    """The input of the fit: n matched events with F features at reco and P at truth level, constants first.

    phi: (n, F), psi: (n, P) float32; weight: (n,); wanted: (F,), sum of the data's features minus the sum of all other
    simulated events at reco level; fixed: contribution of those events to the covariance (F, F); data_weight: mean
    weight of the data.
    """

    phi: Tensor
    psi: Tensor
    weight: Tensor
    wanted: Tensor
    fixed: Tensor
    data_weight: float

    def log_nu(self, theta: Tensor) -> Tensor:
        """log nu for theta, (P,) -> (n,)."""
        return self.psi @ theta.float()

    def whitening(self, theta: Tensor) -> Tensor:
        """(F, K): features whose sums have unit covariance for nu = exp(psi theta); see `spread` for the variance.

        Raises:
            DivergedError: a feature that does not vary, or a covariance that is not finite.
        """
        covariance = self.fixed + spread(self.phi, self.weight * self.log_nu(theta).exp(), self.data_weight)
        scale = covariance.diagonal().sqrt()
        if not (torch.isfinite(covariance).all() and scale[0] > 0):
            raise DivergedError("feature_fit: the covariance of the features is not finite and positive")
        # A hidden unit that is always off has no information.
        scale = torch.where(scale > KEPT * scale.max(), scale, torch.inf)
        values, vectors = torch.linalg.eigh(covariance / scale / scale[:, None])
        kept = values > KEPT * values.max()
        return vectors[:, kept] / values[kept].sqrt() / scale[:, None]


@dataclass
class Solution:
    """theta (P,), with its penalty, its chi2, the number of features K, and of parameters that the data determine."""

    theta: Tensor
    penalty: float
    chi2: float
    features: int
    determined: float


def spread(phi: Tensor, weight: Tensor, data_weight: float) -> Tensor:
    """Covariance (F, F) of the difference of two Poisson samples: simulated events of `weight` (n,), and data.

    The data that correspond to a simulated event of weight w have the variance data_weight w, and the event itself has
    w^2. If weights have both signs, the first term uses absolute weights, scaled to the sum of the weights, so that it
    stays positive.
    """
    magnitude = weight.abs()
    variance = data_weight * magnitude * (weight.double().sum() / magnitude.double().sum()).abs().float() + weight**2
    return (phi.T @ (phi * variance[:, None])).double()


def solve(sums: Chi2Sums, whitening: Tensor, theta: Tensor, penalty: float, *, adapt: bool, label: str) -> Solution:
    """Minimise |whitening^T (wanted - sum w nu phi)|^2 + penalty |theta|^2 by Gauss-Newton steps.

    The constant has no penalty.

    Args:
        theta: (P,), the start; adapt: choose the penalty by its evidence, starting from `penalty`.

    Raises:
        DivergedError: the objective is not finite, or the data determine nothing.
    """
    phi, wanted = sums.phi @ whitening.float(), whitening.T @ sums.wanted
    free = torch.ones(len(theta), dtype=torch.float64)
    free[0] = 0.0

    def value(theta: Tensor) -> tuple[Tensor, Tensor, float]:
        weight = sums.weight * sums.log_nu(theta).exp()
        residual = wanted - (phi.T @ weight).double()
        return weight, residual, float(residual @ residual + penalty * (free * theta**2).sum())

    weight, residual, objective = value(theta)
    determined, settled = 0.0, False
    for _ in range(STEPS):
        slope = (phi.T @ (sums.psi * weight[:, None])).double()
        matrix = (slope.T @ slope) + torch.diag(penalty * free)
        # Units that are always off leave small numbers from rounding in single precision.
        inverse = torch.linalg.pinv(matrix, rtol=1e-12, hermitian=True)
        determined = len(theta) - 1 - penalty * float((inverse.diagonal() * free).sum())
        step = inverse @ (slope.T @ residual - penalty * free * theta)
        before, length = objective, 1.0
        weight, residual, objective = value(theta + step)
        while not objective <= before + SMALL and length > 1e-4:
            length /= 2
            weight, residual, objective = value(theta + length * step)
        if not np.isfinite(objective):
            raise DivergedError(f"{label}: the chi2 is not finite; raise `epochs`, or check the inputs")
        theta = theta + length * step
        if settled and before - objective < SMALL:
            break
        if adapt and not settled:
            new = max(determined, 1e-3) / max(float((free * theta**2).sum()), 1e-12)
            new = float(np.clip(new, penalty / 10, penalty * 10))
            # Small changes of the penalty move the result by far less than its error.
            settled = length == 1.0 and abs(np.log(new / penalty)) * determined < 0.3
            penalty = new
            weight, residual, objective = value(theta)
        settled = settled or not adapt
    else:
        log.warning("%s: not converged in %d steps", label, STEPS)
    return Solution(theta, penalty, float(residual @ residual), len(wanted), determined)
