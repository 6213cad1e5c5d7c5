"""Replicas of boosted trees without growing any: the trees stay, and their leaves answer to other weights.

A bootstrap differs from the nominal training only by the weights of the events. A replica keeps the splits of the
nominal trees, and gives each leaf of each tree, one tree after the other, the value for its own weights:

    - rate G / H,    G = sum (total p - positive),    H = sum total p (1 - p),

summed over the events in the leaf. p is the replica's own probability before this tree. All replicas are computed in
one pass over the events for each tree. Nothing is approximated but the choice of the splits: a training with a
replica's weights would choose others. Benchmarks compare the spread with that of such trainings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from truthward.errors import DivergedError
from truthward.ratio.boosted_trees import Trees

ROWS = 8192
"""Number of events in one product: few enough that its arrays stay in the cache."""

Pieces = Callable[[], Iterable[tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]]]
"""Gives pieces of the training events each time it is called: x (m, D); `total` and `positive` (m, E) float32, with the
nominal weights first, see `ratio.boosted_trees`; and the logits at the start of the training, (m, E) or (m, 1) float32.
"""

Places = Callable[[Trees, Tensor], np.ndarray]
"""`Trees.places`, or the same with a memory."""


@dataclass(frozen=True)
class Leaves:
    """Trees of one training, and the values (L, E) float32 of their leaves for each member."""

    trees: Trees
    values: np.ndarray


class LeafResponse:
    """Logits (N, E) float64 of the members at any x (N, D), the nominal member first."""

    def __init__(self, parts: Sequence[Leaves], places: Places = Trees.places) -> None:
        self.parts, self._places = list(parts), places

    def __call__(self, x: Tensor) -> np.ndarray:
        # The nominal logit in double precision, and the small difference of each member in single precision.
        nominal, change = np.zeros(len(x)), []
        for part in self.parts:
            places = self._places(part.trees, x)
            nominal += part.trees.values[places].sum(axis=1)
            change.append(_table(places, len(part.values)) @ (part.values - part.values[:, :1]))
        return nominal[:, None] + sum(change[1:], change[0])


def leaf_response(
    trees: Trees,
    pieces: Pieces,
    rate: float,
    *,
    before: LeafResponse | None = None,
    places: Places = Trees.places,
    label: str = "response",
) -> LeafResponse:
    """The response of trees that were grown with the first column of the weights.

    Args:
        rate: `learning_rate` of the trees. before: the response of the trees that these continue, if they continue
            others.

    Raises:
        DivergedError: a leaf without a positive sum of curvatures in a replica.
    """
    starts, members = trees.starts, next(iter(pieces()))[1].shape[1]
    values = np.empty((0, members), np.float32)
    for tree in range(trees.count):
        size = int(starts[tree + 1] - starts[tree])
        first, second, upper = 0.0, 0.0, 0.0
        for x, total, positive, start in pieces():
            at = places(trees, x)
            for begin in range(0, len(x), ROWS):
                rows = slice(begin, begin + ROWS)
                # Of each member, before this tree.
                logit = start[rows] + _table(at[rows, :tree], len(values)) @ values if tree else start[rows]
                chance = torch.sigmoid(torch.from_numpy(logit)).numpy()
                here, seen = _table(at[rows, tree : tree + 1] - starts[tree], size).T, total[rows] * chance
                first = first + here @ seen
                second = second + here @ (seen * chance)
                upper = upper + here @ positive[rows]
        curvature = np.asarray(first - second)
        if not (curvature > 0).all():
            raise DivergedError(
                f"{label}: {int((~(curvature > 0)).sum())} of {curvature.size} leaves have no positive sum of weights"
            )
        found = (-rate * (first - upper) / curvature).astype(np.float32)
        values = np.concatenate([values, found])
    return LeafResponse([*(before.parts if before else ()), Leaves(trees, values)], places)


def _table(places: np.ndarray, size: int) -> csr_matrix:
    """A sparse matrix (m, L) with a one at the leaves (m, T) of each event."""
    ends = places.shape[1] * np.arange(len(places) + 1)
    return csr_matrix((np.ones(places.size, np.float32), places.ravel(), ends), shape=(len(places), size))
