"""Check a learned ratio by reliability curves, and correct it by a monotone map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from truthward.errors import DivergedError, InputError
from truthward.ratio.classifier import balanced


def reliability(predicted: np.ndarray, target: np.ndarray, weights: np.ndarray, *, bins: int = 20) -> dict[str, Any]:
    """Predicted and observed mean, in bins of the prediction with equal |weight|.

    For step 2 of OmniFold these are the learned and the target ratios of the matched events. Events of the training
    show what the network could not learn. Only held-out events show what it learned by heart.

    The error in a bin is the error of observed minus predicted, sqrt(sum w^2 (target - predicted)^2) / sum w. It is
    right for weights of any sign, and it is above zero if all targets of a bin are equal.

    Args:
        predicted: (N,), target: (N,); weights: (N,), of any sign.

    Returns:
        `predicted`, `observed`, `error`: one number for each bin; `ece`: weighted mean |observed - predicted|, in units
        of the target; `chi2`, `ndf` (number of bins whose error is not zero); `dropped`: number of bins without a
        positive sum of weights, which are left out.

    Raises:
        InputError: no events, shapes that do not agree, or values that are not finite.
        DivergedError: the weights sum to zero or less.
    """
    for name, values in (("predictions", predicted), ("targets", target), ("weights", weights)):
        if values.shape != (len(predicted),) or len(values) == 0 or not np.isfinite(values).all():
            raise InputError(
                f"reliability: {name} of shape {values.shape}, {int((~np.isfinite(values)).sum())} of them not finite; "
                f"one finite number per event is expected"
            )
    if not weights.sum() > 0:
        raise DivergedError(f"reliability: the weights sum to {float(weights.sum()):.3g}; a mean needs a positive sum")
    index = _bins(predicted, np.abs(weights), bins)
    total, forecast, residual, square = (
        np.bincount(index, v, minlength=bins)
        for v in (weights, weights * predicted, weights * (target - predicted), (weights * (target - predicted)) ** 2)
    )
    filled = np.bincount(index, minlength=bins) > 0
    good = filled & (total > 0)
    total, forecast, residual, square = total[good], forecast[good], residual[good], square[good]
    known = square > 0  # The error is zero if prediction and target agree to the last digit.
    return {
        "predicted": (forecast / total).tolist(),
        "observed": ((forecast + residual) / total).tolist(),
        "error": (np.sqrt(square) / total).tolist(),
        "ece": float(np.abs(residual).sum() / total.sum()),
        "chi2": float((residual[known] ** 2 / square[known]).sum()),
        "ndf": int(known.sum()),
        "dropped": int((filled & ~good).sum()),
    }


def class_reliability(
    logits: np.ndarray, numerator: np.ndarray, weights: np.ndarray, *, bins: int = 20
) -> dict[str, Any]:
    """Reliability of a classifier of two balanced classes, as `train_ratio` trains them: P(numerator) in bins.

    Args:
        logits: (N,); numerator: (N,) bool; weights: (N,), of any sign and normalisation.
    """
    even = balanced(weights[:, None], numerator, np.zeros(len(weights), dtype=bool))[:, 0]
    return reliability(_sigmoid(logits), numerator.astype(np.float64), even, bins=bins)


class Isotonic:
    """Monotone map of the log ratios of E members, by isotonic regression.

    The events are sorted by log ratio into bins of equal |weight|. The observed ratios of the bins,
    sum(above) / sum(below), are pooled until they rise (pool adjacent violators; Zadrozny and Elkan, KDD 2002). Each
    pool gives one knot at its mean predicted and its observed ratio (Oron and Flournoy, 1701.05964), so the map rises
    strictly. It is linear between knots and a constant shift beyond the outermost knots, so no ratio becomes 0 or
    infinite. A pool without positive sums of both kinds joins its neighbour.

    Fit it with events that the networks were *not* trained with (held out, or by cross-fitting). On its own training
    events a network looks calibrated even if it learned them by heart. The map does not keep yields. They are imposed
    afterwards with `reweight.normalise`, as for uncorrected ratios.

    Args:
        predicted, observed: (E, K) rising log ratios of the knots. If a member has fewer knots, its last is repeated.
    """

    def __init__(self, predicted: np.ndarray, observed: np.ndarray) -> None:
        self.predicted, self.observed = predicted, observed

    @classmethod
    def fit(cls, logits: np.ndarray, above: np.ndarray, below: np.ndarray, *, bins: int = 20) -> Isotonic:
        """Fit the map of each member to events.

        Args:
            logits: (N, E), log ratios to be corrected; the ratio should be above / below.
            above, below: (N, E), weights of any sign of an event in numerator and denominator. For a classifier they
                are w in the event's own class and 0 in the other, with balanced classes as in the training. For a mean
                ratio they are w ratio and w.
            bins: number of bins before pooling.

        Raises:
            InputError: values that are not finite.
            DivergedError: a member whose numerator or denominator has no positive sum.
        """
        if bad := sum(int((~np.isfinite(v)).sum()) for v in (logits, above, below)):
            raise InputError(f"isotonic calibration: {bad} log ratios or weights are not finite")
        knots = np.empty((2, logits.shape[1], bins))
        for e in range(logits.shape[1]):
            found = _pools(logits[:, e], above[:, e], below[:, e], bins)
            knots[:, e, : found.shape[1]] = found
            knots[:, e, found.shape[1] :] = found[:, -1:]
        return cls(*knots)

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Corrected log ratios of any events, (N, E) -> (N, E); the map of a single member is used for all."""
        own = np.broadcast_to(np.arange(len(self.predicted)), (logits.shape[1],))
        result = np.array(logits, dtype=np.float64)
        for e, m in enumerate(own):
            result[:, e] += np.interp(result[:, e], self.predicted[m], self.observed[m] - self.predicted[m])
        return result

    def arrays(self) -> dict[str, np.ndarray]:
        """The knots, for `from_arrays`."""
        return {"predicted": self.predicted, "observed": self.observed}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Isotonic:
        """Rebuild the map from its `arrays`."""
        return cls(arrays["predicted"], arrays["observed"])


def _pools(logits: np.ndarray, above: np.ndarray, below: np.ndarray, bins: int) -> np.ndarray:
    """Knots of one member, (2, K): mean predicted and observed log ratio of each pool."""
    if not min(above.sum(), below.sum()) > 0:
        raise DivergedError(
            f"isotonic calibration: weights sum to {float(above.sum()):.3g} in the numerator and to "
            f"{float(below.sum()):.3g} in the denominator; both must be positive"
        )
    # Absolute weights, so that the mean prediction of a pool lies within the pool.
    size = np.abs(above) + np.abs(below)
    index = _bins(logits, size, bins)
    columns = (above, below, size * _sigmoid(logits), size * _sigmoid(-logits))
    table = np.stack([np.bincount(index, v, minlength=bins) for v in columns], axis=1)
    pools: list[np.ndarray] = []
    for row in table[table[:, 2] > 0]:
        pools.append(row)
        while len(pools) > 1 and not _rises(*pools[-2:]):
            pools[-2:] = [pools[-2] + pools[-1]]
    above, below, yes, no = np.array(pools).T
    return np.stack([np.log(yes / no), np.log(above / below)])


def _rises(left: np.ndarray, right: np.ndarray) -> bool:
    usable = min(left[0], left[1], right[0], right[1]) > 0
    return bool(usable and left[0] * right[1] < right[0] * left[1])


def _bins(values: np.ndarray, size: np.ndarray, bins: int) -> np.ndarray:
    """Bin of each event, (N,): `bins` bins of equal size in the order of the values; equal values share a bin."""
    order, place = np.unique(values, return_inverse=True)
    sizes = np.bincount(place, size, minlength=len(order))
    centre = np.cumsum(sizes) - 0.5 * sizes
    return np.minimum((centre / sizes.sum() * bins).astype(int), bins - 1)[place]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0.0, -x))
