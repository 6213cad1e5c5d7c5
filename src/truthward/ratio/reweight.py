"""Turn classifiers into weights: learn a mean weight, impose yields, and compute the AUC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from truthward.errors import DivergedError
from truthward.learn.fit import History, Settings, fit
from truthward.learn.stack import Stack
from truthward.ratio.base import LogRatio
from truthward.ratio.losses import LogisticLoss

STEPS = 65536


def train_mean(
    stack: Stack[LogRatio],
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
        DivergedError: if the mean ratio is not positive.
    """
    mean = mean_ratio(ratio, weights, label)

    data = (x, torch.from_numpy((ratio / mean).astype(np.float32)))
    validation = None if held_out is None or not held_out.any() else torch.from_numpy(held_out)
    history = fit(
        stack,
        mean_loss(stack),
        data,
        torch.from_numpy(weights),
        settings,
        seed=seed,
        validation=validation,
        label=label,
        state=state,
        state_key=key,
    )
    return np.log(mean), history


def mean_loss(stack: Stack[LogRatio]) -> LogisticLoss:
    """Losses (E, B) of the members for x (B, ...) and ratios (B, E); the members learn the mean ratio at x."""
    return LogisticLoss(stack, soft=True)


def mean_ratio(ratio: np.ndarray, weights: np.ndarray, label: str) -> np.ndarray:
    """Weighted mean (E,) of ratios (N, E) with weights (N, E).

    Raises:
        DivergedError: if it is not positive.
    """
    return mean_of((weights * ratio).sum(axis=0), weights.sum(axis=0), label)


def mean_of(total: np.ndarray, weights: np.ndarray, label: str) -> np.ndarray:
    """Like `mean_ratio`, but from the sums (E,) of weight times ratio and of the weights."""
    mean = total / weights
    if not (np.isfinite(mean) & (mean > 0)).all():
        raise DivergedError(f"{label}: the mean ratio is {float(np.min(mean)):.3g}; it must be positive")
    return mean


def normalise(log_ratio: np.ndarray, weights: np.ndarray, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shift log ratios so that the weighted sum is exact: sum_i w_i exp(log r_i) = total.

    A density ratio integrates to the ratio of the yields. A trained ratio does so only approximately.

    Args:
        log_ratio: (N, E); weights: (N, E); total: (E,), positive.

    Returns:
        The ratios (N, E), and the logarithm of the factor by which each member was off (E,), to be reported.

    Raises:
        DivergedError: if the weighted sum is not finite and positive, or a ratio is not finite.
    """
    ratio = finite_ratio(log_ratio)
    factor, off = norm((weights * ratio).sum(axis=0), total)
    return ratio * factor, off


def finite_ratio(log_ratio: np.ndarray) -> np.ndarray:
    """exp(log_ratio).

    Raises:
        DivergedError: if ratios are not finite, with the count.
    """
    with np.errstate(over="ignore"):
        ratio = np.exp(log_ratio)
    finite = np.isfinite(ratio)
    if not finite.all():
        raise DivergedError(f"{int((~finite).sum())} of {ratio.size} ratios are not finite")
    return ratio


def norm(found: np.ndarray, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The factor (E,) that makes a weighted sum `total` instead of `found`, and the logarithm of its inverse.

    See `normalise`.
    """
    if not ((found > 0) & (total > 0)).all():
        raise DivergedError(
            f"the weighted sums are {float(np.min(found)):.3g} and {float(np.min(total)):.3g}; both must be positive"
        )
    return total / found, np.log(found / total)


def auc(scores: np.ndarray, numerator: np.ndarray, weights: np.ndarray) -> float:
    """Weighted area under the ROC curve, ties counted half; 0.5 if the samples cannot be distinguished.

    It uses `STEPS` bins of the logistic function of the scores. Sorting the scores of each replica would take longer
    than computing them.

    Args:
        scores: logits (N,); numerator: (N,) bool; weights: (N,), any sign, sums of both classes not zero.
    """
    area = Area(1)
    area.add(scores[:, None], numerator, weights[:, None])
    return float(area.values()[0])


class Area:
    """`auc` of E members, from events that are added piece by piece."""

    def __init__(self, members: int) -> None:
        self._sums = np.zeros((members, 2, STEPS + 1))

    def add(self, scores: np.ndarray, numerator: np.ndarray, weights: np.ndarray) -> None:
        """Scores (n, E), numerator (n,) bool and weights (n, E)."""
        # One index for class and bin, so that one bin count serves both classes.
        place = (STEPS * 0.5 * (1.0 + np.tanh(0.5 * scores.T))).astype(np.int32) + (STEPS + 1) * numerator
        for sums, at, w in zip(self._sums, place, weights.T, strict=True):
            sums += np.bincount(at, w, minlength=2 * (STEPS + 1)).reshape(2, -1)

    def values(self) -> np.ndarray:
        """The areas, (E,)."""
        negative, positive = self._sums[:, 0], self._sums[:, 1]
        below = np.cumsum(negative, axis=1) - 0.5 * negative
        return (positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))
