"""Train, validation and test parts of a sample, by a hash of the event id."""

from __future__ import annotations

import numpy as np

TRAIN, VALIDATION, TEST = 0, 1, 2
FRACTIONS = (0.6, 0.2, 0.2)
"""Of the events in train, validation and test."""

_SALT = np.uint64(0x5EED_0F_5B_117)
_UNIT = 2.0**-53


def mix(values: np.ndarray) -> np.ndarray:
    """Scramble integers one to one: the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014, doi:10.1145/2660193.2660195).

    Args:
        values: (N,) integers, taken modulo 2^64.

    Returns:
        (N,) uint64; equal values give equal results, neighbouring values unrelated ones.

    >>> mix(np.array([0, 1, 2], dtype=np.uint64)).tolist()
    [16294208416658607535, 10451216379200822465, 10905525725756348110]
    """
    # Multiplication modulo 2^64 is what is meant: arrays of uint64 wrap without a word.
    z = np.atleast_1d(np.asarray(values)).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def combine(*parts: np.ndarray) -> np.ndarray:
    """One event id from several integers, such as (run, lumi, event): (N,) each, order matters. Returns (N,) uint64.

    The chance that any two of N different events collide is N^2 / 2^65: 3e-6 for ten million.
    """
    state = mix(parts[0])
    for part in parts[1:]:
        state = mix(state ^ np.asarray(part).astype(np.uint64))
    return state


def split_of(event_id: np.ndarray) -> np.ndarray:
    """Part of each event: 0 train, 1 validation, 2 test, in the fractions 0.6, 0.2, 0.2.

    It depends on the event's own id alone, so an event keeps its part when the sample grows or is read in another order.

    Args:
        event_id: (N,) uint64.

    Returns:
        (N,) uint8.
    """
    uniform = (mix(np.asarray(event_id, dtype=np.uint64) ^ _SALT) >> np.uint64(11)).astype(np.float64) * _UNIT
    return np.searchsorted(np.cumsum(FRACTIONS)[:2], uniform, side="right").astype(np.uint8)
