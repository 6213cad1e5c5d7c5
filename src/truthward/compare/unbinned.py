"""An unbinned two-sample test in all unfolded observables at once, whose p-value knows the uncertainty of the result.

The classifier is Fisher's discriminant with a ridge in random features of the observables (0804.1026 for the kernel
version, Rahimi and Recht 2007 for the features). With the difference u of the mean features of both samples, and the
covariance S of the features of an event, its score is T = u^T (S + g)^-1 u. A network would have to be trained again
for each pseudo-experiment; this classifier is linear in the weights of the events, so its score for the truth is known:
u has mean zero, and the covariance that the replicas of all families give, plus that of the finite prediction. T is
then a sum of squares. It is compared with an F distribution of the same mean and variance. No covariance is inverted,
so few replicas are enough, and their number is in the second degree of freedom.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import optimize, special, stats

from truthward.compare.prediction import Sample
from truthward.compare.published import Published
from truthward.events.families import Family, weight_columns
from truthward.events.hashing import uniform
from truthward.records.compare import Unbinned
from truthward.study.seeds import seed_for
from truthward.validate import metrics

PAIRS = 96
"""Frequencies of the random features; each gives a sine and a cosine."""
LENGTHS = (0.5, 1.0, 2.0)
"""Lengths of the kernel, in units of sqrt(D) standard deviations."""
DOF = 20.0
"""Effective degrees of freedom of the discriminant, tr S (S + g)^-1, which set the ridge g."""
KEPT = 40_000
"""Events of each sample that set the scale of the observables and test the discriminant."""
FEWEST = 50
"""Smallest number of events of the prediction."""


class Features:
    """Random features of observables, after a map of each onto a normal distribution.

    Args:
        reference: (n, D) values that define the map: ranks become normal scores, and equal values equal scores.
    """

    def __init__(self, reference: np.ndarray, seed: int) -> None:
        self._sorted = np.sort(reference, axis=0)
        dimensions, random = reference.shape[1], np.random.default_rng(seed)
        lengths = np.resize(LENGTHS, PAIRS) * np.sqrt(dimensions)
        self._frequencies = random.normal(size=(dimensions, PAIRS)) / lengths

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """(N, D) -> (N, 2 PAIRS)."""
        size, scores = len(self._sorted), np.empty(values.shape)
        for column, known in enumerate(self._sorted.T):
            low, high = (np.searchsorted(known, values[:, column], side=side) for side in ("left", "right"))
            rank = (low + high) / (2.0 * size)
            scores[:, column] = special.ndtri(np.clip(rank, 0.5 / size, 1 - 0.5 / size))
        angle = np.clip(scores, -4.0, 4.0) @ self._frequencies
        return np.concatenate([np.cos(angle), np.sin(angle)], axis=1)


def two_sample_test(published: Published, prediction: Sample, names: Sequence[str], *, seed: int) -> Unbinned:
    """Test whether the published events and those of a prediction have the same distribution, whatever the yields.

    Args:
        names: observables; of a method with weights for each observable, one.
        seed: of the random features.
    """
    known: Unbinned = {"observables": list(names), "value": None, "p": None}
    own = np.stack([prediction.values[n] for n in names], axis=1)
    if len(own) < FEWEST:
        return {**known, "reason": f"{len(own)} events; at least {FEWEST} are needed"}
    measured = _Measured(published, names)
    if not (families := measured.families):
        return {**known, "reason": "the publication has no replicas, so the uncertainty of its shape is not known"}
    kept, weights, half = measured.some()
    chosen = np.random.default_rng(seed_for(seed, "prediction")).permutation(len(own))[: len(kept)]
    features = Features(np.concatenate([kept, own[chosen]]), seed_for(seed, "features"))
    means, spread = measured.means(features)
    mine, my_spread, error = _moments(features, own, prediction.weights)
    inverse, root = _ridge((spread + my_spread) / 2.0)
    difference = means[0] - mine
    value = float(difference @ inverse @ difference)
    parts = _parts(means, families, root)
    traces, squares = _traces(parts, families, root.T @ error @ root)
    expected, dof = sum(traces.values()), sum(traces.values()) ** 2 / squares["all"]
    noise = sum(2 * squares[n] / (f.count - 1) for n, f in families.items() if n in squares)
    replica_dof = 2 * expected**2 / noise if noise > 0 else None
    ratio = value / expected
    p = stats.chi2.sf(ratio * dof, dof) if replica_dof is None else stats.f.sf(ratio, dof, replica_dof)
    return {
        **known,
        "value": value,
        "expected": float(expected),
        "dof": float(dof),
        "replica_dof": None if replica_dof is None else float(replica_dof),
        "p": float(p),
        "auc": _auc(features, (kept, weights, half), (own, prediction.weights), inverse),
        "shares": {name: float(trace / expected) for name, trace in traces.items()},
        "events": len(own),
        "effective_size": float(prediction.effective_size),
    }


class _Measured:
    """The published events, batch by batch."""

    def __init__(self, published: Published, names: Sequence[str]) -> None:
        self.sample, self.names = published.sample, list(names)
        self.families = {n: f for n, f in self.sample.families.items() if f.adds}
        self._columns = weight_columns(self.families, None if self.sample.joint else names[0])

    def some(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values (n, D), nominal weights (n,) and half (n,) bool of some events with a weight, by a hash of ids."""
        share, pieces = min(1.0, KEPT / self.sample.num_rows), []
        for batch in self.sample.batches([*self._truth, "event_id", self._columns[0]]):
            u = uniform(batch["event_id"], 1)
            keep = (batch[self._columns[0]] != 0) & (u < share)
            # All draws of one event are in the same half.
            pieces.append((self._values(batch)[keep], batch[self._columns[0]][keep], u[keep] < share / 2))
        values, weights, half = (np.concatenate(part) for part in zip(*pieces, strict=True))
        return values, weights, half

    def means(self, features: Features) -> tuple[np.ndarray, np.ndarray]:
        """Mean features (1 + R, F) of the nominal and of all replicas, and the covariance (F, F) of an event."""
        sums, squares, totals, absolute = 0.0, 0.0, 0.0, 0.0
        for batch in self.sample.batches([*self._truth, *self._columns]):
            weights = np.stack([batch[name] for name in self._columns], axis=1).astype(float)
            phi, size = features(self._values(batch)), np.abs(weights[:, 0])
            sums, totals = sums + weights.T @ phi, totals + weights.sum(axis=0)
            squares, absolute = squares + (phi * size[:, None]).T @ phi, absolute + size.sum()
        means = sums / np.asarray(totals)[:, None]
        return means, squares / absolute - np.outer(means[0], means[0])

    @property
    def _truth(self) -> list[str]:
        return [f"truth_{name}" for name in self.names]

    def _values(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        return np.stack([batch[name] for name in self._truth], axis=1)


def _moments(features: Features, values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean features (F,) of weighted events, their covariance (F, F), and the covariance of the mean."""
    mean, blocks = 0.0, np.array_split(np.arange(len(values)), -(-len(values) // 50_000))
    for rows in blocks:
        mean = mean + weights[rows] @ features(values[rows])
    mean = np.asarray(mean) / weights.sum()
    spread, error = 0.0, 0.0
    for rows in blocks:
        away = features(values[rows]) - mean
        spread = spread + (away * np.abs(weights[rows, None])).T @ away
        error = error + (away * weights[rows, None] ** 2).T @ away
    return mean, np.asarray(spread) / np.abs(weights).sum(), np.asarray(error) / weights.sum() ** 2


def _ridge(spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(S + g)^-1 with g of `DOF`, and a root L of it with L L^T = (S + g)^-1."""
    values, vectors = np.linalg.eigh(spread)
    values = np.clip(values, 0.0, None)
    most = 0.9 * float((values > 1e-12 * values.max()).sum())

    def excess(log_ridge: float) -> float:
        return float((values / (values + np.exp(log_ridge))).sum()) - min(DOF, most)

    ridge = np.exp(optimize.brentq(excess, np.log(values.max()) - 40.0, np.log(values.max()) + 10.0))
    root = vectors / np.sqrt(values + ridge)
    return root @ root.T, root


def _parts(means: np.ndarray, families: dict[str, Family], root: np.ndarray) -> dict[str, np.ndarray]:
    """Family -> (R, F) with C = y^T y for its covariance C in the space of the discriminant."""
    nominal, parts, first = means[0] @ root, {}, 1
    for name, f in families.items():
        own = means[first : first + f.count] @ root
        first += f.count
        distance = own - (own.mean(axis=0) if f.centre == "mean" else nominal)
        parts[name] = distance / np.sqrt((f.count - f.ddof) * (f.count if f.statement == "error_of_mean" else 1))
    return parts


def _traces(
    parts: dict[str, np.ndarray], families: dict[str, Family], exact: np.ndarray
) -> tuple[dict[str, float], dict[str, float]]:
    """Traces of the covariance of each family and of the prediction; and of squares, of sampled families and of all.

    The square of an estimated covariance is too large; for Gaussian replicas its expectation is known, and corrected
    for.
    """
    traces = {name: float((y**2).sum()) for name, y in parts.items()} | {"prediction": float(np.trace(exact))}
    squares: dict[str, float] = {}
    total = float((exact**2).sum())
    for name, y in parts.items():
        total += 2 * float(np.einsum("rf,fg,rg->", y, exact, y))
        total += 2 * sum(float(((y @ z.T) ** 2).sum()) for other, z in parts.items() if other < name)
        own, n = float(((y @ y.T) ** 2).sum()), families[name].count - 1
        if families[name].centre == "mean":
            if n > 1:
                corrected = n**2 / ((n - 1) * (n + 2)) * (own - traces[name] ** 2 / n)
                # The covariance has a rank of at most that of the features.
                own = min(max(corrected, traces[name] ** 2 / y.shape[1]), traces[name] ** 2)
            squares[name] = own
        total += own
    return traces, squares | {"all": total}


def _auc(
    features: Features,
    measured: tuple[np.ndarray, np.ndarray, np.ndarray],
    prediction: tuple[np.ndarray, np.ndarray],
    inverse: np.ndarray,
) -> float | None:
    """AUC of the discriminant of one half of the events on the other, the mean of both ways."""
    (x, v, half), (y, w) = measured, prediction
    some = np.random.default_rng(1).permutation(len(y))[:KEPT]
    y, w, other = y[some], w[some], np.arange(len(some)) % 2 == 0
    if min(half.sum(), (~half).sum(), other.sum()) < FEWEST:
        return None
    phi, psi, found = features(x), features(y), []
    for a, b in ((half, other), (~half, ~other)):
        slope = inverse @ (np.average(phi[a], axis=0, weights=v[a]) - np.average(psi[b], axis=0, weights=w[b]))
        found.append(metrics.auc(phi[~a] @ slope, psi[~b] @ slope, v[~a], w[~b]))
    return float(np.mean(found))
