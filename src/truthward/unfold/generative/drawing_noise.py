"""The variance that drawing some truth events for each measured event adds to a result, and other sums over draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from truthward.events.bins import cell_of
from truthward.unfold.stop.rules import Bins


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
