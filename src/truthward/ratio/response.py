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

import numpy as np
import torch
from torch import Tensor, nn

from truthward.errors import DivergedError
from truthward.learn.fit import Settings
from truthward.learn.nets import MLP
from truthward.ratio.base import LogRatio
from truthward.ratio.classifier import balanced

SKETCH = 128
"""Random forms a layer."""

RIDGE = 0.03
"""Over learning rate times steps of the nominal training. Fixed on two toys and Z+jets, where it gives bootstraps of
the data 0.94, 0.99 and 1.03 times the variance of trainings; `benchmarks/replica_spread.py` takes other events."""

SHORTEST = 0.3
"""Learning rate times steps below which a nominal training is too far from its end to say what others would do."""

log = logging.getLogger("truthward.unfold")


def ratio_response(
    network: LogRatio,
    x: Tensor,
    numerator: np.ndarray,
    weights: np.ndarray,
    settings: Settings,
    *,
    held_out: np.ndarray | None = None,
    ridge: float = RIDGE,
    rows: int = 16384,
    label: str = "response",
) -> np.ndarray:
    """Logits (N, E) float64 at x of a density ratio that `train_ratio` has trained with the first column of weights.

    Args:
        network: the nominal network; x: (N, ...) its inputs; numerator: (N,) bool.
        weights: (N, E), the nominal ones first; the classes are balanced column by column as in the training.
        settings: of its training, the first one where it went on from another: they say how long it was.
        held_out: (N,) bool, rows that were not trained upon, and get a logit only.
        rows: of one piece; bounds the memory.

    Raises:
        DivergedError: a class without positive sum of weights, or results that are not finite.
    """
    held = np.zeros(len(numerator), dtype=bool) if held_out is None else held_out
    total = torch.from_numpy(balanced(weights, numerator, held).astype(np.float32))
    positive = total * torch.from_numpy(numerator)[:, None]
    used = torch.from_numpy(np.flatnonzero(~held))
    ridge = ridge / _length(settings, len(used), label)
    return _respond(network, x, used, total[used], positive[used], ridge, rows, label)


def mean_response(
    network: LogRatio,
    x: Tensor,
    chosen: np.ndarray,
    ratio: np.ndarray,
    weights: np.ndarray,
    settings: Settings,
    *,
    held_out: np.ndarray | None = None,
    ridge: float = RIDGE,
    rows: int = 16384,
    label: str = "response",
) -> np.ndarray:
    """Logits (M, E) float64 at x of a mean ratio that `train_mean` has trained with the first column of both.

    exp(logit + log of the column's mean ratio) is E[ratio | x].

    Args:
        network: the nominal network; x: (M, ...) its inputs; chosen: (M,) bool, the n rows that it was trained with.
        ratio, weights: (n, E) of these rows, the nominal ones first; of any sign.
        settings: see `ratio_response`.
        held_out: (n,) bool, rows among them that were not trained upon.
        rows: of one piece; bounds the memory.

    Raises:
        DivergedError: a mean ratio or a sum of weights that is not positive, or results that are not finite.
    """
    trained = np.ones(len(weights), dtype=bool) if held_out is None else ~held_out
    sums = weights[trained].sum(axis=0), (weights * ratio).sum(axis=0)
    if not (np.isfinite(sums) & (np.array(sums) > 0)).all():
        raise DivergedError(f"{label}: weights sum to {np.min(sums[0]):.3g}, with the ratio to {np.min(sums[1]):.3g}")
    scaled = torch.from_numpy((weights[trained] * (trained.sum() / sums[0])).astype(np.float32))
    mean = sums[1] / weights.sum(axis=0)
    positive = scaled * torch.from_numpy((ratio[trained] / mean).astype(np.float32))
    used = np.flatnonzero(chosen)[trained]
    ridge = ridge / _length(settings, len(used), label)
    return _respond(network, x, torch.from_numpy(used), scaled + positive, positive, ridge, rows, label)


def _respond(
    network: LogRatio,
    x: Tensor,
    used: Tensor,
    total: Tensor,
    positive: Tensor,
    ridge: float,
    rows: int,
    label: str,
) -> np.ndarray:
    """Logits at all x; `used` are the rows that `total` and `positive` (n, E), weights in both and in the upper class,
    are of. The gradient with respect to a logit of probability p is total p - positive."""
    tangent, hessian, gradient = _Tangent(network), 0.0, 0.0
    # Features are made twice, piece by piece: to keep them would take more memory than all else.
    for index, both, upper in zip(*(t.split(rows) for t in (used, total, positive)), strict=True):
        phi, logit = tangent(x[index])
        chance = torch.sigmoid(logit)
        hessian = hessian + (phi.T @ (phi * (both[:, :1] * chance * (1.0 - chance)))).double()
        residual = both * chance - upper
        # The first column is the nominal: what is left of its gradient is no replica's.
        gradient = gradient + (phi.T @ (residual - residual[:, :1])).double()
    values, vectors = torch.linalg.eigh(hessian)
    curvature = values.abs() + ridge * values.abs().mean()
    delta = (-vectors @ ((vectors.T @ gradient) / curvature[:, None])).float()
    pieces = (tangent(part) for part in x.split(rows))
    result = torch.cat([logit.double() + (phi @ delta).double() for phi, logit in pieces]).numpy()
    bad = int((~np.isfinite(result)).sum())
    if bad:
        raise DivergedError(f"{label}: {bad} of {result.size} logits are not finite")
    return result


def _length(settings: Settings, events: int, label: str) -> float:
    """Learning rate times number of steps of a training."""
    found = settings.learning_rate * settings.epochs * math.ceil(events / settings.batch_size)
    if found < SHORTEST:
        log.warning("%s: learning rate times steps of the nominal training is %.2g only: its response overstates what "
                    "trainings would spread; set `replicas: training`, or train it longer", label, found)  # fmt: skip
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
            (torch.randn(m.out_features, SKETCH, generator=random),
             torch.randn(m.in_features + 1, SKETCH, generator=random))
            for m in self.layers[:-1] if isinstance(m, nn.Linear)
        ]  # fmt: skip

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, ...) -> phi (B, F), logit (B, 1)."""
        with torch.no_grad():
            start = self.trunk(x).reshape(len(x), -1)
        one = torch.ones(len(x), 1)
        inputs, outputs, value = [], [], start
        for linear, activation in zip(self.layers[:-1:2], self.layers[1::2], strict=True):
            inputs.append(value)
            with torch.no_grad():
                outputs.append(linear(value))
            value = activation(outputs[-1])
        last, parts = self.layers[-1], [value.detach(), one]
        with torch.no_grad():
            logit = last(value)
        back = last.weight.detach().expand(len(x), -1)
        for k in reversed(range(len(inputs))):
            given = outputs[k].requires_grad_()
            with torch.enable_grad():
                slope = torch.autograd.grad(self.layers[2 * k + 1](given).sum(), given)[0]
            back = back * slope
            left, right = self.forms[k]
            parts.append((back @ left) * (torch.cat([inputs[k], one], dim=1) @ right) / SKETCH**0.5)
            back = back @ self.layers[2 * k].weight.detach()
        return torch.cat(parts, dim=1).detach(), logit
