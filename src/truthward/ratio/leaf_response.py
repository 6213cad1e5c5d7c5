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
from scipy.sparse import csc_matrix
from torch import Tensor
from torch.nn.functional import embedding_bag

from truthward.errors import DivergedError
from truthward.ratio.boosted_trees import Trees

ROWS = 8192
"""Number of events in one product, at most: few enough that its arrays stay in the cache."""

Pieces = Callable[[], Iterable[tuple[Tensor, np.ndarray, np.ndarray, np.ndarray | None]]]
"""Gives pieces of the training events each time it is called: x (m, D); `total` and `positive` (m, E) float32, with the
nominal weights first, see `ratio.boosted_trees`; and the logits at the start of the training, (m, E) float32, or None.
"""

Places = Callable[[Trees, Tensor], np.ndarray]
"""`Trees.places`, or the same with a memory."""


@dataclass(frozen=True)
class Leaves:
    """Trees of one training, and the values (L, E) float32 of their leaves for each member."""

    trees: Trees
    values: np.ndarray


class LeafResponse:
    """Logits (N, E) float32 of the members at any x (N, D), the nominal member first."""

    def __init__(self, parts: Sequence[Leaves], places: Places = Trees.places) -> None:
        self.parts, self._places = list(parts), places

    def __call__(self, x: Tensor) -> np.ndarray:
        found = [_gathered(self._places(part.trees, x), part.values) for part in self.parts]
        return sum(found[1:], found[0]).numpy()


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
        slope, curvature = np.zeros((2, size, members))
        for x, total, positive, start in pieces():
            at = places(trees, x)
            for begin in range(0, len(x), ROWS):
                rows = slice(begin, begin + ROWS)
                # Of each member, before this tree.
                logit = _gathered(at[rows, :tree], values)
                if start is not None:
                    logit += torch.from_numpy(start[rows])
                chance, both = torch.sigmoid_(logit), torch.from_numpy(total[rows])
                product = both * chance
                # Each column of this matrix has a one at the leaf of an event.
                leaf, ends = at[rows, tree] - starts[tree], np.arange(len(both) + 1)
                ones = csc_matrix((np.ones(len(leaf), np.float32), leaf, ends), shape=(size, len(leaf)))
                curvature += ones @ torch.addcmul(product, product, chance, value=-1.0).numpy()
                slope += ones @ product.sub_(torch.from_numpy(positive[rows])).numpy()
        if not (curvature > 0).all():
            raise DivergedError(
                f"{label}: {int((~(curvature > 0)).sum())} of {curvature.size} leaves have no positive sum of weights"
            )
        values = np.concatenate([values, (-rate * slope / curvature).astype(np.float32)])
    return LeafResponse([*(before.parts if before else ()), Leaves(trees, values)], places)


def _gathered(places: np.ndarray, values: np.ndarray) -> Tensor:
    """Sums (m, E) of the values (L, E) of the leaves (m, T) of each event."""
    if not places.shape[1]:
        return torch.zeros(len(places), values.shape[1])
    return embedding_bag(torch.from_numpy(places), torch.from_numpy(values), mode="sum")
