"""Fill the leaves of trees anew: the splits stay, and each leaf gets the value for the weights that are given.

Trees whose splits were chosen with other weights, and whose leaves are filled with the true ones, differ from the
trees of the true weights by the choice of splits alone. Events that were drawn anew would also have changed the values.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from truthward.errors import DivergedError
from truthward.ratio.boosted_trees import TreeLosses, Trees, mean_loss


def refilled(
    trees: Trees,
    x: Tensor,
    total: np.ndarray,
    positive: np.ndarray,
    rate: float,
    *,
    start: np.ndarray | None = None,
    held_out: np.ndarray | None = None,
    label: str = "boosted trees",
) -> tuple[Trees, np.ndarray, TreeLosses]:
    """Newton steps as in `ratio.boosted_trees`, - rate G / H in each leaf, one tree after the other.

    Args:
        x: (N, D). total, positive, start, held_out: as in `BinnedEvents.grow`. rate: the `learning_rate`.

    Returns:
        As `BinnedEvents.grow`. With the weights that the trees were grown with, they are the same trees.

    Raises:
        DivergedError: the weights in a leaf have no positive sum, which only weights of both signs can cause.
    """
    used = np.ones(len(x), dtype=bool) if held_out is None else ~held_out
    base = np.zeros(len(x)) if start is None else start.astype(np.float64)
    scores, values = np.zeros(len(x)), []
    for tree in range(trees.count):
        at = trees.places_in(tree, x)
        chance = torch.sigmoid(torch.from_numpy(base + scores)).numpy()
        leaves = int(trees.starts[tree + 1] - trees.starts[tree])
        slope, curvature = (
            np.bincount(at[used], v[used], minlength=leaves)
            for v in (total * chance - positive, total * chance * (1.0 - chance))
        )
        if not (curvature > 0).all():
            raise DivergedError(
                f"{label}: {int((~(curvature > 0)).sum())} of {leaves} leaves have no positive sum of weights; raise "
                "`smallest_leaf` in `trees`"
            )
        values.append(-rate * slope / curvature)
        scores += values[-1][at]
    trained, judged = (mean_loss(total[rows], positive[rows], (base + scores)[rows]) for rows in (used, ~used))
    return trees.with_values(values), scores, TreeLosses(trained, judged, trees.count)
