"""Random numbers of events from a hash of their ids: the same in every job and chunk, and for every order of events."""

from __future__ import annotations

import numpy as np


def mix(values: np.ndarray) -> np.ndarray:
    """Scramble 64-bit integers, (N,) uint64 -> (N,) uint64, one to one (splitmix64 finaliser, Steele et al. 2014)."""
    z = np.asarray(values, dtype=np.uint64).copy()
    z += np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniform(event_id: np.ndarray, key: int) -> np.ndarray:
    """One number in [0, 1) for each event, (N,) float64, by hash of (event, key): independent of order and chunking."""
    hashed = mix(mix(np.asarray(event_id, dtype=np.uint64)) ^ mix(np.array([key], dtype=np.uint64)))
    return (hashed >> np.uint64(11)).astype(np.float64) * 2.0**-53
