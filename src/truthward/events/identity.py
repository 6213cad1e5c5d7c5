"""Event ids: computed from numbers of the event or from the content of the file; repeated ids are found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np

from truthward.errors import InputError

BOUND = 1 << 18
"""Largest number of event ids (2 MB) that are held in memory in the search for repeated ids."""

BITS = 8
"""Bits of the hash of an id that define its class: 256 classes, with 0.3 MB each for ten million events."""


def mix(values: np.ndarray) -> np.ndarray:
    """Scramble integers one to one: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014, doi:10.1145/2660193.2660195).

    Args:
        values: (N,) integers, taken modulo 2^64.

    Returns:
        (N,) uint64; equal values give equal results, neighbouring values unrelated ones.

    >>> mix(np.array([0, 1, 2], dtype=np.uint64)).tolist()
    [16294208416658607535, 10451216379200822465, 10905525725756348110]
    """
    # The multiplication is modulo 2^64 on purpose: arrays of uint64 wrap without a warning.
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
    """All event ids so far; repeated ids are found exactly, and the memory does not grow with the number of events.

    More than `bound` ids go to an unnamed file, sorted by classes of the hash of the id. Equal ids are in the same
    class, so the classes are checked one by one.

    Args:
        folder: of the unnamed file, with 8 bytes per event. The file disappears with the process, however it ends.
        bound: largest number of ids that are held in memory.
    """

    def __init__(self, folder: str | Path, *, bound: int = BOUND) -> None:
        self._folder, self._bound = folder, bound
        self._waiting: list[np.ndarray] = []
        self._held = self._spilt = 0
        self._file: IO[bytes] | None = None
        self._runs: list[np.ndarray] = []

    def __enter__(self) -> Ids:
        return self

    def __exit__(self, *failure: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, event_id: np.ndarray) -> None:
        """Add event ids, (N,) uint64."""
        self._waiting.append(event_id.astype(np.uint64))
        self._held += event_id.size
        if self._held > self._bound:
            self._spill()

    def refuse_duplicates(self, source: str) -> None:
        """Raise InputError where an id was added twice; `source` is what the message names."""
        total, repeats, shown = self._spilt + self._held, 0, np.empty(0, dtype=np.uint64)
        for ids in self._classes():
            ids.sort()
            again = ids[1:][ids[1:] == ids[:-1]]
            repeats += again.size
            shown = np.unique(np.concatenate([shown, again]))[:5]
        if repeats:
            which = ", ".join(str(value) for value in shown)
            raise InputError(
                f"{source}: event_id: {repeats} of {total} rows have the id of another row, such as {which}; "
                "check that no file is given twice, or map event_id (or run, lumi and event) to branches that differ "
                "from event to event"
            )

    def _spill(self) -> None:
        if self._file is None:
            self._file = TemporaryFile(dir=self._folder)  # noqa: SIM115 (open until the last class is checked)
        ids = np.concatenate(self._waiting)
        # By the hash, because the ids may fill only a small part of the range of 64 bits.
        of = (mix(ids) >> np.uint64(64 - BITS)).astype(np.uint8)
        self._runs.append(self._spilt + np.concatenate([[0], np.cumsum(np.bincount(of, minlength=1 << BITS))]))
        self._file.write(ids[np.argsort(of, kind="stable")].tobytes())
        self._spilt += ids.size
        self._waiting, self._held = [], 0

    def _classes(self) -> Iterator[np.ndarray]:
        if self._file is None:
            yield np.concatenate([np.empty(0, dtype=np.uint64), *self._waiting])
            return
        if self._held:
            self._spill()
        for part in range(1 << BITS):
            yield np.concatenate([self._read(*run[part : part + 2]) for run in self._runs])

    def _read(self, first: int, last: int) -> np.ndarray:
        assert self._file is not None, "runs are in the file"
        self._file.seek(8 * int(first))
        return np.frombuffer(self._file.read(8 * int(last - first)), dtype=np.uint64)
