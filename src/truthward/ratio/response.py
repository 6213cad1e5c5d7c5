"""Replicas of a trained classifier without training: the linear response of its network to other weights.

A bootstrap differs from the nominal training by the weights of the events alone. With the gradient phi(x) of the logit
with respect to all parameters of the dense layers, a replica's logit is l_r(x) = l_0(x) + phi(x) . delta_r; with g_r
the gradient of the replica's loss and H the Hessian of the nominal one, delta_r is the solution of

    g_r - g_0 + (|H| + ridge / (rate T) tr|H|/F) delta = 0,

one Newton step from the nominal: the infinitesimal jackknife (Jaeckel 1972; Giordano et al. 1806.00550) of the
linearised network (1902.06720). Subtracting g_0, of a nominal training that has not quite ended in its minimum, makes a
replica of unchanged weights the nominal one. The ridge stands for the end of a training before it has followed its
sample's fluctuations in every direction: gradient descent for the time t acts as a ridge 1/t, and here t is learning
rate times T, the number of steps of the optimiser. |H| has the moduli of H's eigenvalues: with signed weights some may
be negative.

The gradient of a layer is an outer product, of what comes back to its outputs and of its inputs; only its products with
other events' gradients matter, and these are kept, on average, by `SKETCH` random bilinear forms of it. All replicas
share phi and H, so that a step is two products of (N, F) with (F, E).

More steps would solve the replica's own equation. Where a replica draws data in a tail and none of its simulation, that
has a logit without bound, which the iterations of an unfolding carry on: one step has no such way out.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from truthward.errors import DivergedError
from truthward.learn.fit import Settings
from truthward.learn.nets import MLP
from truthward.ratio.base import LogRatio

SKETCH = 128
"""Random forms a layer."""

RIDGE = 0.03
"""Over learning rate times steps of the nominal training. Fixed on two toys and Z+jets, where it gives bootstraps of
the data 0.94, 0.99 and 1.03 times the variance of trainings; `benchmarks/replica_spread.py` takes other events."""

CURVED = 1_000_000
"""Events that the Hessian is summed over, at least, where there are more: it is then known to sqrt(F / events), that is
two percent. Gradients are sums over all events: their fluctuation is what is asked for."""

SHORTEST = 0.3
"""Learning rate times steps below which a nominal training is too far from its end to say what others would do."""

log = logging.getLogger("truthward.unfold")


Pieces = Iterable[tuple[Tensor, np.ndarray, np.ndarray]]


def ratio_response(
    network: LogRatio,
    pieces: Pieces,
    events: int,
    settings: Settings,
    *,
    ridge: float = RIDGE,
    rows: int = 4096,
    label: str = "response",
) -> WeightResponse:
    """The response of a density ratio that was trained with the first column of the weights.

    Args:
        network: the nominal network.
        pieces: of the training events: x (m, ...), numerator (m,) bool, and weights (m, E), the nominal ones first,
            of both classes balanced column by column (`classifier.balanced`).
        events: how many there are in all pieces.
        settings: of its training, the first one where it went on from another: they say how long it was.
        rows: of one product; bounds the memory.

    Raises:
        DivergedError: results that are not finite.
    """
    return _respond(network, ((x, w, w * t[:, None]) for x, t, w in pieces), events, settings, ridge, rows, label)


def mean_response(
    network: LogRatio,
    pieces: Pieces,
    events: int,
    settings: Settings,
    *,
    ridge: float = RIDGE,
    rows: int = 4096,
    label: str = "response",
) -> WeightResponse:
    """The response of a mean ratio that was trained with the first column of ratios and weights.

    exp(logit + log of the column's mean ratio) is E[ratio | x].

    Args:
        network: the nominal network.
        pieces: of the training events: x (m, ...), ratio (m, E) over the column's mean, and weights (m, E) of unit
            mean; the nominal ones first, of any sign.
        events, settings, rows: see `ratio_response`.

    Raises:
        DivergedError: results that are not finite.
    """

    def both() -> Pieces:
        for x, ratio, weights in pieces:
            scaled = weights.astype(np.float32)
            positive = scaled * ratio.astype(np.float32)
            yield x, scaled + positive, positive

    return _respond(network, both(), events, settings, ridge, rows, label)


class WeightResponse:
    """Logits (N, E) float64 of the members at any x (N, ...), the nominal one first."""

    def __init__(self, tangent: _Tangent, delta: Tensor, rows: int, label: str) -> None:
        self._tangent, self._delta, self._rows, self._label = tangent, delta, rows, label

    def __call__(self, x: Tensor) -> np.ndarray:
        pieces = (self._tangent(part) for part in x.split(self._rows))
        result = torch.cat([logit.double() + (phi @ self._delta).double() for phi, logit in pieces]).numpy()
        bad = int((~np.isfinite(result)).sum())
        if bad:
            raise DivergedError(f"{self._label}: {bad} of {result.size} logits are not finite")
        return result


def _respond(
    network: LogRatio, pieces: Pieces, events: int, settings: Settings, ridge: float, rows: int, label: str
) -> WeightResponse:
    """Solve for events x with `total` and `positive` (m, E), weights in both classes and in the upper one. The gradient
    with respect to a logit of probability p is total p - positive."""
    tangent, hessian, gradient, every = _Tangent(network), 0.0, 0.0, 1 + events // CURVED
    # Features are made twice, piece by piece: to keep them would take more memory than all else.
    for piece in pieces:
        parts = (torch.as_tensor(p, dtype=torch.float32).split(rows) for p in piece)
        for x, both, upper in zip(*parts, strict=True):
            phi, logit = tangent(x)
            chance = torch.sigmoid(logit)
            curved = (every * both[:, :1] * chance * (1.0 - chance))[::every]
            hessian = hessian + (phi[::every].T @ (phi[::every] * curved)).double()
            residual = both * chance - upper
            # The first column is the nominal: what is left of its gradient is no replica's.
            gradient = gradient + (phi.T @ (residual - residual[:, :1])).double()
    values, vectors = torch.linalg.eigh(hessian)
    curvature = values.abs() + ridge / _length(settings, events, label) * values.abs().mean()
    delta = (-vectors @ ((vectors.T @ gradient) / curvature[:, None])).float()
    return WeightResponse(tangent, delta, rows, label)


def _length(settings: Settings, events: int, label: str) -> float:
    """Learning rate times number of steps of a training."""
    found = settings.learning_rate * settings.epochs * math.ceil(events / settings.batch_size)
    if found < SHORTEST:
        log.warning(
            "%s: learning rate times number of steps of the nominal training is only %.2g, so its response "
            "overestimates the spread of trainings; set `replicas: {by: training}`, or train longer",
            label,
            found,
        )
    return found


class _Tangent:
    """Gradient of the logit with respect to the parameters of the network's dense layers, sketched.

    Whatever comes before them (scaling, or networks of constituents) stays as it is.
    """

    def __init__(self, network: LogRatio) -> None:
        self.trunk = copy.deepcopy(network).eval()
        # Every network ends in a dense one.
        dense = [m for m in self.trunk.modules() if isinstance(m, MLP)][-1]
        self.layers, dense.layers = list(dense.layers), nn.Identity()
        random = torch.Generator().manual_seed(0)
        self.forms = [
            (
                torch.randn(m.out_features, SKETCH, generator=random),
                torch.randn(m.in_features + 1, SKETCH, generator=random) / SKETCH**0.5,
            )
            for m in self.layers[:-1]
            if isinstance(m, nn.Linear)
        ]
        self._kept: Tensor | None = None

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, ...) -> phi (B, F), which is overwritten by the next call, and logit (B, 1)."""
        with torch.no_grad():
            start = self.trunk(x).reshape(len(x), -1)
        inputs, outputs, value = [], [], start
        for linear, activation in zip(self.layers[:-1:2], self.layers[1::2], strict=True):
            inputs.append(value)
            with torch.no_grad():
                outputs.append(linear(value))
            value = activation(outputs[-1])
        last = self.layers[-1]
        phi, at = self._room(len(x)), last.in_features + 1
        phi[:, : at - 1], phi[:, at - 1] = value.detach(), 1.0
        with torch.no_grad():
            logit = last(value)
        back = last.weight.detach()
        for k in reversed(range(len(inputs))):
            given = outputs[k].requires_grad_()
            with torch.enable_grad():
                slope = torch.autograd.grad(self.layers[2 * k + 1](given).sum(), given)[0]
            back = slope.mul_(back)
            left, right = self.forms[k]
            torch.mul(back @ left, torch.addmm(right[-1], inputs[k], right[:-1]), out=phi[:, at : at + SKETCH])
            at += SKETCH
            back = back @ self.layers[2 * k].weight.detach()
        return phi, logit

    def _room(self, rows: int) -> Tensor:
        """Memory for phi: what is taken anew for each piece costs more than to fill it."""
        if self._kept is None or len(self._kept) < rows:
            features = self.layers[-1].in_features + 1 + SKETCH * len(self.forms)
            self._kept = torch.empty(rows, features)
        return self._kept[:rows]
