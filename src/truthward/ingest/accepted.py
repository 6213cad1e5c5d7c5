"""The events of one table: those that are accepted, and how many they are."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from truthward.errors import InputError
from truthward.events.contract import ROLES, VARIED, Batch, flags
from truthward.events.readers import Reader
from truthward.events.table_write import TableSink
from truthward.ingest.select import AppliedSelection
from truthward.run.provenance import Record
from truthward.study.columns import LUMINOSITY_SECTION, level_of
from truthward.study.observable import Observable
from truthward.study.variations import variation_of

log = logging.getLogger("truthward.ingest.stage")


class Accepted:
    """The events of one table: those that are accepted at any of its levels, or by a variation.

    Args:
        part: whether the table is merged with others; it may then have no event.

    Attributes:
        given, passed: level -> events that are accepted before and after the selection. kept: rows.
    """

    def __init__(self, sink: TableSink, selection: AppliedSelection, *, part: bool) -> None:
        levels = ROLES[sink.role]
        self.sink, self.levels, self.part, self._selection = sink, levels, part, selection
        self.applied = {level: text for level, text in selection.applied.items() if level in levels}
        self.given, self.passed, self.kept = dict.fromkeys(levels, 0), dict.fromkeys(levels, 0), 0

    def add(self, batch: Batch) -> None:
        """Write what is accepted of the events of a reader."""
        batch = batch.like({name: values for name, values in batch.items() if self._belongs(name)})
        self._count(batch, self.given)
        batch = self._selection.apply(batch)
        self._count(batch, self.passed)
        # Keep events that only a variation accepts: they belong to that variation.
        masks = [flags(batch[name], batch, name) for name in batch if name.startswith("pass_")]
        kept = batch.take(np.logical_or.reduce(masks))
        self.kept += len(kept["event_id"])
        self.sink.add(kept)

    def finish(
        self,
        reader: Reader,
        observables: Sequence[Observable],
        record: Record,
        source: str,
        read: int,
        origin: Mapping[str, Any],
        facts: Mapping[str, Any],
    ) -> None:
        """Refuse a table without accepted events at one of its levels, and write its metadata with more `facts`."""
        for level in self.levels:
            if not self.passed[level]:
                text = self.applied.get(level)
                said = (
                    f"{source}: no event is accepted at {level} level: {read} read, {self.given[level]} with "
                    f"pass_{level}, none after selection.{level}{f' ({text})' if text else ', which is empty'}; loosen "
                    "it, or check units and the map of branches"
                )
                if not self.part:
                    raise InputError(said)
                log.warning(said)
        unflagged = reader.unflagged(self.levels)
        self.sink.finish(
            observables={observable.name: observable.model_dump(mode="json") for observable in observables},
            selection=self.applied,
            record=record,
            origin=origin,
            events_in=read,
            extra={**facts, "unflagged": unflagged, "accepted": self.passed},
            empty=self.part,
        )
        for flag in unflagged:
            log.warning("%s is not mapped: all %d events read count as accepted before the selection", flag, read)

    def summary(self, read: int) -> dict[str, Any]:
        """Counts of this table, after `read` events."""
        provenance = self.sink.metadata["provenance"]
        return {
            "events_read": read,
            "accepted_before_selection": self.given,
            "accepted": self.passed,
            "rows": self.kept,
            "sum_of_weights": provenance["sum_of_weights"],
            "sum_of_squared_weights": provenance["sum_of_squared_weights"],
            "selection": self.applied,
        }

    def _belongs(self, name: str) -> bool:
        """Whether a column of the reader is of this table. The process of a data event would be truth."""
        if name in LUMINOSITY_SECTION:
            return False
        if variation_of(name):
            return self.sink.role in VARIED
        level = name.removeprefix("pass_") if name.startswith("pass_") else level_of(name)
        return level in self.levels if level else name != "process" or self.sink.role != "data"

    def _count(self, batch: Batch, counts: dict[str, int]) -> None:
        for level in self.levels:
            counts[level] += int(flags(batch[f"pass_{level}"], batch, f"pass_{level}").sum())
