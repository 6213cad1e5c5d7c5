"""From a reader to event tables: selection, acceptance, and the truth of pseudo-data in a separate table."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from truthward.errors import InputError, nearest
from truthward.events.contract import ROLES, Batch, flags
from truthward.events.readers import Reader
from truthward.events.table_write import TableSink, table_sink
from truthward.events.tree import CHUNK
from truthward.ingest.select import AppliedSelection
from truthward.ingest.sums import check
from truthward.run.provenance import Record
from truthward.study.columns import level_of
from truthward.study.observable import Observable
from truthward.study.variations import missing, variation_of

log = logging.getLogger(__name__)


def ingest(
    reader: Reader,
    *,
    output: str | Path,
    closure_output: str | Path | None = None,
    observables: Sequence[Observable],
    role: str,
    selection: Mapping[str, str | None] | None = None,
    systematics: Mapping[str, Mapping[str, Any]] | None = None,
    checksums: str | Path | None = None,
    record: Record,
    rows: int = CHUNK,
    most: int | None = None,
) -> dict[str, Any]:
    """Stream a reader into an event table, with all its columns `truth_*` and `reco_*`.

    Events that are accepted at no level of the table are left out.

    Args:
        reader: source of the events.
        output: the event table.
        closure_output: for role "data" only, if the source is pseudo-data with its truth. The truth of the `pass_truth`
            events goes to this table, with role "closure_truth", and `output` has no truth.
        observables: the unfolded ones; the reader must have them at each level of the table.
        role: "simulation" (both levels), "data" (reco), or "closure_truth" (truth, from a file of its own).
        selection: level -> expression over columns; see `select.AppliedSelection`.
        systematics: those of the config whose columns a simulation must have, name -> {"kind", "replicas"}.
        checksums: a list of the digests of the reader's files; see `sums.check`.
        record: provenance.
        rows: entries read at once; the tables do not depend on it.
        most: entries that are read, for a first look; None: all.

    Returns:
        For each table written ("simulation", "data", "closure_truth") the counts: events read, accepted at each level
        before and after the selection, rows, sum of weights, sum of squared weights.

    Raises:
        InputError: what the readers and the contract refuse; an observable that is not there; data that carries truth
            where none is declared, or declared truth that is not there; a variation that is not there; no event left
            at a level.
        CorruptError: a file that does not match its checksum.
        ConfigError: an expression that is not valid.
    """
    if checksums is not None:
        check(reader.digests, checksums)
    chosen = AppliedSelection(selection or {})
    if closure_output is not None and role != "data":
        raise InputError(f"closure truth is for a sample of role data; this one is {role}")
    truth = reader.truth() if role == "data" else []
    if truth and closure_output is None:
        shown = ", ".join(truth[:4]) + (", ..." if len(truth) > 4 else "")
        raise InputError(
            f"{reader.paths[0]}: a data sample must not have truth columns, but has {shown}; if it is pseudo-data, set "
            "`closure: true`: only the validation reads its truth then; if not, write the file without these branches"
        )
    if closure_output is not None and not any(level_of(name) == "truth" for name in reader.columns()):
        raise InputError(
            f"{reader.paths[0]}: the sample has `closure: true`, but no truth_* column; map the truth, or remove "
            "`closure`"
        )
    if role == "simulation":
        _check_variations(reader, observables, systematics or {})
    outputs = {role: output} | ({} if closure_output is None else {"closure_truth": closure_output})
    return _write(reader, outputs, observables, chosen, record, rows, most)


def _check_variations(
    reader: Reader, observables: Sequence[Observable], systematics: Mapping[str, Mapping[str, Any]]
) -> None:
    given = reader.columns()
    if lack := missing(systematics, given):
        raise InputError(
            f"{reader.paths[0]}: {lack}; map it under `branches` (without a map: name a branch so, with __ in place of "
            "each colon), or set fewer replicas"
        )
    if unused := sorted({v.systematic for name in given if (v := variation_of(name))} - set(systematics)):
        log.warning(
            "%s: has variations of %s, but `systematics` does not name them, so they are not used",
            reader.paths[0],
            ", ".join(unused),
        )
    for flag in (name for name in given if name.startswith("pass_reco:")):
        end = flag.removeprefix("pass_reco")
        for observable in observables:
            if f"reco_{observable.name}{end}" not in given:
                raise InputError(
                    f"{reader.paths[0]}: has {flag} but no reco_{observable.name}{end}, so some accepted events would "
                    "have no value; map it (to the nominal branch if the shift does not change it)"
                )


def _write(
    reader: Reader,
    outputs: Mapping[str, str | Path],
    observables: Sequence[Observable],
    selection: AppliedSelection,
    record: Record,
    rows: int,
    most: int | None,
) -> dict[str, Any]:
    """Write the table of each role; the files are read once."""
    for role in outputs:
        _need(reader, observables, ROLES[role])
    levels = [level for level in ROLES["simulation"] if any(level in ROLES[role] for role in outputs)]
    source, read = "", 0
    with ExitStack() as stack:
        tables = []
        for role, path in outputs.items():
            sink = stack.enter_context(table_sink(path, role=role, source=str(reader.paths[0])))
            tables.append(Accepted(sink, selection, ROLES[role]))
        batches = reader.batches(levels, rows=rows)
        for batch in batches if most is None else islice(batches, math.ceil(most / rows)):
            if batch.source != source:
                source = batch.source
                log.info("reading %s, after %d events", source, read)
            read += len(batch["event_id"])
            for table in tables:
                table.add(batch)
            log.info("%d events read, %s kept", read, " and ".join(str(table.kept) for table in tables))
        for table in tables:
            origin = reader.describe(table.levels)
            # Digests are of whole files, which a first look does not read.
            origin |= {"sha256": [] if most else list(reader.digests.values())}
            _finish(table, reader, observables, record, source or str(reader.paths[0]), read, origin)
    return {table.sink.role: table.summary(read) for table in tables}


def _need(reader: Reader, observables: Sequence[Observable], levels: Sequence[str]) -> None:
    given = reader.columns()
    for observable in observables:
        for level in levels:
            if f"{level}_{observable.name}" not in given:
                raise InputError(
                    f"{reader.paths[0]}: has no column {level}_{observable.name}, but the observable {observable.name} "
                    f"needs it; {nearest(f'{level}_{observable.name}', given)}; add it to `branches`, or remove "
                    f"{observable.name} from `observables`"
                )


def _finish(
    table: Accepted,
    reader: Reader,
    observables: Sequence[Observable],
    record: Record,
    source: str,
    read: int,
    origin: Mapping[str, Any],
) -> None:
    """Refuse a table without accepted events at one of its levels, and write its metadata."""
    for level in table.levels:
        if not table.passed[level]:
            text = table.applied.get(level)
            raise InputError(
                f"{source}: no event is accepted at {level} level: {read} read, {table.given[level]} with "
                f"pass_{level}, none after selection.{level}{f' ({text})' if text else ', which is empty'}; loosen it, "
                "or check units and the map of branches"
            )
    unflagged = reader.unflagged(table.levels)
    table.sink.finish(
        observables={observable.name: observable.model_dump(mode="json") for observable in observables},
        selection=table.applied,
        record=record,
        origin=origin,
        events_in=read,
        extra={"unflagged": unflagged},
    )
    for flag in unflagged:
        log.warning("%s is not mapped: all %d events read count as accepted before the selection", flag, read)


class Accepted:
    """The events of one table: those that are accepted at any of its levels, or by a variation.

    Attributes:
        given, passed: level -> events that are accepted before and after the selection. kept: rows.
    """

    def __init__(self, sink: TableSink, selection: AppliedSelection, levels: Sequence[str]) -> None:
        self.sink, self.levels, self._selection = sink, levels, selection
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
        """Whether a column of the reader is of this table's levels. The process of a data event would be truth."""
        if self.levels == ROLES["simulation"]:
            return True
        if variation_of(name) or (name == "process" and self.levels == ROLES["data"]):
            return False
        level = name.removeprefix("pass_") if name.startswith("pass_") else level_of(name)
        return not level or level in self.levels

    def _count(self, batch: Batch, counts: dict[str, int]) -> None:
        for level in self.levels:
            counts[level] += int(flags(batch[f"pass_{level}"], batch, f"pass_{level}").sum())
