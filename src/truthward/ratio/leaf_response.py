"""Replicas of boosted trees without growing any: the trees stay, and their leaves answer to other weights.

A bootstrap differs from the nominal training only by the weights of the events. A replica keeps the splits of the
nominal trees, and gives each leaf of each tree, one tree after the other, the value for its own weights:

    - rate G / H,    G = sum (total p - positive),    H = sum total p (1 - p),

summed over the events in the leaf. Its p is not the nominal one, because its earlier leaves have other values. Let d be
the change of an event's logit before this tree. To first order in d

    G = sum (total p0 - positive) + sum total p0 (1 - p0) d,    H = sum total p0 (1 - p0),

with the nominal probability p0. (H also moves with d. That is left out, because it enters times G, which boosting
makes small.) So one pass over the events is enough for all trees and replicas. The part of d that comes from the start
of the training is summed event by event. The part that comes from the leaf l' of an earlier tree is the change of its
value, times the share of H in the leaf l that belongs to events in l' too. The shares are those of the nominal
weights. A replica with the nominal weights has the nominal values.

This is the infinitesimal jackknife (Jaeckel 1972; Giordano et al. 1806.00550) of the boosting with fixed splits. A
training with a replica's weights would choose others. That noise is a family of its own, see `ratio.refilled`.
Benchmarks compare the spread with that of such trainings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy.sparse import csc_matrix
from torch import Tensor
from torch.nn.functional import embedding_bag

from truthward.errors import DivergedError
from truthward.ratio.boosted_trees import Trees

SHARED = 100_000
"""The shares of leaves are summed over at least this number of events, if there are more. Sums of gradients and
curvatures are over all events, because we need their fluctuation."""

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
    """Logits (N, E) float32 of the members at any x (N, D), the nominal member first; from row `start` on."""

    def __init__(self, parts: Sequence[Leaves], places: Places = Trees.places) -> None:
        self.parts, self._places = list(parts), places

    def __call__(self, x: Tensor, start: int = 0) -> np.ndarray:
        found = [_gathered(self._places(part.trees, x)[start:], part.values) for part in self.parts]
        return sum(found[1:], found[0]).numpy()


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
        events: number of events in all pieces.
        rate: `learning_rate` of the trees. before: the response of the trees that these continue, if they continue
            others.

    Raises:
        DivergedError: a leaf without a positive sum of curvatures in a replica.
    """
    members = next(iter(pieces()))[1].shape[1]
    every = max(1, events // SHARED)
    starts, nominal, size = trees.starts, trees.values, len(trees.values)
    slope, curvature, shared = np.zeros((size, members)), np.zeros((size, members)), np.zeros((size, size))
    for x, total, positive, start in pieces():
        at = places(trees, x)
        logit = np.cumsum(nominal[at], axis=1) - nominal[at]  # Before each tree.
        if start is not None:
            logit += start[:, :1]
        chance = 1.0 / (1.0 + np.exp(-logit))
        curved = chance * (1.0 - chance)
        curvature += _leaf_sums(at, size, curved, total)
        slope += _leaf_sums(at, size, chance, total) - _leaf_sums(at, size, np.ones_like(chance), positive)
        if start is not None:
            slope += _leaf_sums(at, size, curved, total * (start - start[:, :1]))
        _add_pairs(shared, starts, at[::every], every * (curved * total[:, :1])[::every])
    if not (curvature > 0).all():
        raise DivergedError(
            f"{label}: {int((~(curvature > 0)).sum())} of {curvature.size} leaves have no positive sum of weights"
        )
    values = -rate * slope / curvature
    shares = shared / curvature[:, :1]
    for first, end in pairwise(starts[1:]):
        values[first:end] -= rate * shares[first:end, :first] @ (values[:first] - nominal[:first, None])
    return LeafResponse([*(before.parts if before else ()), Leaves(trees, values.astype(np.float32))], places)


def _leaf_sums(places: np.ndarray, size: int, factors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sums (L, E) over the events in each leaf of factors (m, T) times weights (m, E); leaves (m, T) of the events."""
    ends = places.shape[1] * np.arange(len(places) + 1)
    matrix = csc_matrix((factors.astype(np.float32).ravel(), places.ravel(), ends), shape=(size, len(places)))
    return matrix @ weights


def _add_pairs(sums: np.ndarray, starts: np.ndarray, places: np.ndarray, values: np.ndarray) -> None:
    """Add to the sums (L, L) the values (m, T) of the events in each leaf that are in a leaf of an earlier tree too."""
    for tree, (first, end) in enumerate(pairwise(starts)):
        for earlier, (begin, stop) in enumerate(pairwise(starts[: tree + 1])):
            pair = (places[:, tree] - first) * (stop - begin) + (places[:, earlier] - begin)
            found = np.bincount(pair, values[:, tree], minlength=(end - first) * (stop - begin))
            sums[first:end, begin:stop] += found.reshape(end - first, stop - begin)


def _gathered(places: np.ndarray, values: np.ndarray) -> Tensor:
    """Sums (m, E) of the values (L, E) of the leaves (m, T) of each event."""
    if not places.shape[1]:
        return torch.zeros(len(places), values.shape[1])
    return embedding_bag(torch.from_numpy(places), torch.from_numpy(values), mode="sum")
