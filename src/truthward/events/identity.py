"""Event ids: made of numbers of the event or of the file's content, and found again where they repeat."""

from __future__ import annotations

from array import array

import numpy as np

from truthward.errors import InputError


def mix(values: np.ndarray) -> np.ndarray:
    """Scramble integers one to one: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014, doi:10.1145/2660193.2660195).

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


class Ids:
    """All event ids seen so far: 8 bytes an event (80 MB for ten million), sorted in place once at the end."""

    def __init__(self) -> None:
        self._seen = array("Q")

    def add(self, event_id: np.ndarray) -> None:
        """Take note of (N,) uint64."""
        self._seen.frombytes(event_id.astype(np.uint64).tobytes())

    def refuse_duplicates(self, source: str) -> None:
        """Raise InputError where an id was added twice; `source` is what the message names."""
        ids = np.frombuffer(self._seen, dtype=np.uint64)
        ids.sort()
        again = ids[1:][ids[1:] == ids[:-1]]
        if again.size:
            which = ", ".join(str(value) for value in np.unique(again)[:5])
            raise InputError(
                f"{source}: event_id: {again.size} of {ids.size} rows repeat the id of another, such as {which}; is "
                "a file given twice? Map event_id, or run, lumi and event, to branches that tell the events apart"
            )
