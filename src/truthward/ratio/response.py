"""Replicas of a trained classifier without training, by the linear response of its network to other weights.

A bootstrap differs from the nominal training only by the weights of the events. Let phi(x) be the gradient of the logit
with respect to all parameters of the dense layers. The logit of a replica is l_r(x) = l_0(x) + phi(x) . delta_r. Let
g_r be the gradient of the replica's loss and H the Hessian of the nominal loss. Then delta_r is the solution of

    g_r - g_0 + (|H| + ridge / (rate T) tr|H|/F) delta = 0.

This is one Newton step from the nominal network: the infinitesimal jackknife (Jaeckel 1972; Giordano et al. 1806.00550)
of the linearised network (1902.06720). A nominal training does not end exactly in its minimum. We subtract its gradient
g_0, so that a replica with unchanged weights is the nominal network. The ridge describes that a training ends before it
has followed its sample's fluctuations in every direction. Gradient descent for the time t acts as a ridge 1/t, and here
t is the learning rate times T, the number of steps. |H| has the absolute values of H's eigenvalues, because with signed
weights some may be negative.

The gradient of a layer is an outer product of its inputs and the gradient at its outputs. Only products with the
gradients of other events matter. `SKETCH` random bilinear forms keep these products on average. All replicas share phi
and H, so one step consists of two products of (N, F) with (F, E).

More steps would solve the replica's own equation. But if a replica draws data in a tail and no simulation there, this
solution has an unlimited logit, and the iterations of an unfolding amplify it. One step avoids this.
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
"""Number of random forms for each layer."""

RIDGE = 0.03
"""In units of 1 / (learning rate times steps of the nominal training). Fixed on two toys and Z+jets, so that bootstraps
of the data have the same variance as trainings; `benchmarks/replica_spread.py` measures it with other events."""

CURVED = 100_000
"""The Hessian is summed over at least this number of events, if there are more. It is then known to sqrt(F / events),
which is six percent. Gradients are summed over all events, because we need their fluctuation."""

SHORTEST = 0.3
"""Minimum of learning rate times steps. After a shorter nominal training one cannot predict what others would do."""

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
        pieces: pieces of the training events: x (m, ...), numerator (m,) bool, and weights (m, E), the nominal weights
            first, with classes that are balanced column by column (`classifier.balanced`).
        events: number of events in all pieces.
        settings: settings of the training, which give its length. If it continued another one: of that first training.
        rows: number of rows in one product; it limits the memory.

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
        pieces: pieces of the training events: x (m, ...), ratio (m, E) divided by the column's mean, and weights (m, E)
            of any sign and unit mean; the nominal column first.
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
    """Logits (N, E) float32 of the members at any x (N, ...), the nominal member first; from row `start` on."""

    def __init__(self, tangent: _Tangent, delta: Tensor, rows: int, label: str) -> None:
        self._tangent, self._delta, self._rows, self._label = tangent, delta, rows, label

    def __call__(self, x: Tensor, start: int = 0) -> np.ndarray:
        pieces = (self._tangent(part) for part in x[start:].split(self._rows))
        result = torch.cat([torch.addmm(logit, phi, self._delta) for phi, logit in pieces]).numpy()
        finite = np.isfinite(result)
        if not finite.all():
            raise DivergedError(f"{self._label}: {int((~finite).sum())} of {result.size} logits are not finite")
        return result


def _respond(
    network: LogRatio, pieces: Pieces, events: int, settings: Settings, ridge: float, rows: int, label: str
) -> WeightResponse:
    """Solve for pieces of x, `total` and `positive` (m, E): an event's weight in both classes and in the numerator.

    The gradient of the loss with respect to a logit with probability p is total p - positive.
    """
    tangent, hessian, gradient, every = _Tangent(network), 0.0, 0.0, 1 + events // CURVED
    # Features are computed twice, piece by piece: storing them would take more memory than everything else.
    for piece in pieces:
        parts = (torch.as_tensor(p, dtype=torch.float32).split(rows) for p in piece)
        for x, both, upper in zip(*parts, strict=True):
            phi, logit = tangent(x)
            chance = torch.sigmoid(logit)
            curved = (every * both[:, :1] * chance * (1.0 - chance))[::every]
            hessian = hessian + (phi[::every].T @ (phi[::every] * curved)).double()
            residual = both * chance - upper
            # Subtract the first column, the nominal: the rest of its gradient is common to all replicas.
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

    Layers before them (scaling, or networks of constituents) stay as they are.
    """

    def __init__(self, network: LogRatio) -> None:
        self.trunk = copy.deepcopy(network).eval()
        # Every network ends in a dense network.
        dense = [m for m in self.trunk.modules() if isinstance(m, MLP)][-1]
        self.linear = [m for m in dense.layers if isinstance(m, nn.Linear)]
        self.activations = [m for m in dense.layers if not isinstance(m, nn.Linear)]
        dense.layers = nn.Sequential()
        random = torch.Generator().manual_seed(0)
        self.forms = [
            (
                torch.randn(m.out_features, SKETCH, generator=random),
                torch.randn(m.in_features + 1, SKETCH, generator=random) / SKETCH**0.5,
            )
            for m in self.linear[:-1]
        ]
        self._kept: Tensor | None = None

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, ...) -> phi (B, F), which the next call overwrites, and logit (B, 1)."""
        with torch.no_grad():
            start = self.trunk(x).reshape(len(x), -1)
        inputs, outputs, values, value = [], [], [], start
        for linear, activation in zip(self.linear[:-1], self.activations, strict=True):
            inputs.append(value)
            with torch.no_grad():
                outputs.append(linear(value))
            with torch.enable_grad():
                values.append(activation(outputs[-1].requires_grad_()))
            value = values[-1].detach()
        last = self.linear[-1]
        phi, at = self._room(len(x)), last.in_features + 1
        phi[:, : at - 1], phi[:, at - 1] = value, 1.0
        with torch.no_grad():
            logit = last(value)
        back = last.weight.detach().expand(len(x), -1)
        for k in reversed(range(len(inputs))):
            back = torch.autograd.grad(values[k], outputs[k], back)[0]
            left, right = self.forms[k]
            torch.mul(back @ left, torch.addmm(right[-1], inputs[k], right[:-1]), out=phi[:, at : at + SKETCH])
            at += SKETCH
            back = back @ self.linear[k].weight.detach()
        return phi, logit

    def _room(self, rows: int) -> Tensor:
        """Memory for phi, kept between pieces: allocating it anew would cost more time than filling it."""
        if self._kept is None or len(self._kept) < rows:
            features = self.linear[-1].in_features + 1 + SKETCH * len(self.forms)
            self._kept = torch.empty(rows, features)
        return self._kept[:rows]
