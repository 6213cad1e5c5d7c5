"""The variance that drawing some truth events for each measured event adds to a result, and other sums over draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from truthward.events.bins import cell_of
from truthward.unfold.stop.rules import Bins


class WeightSums:
    """Sums over the weights of E replicas of the same draws, filled piece by piece."""

    def __init__(self, members: int) -> None:
        self._events = 0
        self._first, self._second, self._magnitude, self._largest, self._beyond = np.zeros((5, members))

    def add(self, weights: np.ndarray, beyond: np.ndarray) -> None:
        """Add draws with weights (n, E); beyond: (E,), how many of them have the lowest efficiency."""
        self._events += len(weights)
        self._first += weights.sum(axis=0)
        self._second += (weights**2).sum(axis=0)
        self._magnitude += np.abs(weights).sum(axis=0)
        self._largest = np.maximum(self._largest, np.abs(weights).max(axis=0))
        self._beyond += beyond

    def entries(self) -> list[dict[str, Any]]:
        """The entries of the replicas for the history, as far as they describe weights and not draws."""
        columns = {
            "draws_at_lowest_efficiency": self._beyond.astype(int),
            "yield_unfolded": self._first,
            "effective_size_unfolded": self._first**2 / self._second,
            "largest_over_mean_unfolded": self._largest * self._events / self._magnitude,
        }
        return [{n: c[e].item() for n, c in columns.items()} for e in range(len(self._first))]


class DrawSums:
    """Sums over the draws of one replica, in the coarse bins of each observable, filled piece by piece.

    The draws of a measured event form two independent halves, those with even and those with odd number. Let them add
    the contents h and h' to a bin. Under repeated drawing h - h' has the same variance as h + h'. So the sum of
    (h - h')^2 over the measured events is an unbiased estimate of the sampling variance of the bin. It does not matter
    how the draws within a half depend on each other.
    """

    def __init__(self, bins: Bins, count: int) -> None:
        self.bins, self.count = bins, count
        self._events, self._first, self._second, self._magnitude, self._largest = 0, 0.0, 0.0, 0.0, 0.0
        self._halves, self._squares = np.zeros((2, bins.size))

    def add(self, truth: np.ndarray, weights: np.ndarray) -> None:
        """Add all draws of some measured events: truth (count n, D) and weights (count n,), draw after draw."""
        self._events += len(weights)
        self._first += float(weights.sum())
        self._second += float((weights**2).sum())
        self._magnitude += float(np.abs(weights).sum())
        self._largest = max(self._largest, float(np.abs(weights).max()))
        self._squares += self.bins.filled(truth, weights[:, None] ** 2)[:, 0]
        draws = np.arange(len(weights)) // (len(weights) // self.count)
        signed = np.where(draws % 2, -weights, weights)
        for d, inner in enumerate(self.bins.inner):
            size = self.bins.size // len(self.bins.inner)
            event = np.arange(len(weights)) % (len(weights) // self.count)
            place = event * size + cell_of(truth[:, d], inner)
            differences = np.bincount(place, signed, minlength=size * (event[-1] + 1)).reshape(-1, size)
            self._halves[d * size : (d + 1) * size] += (differences**2).sum(axis=0)

    def entry(self) -> dict[str, Any]:
        """The entry for the history. Variances are per bin, one observable after the other.

        `sampling_variance`; `counting_variance`, the variance of the data if each event were reconstructed where it was
        drawn; `sampling_share`, the ratio of their sums. With an odd number of draws there are none of these.
        """
        found = {
            "events_drawn": self._events,
            "yield_unfolded": self._first,
            "effective_size_unfolded": self._first**2 / self._second,
            "largest_over_mean_unfolded": self._largest * self._events / self._magnitude,
        }
        if self.count % 2:
            return found
        counting = self.count * self._squares
        return found | {
            "sampling_share": float(self._halves.sum() / counting.sum()),
            "sampling_variance": self._halves.tolist(),
            "counting_variance": counting.tolist(),
        }
