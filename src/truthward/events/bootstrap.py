"""Bootstrap weights of events, by hash of their ids: the same in any job, chunk or order of events."""

from __future__ import annotations

import numpy as np

from truthward.events.hashing import uniform
from truthward.study.seeds import seed_for

# P(X <= k) of a Poisson variable of unit mean, up to k = 12 (beyond: 6e-11).
_POISSON_CDF = np.cumsum([np.exp(-1.0) / float(np.prod(np.arange(1, k + 1, dtype=float))) for k in range(13)])


def poisson_weights(event_id: np.ndarray, *, seed: int, family: str, index: int) -> np.ndarray:
    """Bootstrap weights: one Poisson(1) count for each event, (N,) float32.

    The count is a function of (event, seed, family, index) alone, so that any job, chunk or order of events gives the
    same replica (2109.13243, section 3).
    """
    u = uniform(event_id, seed_for(seed, "bootstrap", family, index))
    return np.searchsorted(_POISSON_CDF, u, side="right").astype(np.float32)
