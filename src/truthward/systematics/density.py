"""Re-weight one sample to the density of another, and test the result with new classifiers."""

from __future__ import annotations

from typing import Any

import numpy as np

from truthward.events.effective_size import effective_size
from truthward.ratio.classifier import two_sample_scores
from truthward.ratio.reweight import auc, normalise
from truthward.records.systematics import Density
from truthward.study.seeds import seed_for

SIGMAS, SHARE = 4.0, 0.2
"""Samples agree if |AUC - 1/2| is within this many standard deviations of zero, or is this share of its old value."""


def weights_like(
    x: np.ndarray,
    w: np.ndarray,
    y: np.ndarray,
    v: np.ndarray,
    *,
    seed: int,
    label: str,
    before: float | None = None,
    **options: Any,
) -> tuple[np.ndarray, Density]:
    """Weights of x (N, D) that give it the density of y (M, D) with weights v (M,), and a test of them.

    The ratio comes from classifiers of two folds, so that no network weights an event that it has seen.

    Args:
        w: original weights (N,) of x. before: the AUC with which the result is compared; None: the AUC of w.
        options: options of the classifiers, see `ratio.classifier.cross_fit`. Networks test the result, whatever
            classifier has found the ratio: boosted trees would be blind to what boosted trees have missed.

    Returns:
        The weights (N,), with the sum of v; auc_before, auc_after by new classifiers, auc_error, closes.

    Raises:
        DivergedError: a training, or weights that are not finite or have no positive sum.
    """

    def areas(weights: np.ndarray, step: str, **changed: Any) -> tuple[np.ndarray, float]:
        given: dict[str, Any] = {"seed": seed_for(seed, step), "label": f"{label}, {step}"} | options | changed
        of_y, of_x = two_sample_scores(y, v, x, weights, **given)
        numerator = np.arange(len(y) + len(x)) < len(y)
        return of_x, auc(np.concatenate([of_y, of_x]), numerator, np.concatenate([v, weights]))

    scores, first = areas(w, "ratio")
    with np.errstate(divide="ignore"):
        # A score of one gives an infinite ratio, which the next lines count and refuse.
        log_ratio = np.log(scores) - np.log1p(-scores)
    ratio, _ = normalise(log_ratio[:, None], w[:, None], np.array([v.sum()]))
    new = w * ratio[:, 0]
    _, after = areas(new, "closure", classifier="dense")
    before = first if before is None else before
    # The error of the rank statistic for equal distributions. With the new weights it could become arbitrarily large,
    # and hide any difference, if a few events dominate.
    n, m = float(effective_size(w)), float(effective_size(v))
    error = float(np.sqrt((n + m + 1) / (12 * n * m)))
    closes = bool(abs(after - 0.5) <= max(SIGMAS * error, SHARE * abs(before - 0.5)))
    return new, {"auc_before": before, "auc_after": after, "auc_error": error, "closes": closes}
