"""Bins of the published results and of their figures: the bins that the user declared."""

from __future__ import annotations

import numpy as np

from truthward.events.families import Histogram
from truthward.events.unfolded import Unfolded
from truthward.study.observable import Observable

RULE = (
    "Bins are those that were declared; none is merged for want of replicas. A method that unfolds in bins of its own "
    "states those declared edges that are also its own: within its bins it has the shape of the simulation."
)
BOOTSTRAPS = ("data_bootstrap", "mc_bootstrap")


def own_edges(sample: Unfolded, o: Observable) -> np.ndarray | None:
    """Edges (B + 1,) of the bins in which a binned method unfolds one observable, within its range; None for others."""
    inner = sample.metadata.get("inner_edges", {}).get(o.name)
    return None if inner is None else np.array([o.edges[0], *inner, o.edges[-1]])


def published_edges(sample: Unfolded, o: Observable) -> np.ndarray:
    """Edges of the published bins of one observable, by `RULE`."""
    edges, own = np.array(o.published_edges), own_edges(sample, o)
    if own is None:
        return edges
    common = np.intersect1d(edges, own)
    return common if common.size > 1 else own[[0, -1]]


def published_histogram(sample: Unfolded, o: Observable) -> Histogram:
    """The unfolded histogram of one observable in its published bins."""
    return sample.histogram(o.name, published_edges(sample, o))


def rank(histogram: Histogram) -> int:
    """Largest possible rank of the covariance of the bootstraps: R - 1 for the smallest family.

    Without bootstraps it is the number of bins.
    """
    counts = [f.count - 1 for name, f in histogram.families.items() if name in BOOTSTRAPS]
    return min(counts, default=histogram.nominal.size)
