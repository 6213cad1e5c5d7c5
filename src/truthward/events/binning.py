"""Bins that a covariance from replicas can bear: one rule for the published tables and for the figures beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from truthward.events.families import Histogram
from truthward.validate.metrics import merge_bins

RULE = (
    "The declared bins are merged to about equal yield, at most a third as many as the smaller bootstrap has replicas, "
    "so that the covariance of each bootstrap has full rank. A bin that holds a value of a probability of its own is "
    "not merged."
)
BOOTSTRAPS = ("data_bootstrap", "mc_bootstrap")


def coarse_edges(histogram: Histogram, atoms: Sequence[float] = ()) -> np.ndarray:
    """Edges (B + 1,) of merged bins by `RULE`, a subset of the histogram's; all of them where nothing was bootstrapped.

    Families that are small by nature (initialisations, systematics) set no limit: they add directions of uncertainty
    to a covariance that the bootstraps have made regular.

    Args:
        histogram: contents per declared bin, not densities.
        atoms: values that carry a probability of their own; those beyond the edges are ignored.

    Raises:
        InputError: for a histogram without contents.
    """
    edges, apart = histogram.edges, np.zeros(histogram.nominal.size, dtype=bool)
    for value in atoms:
        if edges[0] <= value <= edges[-1]:
            apart[min(int(np.searchsorted(edges, value, side="right")), apart.size) - 1] = True
    bootstraps = [f.count for name, f in histogram.families.items() if name in BOOTSTRAPS]
    if not bootstraps:
        return edges
    around = np.unique([edge for k in np.flatnonzero(apart) for edge in edges[k : k + 2]])
    inner = [edge for edge in around if edges[0] < edge < edges[-1]]
    most = max(1, min(bootstraps) // 3 - len(inner))
    rest = np.where(apart, 0.0, histogram.nominal)
    if apart.any() and not rest.any():
        return np.union1d(edges[[0, -1]], around)
    return np.union1d(merge_bins(edges, rest, most), around)
