"""The histograms of a result and of the samples that it is compared with, for the figures."""

from __future__ import annotations

from typing import Any

import numpy as np

from truthward.events.families import Histogram
from truthward.validate.distances import Counts

COARSE = 40
"""Bins at most in a panel of the summary page."""


def curves(
    histogram: Histogram, samples: dict[str, Counts], *, published: np.ndarray, binned: bool = False
) -> dict[str, Any]:
    """What figures need. `own`: the observable's bins; `coarse`: merged to between 10 and COARSE where that divides,
    and of a `binned` method the bins that it unfolded, which are those of `histogram`; `published`: the published ones.

    Each: edges; for "unfolded" and each sample {sum, error}, events per bin (B,); the unfolded also `families`: name ->
    error; `unit_area`: the same scaled to unit sum within the edges, where the error of the yield drops out.
    """
    coarse = histogram.edges[:: 1 if binned else coarse_step(histogram.nominal.size)]
    return {
        name: _curves(histogram.merged(edges), {n: c.onto(edges) for n, c in samples.items()})
        for name, edges in (("own", histogram.edges), ("coarse", coarse), ("published", published))
    }


def coarse_step(bins: int) -> int:
    """Number of bins to merge for a figure: the smallest divisor that leaves between 10 and COARSE bins."""
    return next((k for k in range(1, bins + 1) if bins % k == 0 and 10 <= bins // k <= COARSE), 1)


def _curves(histogram: Histogram, samples: dict[str, Counts]) -> dict[str, Any]:
    width = np.diff(histogram.edges)
    result: dict[str, Any] = {"edges": histogram.edges.tolist(), "unit_area": {}}
    for place, found, unit in ((result, histogram, 1.0), (result["unit_area"], histogram.normalised(), width)):
        place["unfolded"] = {
            "sum": (found.nominal * unit).tolist(),
            "error": (found.sigma * unit).tolist(),
            "families": {name: (np.sqrt(v) * unit).tolist() for name, v in found.breakdown().items()},
        }
    for name, counts in samples.items():
        c, v, total = counts.inner, counts.inner_variance, counts.inner.sum()
        result[name] = {"sum": c.tolist(), "error": np.sqrt(v).tolist()}
        # c_i / C: c_i fluctuates, and so does the sum C, which contains it.
        scaled = (v * (1 - 2 * c / total) + (c / total) ** 2 * v.sum()).clip(min=0)
        result["unit_area"][name] = {"sum": (c / total).tolist(), "error": (np.sqrt(scaled) / abs(total)).tolist()}
    return result
