"""Histograms for the figures: of a result, and of the samples with which it is compared."""

from __future__ import annotations

import numpy as np

from truthward.events.families import Histogram
from truthward.records import shared
from truthward.records.validate.method import AllCurves, BinnedCurves, Curves
from truthward.validate.distances import Counts

COARSE = 40
"""Largest number of bins in a panel of the summary page."""


def curves(
    histogram: Histogram, samples: dict[str, Counts], *, published: np.ndarray, binned: bool = False
) -> AllCurves:
    """Histograms in three binnings.

    `own` has the bins of `histogram`. `coarse` merges them to between 10 and COARSE bins if a divisor allows it. For a
    `binned` method it has the bins that the method unfolded, which are the bins of `histogram`. `published` has the
    published bins. In `unit_area` the sum within the edges is one, so the error of the yield drops out.

    Args:
        samples: "prior", "data" and, if it is known, "truth".
    """
    coarse = histogram.edges[:: 1 if binned else coarse_step(histogram.nominal.size)]
    own, merged, last = (
        _binned(histogram.merged(edges), {n: c.onto(edges) for n, c in samples.items()})
        for edges in (histogram.edges, coarse, published)
    )
    return {"own": own, "coarse": merged, "published": last}


def coarse_step(bins: int) -> int:
    """Number of bins to merge for a figure: the smallest divisor that leaves between 10 and COARSE bins."""
    return next((k for k in range(1, bins + 1) if bins % k == 0 and 10 <= bins // k <= COARSE), 1)


def _binned(histogram: Histogram, samples: dict[str, Counts]) -> BinnedCurves:
    width = np.diff(histogram.edges)
    return {
        "edges": histogram.edges.tolist(),
        **_curves(histogram, 1.0, {n: _events(c) for n, c in samples.items()}),
        "unit_area": _curves(histogram.normalised(), width, {n: _shares(c) for n, c in samples.items()}),
    }


def _curves(found: Histogram, unit: float | np.ndarray, samples: dict[str, shared.Histogram]) -> Curves:
    curves: Curves = {
        "unfolded": {
            "sum": (found.nominal * unit).tolist(),
            "error": (found.sigma * unit).tolist(),
            "families": {name: (np.sqrt(v) * unit).tolist() for name, v in found.breakdown().items()},
        },
        "prior": samples["prior"],
        "data": samples["data"],
    }
    if "truth" in samples:
        curves["truth"] = samples["truth"]
    return curves


def _events(counts: Counts) -> shared.Histogram:
    return {"sum": counts.inner.tolist(), "error": np.sqrt(counts.inner_variance).tolist()}


def _shares(counts: Counts) -> shared.Histogram:
    c, v, total = counts.inner, counts.inner_variance, counts.inner.sum()
    # c_i / C: c_i fluctuates, and so does the sum C, which contains it.
    scaled = (v * (1 - 2 * c / total) + (c / total) ** 2 * v.sum()).clip(min=0)
    return {"sum": (c / total).tolist(), "error": (np.sqrt(scaled) / abs(total)).tolist()}
