"""Compare an unfolded histogram with the true one: chi2, pulls, yield. Only validation reads the truth behind data."""

from __future__ import annotations

import numpy as np

from truthward.errors import InputError
from truthward.events.families import Histogram
from truthward.records.validate.figures import Chi2
from truthward.records.validate.method import Coverage, ObservableYield, Pulls
from truthward.validate import metrics
from truthward.validate.distances import Counts

SMALLEST = 4
"""With fewer bootstrap replicas no covariance is inverted, not even for one bin (Hartlap)."""


def chi2_closure(histogram: Histogram, truth: Counts) -> Chi2:
    """Chi2 of an unfolded histogram against the truth, yield included, with the covariance of all its families.

    R is the size of the smallest bootstrap family, or `metrics.replicas_behind` if that is less: a family with few
    members (initialisation) may dominate. Bins are merged, by the truth, to at most R / 3; the Hartlap factor and the
    p-value use R. The variance of the truth is added as for an independent sample. If the truth has the same events
    that were unfolded, both fluctuate together, so the test is conservative and p is often close to 1.

    Args:
        histogram: contents (B,), no densities.

    Returns:
        The chi2 with its merged bins. If there is no test, the value is None, and there is a reason.
    """
    counts = {n: f.count for n, f in histogram.families.items() if n.endswith("_bootstrap")}
    if not counts or min(counts.values()) < SMALLEST:
        return untested(
            f"bootstrap replicas: {counts or 'none'}; a covariance needs at least {SMALLEST} of each family"
        )
    behind = metrics.replicas_behind(histogram, histogram.parts, truth.inner_variance)
    replicas = min([*counts.values(), *([] if behind is None else [behind])])
    try:
        edges = metrics.merge_bins(truth.edges, truth.inner, min(truth.inner.size, int(replicas // 3)))
        merged = histogram.merged(edges)
        start = np.searchsorted(truth.edges, edges)[:-1]
        covariance = merged.covariance() + np.diag(np.add.reduceat(truth.inner_variance, start))
        found = metrics.chi2(merged.nominal, np.add.reduceat(truth.inner, start), covariance, replicas=replicas)
    except InputError as error:
        return untested(str(error))
    return {**stated(found, edges), "replicas": replicas, "families": histogram.parts}


def chi2_samples(tested: Counts, reference: Counts) -> Chi2:
    """Chi2 of two independent event samples, with statistical variances only, in bins of at least 25 events."""
    try:
        most = max(1, min(reference.inner.size, int(min(reference.size, tested.size) // 25)))
        edges = metrics.merge_bins(reference.edges, reference.inner, most)
        start = np.searchsorted(reference.edges, edges)[:-1]
        contents, expected, *variances = (
            np.add.reduceat(c, start)
            for c in (tested.inner, reference.inner, tested.inner_variance, reference.inner_variance)
        )
        found = metrics.chi2(contents, expected, np.diag(sum(variances)))
    except InputError as error:
        return untested(str(error))
    return stated(found, edges)


def pulls(histogram: Histogram, truth: Counts) -> Pulls:
    """(unfolded - truth) / sigma in each bin, with both errors in quadrature. None if both are empty.

    Neighbouring bins are correlated. The errors of the summary assume independent bins, so they are too small.
    """
    sigma = np.sqrt(histogram.sigma**2 + truth.inner_variance)
    filled = sigma > 0
    values = metrics.pulls(histogram.nominal[filled], truth.inner[filled], sigma[filled])
    bins: list[float | None] = [None] * filled.size
    for place, value in zip(np.flatnonzero(filled), values, strict=True):
        bins[place] = float(value)
    return {"bins": bins, "summary": metrics.pull_summary(values) if values.size > 1 else None}


COVERED = 10
"""Largest number of bins for the test of the coverage of the bands. They have equal true content."""


def coverage(histogram: Histogram, truth: Counts) -> Coverage:
    """Pulls in coarse bins; each has enough events for a Gaussian error.

    Returns:
        Edges (B + 1,) and pulls. Bins without any uncertainty have no pull.
    """
    edges = metrics.merge_bins(truth.edges, truth.inner, min(COVERED, truth.inner.size))
    found = pulls(histogram.merged(edges), truth.onto(edges))
    return {"edges": edges.tolist(), "pulls": [p for p in found["bins"] if p is not None]}


def yields(whole: Histogram, truth: tuple[float, float] | None) -> ObservableYield:
    """Yield in the truth fiducial region, from the histogram with under- and overflow.

    Args:
        truth: the true yield and its standard deviation, if they are known.
    """
    value = float(whole.nominal.sum())
    families = {
        name: float(np.sqrt(f.variance(whole.replicas[name].sum(axis=1, keepdims=True), np.array([value]))[0]))
        for name, f in whole.families.items()
        if f.adds
    }
    sigma = float(np.sqrt(sum(s**2 for s in families.values())))
    result: ObservableYield = {"value": value, "sigma": sigma, "families": families}
    if truth is not None:
        both = float(np.hypot(sigma, truth[1]))
        result["truth"], result["truth_sigma"] = truth
        result["ratio"], result["ratio_sigma"] = value / truth[0], both / truth[0]
        result["pull"] = (value - truth[0]) / both if both > 0 else None
    return result


def stated(found: metrics.Chi2, edges: np.ndarray) -> Chi2:
    """A chi2 for JSON; infinite edges, of under- and overflow, become None."""
    finite = [float(e) if np.isfinite(e) else None for e in edges]
    return {"value": found.value, "ndf": found.bins, "p": found.p, "hartlap": found.hartlap, "edges": finite}


def untested(reason: str) -> Chi2:
    """No chi2, and why."""
    return {"value": None, "ndf": None, "p": None, "reason": reason}
