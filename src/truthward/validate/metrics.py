"""Measures of agreement between samples: pure functions of arrays, without training and without files.

A function says whether weights may be negative; if not, it refuses them with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg, stats

from truthward.errors import InputError
from truthward.events.bins import binned
from truthward.events.families import Histogram
from truthward.records.validate.figures import Floor, RatioHistogram
from truthward.records.validate.method import PullSummary

RATIO_EDGES = np.linspace(-4.0, 4.0, 81)
"""Bins of log10 w in which the distribution of a classifier's weights is stated."""


@dataclass(frozen=True)
class Chi2:
    """A chi2 with its number of bins and p-value.

    hartlap: factor on the inverse covariance; replicas: number behind the covariance, None if the covariance is exact.
    """

    value: float
    bins: int
    p: float
    hartlap: float
    replicas: float | None


# ---- distances between one-dimensional distributions


def triangular_discriminator(p: np.ndarray, q: np.ndarray, edges: np.ndarray) -> float:
    """1e3 * sum over bins of width / 2 * (p - q)^2 / (p + q), for unit-area densities p and q (2503.09720).

    Between 0 and 1000. Some packages omit the 1/2: do not compare with their values.

    Args:
        p, q: contents (B,) of the two histograms, each in any normalisation. Signed weights are fine as long as no
            content is negative.
        edges: (B + 1,).

    Raises:
        InputError: a negative content, for which the measure has no bounds, or an empty histogram.
    """
    width = np.diff(edges)
    a, b = (_contents(c, width.size) / np.sum(c) / width for c in (p, q))
    both = a + b
    filled = both > 0
    return float(1e3 * np.sum(0.5 * width[filled] * (a - b)[filled] ** 2 / both[filled]))


def floor(
    values: np.ndarray,
    weights: np.ndarray | None,
    edges: np.ndarray,
    *,
    sizes: tuple[float, float],
    seed: int,
    repeats: int = 400,
) -> Floor:
    """The triangular discriminator of two samples of the same distribution: its statistical floor.

    Pairs of unweighted samples of the given sizes are drawn with replacement from (values, weights). Two samples of N
    give about 500 * bins / N.

    Args:
        values, weights: (N,) the truth; signed weights are fine as long as no bin is negative.
        sizes: numbers of events of the two samples; for a weighted sample its effective size.
        repeats: pairs to draw.
    """
    counts = _contents(binned(values, edges, _weights(weights, values)), len(edges) - 1)
    random = np.random.default_rng(seed)
    # Events drawn with replacement have multinomial bin contents, so no event has to be drawn.
    pairs = [random.multinomial(max(1, round(n)), counts / counts.sum(), size=repeats) for n in sizes]
    found = [triangular_discriminator(p, q, edges) for p, q in zip(*pairs, strict=True)]
    return {"mean": float(np.mean(found)), "sd": float(np.std(found, ddof=1))}


def wasserstein1(
    x: np.ndarray, y: np.ndarray, x_weights: np.ndarray | None = None, y_weights: np.ndarray | None = None
) -> float:
    """Integral of |F - G| over the two cumulative distributions: the Wasserstein-1 distance, in units of the
    observable.

    With negative weights F and G are not monotone, so it is no transport distance; the integral is still a distance.

    Args:
        x, y: (N,), (M,); weights alike, or None for ones.
    """
    wx, wy = _weights(x_weights, x), _weights(y_weights, y)
    points = np.concatenate([x, y]).astype(float)
    steps = np.concatenate([wx / wx.sum(), -wy / wy.sum()])
    order = np.argsort(points, kind="stable")
    return float(np.sum(np.abs(np.cumsum(steps[order])[:-1]) * np.diff(points[order])))


# ---- chi2


def hartlap(replicas: float, bins: int) -> float:
    """(R - B - 2) / (R - 1): unbiases the inverse of a (B, B) covariance estimated from R replicas (astro-ph/0608064).

    Raises:
        InputError: for R <= B + 2, where the inverse has no mean.
    """
    if replicas <= bins + 2:
        raise InputError(f"{replicas:.4g} replicas are too few for an inverse covariance of {bins} bins; merge bins")
    return (replicas - bins - 2) / (replicas - 1)


def merge_bins(edges: np.ndarray, contents: np.ndarray, most: int) -> np.ndarray:
    """Edges of at most `most` bins of about equal population, a subset of `edges`.

    The rule: the k-th inner edge is the fine edge whose cumulative |content| is nearest to k / most. Repeated edges and
    bins without content are dropped. Use a reference that is independent of the tested histogram.

    Raises:
        InputError: the histogram is empty.
    """
    population = np.concatenate([[0.0], np.cumsum(np.abs(contents))])
    if most < 1 or not population[-1] > 0:
        raise InputError(f"cannot merge a histogram of sum {population[-1]:g} into {most} bins")
    targets = population[-1] * np.arange(1, most) / most
    inner = np.abs(population[None, :] - targets[:, None]).argmin(axis=1)
    inner = np.unique(inner[(population[inner] > 0) & (population[inner] < population[-1])])
    return np.asarray(edges, dtype=float)[np.concatenate([[0], inner, [len(edges) - 1]]).astype(int)]


def chi2(found: np.ndarray, expected: np.ndarray, covariance: np.ndarray, *, replicas: float | None = None) -> Chi2:
    """Covariance-aware chi2 of two histograms.

    The inverse of a covariance from R replicas is biased: the Hartlap factor corrects the mean of the chi2. Its tail is
    still too long for a chi2 distribution, so the p-value comes from Hotelling's T^2 (1511.05969, section 2).

    Args:
        found, expected: (B,); contents may be negative.
        covariance: (B, B) of their difference.
        replicas: R; None for an exact covariance.

    Raises:
        InputError: more than R / 3 bins, or a covariance that is not positive definite.
    """
    difference = np.asarray(found, dtype=float) - expected
    bins = difference.size
    if replicas is not None and 3 * bins > replicas:
        raise InputError(f"{bins} bins with {replicas:.4g} replicas: merge to at most {int(replicas // 3)}")
    try:
        factor = linalg.cho_factor(covariance)
    except linalg.LinAlgError as error:
        raise InputError(f"the covariance of {bins} bins is not positive definite: merge bins") from error
    raw = float(difference @ linalg.cho_solve(factor, difference))
    if replicas is None:
        return Chi2(raw, bins, float(stats.chi2.sf(raw, bins)), 1.0, None)
    scale = hartlap(replicas, bins)
    p = stats.f.sf(raw * (replicas - bins) / (bins * (replicas - 1)), bins, replicas - bins)
    return Chi2(scale * raw, bins, float(p), scale, replicas)


def replicas_behind(histogram: Histogram, families: Sequence[str], exact: np.ndarray) -> float | None:
    """The effective number of replicas behind the summed covariance.

    Each sampled family (centre `mean`) has R - 1 degrees of freedom. The degrees of freedom of the sum follow from the
    average share of each family in the variance (Satterthwaite 1946), at most the number of replicas. A family with few
    replicas matters only if its share is large. None if no family is sampled.

    Args:
        exact: (B,) variance that is known without replicas.
    """
    variance = {name: v for name, v in histogram.breakdown().items() if name in families}
    total = sum(variance.values(), start=np.asarray(exact, dtype=float))
    sampled = [f for n, f in histogram.families.items() if n in families and f.centre == "mean"]
    filled = total > 0
    inverse = sum(np.mean(variance[f.name][filled] / total[filled]) ** 2 / (f.count - 1) for f in sampled)
    if not filled.any() or not inverse > 0:
        return None
    return float(min(1 / inverse + 1, sum(f.count for f in sampled)))


def chi2_test(
    histogram: Histogram,
    reference: np.ndarray,
    *,
    reference_variance: np.ndarray | None = None,
    families: list[str] | None = None,
) -> Chi2:
    """Chi2 of an unfolded histogram against a reference, with the covariance of families.

    Bins are merged to at most a third of the replicas. Their number R is `replicas_behind` the covariance, in the bins
    before merging.

    Args:
        histogram: contents per bin, not densities.
        reference: (B,) expected events in the same bins; it decides how bins are merged.
        reference_variance: (B,) its statistical variance, if it is a sample too.
    """
    names = histogram.parts if families is None else families
    exact = np.zeros(reference.size) if reference_variance is None else reference_variance
    replicas = replicas_behind(histogram, names, exact)
    most = reference.size if replicas is None else min(reference.size, int(replicas // 3))
    edges = merge_bins(histogram.edges, reference, most)
    merged = histogram.merged(edges)
    start = np.searchsorted(histogram.edges, edges)[:-1]
    covariance = merged.covariance(names) + np.diag(np.add.reduceat(exact, start))
    return chi2(merged.nominal, np.add.reduceat(reference, start), covariance, replicas=replicas)


# ---- weights


def effective_sample_size(weights: np.ndarray) -> float:
    """(sum w)^2 / sum w^2: the number of unweighted events with the same relative error. Signed weights are fine."""
    w = _weights(weights, weights)
    return float(w.sum() ** 2 / (w**2).sum())


class WeightSums:
    """Diagnostics of weights that come in pieces, signed ones included."""

    def __init__(self) -> None:
        self.count, self.negative = 0, 0
        self.total = self.squares = self.largest = 0.0

    def add(self, weights: np.ndarray) -> None:
        """Add (n,) finite weights."""
        w = np.asarray(weights, dtype=float)
        self.count += w.size
        self.negative += int((w < 0).sum())
        self.total += float(w.sum())
        self.squares += float((w**2).sum())
        self.largest = max(self.largest, float(np.abs(w).max(initial=0.0)))

    def summary(self) -> dict[str, float]:
        """`sum`, `effective_sample_size`, `largest_over_mean` (largest |w| over mean), `negative_fraction` (of events).

        Raises:
            InputError: the sum of the weights is not positive.
        """
        if not self.total > 0:
            raise InputError(f"{self.count} weights sum to {self.total:g}; a distribution needs a positive sum")
        return {
            "sum": self.total,
            "effective_sample_size": self.total**2 / self.squares,
            "largest_over_mean": self.largest / (self.total / self.count),
            "negative_fraction": self.negative / self.count,
        }


# ---- pulls


def pulls(estimate: np.ndarray, truth: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """(estimate - truth) / sigma, any shape.

    Raises:
        InputError: a sigma is not positive.
    """
    if not (np.asarray(sigma) > 0).all():
        raise InputError(
            f"{int((~(np.asarray(sigma) > 0)).sum())} of {np.size(sigma)} errors are not positive; pulls need "
            "positive errors"
        )
    return (np.asarray(estimate, dtype=float) - truth) / sigma


def pull_summary(values: np.ndarray) -> PullSummary:
    """Mean and width of pulls (N,), assumed independent; N >= 2. The error of the width assumes a Gaussian sample.

    If the errors are right, pulls are a unit Gaussian.
    """
    z = np.asarray(values, dtype=float).ravel()
    if z.size < 2 or not np.isfinite(z).all():
        raise InputError(
            f"{z.size} pulls, {int((~np.isfinite(z)).sum())} of them not finite; at least 2 finite ones are needed"
        )
    width = float(z.std(ddof=1))
    return {
        "mean": float(z.mean()),
        "mean_error": width / z.size**0.5,
        "width": width,
        "width_error": width / (2 * (z.size - 1)) ** 0.5,
        "count": z.size,
    }


# ---- from a classifier of p against q; `logit` is log D / (1 - D), which does not saturate as D does


def auc(
    p_logits: np.ndarray, q_logits: np.ndarray, p_weights: np.ndarray | None = None, q_weights: np.ndarray | None = None
) -> float:
    """Probability that an event of p has a higher score than one of q, ties count half: 0.5 for equal distributions.

    Signed weights give an unbiased estimate, which may leave [0, 1].
    """
    wp, wq = _weights(p_weights, p_logits), _weights(q_weights, q_logits)
    order = np.argsort(q_logits)
    scores, below = np.asarray(q_logits)[order], np.concatenate([[0.0], np.cumsum(wq[order])])
    strictly = below[np.searchsorted(scores, p_logits, side="left")]
    at_most = below[np.searchsorted(scores, p_logits, side="right")]
    return float(np.sum(wp * (strictly + at_most) / 2) / wp.sum() / wq.sum())


def jsd(
    p_logits: np.ndarray, q_logits: np.ndarray, p_weights: np.ndarray | None = None, q_weights: np.ndarray | None = None
) -> float:
    """Jensen-Shannon divergence in bits, 0 (equal) to 1 (disjoint), as the classifier sees it (2410.21611).

    1/2 E_p[log2 2D] + 1/2 E_q[log2 2(1 - D)] for a classifier trained on equal total weights. An imperfect classifier
    gives a lower bound. The bound is below zero if the classifier is overconfident. Signed weights give an unbiased
    estimate of this expectation.
    """
    wp, wq = _weights(p_weights, p_logits), _weights(q_weights, q_logits)
    own = np.average(-np.logaddexp(0.0, -np.asarray(p_logits, dtype=float)), weights=wp)
    other = np.average(-np.logaddexp(0.0, np.asarray(q_logits, dtype=float)), weights=wq)
    return float(1.0 + 0.5 * (own + other) / np.log(2.0))


def ratio_histogram(logits: np.ndarray, weights: np.ndarray | None = None) -> RatioHistogram:
    """Distribution of w = D / (1 - D) over events, in bins of log10 w: its tails show where a sample fails
    (2305.16774).

    `below` and `above` are the parts outside of the bins. All are fractions of the sum of weights.
    """
    w = _weights(weights, logits)
    x = np.asarray(logits, dtype=float) / np.log(10.0)
    inside = np.histogram(x, RATIO_EDGES, weights=w)[0]
    low, high = w[x < RATIO_EDGES[0]].sum(), w[x > RATIO_EDGES[-1]].sum()
    return {
        "log10_edges": RATIO_EDGES.tolist(),
        "fractions": (inside / w.sum()).tolist(),
        "below": float(low / w.sum()),
        "above": float(high / w.sum()),
    }


def _contents(counts: np.ndarray, bins: int) -> np.ndarray:
    c = np.asarray(counts, dtype=float)
    if c.shape != (bins,):
        raise InputError(f"contents of shape {c.shape} given for {bins} bins; one number per bin is needed")
    if not (c >= 0).all():
        raise InputError(
            f"{int((~(c >= 0)).sum())} of {bins} bins are negative or not finite: a discriminator of densities has no "
            "meaning there; use wider bins, or the chi2, which allows them"
        )
    if not c.sum() > 0:
        raise InputError("the histogram is empty, so it has no density; check its range")
    return c


def _weights(weights: np.ndarray | None, like: np.ndarray) -> np.ndarray:
    w = np.ones(len(like)) if weights is None else np.asarray(weights, dtype=float)
    if w.shape != np.shape(like):
        raise InputError(f"weights of shape {w.shape} given for {len(like)} events; one weight per event is needed")
    if not np.isfinite(w).all() or not np.isfinite(like).all():
        bad = int((~np.isfinite(w)).sum()), int((~np.isfinite(like)).sum())
        raise InputError(f"{bad[0]} weights and {bad[1]} values are not finite; finite ones are needed")
    if not w.sum() > 0:
        raise InputError(f"{w.size} weights sum to {w.sum():g}; a distribution needs a positive sum")
    return w
