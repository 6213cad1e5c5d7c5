"""A prediction in memory: events with weights, or histograms. Both give contents of bins with their covariance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from truthward.errors import InputError
from truthward.events.bins import bin_of, single

Bins = Mapping[str, np.ndarray]
"""Observable -> edges (B + 1,) of its bins."""

NARROW = 1e-6
"""Two edges are the same if they differ by less than this share of the range."""


@dataclass(frozen=True)
class Sample:
    """Truth-level events: observable -> values (N,) float32, and weights (N,) float64 in the units of the publication.

    notes: what the reader found, for the user.
    """

    label: str
    source: str
    values: dict[str, np.ndarray]
    weights: np.ndarray
    notes: list[str] = field(default_factory=list)

    kind = "events"

    @property
    def names(self) -> list[str]:
        """Observables that it has."""
        return list(self.values)

    def edges(self, name: str, published: np.ndarray | None) -> np.ndarray | None:
        """Bins in which an observable is compared: the published ones."""
        return published

    @property
    def total(self) -> tuple[float, float]:
        """Sum of the weights and its variance."""
        return float(self.weights.sum()), float((self.weights**2).sum())

    @property
    def effective_size(self) -> float:
        """(sum w)^2 / sum w^2."""
        return self.total[0] ** 2 / self.total[1]

    def counted(self, bins: Bins) -> tuple[np.ndarray, np.ndarray]:
        """Contents (K,) of the bins of all observables, end to end, and their covariance (K, K).

        The covariance between observables is that of independent events of Poisson number: an event is in one bin of
        each of them.
        """
        sizes = [len(edges) + 1 for edges in bins.values()]
        start = np.cumsum([0, *sizes])
        place = [bin_of(self.values[n], e) + s for (n, e), s in zip(bins.items(), start, strict=False)]
        contents = np.concatenate(
            [np.bincount(p - s, self.weights, z) for p, s, z in zip(place, start, sizes, strict=False)]
        )
        squares = self.weights**2
        covariance = np.zeros((start[-1], start[-1]))
        for a in place:
            for b in place:
                covariance += np.bincount(a * start[-1] + b, squares, covariance.size).reshape(covariance.shape)
        # The bins beyond the edges are left out.
        inner = np.concatenate([np.arange(s + 1, s + z - 1) for s, z in zip(start, sizes, strict=False)])
        return contents[inner], covariance[np.ix_(inner, inner)]


@dataclass(frozen=True)
class Counted:
    """Contents (B,) of a histogram with edges (B + 1,), and their covariance (B, B)."""

    edges: np.ndarray
    contents: np.ndarray
    covariance: np.ndarray

    def onto(self, edges: np.ndarray) -> Counted:
        """The same in wider bins.

        Raises:
            InputError: an edge is not among the present ones.
        """
        width = NARROW * (self.edges[-1] - self.edges[0])
        start = np.abs(self.edges[None, :] - edges[:, None]).argmin(axis=1)
        if (np.abs(self.edges[start] - edges) > width).any():
            raise InputError(
                f"edge {edges[np.abs(self.edges[start] - edges).argmax()]:g} is not an edge of the prediction"
            )
        pick = np.zeros((len(edges) - 1, len(self.contents)))
        for row, (first, end) in enumerate(pairwise(start)):
            pick[row, first:end] = 1.0
        return Counted(edges, pick @ self.contents, pick @ self.covariance @ pick.T)


@dataclass(frozen=True)
class Histograms:
    """Histograms of observables, without a known covariance between them."""

    label: str
    source: str
    counted_by: dict[str, Counted]
    notes: list[str] = field(default_factory=list)

    kind = "histograms"

    @property
    def names(self) -> list[str]:
        """Observables that it has."""
        return list(self.counted_by)

    def edges(self, name: str, published: np.ndarray | None) -> np.ndarray | None:
        """Bins in which an observable is compared: the published ones, if the prediction can be merged into them.

        Otherwise its own: the publication has events, and can be filled into any bins.
        """
        own = self.counted_by[name]
        try:
            return own.edges if published is None else own.onto(published).edges
        except InputError:
            return own.edges

    @property
    def total(self) -> tuple[float, float]:
        """Sum of the contents of the first histogram, and its variance."""
        first = next(iter(self.counted_by.values()))
        return float(first.contents.sum()), float(first.covariance.sum())

    def counted(self, bins: Bins) -> tuple[np.ndarray, np.ndarray]:
        """As `Sample.counted`; different observables are taken as independent."""
        found = [self.counted_by[name].onto(edges) for name, edges in bins.items()]
        contents = np.concatenate([c.contents for c in found])
        covariance, start = np.zeros((contents.size, contents.size)), 0
        for c in found:
            end = start + c.contents.size
            covariance[start:end, start:end] = c.covariance
            start = end
        return contents, covariance


Prediction = Sample | Histograms


def checked(sample: Sample, *, observables: Mapping[str, np.ndarray]) -> Sample:
    """The sample, if its weights and values can be compared.

    Args:
        observables: observable -> its published values, for the check of units; (n,) each.

    Raises:
        InputError: no events, values or weights that are not finite, weights that do not sum to something positive,
            or values in other units.
    """
    where = f"{sample.source}: {sample.label}"
    if not len(sample.weights):
        raise InputError(f"{where}: no event is left; check `select` and the map of columns")
    if bad := int((~np.isfinite(sample.weights)).sum()):
        raise InputError(f"{where}: {bad} of {len(sample.weights)} weights are not finite; correct the file")
    if not sample.weights.sum() > 0:
        zero = "all weights are zero" if not sample.weights.any() else f"the weights sum to {sample.weights.sum():g}"
        raise InputError(f"{where}: {zero}; a prediction needs a positive sum: check the column `weight`")
    for name, values in sample.values.items():
        if bad := int((~np.isfinite(values)).sum()):
            raise InputError(
                f"{where}: {name}: {bad} of {len(values)} values are not finite; select these events away (`select`)"
            )
        if hint := _unit(single(values), observables[name]):
            raise InputError(f"{where}: {name}: {hint}")
    return sample


def _unit(values: np.ndarray, published: np.ndarray) -> str:
    """A hint where the medians differ by a factor that a change of units makes; empty where they do not."""
    mine, theirs = (float(np.median(np.abs(v[v != 0]))) if (v != 0).any() else 0.0 for v in (values, published))
    if not mine or not theirs:
        return ""
    for factor, text in (
        (1000.0, "it seems to be in MeV: divide by 1000"),
        (0.001, "it seems to be in TeV: times 1000"),
    ):
        if 0.5 < mine / theirs / factor < 2.0:
            return (
                f"its median is {mine:.3g}, that of the publication is {theirs:.3g}; {text} in `columns`, or use the "
                "unit of the publication"
            )
    return ""
