"""From a reader to event tables: selection, acceptance, and the truth of pseudo-data in a separate table."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from truthward.errors import InputError, nearest
from truthward.events.contract import ROLES, Batch, flags
from truthward.events.readers import Reader
from truthward.events.table import write_table
from truthward.events.tree import CHUNK
from truthward.ingest.select import AppliedSelection
from truthward.ingest.sums import check
from truthward.run.provenance import Record
from truthward.study.columns import level_of
from truthward.study.observable import Observable
from truthward.study.variations import missing, variation_of

log = logging.getLogger(__name__)


@dataclass
class Tally:
    """Events read, events accepted at each level before and after the selection, and rows kept."""

    read: int = 0
    given: dict[str, int] = field(default_factory=dict)
    passed: dict[str, int] = field(default_factory=dict)
    kept: int = 0


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
    done = {role: _write(reader, output, observables, role, chosen, record, rows)}
    if closure_output is not None:
        done["closure_truth"] = _write(reader, closure_output, observables, "closure_truth", chosen, record, rows)
    return done


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
    output: str | Path,
    observables: Sequence[Observable],
    role: str,
    selection: AppliedSelection,
    record: Record,
    rows: int,
) -> dict[str, Any]:
    levels = ROLES[role]
    given = reader.columns()
    for observable in observables:
        for level in levels:
            if f"{level}_{observable.name}" not in given:
                raise InputError(
                    f"{reader.paths[0]}: has no column {level}_{observable.name}, but the observable {observable.name} "
                    f"needs it; {nearest(f'{level}_{observable.name}', given)}; add it to `branches`, or remove "
                    f"{observable.name} from `observables`"
                )
    tally = Tally(given=dict.fromkeys(levels, 0), passed=dict.fromkeys(levels, 0))
    unflagged = reader.unflagged(levels)
    applied = {level: text for level, text in selection.applied.items() if level in levels}
    metadata = write_table(
        output,
        _accepted(reader, levels, selection, tally, rows),
        observables={observable.name: observable.model_dump(mode="json") for observable in observables},
        role=role,
        selection=applied,
        record=record,
        source=str(reader.paths[0]),
        origin={**reader.describe(levels), "sha256": list(reader.digests.values())},
        events_in=lambda: tally.read,
        extra=lambda: {"unflagged": unflagged},
    )
    for flag in unflagged:
        log.warning("%s is not mapped: all %d events read count as accepted before the selection", flag, tally.read)
    provenance = metadata["provenance"]
    return {
        "events_read": tally.read,
        "accepted_before_selection": tally.given,
        "accepted": tally.passed,
        "rows": tally.kept,
        "sum_of_weights": provenance["sum_of_weights"],
        "sum_of_squared_weights": provenance["sum_of_squared_weights"],
        "selection": applied,
    }


def _accepted(
    reader: Reader, levels: Sequence[str], selection: AppliedSelection, tally: Tally, rows: int
) -> Iterator[Batch]:
    source = ""
    for batch in reader.batches(levels, rows=rows):
        if batch.source != source:
            source = batch.source
            log.info("reading %s, after %d events", source, tally.read)
        tally.read += len(batch["event_id"])
        for level in levels:
            tally.given[level] += int(flags(batch[f"pass_{level}"], batch, f"pass_{level}").sum())
        if levels == ROLES["data"]:
            # The process of an event of pseudo-data is also truth.
            batch = batch.like({name: values for name, values in batch.items() if name != "process"})
        batch = selection.apply(batch)
        for level in levels:
            tally.passed[level] += int(flags(batch[f"pass_{level}"], batch, f"pass_{level}").sum())
        # Keep events that only a variation accepts: they belong to that variation.
        masks = [flags(batch[name], batch, name) for name in batch if name.startswith("pass_")]
        kept = batch.take(np.logical_or.reduce(masks))
        tally.kept += len(kept["event_id"])
        log.info("%d events read, %d kept", tally.read, tally.kept)
        yield kept
    for level in levels:
        if not tally.passed[level]:
            text = selection.applied.get(level)
            raise InputError(
                f"{source or reader.paths[0]}: no event is accepted at {level} level: {tally.read} read, "
                f"{tally.given[level]} with pass_{level}, none after selection.{level}"
                f"{f' ({text})' if text else ', which is empty'}; loosen it, or check units and the map of branches"
            )
