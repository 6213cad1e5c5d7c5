"""The bin of a value: the only place that decides it, so that all figures, tables and methods agree on every edge.

Event tables hold float32. As float32, 0.7 is below the double 0.7, and 0.1 is above the double 0.1. So a value on an
edge could fall to either side of an edge in double precision. Edges in float32 avoid this: rounding is monotone, and a
value with up to six significant digits is in the same bin as the double in numpy.histogram.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Edges = np.ndarray | Sequence[float]


def single(values: Edges) -> np.ndarray:
    """Convert to float32, the precision of the event table; values beyond its range become infinite."""
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(np.float32, copy=False)


def extended(edges: Edges) -> np.ndarray:
    """Edges (B + 3,) of B + 2 bins: underflow, `edges` (B + 1,), overflow. The last inner bin keeps its upper edge."""
    inner = np.array(edges, dtype=float)
    inner[-1] = np.nextafter(single(inner[-1]), np.float32(np.inf))
    return np.concatenate([[-np.inf], inner, [np.inf]])


def cell_of(values: np.ndarray, inner: Edges) -> np.ndarray:
    """Bin (N,) of each value between `inner` edges (B - 1,), rising: 0 to B - 1, the outer bins open.

    A bin includes its lower edge. NaN are in the last bin.

    >>> cell_of(np.float32([0.1, 0.6, 0.7, 0.8]), [0.6, 0.7]).tolist()
    [0, 1, 2, 2]
    """
    return np.searchsorted(single(inner), single(values), side="right")


def bin_of(values: np.ndarray, edges: Edges) -> np.ndarray:
    """Bin (N,) of each value in `extended(edges)`: 0 underflow, B + 1 overflow.

    As in numpy.histogram, a bin includes its lower edge, and the last one its upper edge too.

    >>> bin_of(np.float32([-1, 0, 0.7, 1.0, 1.1]), [0, 0.7, 1.0]).tolist()
    [0, 1, 2, 2, 3]
    """
    return cell_of(values, extended(edges)[1:-1])


def binned(values: np.ndarray, edges: Edges, weights: np.ndarray | None = None) -> np.ndarray:
    """Sums of weights (N,), or numbers of values (N,), within the bins, (B,) float64: numpy.histogram of the doubles.

    >>> binned(np.float32([0.6, 0.7, 0.8, 0.9, 1.0]), [0.5, 0.7, 0.9, 1.0]).tolist()
    [1.0, 2.0, 2.0]
    """
    return np.bincount(bin_of(values, edges), weights, minlength=len(edges) + 1)[1:-1].astype(float)
