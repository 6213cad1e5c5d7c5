"""Events for the validation: histograms of all events, and a limited number of the events themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from truthward.errors import InputError
from truthward.events.contract import SIGNAL
from truthward.events.hashing import uniform
from truthward.events.table import EventTable
from truthward.events.unfolded import Unfolded
from truthward.records.shared import Used
from truthward.records.validate.method import WeightSummary
from truthward.validate.distances import Counts
from truthward.validate.metrics import WeightSums

if TYPE_CHECKING:
    from truthward.study.observable import Observable

Piece = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Some events: ids (n,) uint64, values (n, D) float32, weights (n,) float64."""


class Thinned:
    """At most `limit` of many events: the events with the smallest hash of (id, key), in any order of the input.

    The memory depends on `limit`, not on the number of added events.

    Attributes:
        total: events that were added.
    """

    def __init__(self, limit: int, key: int) -> None:
        self.limit, self.key, self.total = limit, key, 0
        self._pieces: list[tuple[np.ndarray, ...]] = []
        self._held, self._cut = 0, 1.0

    def add(self, event_id: np.ndarray, *columns: np.ndarray) -> None:
        """Add events: ids (n,), and the same columns (n, ...) each time."""
        rank = uniform(event_id, self.key)
        self.total += len(rank)
        chosen = rank < self._cut
        self._pieces.append(tuple(c[chosen] for c in (rank, event_id, *columns)))
        self._held += int(chosen.sum())
        if self._held > 1.25 * self.limit:
            self._trim()

    def columns(self) -> tuple[np.ndarray, ...]:
        """Ids and columns. Their order is the original one if all are kept, else they are sorted by the hash."""
        if self.total > self.limit:
            self._trim()
        rank, *columns = self._joined()
        if self.total > self.limit:
            order = np.argsort(rank, kind="stable")
            columns = [c[order] for c in columns]
        return tuple(columns)

    def _joined(self) -> tuple[np.ndarray, ...]:
        return tuple(np.concatenate(parts) for parts in zip(*self._pieces, strict=True))

    def _trim(self) -> None:
        columns = self._joined()
        if len(columns[0]) > self.limit:
            self._cut = float(np.partition(columns[0], self.limit)[self.limit])
            chosen = columns[0] < self._cut
            columns = tuple(c[chosen] for c in columns)
        self._pieces, self._held = [columns], len(columns[0])


@dataclass(frozen=True)
class Events:
    """Events of one level; `total` is their number.

    ids (n,) uint64, values (n, D) float32 in the order of `names`, weights (n,) float64: all events, or the part that
    `Thinned` keeps. Histograms, by name, and `sums` of the weights always have all events.
    """

    names: list[str]
    ids: np.ndarray
    values: np.ndarray
    weights: np.ndarray
    total: int
    histograms: dict[str, Counts]
    sums: WeightSums

    @classmethod
    def of(cls, pieces: Iterable[Piece], observables: Sequence[Observable], *, limit: int, key: int) -> Events | None:
        """Read a stream of events with the values of `observables`. None if there is no event."""
        thinned, sums = Thinned(limit, key), WeightSums()
        histograms = {o.name: Counts.empty(o.edges) for o in observables}
        for ids, values, weights in pieces:
            thinned.add(ids, values, weights)
            sums.add(weights)
            for column, o in enumerate(observables):
                histograms[o.name] += Counts.of(values[:, column], weights, np.asarray(o.edges))
        if not thinned.total:
            return None
        ids, values, weights = thinned.columns()
        return cls([o.name for o in observables], ids, values, weights, thinned.total, histograms, sums)

    @classmethod
    def accepted(
        cls, table: EventTable, level: str, observables: Sequence[Observable], *, limit: int, key: int
    ) -> Events:
        """The events of a table that pass at "truth" (only signal, so these are the fiducial events) or at "reco".

        Raises:
            InputError: no event passes.
        """
        columns = [f"{level}_{o.name}" for o in observables]

        def pieces() -> Iterator[Piece]:
            for batch in table.batches([*columns, f"pass_{level}", "weight", "process", "event_id"]):
                mask = batch[f"pass_{level}"]
                if level == "truth":
                    mask = mask & (batch["process"] == SIGNAL)
                values = np.stack([batch[c][mask] for c in columns], axis=1)
                yield batch["event_id"][mask], values, batch["weight"][mask]

        if (found := cls.of(pieces(), observables, limit=limit, key=key)) is None:
            raise InputError(
                f"{table.path}: no event passes at {level} level, so there is nothing to compare; loosen the selection"
            )
        return found

    @classmethod
    def nominal(
        cls, result: Unfolded, observables: Sequence[Observable], *, limit: int, key: int, weights_of: str | None = None
    ) -> Events:
        """The nominal result: the rows with a non-zero nominal weight.

        Generative methods stack blocks of draws. Only the nominal block is used here.
        """
        weight = "weight" if result.joint else f"weight:{weights_of}"
        columns = [f"truth_{o.name}" for o in observables]

        def pieces() -> Iterator[Piece]:
            for batch in result.batches([*columns, weight, "event_id"]):
                used = batch[weight] != 0
                values = np.stack([batch[c][used] for c in columns], axis=1)
                yield batch["event_id"][used], values, batch[weight][used]

        if (found := cls.of(pieces(), observables, limit=limit, key=key)) is None:
            raise InputError(
                f"{result.path}: all nominal weights are zero, so there is nothing to compare; unfold again"
            )
        return found

    @property
    def whole(self) -> bool:
        """Whether these are all events."""
        return len(self.weights) == self.total

    @property
    def counted(self) -> Used:
        """Number of all events, and of those that unbinned figures use."""
        return {"events": self.total, "used": len(self.weights)}

    @cached_property
    def rows_an_event(self) -> float:
        """Rows per id. Several draws of an event have no more information on the data than one, so they count as
        one."""
        return len(self.ids) / len(np.unique(self.ids))

    def size(self, name: str) -> float:
        """Effective number of events in the histogram of an observable."""
        return self.histograms[name].size / self.rows_an_event

    def singles(self) -> tuple[np.ndarray, np.ndarray]:
        """Values (n, D) and weights (n,) of one row per event, so that the events are independent."""
        _, first = np.unique(self.ids, return_index=True)
        first = np.sort(first)
        return self.values[first], self.weights[first]

    def weight_summary(self) -> WeightSummary:
        """`WeightSums.summary` with the effective size in `events`, and with `rows_an_event`."""
        found, rows = self.sums.summary(), self.rows_an_event
        return {
            "sum": found["sum"],
            "effective_sample_size": found["effective_sample_size"] / rows,
            "largest_over_mean": found["largest_over_mean"],
            "negative_fraction": found["negative_fraction"],
            "rows_an_event": rows,
            "events": self.total / rows,
        }

    def column(self, name: str) -> np.ndarray:
        """(n,) values of one observable."""
        return self.values[:, self.names.index(name)]
