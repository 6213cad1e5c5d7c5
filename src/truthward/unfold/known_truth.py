"""Use pseudo-data with known truth: the error of a method on them becomes a variation of the nominal result.

The replica is nominal + (unfolded pseudo-data - their truth). If a method re-weights the simulation, this is done event
by event. If it draws events, the replica has three blocks of events, and the last has negative weights. Its histograms
differ from the nominal ones by the non-closure. Pseudo-data are made of the same events with which they are unfolded,
so the statistical noise of these events is in both terms. What remains is the noise of the data in the learned weights
of the pseudo-data, and the noise of the method's own trainings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

import numpy as np

from truthward.errors import InputError
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica

Rows = Iterable[Mapping[str, np.ndarray]]


def compared(rows: Rows, nominal: Rows, blocks: Iterable[Inputs], replicas: Sequence[Replica]) -> Iterator[dict]:
    """Rows of a result in which the replicas of pseudo-data are compared with their known truth.

    Args:
        rows: rows of a method, in which these replicas are unfolded pseudo-data like any data. nominal: rows of the
            nominal result. blocks: the inputs, in the order of the rows. replicas: the replicas to compare.
    """
    rows = iter(rows)
    first = next(rows)
    every = chain([first], rows)
    return _stacked(every, nominal, blocks, replicas) if "block" in first else _beside(every, nominal, blocks, replicas)


def _beside(rows: Rows, nominal: Rows, blocks: Iterable[Inputs], replicas: Sequence[Replica]) -> Iterator[dict]:
    given, known = _Feed(nominal), _Feed(_truth(blocks, replicas))
    for batch in rows:
        count = len(batch["event_id"])
        before, truth = given.take(count), known.take(count)
        for other in (before, truth):
            if not np.array_equal(other["event_id"], batch["event_id"]):
                raise InputError("closure: the nominal result has other events, or another order; unfold it again")
        changed = dict(batch)
        for replica in replicas:
            for name in [c for c in batch if c.startswith("replica:") and c.endswith(str(replica))]:
                base = name.removeprefix("replica:").removesuffix(str(replica)).strip(":")
                changed[name] = batch[name] + before[NOMINAL.column(base or None)] - truth[str(replica)]
        yield changed


def _stacked(rows: Rows, nominal: Rows, blocks: Iterable[Inputs], replicas: Sequence[Replica]) -> Iterator[dict]:
    columns = {r.column(): r for r in replicas}
    block: dict[str, int] = {}
    kept: list[str] = []
    for batch in rows:
        kept = [c for c in batch if c.startswith("truth_")]
        block |= {c: batch["block"][0] for c in columns if c in batch}
        yield dict(batch)
    for batch in nominal:
        mine = batch[NOMINAL.column()] != 0
        part = {c: batch[c][mine] for c in (*kept, "event_id")}
        for column, number in block.items():
            if mine.any():
                yield part | _numbered(number, mine.sum()) | {column: batch[NOMINAL.column()][mine]}
    for batch in _truth(blocks, replicas):
        for column, number in block.items():
            part = {c: batch[c] for c in (*kept, "event_id")}
            yield part | _numbered(number, len(part["event_id"])) | {column: -batch[str(columns[column])]}


def _numbered(block: int, rows: int) -> dict[str, np.ndarray]:
    return {"block": np.full(rows, block, dtype=np.int32)}


def _truth(blocks: Iterable[Inputs], replicas: Sequence[Replica]) -> Iterator[dict[str, np.ndarray]]:
    for inputs in blocks:
        yield from inputs.rows({str(r): inputs.pseudo_weight(r)[inputs.fiducial] for r in replicas})


class _Feed:
    """Batches of columns, from which any number of rows can be taken."""

    def __init__(self, batches: Rows) -> None:
        self._batches, self._at = iter(batches), 0
        self._held: Mapping[str, np.ndarray] | None = None

    def take(self, count: int) -> dict[str, np.ndarray]:
        """The next rows.

        Raises:
            InputError: there are not enough rows.
        """
        parts: list[dict[str, np.ndarray]] = []
        while count > 0:
            if self._held is None or self._at == len(self._held["event_id"]):
                self._held, self._at = next(self._batches, None), 0
                if self._held is None:
                    raise InputError("closure: the nominal result has fewer events; unfold it again")
                continue
            part = {c: v[self._at : self._at + count] for c, v in self._held.items()}
            rows = len(part["event_id"])
            self._at, count = self._at + rows, count - rows
            parts.append(part)
        return {c: np.concatenate([p[c] for p in parts]) for c in parts[0]}
