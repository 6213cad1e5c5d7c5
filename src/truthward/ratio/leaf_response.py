"""Replicas of boosted trees without growing any: the trees stay, and their leaves answer to other weights.

A bootstrap differs from the nominal training only by the weights of the events. The leaf l of tree t has the value

    v_l = - rate G_l / H_l,    G_l = sum (total p_t - positive),    H_l = sum total p_t (1 - p_t),

summed over the events in the leaf. p_t is the probability before tree t. A replica keeps the splits and has its own
sums. Its own probabilities differ from the nominal ones by d logit = sum of the changes of the leaves before. To first
order this change adds to G and H

    dG_l = sum total p (1 - p) d logit,    dH_l = sum total p (1 - p) (1 - 2 p) d logit.

d logit is itself a sum over leaves. So the change is a product of a matrix with the changes of earlier leaves, and one
pass over the events gives everything that all replicas need: sums over pairs of leaves with the nominal weights, and
sums over leaves with the weights of each replica. Then the leaves are solved tree by tree. This is the infinitesimal
jackknife (Giordano et al. 1806.00550) of the trees, exact in the weights and linear in the change of the probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from truthward.errors import DivergedError
from truthward.ratio.boosted_trees import Trees

CURVED = 50_000
"""The sums over pairs of leaves take at least this number of events, if there are more. They only give the small
change of the probabilities. The sums over leaves, whose fluctuation we need, take all events."""

Pieces = Iterable[tuple[Tensor, np.ndarray, np.ndarray]]
"""Pieces of the training events: x (m, D), `total` and `positive` (m, E) float32, with the nominal weights first; see
`ratio.boosted_trees`."""

Places = Callable[[Trees, Tensor], np.ndarray]
"""`Trees.places`, or the same with a memory."""


@dataclass(frozen=True)
class Leaves:
    """Trees of one training, and the change (L, E) float32 of their leaves for each member."""

    trees: Trees
    change: np.ndarray


class LeafResponse:
    """Logits (N, E) float64 of the members at any x (N, D), the nominal member first."""

    def __init__(self, parts: Sequence[Leaves], places: Places = Trees.places) -> None:
        self.parts, self._places = list(parts), places

    def __call__(self, x: Tensor) -> np.ndarray:
        nominal, change = self.split(x)
        return nominal[:, None] + change

    def split(self, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Nominal logits (N,) and the changes of them (N, E)."""
        nominal, change = np.zeros(len(x)), []
        for part in self.parts:
            places = self._places(part.trees, x)
            nominal += part.trees.values[places].sum(axis=1)
            change.append(_table(places, np.ones(1, np.float32), len(part.change)) @ part.change)
        return nominal, sum(change[1:], change[0])


def leaf_response(
    trees: Trees,
    pieces: Pieces,
    events: int,
    rate: float,
    *,
    before: LeafResponse | None = None,
    places: Places = Trees.places,
    label: str = "response",
) -> LeafResponse:
    """The response of trees that were grown with the first column of the weights.

    Args:
        events: number of events in all pieces. rate: `learning_rate` of the trees.
        before: the response of the trees that these continue, if they continue others.

    Raises:
        DivergedError: a leaf without a positive sum of curvatures in a replica, or changes that are not finite.
    """
    starts, every = trees.starts, 1 + events // CURVED
    size, values = int(starts[-1]), trees.values
    sums: list = [0.0, 0.0]
    pairs = np.zeros((2, size, size))
    for x, total, positive in pieces:
        at = places(trees, x)
        nominal, moved = (np.zeros(len(x)), None) if before is None else before.split(x)
        steps = np.cumsum(values[at], axis=1)
        logit = nominal[:, None] + np.concatenate([np.zeros((len(x), 1)), steps[:, :-1]], axis=1)
        chance = torch.sigmoid(torch.from_numpy(logit.astype(np.float32))).numpy()
        slope = chance * (1.0 - chance)
        bend = slope * (1.0 - 2.0 * chance)
        gradient = _table(at, chance, size).T @ total - _table(at, np.ones_like(chance), size).T @ positive
        curvature = _table(at, slope, size).T @ total
        if moved is not None:
            shifted = (total[:, :1] * moved).astype(np.float32)
            gradient = gradient + _table(at, slope, size).T @ shifted
            curvature = curvature + _table(at, bend, size).T @ shifted
        sums = [a + b.astype(np.float64) for a, b in zip(sums, (gradient, curvature), strict=True)]
        _add_pairs(pairs, at[::every], every * total[::every, 0], slope[::every], bend[::every], starts)
    change = np.zeros_like(sums[0])
    for first, end in pairwise(starts):
        here, earlier = slice(first, end), slice(0, first)
        top, bottom = (s[here] + p[here, earlier] @ change[earlier] for s, p in zip(sums, pairs, strict=True))
        if not (bottom > 0).all():
            raise DivergedError(
                f"{label}: {int((~(bottom > 0)).sum())} of {bottom.size} leaves have no positive sum of weights"
            )
        value = -rate * top / bottom
        change[here] = value - value[:, :1]
    if bad := int((~np.isfinite(change)).sum()):
        raise DivergedError(f"{label}: {bad} of {change.size} changes of leaves are not finite")
    return LeafResponse([*(before.parts if before else ()), Leaves(trees, change.astype(np.float32))], places)


def _table(places: np.ndarray, values: np.ndarray, size: int) -> csr_matrix:
    """A sparse matrix (m, L) with `values`, (m, T) or one for all, at the leaves (m, T) of each event."""
    data = np.broadcast_to(values, places.shape).ravel()
    return csr_matrix((data, places.ravel(), np.arange(0, data.size + 1, places.shape[1])), shape=(len(places), size))


def _add_pairs(
    pairs: np.ndarray, at: np.ndarray, weight: np.ndarray, slope: np.ndarray, bend: np.ndarray, starts: np.ndarray
) -> None:
    """Add to `pairs` (2, L, L) the sums over events in a leaf and in a leaf of an earlier tree."""
    for later in range(1, at.shape[1]):
        first, end = starts[later], starts[later + 1]
        for k, factor in enumerate((slope, bend)):
            w = weight * factor[:, later]
            for earlier in range(later):
                low, width = starts[earlier], starts[earlier + 1] - starts[earlier]
                place = (at[:, later] - first) * width + (at[:, earlier] - low)
                found = np.bincount(place, w, minlength=(end - first) * width)
                pairs[k, first:end, low : low + width] += found.reshape(-1, width)
