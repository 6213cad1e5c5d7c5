"""The response of p(truth | reco) to the weights of its training, as weights for the draws of the nominal model.

A replica trains the model with other weights of the same events. Its density is p_r(t | x) = p_0(t | x) rho_r(t, x), so
a draw of the nominal model with the weight rho_r is a draw of the replica. We write

    log rho_r(t, x) = (phi(t, x) - E_0[phi | x]) . delta_r,

with fixed random features phi. E_0 is the mean over draws of the nominal model. It is a regression on random features
of x, and it keeps rho_r normalised at each x to first order. With weights m of sum one of the matched events j, the
log-likelihood of the replica is maximal for

    g_r = sum_j (m_rj - m_0j) (phi_j - E_0[phi | x_j]) = H delta_r,

where H is the covariance of phi at fixed x. Like `ratio.response`, this is one Newton step from the nominal model (the
infinitesimal jackknife, 1806.00550). The gradient of the nominal model itself is subtracted, so that a replica with
unchanged weights is the nominal one. A training ends before it has followed its sample's fluctuations in every
direction. A ridge describes this: gradient descent for the time t acts as a ridge 1/t, and t is the learning rate times
the number of steps T. A later training starts from the delta before:

    delta_r += (H + ridge / (rate T) tr|H|/F)^-1 (g_r - H delta_r).

The features are not those of the model's own network. So this works for every model of p(t | x).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import gelu

from truthward.learn.fit import Settings

FEATURES = 384
"""Number of features of truth and reco values, F."""

GIVEN = 192
"""Number of features of the reco values in the regression."""

RIDGE = 2.0
"""In units of 1 / (learning rate times steps). Fixed on a toy and Z+jets. There the spread of mc_bootstrap is what two
trainings of the same bootstrap have in common, if they begin with different initial weights. The rest of their spread
is the noise of training. `benchmarks/generative_spread.py` measures both with other events."""

SMALL = 1e-5
"""Ridge of the regression, relative to the mean of the squared features."""

ROWS = 16384
"""Rows in one product; it limits the memory."""


class Features:
    """Fixed random features of inputs of order one, (n, K) -> (n, F): the hidden layer of an untrained network."""

    def __init__(self, inputs: int, features: int, seed: int) -> None:
        random = torch.Generator().manual_seed(seed)
        self.weight = torch.randn(inputs, features, generator=random) * (2.0 / inputs) ** 0.5
        self.bias = torch.randn(features, generator=random)

    def __call__(self, x: Tensor) -> Tensor:
        return gelu(torch.addmm(self.bias, x, self.weight))


class Tilt:
    """log rho of E members, the nominal first.

    Args:
        truth, given: number of columns of the truth and of the reco values, as networks see them.
    """

    def __init__(self, truth: int, given: int, members: int) -> None:
        self._features, self._given = Features(truth + given, FEATURES, 0), Features(given, GIVEN, 1)
        self._mean = torch.zeros(GIVEN + 1, FEATURES)
        self._delta = torch.zeros(FEATURES, members)

    def learn(self, truth: Tensor, reco: Tensor, weight: np.ndarray, draws: Tensor, settings: Settings) -> None:
        """Follow a training of the model on events with weights (n, E) of any sign.

        Args:
            truth: (n, K'); reco: (n, K); draws: (count n, K'), draws of the nominal model after this training, draw
                after draw. settings: settings of the training.
        """
        share = weight / weight.sum(axis=0)
        own, excess = (torch.from_numpy(w).float() for w in (share[:, :1], share - share[:, :1]))
        self._mean = self._regressed(draws, reco, own.abs())
        hessian = torch.zeros(FEATURES, FEATURES, dtype=torch.float64)
        gradient = torch.zeros(FEATURES, weight.shape[1], dtype=torch.float64)
        for rows in _parts(len(reco)):
            gradient += (self._centred(truth[rows], reco[rows]).T @ excess[rows]).double()
            for drawn in draws.split(len(reco)):
                phi = self._centred(drawn[rows], reco[rows])
                hessian += (phi.T @ (phi * own[rows])).double() * (len(reco) / len(draws))
        values, vectors = torch.linalg.eigh(hessian)
        # With signed weights some eigenvalues may be negative.
        length = settings.learning_rate * settings.epochs * math.ceil(len(reco) / settings.batch_size)
        curvature = values.abs() + RIDGE / length * values.abs().mean()
        left = gradient - hessian @ self._delta.double()
        self._delta += (vectors @ ((vectors.T @ left) / curvature[:, None])).float()

    def __call__(self, truth: Tensor, reco: Tensor) -> np.ndarray:
        """log rho (n, E) float64 at truth (n, K') and reco values (n, K)."""
        parts = [self._centred(truth[rows], reco[rows]) @ self._delta for rows in _parts(len(reco))]
        return torch.cat(parts).double().numpy()

    def _regressed(self, draws: Tensor, reco: Tensor, weight: Tensor) -> Tensor:
        """Coefficients of E_0[phi | x], a weighted regression of the features of all draws."""
        square = torch.zeros(GIVEN + 1, GIVEN + 1, dtype=torch.float64)
        product = torch.zeros(GIVEN + 1, FEATURES, dtype=torch.float64)
        for rows in _parts(len(reco)):
            base = self._base(reco[rows])
            weighted = (base * weight[rows]).T
            square += (weighted @ base).double() * (len(draws) / len(reco))
            for drawn in draws.split(len(reco)):
                product += (weighted @ self._features(torch.cat([drawn[rows], reco[rows]], 1))).double()
        square.diagonal().add_(SMALL * square.diagonal().mean())
        return torch.linalg.solve(square, product).float()

    def _centred(self, truth: Tensor, reco: Tensor) -> Tensor:
        return self._features(torch.cat([truth, reco], 1)) - self._base(reco) @ self._mean

    def _base(self, reco: Tensor) -> Tensor:
        return torch.cat([self._given(reco), torch.ones(len(reco), 1)], 1)


def _parts(rows: int) -> Iterator[slice]:
    yield from (slice(start, start + ROWS) for start in range(0, rows, ROWS))
