"""Slices of the signal and backgrounds become one simulation, row group by row group."""

from __future__ import annotations

import csv
import hashlib
import io
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np

from truthward.errors import InputError
from truthward.events.contract import ROLES, Batch
from truthward.events.identity import Ids, combine
from truthward.events.table import EventTable
from truthward.events.table_write import table_sink
from truthward.records.ingest import SampleRow
from truthward.run.artefact import write_text
from truthward.run.provenance import Record
from truthward.study.slices import difference, of_levels, varied_in
from truthward.study.variations import variation_of

log = logging.getLogger("truthward.ingest.merge")


@dataclass
class Counted:
    """One sample, summed over its rows.

    Attributes:
        weights, squares: sums of weights and of their squares. sums: level -> sum of the weights of accepted events.
        processes: processes of its events.
    """

    name: str
    table: EventTable
    weights: float = 0.0
    squares: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    processes: set[str] = field(default_factory=set)

    def add(self, batch: Batch) -> None:
        """Count some rows."""
        weight = batch["weight"]
        self.weights += float(weight.sum())
        self.squares += float(np.square(weight).sum())
        for level in ROLES[self.table.role]:
            self.sums[level] = self.sums.get(level, 0.0) + float(weight[batch[f"pass_{level}"]].sum())
        self.processes |= set(batch["process"].tolist())

    def row(self) -> SampleRow:
        """Its row of the table of samples."""
        stored = self.table.metadata
        known = stored.get("normalisation", {})
        # Of unweighted events it is their number over the cross section.
        effective = known["luminosity"] / 1e3 * self.weights / self.squares if known and self.squares else None
        return {
            "processes": sorted(self.processes),
            "events": stored["provenance"]["events_in"],
            "accepted": stored["accepted"],
            "sum_of_weights": self.sums,
            "cross_section": known.get("cross_section"),
            "k_factor": known.get("k_factor"),
            "sum_of_generator_weights": known.get("sum_of_generator_weights"),
            "effective_luminosity": effective,
        }


def merge(
    samples: Mapping[str, EventTable], *, output: str | Path, table_out: str | Path, record: Record
) -> dict[str, SampleRow]:
    """Write one table of role "simulation" from several samples.

    An id is a hash of the sample's name and of the event's own id: it stays the same when other samples come or go.
    Events of a background have no truth level; where it lacks a systematic, it is nominal there.

    Args:
        samples: name -> table of role "simulation", at least one, or "background"; with the same observables.
        output: the merged table. table_out: a table of the samples, as CSV.

    Returns:
        Name -> row of the table of samples.

    Raises:
        InputError: samples with different columns, an event that two samples read from the same file, or no event that
            is accepted at a level.
    """
    first = next(name for name, table in samples.items() if table.role == "simulation")
    columns = samples[first].columns
    for name, table in samples.items():
        _refuse_different(first, columns, name, table)
    _refuse_shared(samples, Path(output).parent)
    counted = {name: Counted(name, table) for name, table in samples.items()}
    with table_sink(output, role="simulation") as sink:
        for name, counts in counted.items():
            for batch in _rows(name, counts, columns):
                sink.add(batch)
        rows = {name: counts.row() for name, counts in counted.items()}
        for level in ROLES["simulation"]:
            if not any(row["accepted"].get(level) for row in rows.values()):
                raise InputError(f"{output}: no event of {', '.join(samples)} is accepted at {level} level")
        sink.finish(
            observables=samples[first].metadata["observables"],
            selection=samples[first].metadata["selection"],
            record=record,
            origin={"samples": {name: table.metadata["origin"] for name, table in samples.items()}},
            events_in=sum(row["events"] for row in rows.values()),
            extra={"samples": rows, **_unflagged(samples)},
        )
    write_text(table_out, as_csv(rows))
    for line in as_csv(rows).splitlines():
        log.info(line)
    return rows


def as_csv(rows: Mapping[str, SampleRow]) -> str:
    """The table of samples."""
    text = io.StringIO()
    heads = ["sample", "process", "events read", "accepted truth", "accepted reco", "sum of weights truth"]
    heads += ["sum of weights reco", "cross section (pb)", "k-factor", "effective luminosity (fb-1)"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    for name, row in rows.items():
        numbers: list[float | None] = [row["accepted"].get(level) for level in ROLES["simulation"]]
        numbers += [row["sum_of_weights"].get(level) for level in ROLES["simulation"]]
        numbers += [row["cross_section"], row["k_factor"], row["effective_luminosity"]]
        shown = ["" if n is None else f"{n:.6g}" for n in numbers]
        writer.writerow([name, " ".join(row["processes"]), row["events"], *shown])
    return text.getvalue()


def _refuse_different(first: str, columns: list[str], name: str, table: EventTable) -> None:
    background = table.role == "background"
    wanted, given = (of_levels(each, ROLES[table.role]) for each in (columns, table.columns))
    if text := difference(first, wanted, name, given, background=background):
        raise InputError(text)
    if background and (nominal := sorted(varied_in(columns) - varied_in(given))):
        log.info("%s has no variations of %s: it is nominal there", name, ", ".join(nominal))


def _refuse_shared(samples: Mapping[str, EventTable], folder: Path) -> None:
    """Two samples may read one file, for example by a label of its events, but not the same events."""
    files: dict[str, dict[tuple[str, str], str]] = {}
    for name, table in samples.items():
        origin = table.metadata["origin"]
        tree, named = origin.get("tree", ""), origin.get("files", ())
        files[name] = {(digest, tree): file for digest, file in zip(origin["sha256"], named, strict=False)}
    for one, other in combinations(samples, 2):
        if both := files[one].keys() & files[other].keys():
            with Ids(folder) as seen:
                for name in (one, other):
                    for batch in samples[name].batches(["event_id"]):
                        seen.add(batch["event_id"])
                seen.refuse_duplicates(f"{one} and {other}: both read {files[one][min(both)]}")


def _rows(name: str, counts: Counted, columns: list[str]) -> Iterator[Batch]:
    """The rows of a sample with the columns of the merged table; values where a flag is false are NaN."""
    salt = np.uint64(int(hashlib.sha256(name.encode()).hexdigest()[:16], 16))
    for batch in counts.table.batches():
        counts.add(batch)
        size = len(batch["event_id"])
        found = {"event_id": combine(np.full(size, salt), batch["event_id"])}
        for column in columns:
            varied = variation_of(column)
            if column in batch:
                found.setdefault(column, batch[column])
            elif varied:
                found[column] = batch[varied.base]
            else:
                found[column] = np.zeros(size, dtype=bool) if column == "pass_truth" else np.full(size, np.nan)
        # The part of an event follows from its new id.
        del found["split"]
        yield batch.like(found)


def _unflagged(samples: Mapping[str, EventTable]) -> dict[str, object]:
    """Flags that a sample does not map, and the samples."""
    found: dict[str, list[str]] = {}
    for name, table in samples.items():
        for flag in table.metadata["unflagged"]:
            found.setdefault(flag, []).append(name)
    return {"unflagged": sorted(found), "unflagged_in": found}
