"""Train, validation and test parts of a sample, by a hash of the event id."""

from __future__ import annotations

import numpy as np

from truthward.events.identity import mix

TRAIN, VALIDATION, TEST = 0, 1, 2
FRACTIONS = (0.6, 0.2, 0.2)
"""Fractions of the events in train, validation and test."""

_SALT = np.uint64(0x5EED_0F_5B_117)
_UNIT = 2.0**-53


def split_of(event_id: np.ndarray) -> np.ndarray:
    """Part of each event: 0 train, 1 validation, 2 test, in the fractions 0.6, 0.2, 0.2.

    It depends on the event's own id alone: an event keeps its part when the sample grows or is read in another order.

    Args:
        event_id: (N,) uint64.

    Returns:
        (N,) uint8.
    """
    uniform = (mix(np.asarray(event_id, dtype=np.uint64) ^ _SALT) >> np.uint64(11)).astype(np.float64) * _UNIT
    return np.searchsorted(np.cumsum(FRACTIONS)[:2], uniform, side="right").astype(np.uint8)
