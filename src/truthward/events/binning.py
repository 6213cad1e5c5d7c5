"""Bins that a covariance from replicas can bear: one rule for the published tables and for the figures beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from truthward.events.bins import bin_of
from truthward.events.families import Histogram
from truthward.events.unfolded import Unfolded
from truthward.observable import Observable
from truthward.validate.metrics import merge_bins

RULE = (
    "Bins are the declared ones, or those that a binned method unfolded in. Where they are more than a third of the "
    "replicas of the smaller bootstrap, they are merged to at most so many, of about equal yield, so that the "
    "covariance of each bootstrap has full rank; one that holds a value of a probability of its own is not merged."
)
BOOTSTRAPS = ("data_bootstrap", "mc_bootstrap")


def coarse_histogram(sample: Unfolded, o: Observable) -> Histogram:
    """The unfolded histogram of one observable in the bins of `RULE`."""
    declared = sample.histogram(o.name, np.array(o.edges))
    inner = sample.metadata.get("inner_edges", {}).get(o.name)
    if inner is not None:
        # Within a bin of its own a binned method has the simulation's shape: finer bins add nothing but a singularity.
        declared = declared.merged(np.array([declared.edges[0], *inner, declared.edges[-1]]))
    return declared.merged(coarse_edges(declared, o.atoms))


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
            apart[bin_of(np.array([value]), edges)[0] - 1] = True
    limit = min((f.count // 3 for name, f in histogram.families.items() if name in BOOTSTRAPS), default=apart.size)
    if apart.size <= limit:
        return edges
    around = np.unique([edge for k in np.flatnonzero(apart) for edge in edges[k : k + 2]])
    inner = [edge for edge in around if edges[0] < edge < edges[-1]]
    most = max(1, limit - len(inner))
    rest = np.where(apart, 0.0, histogram.nominal)
    if apart.any() and not rest.any():
        return np.union1d(edges[[0, -1]], around)
    return np.union1d(merge_bins(edges, rest, most), around)
