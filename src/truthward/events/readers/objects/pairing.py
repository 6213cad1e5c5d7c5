"""Which objects of the two levels belong together, one to one, in flat arrays over all events of a chunk."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Placed(NamedTuple):
    """Objects of all events: (J,) each, `event` in the chunk rising, eta, and phi in radians."""

    event: np.ndarray
    eta: np.ndarray
    phi: np.ndarray


def delta_r(a: Placed, b: Placed, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Distance of the pairs (i, j) in pseudorapidity and azimuth, (P,)."""
    phi = np.mod(a.phi[i] - b.phi[j] + np.pi, 2 * np.pi) - np.pi
    return np.hypot(a.eta[i] - b.eta[j], phi)


def close(a: Placed, b: Placed, events: int, distance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs (i, j) of one event that are nearer than `distance`, and their distances, (P,) each."""
    many = np.bincount(b.event, minlength=events)
    start = np.cumsum(many) - many
    i, within = _expanded(many[a.event])
    j = within + start[a.event[i]]
    found = delta_r(a, b, i, j)
    near = found < distance
    return i[near], j[near], found[near]


def same(a: np.ndarray, b: np.ndarray, of: Placed, other: Placed) -> tuple[np.ndarray, np.ndarray]:
    """All pairs (i, j) of one event with equal keys, a (J,) and b (K,), (P,) each."""
    order = np.lexsort((b, other.event))
    # One number for each (event, key): the places of equal pairs in the sorted list are neighbours.
    keys, group = np.unique(
        np.concatenate([np.stack([of.event, a], 1), np.stack([other.event, b], 1)]), axis=0, return_inverse=True
    )
    group = group.reshape(-1)
    mine, theirs = group[: len(a)], group[len(a) :][order]
    many = np.bincount(theirs, minlength=len(keys))
    i, within = _expanded(many[mine])
    return i, order[within + (np.cumsum(many) - many)[mine[i]]]


def _expanded(many: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each number i as often as many[i] says, and the count within its run."""
    i = np.repeat(np.arange(len(many)), many)
    return i, np.arange(len(i)) - np.repeat(np.cumsum(many) - many, many)


def nearest_first(i: np.ndarray, j: np.ndarray, distance: np.ndarray, count: int) -> np.ndarray:
    """One-to-one partner of each of `count` objects, -1 for none: nearest pairs first.

    Each round accepts the pairs of objects that are each other's nearest. The result is the same as for pairs in the
    order of distance, but there is no loop over pairs.
    """
    partner = np.full(count, -1)
    order = np.lexsort((j, i, distance))
    i, j = i[order], j[order]
    while i.size:
        best_i = np.zeros(i.size, dtype=bool)
        best_j = np.zeros(i.size, dtype=bool)
        best_i[np.unique(i, return_index=True)[1]] = True
        best_j[np.unique(j, return_index=True)[1]] = True
        both = best_i & best_j
        partner[i[both]] = j[both]
        left = ~np.isin(i, i[both]) & ~np.isin(j, j[both])
        i, j = i[left], j[left]
    return partner


def leading(event: np.ndarray, order: np.ndarray | None, good: np.ndarray) -> np.ndarray:
    """Rank from 0 of each accepted object in its event by falling `order`, (J,); -1 for the others.

    Objects of equal `order` keep their places in the file.
    """
    places = np.arange(len(event))
    by = np.lexsort((places, *(() if order is None else (-order,)), ~good, event))
    first = np.unique(event[by], return_index=True)[1]
    rank = np.empty(len(event), dtype=np.int64)
    counts = np.diff(np.append(first, len(event)))
    rank[by] = np.arange(len(event)) - np.repeat(first, counts)
    return np.where(good, rank, -1)
