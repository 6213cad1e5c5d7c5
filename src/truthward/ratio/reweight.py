"""Weights from classifiers: learning a mean weight, and what to know of weights before they are believed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from truthward.errors import DivergedError
from truthward.learn.fit import History, Settings, fit
from truthward.learn.replicas import Stack

STEPS = 65536


def train_mean(
    stack: Stack,
    x: Tensor,
    ratio: np.ndarray,
    weights: np.ndarray,
    settings: Settings,
    *,
    seed: int,
    held_out: np.ndarray | None = None,
    label: str = "reweighting",
    state: Path | None = None,
    key: str = "",
) -> tuple[np.ndarray, History]:
    """Train E classifiers so that exp(logit + offset) is E[ratio | x] over the weighted events, in one pass each.

    Args:
        x: (N, D) shared inputs; ratio: (N, E); weights: (N, E), any sign.
        held_out: (N,) bool, rows for the choice of the epoch.

    Returns:
        offset (E,): the logarithm of the mean ratio, which the networks need not learn; and the history.

    Raises:
        DivergedError: where the mean ratio is not positive.
    """
    mean = mean_ratio(ratio, weights, label)

    def loss(x: Tensor, ratio: Tensor) -> Tensor:
        return stack.call("soft_loss", x, ratio.T, own=(False, True))

    data = (x, torch.from_numpy((ratio / mean).astype(np.float32)))
    validation = None if held_out is None or not held_out.any() else torch.from_numpy(held_out)
    history = fit(stack, loss, data, torch.from_numpy(weights), settings, seed=seed, validation=validation, label=label,
                  state=state, state_key=key)  # fmt: skip
    return np.log(mean), history


def mean_ratio(ratio: np.ndarray, weights: np.ndarray, label: str) -> np.ndarray:
    """Weighted mean (E,) of ratios (N, E) with weights (N, E).

    Raises:
        DivergedError: where it is not positive.
    """
    mean = (weights * ratio).sum(axis=0) / weights.sum(axis=0)
    if not (np.isfinite(mean) & (mean > 0)).all():
        raise DivergedError(f"{label}: the mean ratio is {float(np.min(mean)):.3g}; it must be positive")
    return mean


def normalise(log_ratio: np.ndarray, weights: np.ndarray, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shift log ratios so that the weighted sum is exact: sum_i w_i exp(log r_i) = total.

    A density ratio integrates to the ratio of the yields; a trained one does so only nearly.

    Args:
        log_ratio: (N, E); weights: (N, E); total: (E,), positive.

    Returns:
        the ratios (N, E), and the logarithm of the factor by which each member was off (E,), to be reported.

    Raises:
        DivergedError: where the weighted sum is not finite and positive, or a ratio is not finite.
    """
    with np.errstate(over="ignore"):
        ratio = np.exp(log_ratio)
    bad = int((~np.isfinite(ratio)).sum())
    if bad:
        raise DivergedError(f"{bad} of {ratio.size} ratios are not finite")
    found = (weights * ratio).sum(axis=0)
    if not ((found > 0) & (total > 0)).all():
        raise DivergedError(
            f"weighted sums {float(np.min(found)):.3g} and {float(np.min(total)):.3g}: must be positive"
        )
    return ratio * (total / found), np.log(found / total)


def auc(scores: np.ndarray, numerator: np.ndarray, weights: np.ndarray) -> float:
    """Weighted area under the ROC curve, ties counted half; 0.5 where the samples cannot be told apart.

    From `STEPS` bins of the scores' logistic: to sort the scores of each replica would cost more than to find them.

    Args:
        scores: logits (N,); numerator: (N,) bool; weights: (N,), any sign, sums of both classes not zero.
    """
    place = (STEPS * 0.5 * (1.0 + np.tanh(0.5 * scores))).astype(np.int32)
    positive = np.bincount(place, weights * numerator, minlength=STEPS + 1)
    negative = np.bincount(place, weights * ~numerator, minlength=STEPS + 1)
    below = np.cumsum(negative) - 0.5 * negative
    return float((positive * below).sum() / (positive.sum() * negative.sum()))
