"""Test a calibration on held-out events: pulls, and closure of the response in bins."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from truthward.records.calibrate import BinMoments, ClosureRow, Moments, Pull

PULL_WIDTH = (0.9, 1.1)
"""Range of a good width of the pulls."""

CAVEAT = (
    "E[R | reco] is learned, so the mean closes in bins of reco quantities. In bins of a truth quantity it does not "
    "close exactly: events migrate between bins, and a learned mean at given reco is pulled towards the bulk of the "
    "simulated spectrum (regression dilution). A trend in truth bins is no fault; a trend in reco bins is one."
)


def quantiles(values: np.ndarray, weights: np.ndarray, at: list[float]) -> np.ndarray:
    """Weighted quantiles of `values` (N,) at the fractions `at` (Q,); negative weights are subtracted."""
    order = np.argsort(values)
    cumulative = np.maximum.accumulate(np.cumsum(weights[order]))
    places = np.searchsorted(cumulative, np.asarray(at) * cumulative[-1])
    return values[order][np.minimum(places, len(values) - 1)]


def moments(values: np.ndarray, weights: np.ndarray) -> Moments:
    """Mean, standard deviation, median and half the central 68% interval of (N,) values, with statistical errors.

    Errors are those of a Gaussian with the effective number of events (sum w)^2 / sum w^2. At least two events are
    needed.
    """
    effective = weights.sum() ** 2 / np.square(weights).sum()
    mean = np.average(values, weights=weights)
    centred = values - mean
    # With few events, signed weights can make a variance negative: then the width is set to zero.
    variance = max(float(np.average(centred**2, weights=weights)), 0.0)
    fourth = float(np.average(centred**4, weights=weights))
    width = variance**0.5
    low, median, high = quantiles(values, weights, [0.158655, 0.5, 0.841345])
    central = 0.5 * (high - low)
    root = effective**0.5
    return {
        "mean": float(mean),
        "mean_error": width / root,
        "width": width,
        # From the fourth moment of the sample: with tails the error of a width is larger than for a Gaussian.
        "width_error": max(fourth - variance**2, 0.0) ** 0.5 / (2 * width * root) if width else 0.0,
        "median": float(median),
        "median_error": 1.2533 * float(central) / root,
        "central68": float(central),
        "central68_error": 1.17 * float(central) / root,
        "effective_events": float(effective),
    }


def pulls(response: np.ndarray, mean: np.ndarray, sigma: np.ndarray, weights: np.ndarray) -> Pull:
    """Distribution of (R - mean) / sigma, all (N,): a unit Gaussian if mean and sigma are right.

    `good`: the width is within PULL_WIDTH and the mean within 0.1. `gaussian`: half the central 68% interval is also
    within PULL_WIDTH. For a response with tails, sigma can be a correct root mean square without being a 68% interval.
    `verdict`: both in words.
    """
    values = (response - mean) / sigma
    edges = np.linspace(-5.0, 5.0, 51)
    counts, _ = np.histogram(values, edges, weights=weights)
    found = moments(values, weights)
    outside = float(weights[(values < edges[0]) | (values >= edges[-1])].sum() / weights.sum())
    low, high = PULL_WIDTH
    faults = []
    if not low <= found["width"] <= high:
        faults.append(f"width {found['width']:.3f} +- {found['width_error']:.3f} outside of {low} to {high}")
    if abs(found["mean"]) > 0.1:
        faults.append(f"mean {found['mean']:.3f} +- {found['mean_error']:.3f} beyond 0.1")
    gaussian = bool(low <= found["central68"] <= high)
    shape = f"central 68% half-width {found['central68']:.3f} +- {found['central68_error']:.3f}"
    return {
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "fraction_outside": outside,
        **found,
        "good": not faults,
        "gaussian": gaussian,
        "verdict": "; ".join(faults or ["mean and width agree with the stated uncertainty"])
        + ("" if gaussian else f"; not Gaussian: {shape}, so sigma is a root mean square and not a 68% interval"),
    }


def closure(
    by: np.ndarray, before: np.ndarray, after: np.ndarray, weights: np.ndarray, bins: int = 6
) -> list[ClosureRow]:
    """Response before and after calibration in bins of `by`, all (N,), with equal numbers of events in each bin."""
    edges = np.unique(np.quantile(by, np.linspace(0, 1, bins + 1)))
    rows: list[ClosureRow] = []
    for index, (low, high) in enumerate(pairwise(edges)):
        inside = (by >= low) & ((by < high) if index + 2 < len(edges) else (by <= high))
        if inside.sum() < 10 or weights[inside].sum() <= 0:
            continue
        rows.append(
            {
                "low": float(low),
                "high": float(high),
                "events": int(inside.sum()),
                "before": _of_bin(before[inside], weights[inside]),
                "after": _of_bin(after[inside], weights[inside]),
            }
        )
    return rows


def _of_bin(response: np.ndarray, weights: np.ndarray) -> BinMoments:
    found = moments(response, weights)
    return {
        "mean": found["mean"],
        "mean_error": found["mean_error"],
        "median": found["median"],
        "median_error": found["median_error"],
        "central68": found["central68"],
    }
