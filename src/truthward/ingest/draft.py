"""A first config from files: a map, and bins that follow the spread of the values and the resolution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import awkward as ak
import numpy as np

from truthward.events.bins import bin_of
from truthward.study.plugins import build

EVENTS = 20_000
"""Rows from which ranges and bins are made."""
BINS = 50
"""About as many fine bins as an observable gets."""
PURE, FEW, SHARE = 0.5, 40, 0.09
"""Published bins have at least this purity and stability, this many events, and this share of those that were read. So
there are some ten bins, and thirty replicas give a covariance that can be inverted."""
ATOM = 0.03
"""From this share of the events on, one value is an atom."""
SKEW = 30.0
"""From this ratio of the quantiles 99.9% and 50% on, bins are logarithmic."""


@dataclass(frozen=True)
class Binned:
    """Range, bins and published edges of one observable, as a config has them; `said` is what should be looked at."""

    low: float
    high: float
    bins: int
    scale: str
    integer: bool
    atoms: tuple[float, ...]
    published: tuple[float, ...]
    said: tuple[str, ...]


def sample(entry: Mapping[str, Any], columns: Sequence[str]) -> dict[str, np.ndarray]:
    """The first rows of a simulation, through its reader.

    Raises:
        InputError, ConfigError: as the reader.
    """
    reader = build("events.readers", dict(entry))
    wanted = [*columns, "pass_truth", "pass_reco", "weight"]
    found: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    rows = 0
    for batch in islice(reader.batches(("truth", "reco"), rows=2000), 1000):
        rows += len(batch["event_id"])
        for name in wanted:
            found[name].append(np.asarray(ak.to_numpy(batch[name])))
        if rows >= EVENTS:
            break
    return {name: np.concatenate(parts) for name, parts in found.items()}


def binned(truth: np.ndarray, reco: np.ndarray, both: tuple[np.ndarray, np.ndarray]) -> Binned:
    """Range and bins of an observable.

    Args:
        truth, reco: accepted values at each level, (N,) and (M,).
        both: those of events that are accepted at both levels, (P,) each.
    """
    values = np.concatenate([truth, reco]).astype(np.float64)
    said = []
    if (odd := int((~np.isfinite(values)).sum())) > 0:
        said.append(f"{odd} of {values.size} accepted values are NaN or infinite; cut them away by a pass flag")
    values = values[np.isfinite(values)]
    if values.size < 2 or values.min() == values.max():
        said.append("it has one value only, or none")
        return Binned(0.0, 1.0, 1, "linear", False, (), (), tuple(said))
    integer = bool((values == np.floor(values)).all())
    known, counts = np.unique(values, return_counts=True)
    atoms = () if integer else tuple(float(v) for v in known[counts > ATOM * values.size])
    low, middle, high = (float(q) for q in np.quantile(values, [0.001, 0.5, 0.999]))
    if low > 0 and high > SKEW * middle and not integer:
        edges = 10.0 ** np.array([math.floor(10 * math.log10(low)) / 10, math.ceil(10 * math.log10(high)) / 10])
        found = float(f"{edges[0]:.3g}"), float(f"{edges[1]:.3g}"), BINS, "log"
    else:
        found = _linear(low, high, integer)
    fine = _edges(*found)
    outside = float(((values < found[0]) | (values > found[1])).mean())
    if outside > 0.01:
        said.append(f"{outside:.1%} of the accepted values are out of range")
    published = _published(both[0], both[1], fine)
    if len(published) < 4:
        said.append(
            f"{len(both[0])} events that both levels accept allow fewer than three bins of {FEW} events and a purity "
            "of 50%; give more events, or look whether it is the same quantity at both levels"
        )
    return Binned(*found, integer, atoms, published, tuple(said))


def _linear(low: float, high: float, integer: bool) -> tuple[float, float, int, str]:
    rough = (high - low) / BINS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= rough)
    step = max(1.0, round(step)) if integer else step
    first, last = math.floor(low / step), math.ceil(high / step)
    last += last == first
    return float(f"{first * step:.10g}"), float(f"{last * step:.10g}"), last - first, "linear"


def _edges(low: float, high: float, bins: int, scale: str) -> np.ndarray:
    return np.geomspace(low, high, bins + 1) if scale == "log" else np.linspace(low, high, bins + 1)


def _published(truth: np.ndarray, reco: np.ndarray, fine: np.ndarray) -> tuple[float, ...]:
    """Fine edges between which at least half of the events of each level are in the same bin at the other level."""
    size = len(fine) - 1
    matrix = np.zeros((size + 2, size + 2))
    np.add.at(matrix, (bin_of(truth, fine), bin_of(reco, fine)), 1)
    matrix = matrix[1:-1, 1:-1]
    chosen, start = [0], 0
    for end in range(1, size + 1):
        inside = matrix[start:end, start:end].sum()
        of_truth, of_reco = matrix[start:end].sum(), matrix[:, start:end].sum()
        if inside >= max(FEW, PURE * of_truth, PURE * of_reco) and of_truth >= SHARE * matrix.sum():
            chosen.append(end)
            start = end
    if chosen[-1] != size:
        chosen[-1] = size
    return tuple(float(f"{fine[edge]:.6g}") for edge in chosen) if len(chosen) > 1 else ()
