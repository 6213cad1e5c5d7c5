"""Properties of a column of numbers from ranks only, so that one value at 1e9 neither hides a problem nor makes one."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

SPIKE = 1e-3
"""From this share of the events on, a value is a spike."""
CONSTANT = 0.999
"""From this share of the events on, a value makes the column a constant: nothing is left to unfold."""
FAR = 20.0
"""A few events at more than this many widths from the bulk are outliers."""


class Spike(NamedTuple):
    """A value of many events, and the number of these events."""

    value: float
    count: int  # type: ignore[assignment]  # a method of tuples has this name


class Region(NamedTuple):
    """Events between two values, both included, where another sample has none; an end without a bound is open."""

    low: float
    high: float
    count: int  # type: ignore[assignment]  # as above
    open_below: bool
    open_above: bool

    def __str__(self) -> str:
        if self.open_below != self.open_above:
            return f"above {self.low:.5g}" if self.open_above else f"below {self.high:.5g}"
        return f"at {self.low:.5g}" if self.low == self.high else f"in [{self.low:.5g}, {self.high:.5g}]"


def quantiles(values: np.ndarray, at: tuple[float, ...] = (0.05, 0.5, 0.95)) -> str:
    """Quantiles as text for a message.

    >>> quantiles(np.arange(101.0))
    'quantiles 5%, 50%, 95%: 5, 50, 95'
    """
    found = ", ".join(f"{q:.4g}" for q in np.quantile(values, at))
    return f"quantiles {', '.join(f'{100 * a:g}%' for a in at)}: {found}"


def size_of(values: np.ndarray, weights: np.ndarray) -> float:
    """Median of |x| by |weight|, (N,) each: it shows a factor between units, for any sign of x."""
    x, w = np.abs(values), np.abs(weights)
    order = np.argsort(x)
    total = w[order].cumsum()
    return float(x[order][np.searchsorted(total, 0.5 * total[-1])])


def share_of_commonest(values: np.ndarray) -> Spike:
    """The most frequent value."""
    x, n = np.unique(values, return_counts=True)
    return Spike(float(x[n.argmax()]), int(n.max()))


def far_spikes(values: np.ndarray) -> list[Spike]:
    """Values of more than 0.1% of the events whose distance from the bulk is larger than the width of the bulk.

    The bulk is the range between the quantiles 1% and 99% of all other values. The values are removed one by one, from
    the outside, so that several sentinels do not hide each other.
    """
    x, n = np.unique(values, return_counts=True)
    heavy = n >= max(5, SPIKE * values.size)
    left, found = np.ones(x.size, dtype=bool), []
    while (places := np.flatnonzero(heavy & left)).size:
        for place in dict.fromkeys((places[0], places[-1])):
            rest = left.copy()
            rest[place] = False
            low, high = _counted(x[rest], n[rest])
            if high > low and not low - (high - low) <= x[place] <= high + (high - low):
                found.append(Spike(float(x[place]), int(n[place])))
                left = rest
                break
        else:
            return found
    return found


def edge_spikes(values: np.ndarray) -> list[Spike]:
    """The smallest and the largest value, if it is a spike or the only negative value.

    A spike is a value that many events have, while few events have each of the other values.
    """
    x, n = np.unique(values, return_counts=True)
    found: list[Spike] = []
    if x.size < 10:
        return found
    for place, others in ((0, slice(1, None)), (x.size - 1, slice(None, -1))):
        if n[place] < max(20, SPIKE * values.size):
            continue
        if n[place] > 20 * np.median(n[others]) or x[place] < 0 <= x[others].min():
            found.append(Spike(float(x[place]), int(n[place])))
    return found


def outliers(values: np.ndarray, least: float, most: float) -> list[Spike]:
    """The outermost value at each end, if it and at most four others lie far outside of all other values.

    values: (N,), a sample of the column; least, most: extremes of the whole column.
    """
    if values.size < 20:
        return []
    found = []
    for sign, extreme in ((-1.0, least), (1.0, most)):
        x = sign * values
        low, high = np.quantile(x, [0.01, 0.99])
        distance = sign * extreme - high
        fifth = np.partition(x, -5)[-5]
        if high > low and distance > FAR * (high - low) and fifth - high < distance / 10:
            found.append(Spike(extreme, max(1, int((x - high > distance / 2).sum()))))
    return found


def empty_regions(events: np.ndarray, cover: np.ndarray, weights: np.ndarray | None = None) -> list[Region]:
    """Regions where `events` (N,) have neighbours of their own sample only, and none of `cover` (M,).

    If both samples have the same distribution, a run of n events without one of `cover` has the probability
    (N / (N + M))^n. A region needs a run that is expected in less than one of a thousand samples, and at least ten
    events. If `weights` (M,) of `cover` are given, M is the size of a sample of the largest ones: where events have
    these, such as in a slice of a large cross section, fewest of them stand beside the others.
    """
    if not events.size:
        return []
    x, place = np.unique(np.concatenate([events, cover]), return_inverse=True)
    own = np.bincount(place[: events.size], minlength=x.size)
    other = np.bincount(place[events.size :], minlength=x.size)
    needed, size = 10.0, float(cover.size)
    if weights is not None and cover.size:
        size = float(np.abs(weights).sum() / np.quantile(np.abs(weights), 0.99))
    if size:
        needed = max(needed, math.log(1e-3 / events.size) / math.log(events.size / (events.size + size)))
    run, lonely = (other > 0).cumsum(), np.flatnonzero(other == 0)
    counts = np.bincount(run[lonely], own[lonely], minlength=run[-1] + 1)
    regions = []
    for number in np.flatnonzero(counts >= needed):
        members = lonely[run[lonely] == number]
        first, last = members[0], members[-1]
        regions.append(Region(float(x[first]), float(x[last]), int(counts[number]), first == 0, last == x.size - 1))
    return regions


def _counted(x: np.ndarray, n: np.ndarray) -> tuple[float, float]:
    """Quantiles of 1% and 99% of the rising values x (N,) that n (N,) events have; 0 and 0 without values."""
    if not x.size:
        return 0.0, 0.0
    total = n.cumsum()
    low, high = np.searchsorted(total, [0.01 * total[-1], 0.99 * total[-1]])
    return float(x[low]), float(x[high])
