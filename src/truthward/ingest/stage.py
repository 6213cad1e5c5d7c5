"""From a reader to event tables: selection, acceptance, and the truth of pseudo-data in a separate table."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from truthward.errors import InputError, nearest
from truthward.events.contract import ROLES, VARIED
from truthward.events.readers import Reader
from truthward.events.table_write import table_sink
from truthward.events.tree import CHUNK
from truthward.ingest.accepted import Accepted
from truthward.ingest.adjust import Adjustment
from truthward.ingest.select import AppliedSelection
from truthward.ingest.sums import check
from truthward.run.files import Identity
from truthward.run.provenance import Record
from truthward.study.columns import level_of
from truthward.study.observable import Observable
from truthward.study.slices import varied_in
from truthward.study.variations import missing

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
    process: str | None = None,
    normalisation: Mapping[str, Any] | None = None,
    certified: str | Path | None = None,
    part: bool = False,
    remote: Mapping[str, Identity | None] | None = None,
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
        role: "simulation" (both levels), "background" (reco, with variations), "data" (reco), "closure_truth" (truth,
            from a file of its own), or "prediction" (truth).
        selection: level -> expression over columns; see `select.AppliedSelection`.
        systematics: those of the config whose columns a simulation must have, name -> {"kind", "replicas"}. A
            background may lack all columns of one.
        checksums: a list of the digests of the reader's files; see `sums.check`.
        process, normalisation, certified: see `adjust.Adjustment`.
        part: whether the table is merged with others: it may then have no event at a level.
        remote: address -> identity of a remote file when the job was planned; see `files.planned`.
        record: provenance.
        rows: entries read at once; the tables do not depend on it.
        most: entries that are read, for a first look; None: all.

    Returns:
        For each table written ("simulation", "data", "closure_truth") the counts: events read, accepted at each level
        before and after the selection, rows, sum of weights, sum of squared weights, and what the adjustment found.

    Raises:
        InputError: what the readers and the contract refuse; an observable that is not there; data that carries truth
            where none is declared, or declared truth that is not there; a variation that is not there; no event left
            at a level; what `adjust.Adjustment` refuses.
        CorruptError: a file that does not match its checksum.
        ConfigError: an expression that is not valid.
    """
    for file in reader.sources:
        if identity := (remote or {}).get(file.address):
            file.refuse_other(identity, "after this job was planned")
    if checksums is not None:
        check(reader.sources, checksums)
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
    if role in VARIED:
        wanted, given = systematics or {}, varied_in(reader.columns())
        _check_variations(
            reader, observables, {n: s for n, s in wanted.items() if role == "simulation" or n in given}, set(wanted)
        )
    outputs = {role: output} | ({} if closure_output is None else {"closure_truth": closure_output})
    adjust = Adjustment(reader.paths, process=process, normalisation=normalisation, certified=certified)
    return _write(reader, outputs, observables, chosen, adjust, record, rows, most, part=part)


def _check_variations(
    reader: Reader, observables: Sequence[Observable], systematics: Mapping[str, Mapping[str, Any]], named: set[str]
) -> None:
    given = reader.columns()
    if lack := missing(systematics, given):
        raise InputError(
            f"{reader.paths[0]}: {lack}; map it under `branches` (without a map: name a branch so, with __ in place of "
            "each colon), or set fewer replicas"
        )
    if unused := sorted(varied_in(given) - named):
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
    adjust: Adjustment,
    record: Record,
    rows: int,
    most: int | None,
    *,
    part: bool,
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
            tables.append(Accepted(sink, selection, part=part))
        batches = reader.batches(levels, rows=rows)
        for batch in batches if most is None else islice(batches, math.ceil(most / rows)):
            if batch.source != source:
                source = batch.source
                log.info("reading %s, after %d events", source, read)
            read += len(batch["event_id"])
            adjusted = adjust(batch)
            for table in tables:
                table.add(adjusted)
            log.info("%d events read, %s kept", read, " and ".join(str(table.kept) for table in tables))
        facts = adjust.finish(read)
        for table in tables:
            origin = reader.describe(table.levels)
            # Digests are of whole files, which a first look does not read.
            origin |= {"sha256": [] if most else reader.contents()}
            table.finish(reader, observables, record, source or str(reader.paths[0]), read, origin, facts)
    return {table.sink.role: table.summary(read) | facts for table in tables}


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
