"""Chi2 of a prediction against published spectra, with the covariance of all families and of the prediction.

A spectrum of unit area has one degree of freedom less than bins: its last bin is left out, whichever it is, without a
change of the chi2. The covariance of the publication is estimated from its replicas. If the smallest bootstrap has R of
them, at most R / 3 degrees of freedom are tested: further bins are merged. The inverse is corrected by the Hartlap
factor, and the p-value is that of Hotelling's T^2 (`validate.metrics.chi2`). Both take the number of replicas that
stands for the sum of all parts: each bootstrap has its own, and systematic shifts and the prediction need none.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from truthward.compare.prediction import Prediction
from truthward.compare.published import Published
from truthward.errors import InputError
from truthward.events.binning import BOOTSTRAPS
from truthward.events.families import Histogram, end_to_end
from truthward.records.validate.figures import Chi2
from truthward.validate import metrics

SMALLEST = 4
"""With fewer replicas of a bootstrap no covariance is inverted."""


def replicas_of(histogram: Histogram, exact: np.ndarray) -> float:
    """Number R of replicas that says how many bins of a histogram can be tested.

    It is the size of the smallest bootstrap, or `metrics.replicas_behind` if that is less. exact: (B,) variance of the
    prediction, which no replicas estimate.

    Raises:
        InputError: no bootstraps, or too few replicas of them.
    """
    counts = {n: f.count for n, f in histogram.families.items() if n in BOOTSTRAPS}
    if not counts or min(counts.values()) < SMALLEST:
        raise InputError(
            f"bootstrap replicas: {counts or 'none'}; a covariance needs at least {SMALLEST} of each bootstrap"
        )
    behind = metrics.replicas_behind(histogram, histogram.parts, exact)
    return float(min([*counts.values(), *([] if behind is None else [behind])]))


def coarser(histogram: Histogram, most: int) -> np.ndarray:
    """Edges of at most `most` bins, a subset of those of the histogram, each of them with a positive content."""
    edges, contents = histogram.edges, histogram.nominal
    if len(contents) > most:
        edges = metrics.merge_bins(edges, contents, most)
        contents = histogram.merged(edges).nominal
    kept = [edges[0], *(e for e, c in zip(edges[1:-1], contents[:-1], strict=True) if c > 0), edges[-1]]
    if len(kept) > 2 and not contents[-1] > 0:
        del kept[-2]
    return np.array(kept)


def one(
    published: Published, prediction: Prediction, name: str, edges: np.ndarray, *, normalised: bool
) -> tuple[Chi2, str]:
    """The chi2 of one observable, and what was done to its bins in words."""
    whole = published.histogram(name, edges)
    try:
        exact = np.diag(prediction.counted({name: edges})[1])
        replicas = replicas_of(whole, exact)
        merged = coarser(whole, int(replicas // 3) + normalised)
        found = _in_bins(published, prediction, {name: merged}, normalised=normalised)
    except InputError as error:
        return untested(error), ""
    note = f"{len(edges) - 1} bins merged to {len(merged) - 1}; " if len(merged) < len(edges) else ""
    return found, f"{note}{_said(found, normalised)}"


def joint(
    published: Published, prediction: Prediction, bins: Mapping[str, np.ndarray], *, normalised: bool
) -> tuple[Chi2, dict[str, np.ndarray], str]:
    """The chi2 of all observables together, the bins that it has, and what was done to them in words.

    Each observable gives its shape. The yield is common to all observables, so it counts once, and only if the spectra
    are not normalised. The number of degrees of freedom that the replicas allow is shared equally.
    """
    whole = {name: published.histogram(name, edges) for name, edges in bins.items()}
    try:
        exact = np.concatenate([np.diag(prediction.counted({n: e})[1]) for n, e in bins.items()])
        replicas = replicas_of(end_to_end(list(whole.values())), exact)
        share = (int(replicas // 3) - (not normalised)) // len(bins)
        if share < 1:
            raise InputError(
                f"{len(bins)} observables with {replicas:.4g} replicas: fewer than one degree of freedom for each; "
                "more replicas, or fewer observables, are needed"
            )
        merged = {name: coarser(h, share + 1) for name, h in whole.items()}
        merged = {name: edges for name, edges in merged.items() if len(edges) > 2}
        if not merged:
            raise InputError("no observable has two bins with a positive content")
        found = _in_bins(published, prediction, merged, normalised=normalised, shapes=True)
    except InputError as error:
        return untested(error), {}, ""
    note = f"{sum(map(len, bins.values())) - len(bins)} bins merged to {sum(map(len, merged.values())) - len(merged)}; "
    if prediction.kind == "histograms":
        note += "statistical errors of the prediction taken as independent between observables; "
    return found, merged, f"{note}{_said(found, normalised)}"


def _in_bins(
    published: Published,
    prediction: Prediction,
    bins: Mapping[str, np.ndarray],
    *,
    normalised: bool,
    shapes: bool = False,
) -> Chi2:
    """Chi2 in these bins. shapes: of the shape of each observable, with the yield beside them unless `normalised`."""
    measured = [published.histogram(name, edges) for name, edges in bins.items()]
    contents, covariance = prediction.counted(bins)
    parts, slope, start = [], np.zeros((0, contents.size)), 0
    expected: list[np.ndarray] = []
    for h in measured:
        own = slice(start, start + h.nominal.size)
        start = own.stop
        if normalised or shapes:
            value, jacobian = _fractions(contents[own])
            parts.append(_changed(h, lambda c: (c / c.sum(axis=-1, keepdims=True))[..., :-1]))
        else:
            value, jacobian = contents[own], np.eye(h.nominal.size)
            parts.append(h)
        rows = np.zeros((len(value), contents.size))
        rows[:, own] = jacobian
        slope, expected = np.vstack([slope, rows]), [*expected, value]
    vector = end_to_end(parts)
    target, exact = np.concatenate(expected), slope @ covariance @ slope.T
    if shapes and not normalised:
        # The total and the shape of independent events are not correlated.
        vector = end_to_end([published.total(), vector])
        total, variance = prediction.total
        target = np.concatenate([[total], target])
        exact = np.block([[np.array([[variance]]), np.zeros((1, len(exact)))], [np.zeros((len(exact), 1)), exact]])
    return stated(_chi2(vector, target, exact), vector, next(iter(bins.values())) if len(bins) == 1 else None)


def _chi2(vector: Histogram, target: np.ndarray, exact: np.ndarray) -> metrics.Chi2:
    """Chi2 of a vector with replicas (K,) against a target with the covariance `exact` (K, K).

    The number of replicas behind a sum of estimated covariances is that of Krishnamoorthy and Yu (Stat. Probab. Lett.
    66 (2004) 161), for two of them.
    """
    covariance = vector.covariance() + exact
    try:
        inverse = np.linalg.inv(covariance)
    except np.linalg.LinAlgError as error:
        raise InputError(f"the covariance of {len(target)} bins is singular: merge bins") from error
    noise = 0.0
    for name, f in vector.families.items():
        if f.adds and f.centre == "mean":
            share = f.covariance(vector.replicas[name], vector.nominal) @ inverse
            noise += (np.trace(share @ share) + np.trace(share) ** 2) / (f.count - 1)
    size = len(target)
    replicas = 1 + size * (1 + size) / float(noise) if noise > 0 else None
    return metrics.chi2(vector.nominal, target, covariance, replicas=replicas)


def yields(published: Published, prediction: Prediction) -> tuple[Histogram, tuple[float, float], Chi2]:
    """The published yield, that of the prediction with its variance, and the chi2 of their difference."""
    measured, (total, variance) = published.total(), prediction.total
    if prediction.kind == "histograms":
        name = prediction.names[0]
        edges = prediction.edges(name, published.edges.get(name))
        assert edges is not None, "a histogram has edges"
        measured = published.histogram(name, edges[[0, -1]])
        contents, covariance = prediction.counted({name: edges[[0, -1]]})
        total, variance = float(contents[0]), float(covariance[0, 0])
    try:
        replicas_of(measured, np.array([variance]))
        found = _chi2(measured, np.array([total]), np.array([[variance]]))
        return measured, (total, variance), stated(found, measured, None)
    except InputError as error:
        return measured, (total, variance), untested(error)


def stated(found: metrics.Chi2, histogram: Histogram, edges: np.ndarray | None) -> Chi2:
    """A chi2 for JSON."""
    entry: Chi2 = {"value": found.value, "ndf": found.bins, "p": found.p, "hartlap": found.hartlap}
    if edges is not None:
        entry["edges"] = [float(e) for e in edges]
    if found.replicas is not None:
        entry["replicas"] = found.replicas
    return {**entry, "families": histogram.parts}


def untested(error: Exception) -> Chi2:
    """No chi2, and why."""
    return {"value": None, "ndf": None, "p": None, "reason": str(error)}


def _said(found: Chi2, normalised: bool) -> str:
    lost = ", one less than bins for each unit area" if normalised else ""
    return f"{found['ndf']} degrees of freedom{lost}; Hartlap factor {found['hartlap']:.2f}"


def _fractions(contents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares (B - 1,) of all bins but the last, and their derivatives (B - 1, B) by the contents."""
    total = contents.sum()
    if not total > 0:
        raise InputError(f"the contents of the prediction sum to {total:g} in these bins; a shape needs a positive sum")
    share = contents / total
    jacobian = (np.eye(contents.size) - share[:, None]) / total
    return share[:-1], jacobian[:-1]


def _changed(histogram: Histogram, change: object) -> Histogram:
    assert callable(change)
    replicas = {name: change(contents) for name, contents in histogram.replicas.items()}
    nominal = change(histogram.nominal)
    return Histogram(np.arange(nominal.size + 1.0), nominal, replicas, histogram.families)
