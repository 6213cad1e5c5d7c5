"""Distances between one-dimensional distributions. The floor of each is the distance of two samples of one truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from truthward.errors import InputError
from truthward.events.bins import bin_of, extended
from truthward.events.families import Histogram
from truthward.events.unfolded import Unfolded
from truthward.records.validate.figures import Distance, Floor, Repeated
from truthward.validate import metrics

CELLS = 1000
"""Number of steps of the distribution functions that the floor of the Wasserstein-1 distance draws."""

T = TypeVar("T")

BOOTSTRAPS = 50
"""Number of Poisson bootstraps for the spread of a figure of an event sample without replicas."""


@dataclass(frozen=True)
class Counts:
    """A histogram of an event sample. edges: (B + 1,); contents and variance: (B + 2,), with under- and overflow."""

    edges: np.ndarray
    contents: np.ndarray
    variance: np.ndarray

    @classmethod
    def empty(cls, edges: Sequence[float]) -> Counts:
        """An empty histogram."""
        return cls(np.asarray(edges, dtype=float), np.zeros(len(edges) + 1), np.zeros(len(edges) + 1))

    @classmethod
    def of(cls, values: np.ndarray, weights: np.ndarray, edges: np.ndarray) -> Counts:
        """Histogram of values (N,) with weights (N,)."""
        place, bins = bin_of(values, edges), len(edges) + 1
        contents = np.bincount(place, weights=weights, minlength=bins)
        return cls(np.asarray(edges, dtype=float), contents, np.bincount(place, weights=weights**2, minlength=bins))

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.edges, self.contents + other.contents, self.variance + other.variance)

    def merged(self, step: int) -> Counts:
        """Merge each `step` bins into one. The number of bins is a multiple of `step`. Under- and overflow stay."""
        contents, variance = (
            np.concatenate([c[:1], c[1:-1].reshape(-1, step).sum(axis=1), c[-1:]])
            for c in (self.contents, self.variance)
        )
        return Counts(self.edges[::step], contents, variance)

    def onto(self, edges: np.ndarray) -> Counts:
        """The histogram in wider bins, whose edges are a subset of its own. The rest is under- and overflow."""
        start = np.concatenate([[0], np.searchsorted(self.edges, edges) + 1])
        return Counts(edges, *(np.add.reduceat(c, start) for c in (self.contents, self.variance)))

    @property
    def inner(self) -> np.ndarray:
        """(B,) contents within the edges."""
        return self.contents[1:-1]

    @property
    def inner_variance(self) -> np.ndarray:
        """(B,) variance within the edges."""
        return self.variance[1:-1]

    @property
    def size(self) -> float:
        """Effective number of events within the edges; 0 if there are no events."""
        squares = self.inner_variance.sum()
        return float(self.inner.sum() ** 2 / squares) if squares > 0 else 0.0

    @property
    def total(self) -> tuple[float, float]:
        """Yield, under- and overflow included, and its standard deviation."""
        return float(self.contents.sum()), float(np.sqrt(self.variance.sum()))


def unfolded_histogram(unfolded: Unfolded, name: str, edges: np.ndarray) -> tuple[Histogram, Histogram]:
    """Histogram of an unfolded observable within `edges`, and the same with under- and overflow (B + 2 bins)."""
    whole = unfolded.histogram(name, extended(edges))
    replicas = {family: contents[:, 1:-1] for family, contents in whole.replicas.items()}
    return Histogram(np.asarray(edges, dtype=float), whole.nominal[1:-1], replicas, whole.families), whole


def discriminator(tested: np.ndarray, size: float, truth: Counts, *, seed: int) -> Distance:
    """Triangular discriminator (2503.09720) of contents (B,) against the truth, with its floor.

    The floor is the value for two independent samples of the truth: one has the size of the truth, the other `size`,
    the effective size of the tested sample. If the truth has the same events that were unfolded, both fluctuate
    together, and a good method may be below the floor.

    Returns:
        The value with its floor. If a bin is negative, the value is None, and there is a reason.
    """
    return _with_floor(
        lambda: metrics.triangular_discriminator(tested, truth.inner, truth.edges),
        lambda: floor_of(truth, size, truth.size, seed=seed),
    )


def floor_of(truth: Counts, *sizes: float, seed: int) -> Floor:
    """The floor of the triangular discriminator from a histogram: `metrics.floor` of its bin centres."""
    centres = 0.5 * (truth.edges[1:] + truth.edges[:-1])
    return metrics.floor(centres, truth.inner, truth.edges, sizes=(sizes[0], sizes[-1]), seed=seed)


def replica_discriminators(histogram: Histogram, truth: Counts) -> dict[str, Repeated]:
    """Family -> triangular discriminator of each replica against the truth. A value is None if a bin is negative.

    Bootstrap replicas fluctuate twice: the sample itself, and the bootstrap of it. So their mean is above the nominal
    value. Use their standard deviation.
    """
    return {name: _each(contents, truth) for name, contents in histogram.replicas.items()}


def bootstrapped(values: np.ndarray, weights: np.ndarray, truth: Counts, *, seed: int) -> Repeated:
    """Spread of the discriminator of an event sample, from Poisson bootstraps of its events."""
    random = np.random.default_rng(seed)
    place, bins = bin_of(values, truth.edges), truth.contents.size
    drawn = (
        np.bincount(place, weights=weights * random.poisson(1.0, len(weights)), minlength=bins)[1:-1]
        for _ in range(BOOTSTRAPS)
    )
    return _each(drawn, truth)


def bootstrapped_counts(tested: Counts, truth: Counts, *, seed: int) -> Repeated:
    """As `bootstrapped`, if only the histogram of the sample is known.

    Contents are drawn from Poisson distributions, scaled to the mean and the variance of each bin (1309.1287). This is
    exact for equal weights; for other weights both moments are right, which is enough for many events.
    """
    random = np.random.default_rng(seed)
    scale = np.divide(tested.inner_variance, tested.inner, out=np.zeros_like(tested.inner), where=tested.inner > 0)
    mean = np.divide(tested.inner, scale, out=np.zeros_like(scale), where=scale > 0)
    return _each(scale * random.poisson(mean, (BOOTSTRAPS, mean.size)), truth)


def _each(contents: Iterable[np.ndarray], truth: Counts) -> Repeated:
    """Triangular discriminators of several contents (B,)."""
    measure = partial(metrics.triangular_discriminator, q=truth.inner, edges=truth.edges)
    return repeated([_try(partial(measure, c))[0] for c in contents])


def transport(
    values: np.ndarray,
    weights: np.ndarray,
    truth: np.ndarray,
    truth_weights: np.ndarray,
    *,
    rows: float = 1.0,
    seed: int,
) -> Distance:
    """Wasserstein-1 distance of two samples (n,) and (N,), in units of the observable, with its floor.

    rows: number of rows of the first sample for each event.
    """
    sizes = (metrics.effective_sample_size(weights) / rows, metrics.effective_sample_size(truth_weights))
    return _with_floor(
        lambda: metrics.wasserstein1(values, truth, weights, truth_weights),
        lambda: transport_floor(truth, truth_weights, sizes=sizes, seed=seed),
    )


def transport_floor(
    values: np.ndarray, weights: np.ndarray, *, sizes: tuple[float, float], seed: int, repeats: int = 200
) -> Floor:
    """The floor: the Wasserstein-1 distance of two samples of given sizes from one truth (values, weights), (N,).

    Distribution functions are drawn at CELLS steps of equal probability. Only the shape within a step is lost.

    Raises:
        InputError: signed weights make a step negative.
    """
    order = np.argsort(values)
    mass = np.cumsum(np.abs(weights[order]))
    cell = np.minimum((mass / mass[-1] * CELLS).astype(int), CELLS - 1)
    cells = np.bincount(cell, minlength=CELLS)
    filled = cells > 0
    share = np.bincount(cell, weights=weights[order], minlength=CELLS)[filled]
    position = np.bincount(cell, weights=values[order].astype(float), minlength=CELLS)[filled] / cells[filled]
    if (share < 0).any():
        raise InputError(
            f"{int((share < 0).sum())} of {share.size} quantiles have a negative sum of weights, so the statistical "
            "floor cannot be drawn; use fewer negative weights"
        )
    random = np.random.default_rng(seed)
    steps = [random.multinomial(max(1, round(n)), share / share.sum(), size=repeats) / max(1, round(n)) for n in sizes]
    found = np.abs(np.cumsum(steps[0] - steps[1], axis=1)[:, :-1]) @ np.diff(position)
    return {"mean": float(found.mean()), "sd": float(found.std(ddof=1))}


def repeated(values: list[float | None]) -> Repeated:
    """Mean and standard deviation (ddof 1) of repeated figures; None if too few of them are defined."""
    known = [v for v in values if v is not None]
    return {"mean": float(np.mean(known)) if known else None, "sd": deviation(known), "values": values}


def deviation(values: list[float]) -> float | None:
    """Standard deviation (ddof 1); None for fewer than two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _with_floor(value: Callable[[], float], floor: Callable[[], Floor]) -> Distance:
    found, reason = _try(value)
    expected, why = _try(floor)
    if found is None or expected is None:
        return {"value": found, "floor": None, "excess": None, "significance": None, "reason": reason or why}
    excess, sd = found - expected["mean"], expected["sd"]
    return {
        "value": found,
        "floor": expected,
        "excess": excess,
        "significance": excess / sd if sd > 0 else None,
    }


def _try(compute: Callable[[], T]) -> tuple[T | None, str | None]:
    # Signed weights can make a bin negative. Then only this figure does not exist.
    try:
        return compute(), None
    except InputError as error:
        return None, str(error)
