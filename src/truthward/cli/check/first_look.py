"""The first events of each sample that is read, through the ingest as it will run, with the figures of the samples."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from truthward.errors import InputError, TruthwardError
from truthward.events.table import EventTable
from truthward.ingest.certified import Certified
from truthward.ingest.stage import ingest
from truthward.ingest.summary import summarise
from truthward.records.ingest import IngestSummary
from truthward.report.inputs import data_over_simulation, response
from truthward.report.style import save
from truthward.run.provenance import Record
from truthward.study.config import Config
from truthward.study.observable import observables_from
from truthward.study.plugins import build

EVENTS = 2000
"""Entries that are read of each sample."""
HEADS = ("sample", "rows", "truth", "reco", "both", "sum of weights")


def look(config: Config, record: Record) -> tuple[list[tuple[str, ...]], list[Path], list[str]]:
    """Ingest the first events of each sample whose files are here.

    Returns:
        rows of a table with the columns `HEADS`, the figures that were written, and problems.
    """
    rows: list[tuple[str, ...]] = []
    problems: list[str] = []
    with TemporaryDirectory() as folder:
        tables: dict[str, EventTable] = {}
        for name, sample in config.samples.items():
            if sample.read is None:
                continue
            try:
                if not _here(sample.read):
                    continue
                tables[name] = _table(config, name, Path(folder), record)
                rows.append(_row(name, tables[name]))
            except TruthwardError as error:
                problems.append(f"{type(error).__name__}: samples.{name}.read: {error}")
        simulation, data = (tables.get(config.sample(role)) for role in ("simulation", "data"))
        # First events of slices do not show how the slices are mixed.
        if simulation is None or config.merged():
            return rows, [], problems
        figures = _figures(config, simulation, data, record)
    return rows, figures, problems


def _here(entry: dict[str, Any]) -> bool:
    """Whether all files of a reader are there and on a disk: from a server, a look may take long."""
    try:
        return not any(file.remote for file in build("events.readers", entry).sources)
    except InputError:
        return False


def _table(config: Config, name: str, folder: Path, record: Record) -> EventTable:
    sample, path = config.samples[name], folder / f"{name}.parquet"
    if sample.certified is not None:
        # The first events may be of a section that is not certified.
        Certified(sample.certified)
    truth = folder / f"{name}.truth.parquet" if sample.closure else None
    ingest(
        build("events.readers", dict(sample.read or {})),
        output=path,
        closure_output=truth,
        observables=observables_from(config.observable_list()),
        role=sample.role.replace("alternative", "simulation"),
        selection=config.selection.model_dump(),
        systematics=config.variations() if sample.role in ("simulation", "background") else None,
        normalisation=config.normalisation(name),
        part=name in config.merged(),
        record=record,
        rows=EVENTS,
        most=EVENTS,
    )
    return EventTable(path)


def _row(name: str, table: EventTable) -> tuple[str, ...]:
    columns = [c for c in ("pass_truth", "pass_reco", "weight") if c in table.columns]
    found = table.read(columns)
    passed = [found.get(f"pass_{level}") for level in ("truth", "reco")]
    both = "" if passed[0] is None or passed[1] is None else str(int((passed[0] & passed[1]).sum()))
    counts = ["" if p is None else str(int(p.sum())) for p in passed]
    return name, str(table.num_rows), *counts, both, f"{found['weight'].sum():.6g}"


def _figures(config: Config, simulation: EventTable, data: EventTable | None, record: Record) -> list[Path]:
    observables = observables_from(config.observable_list())
    try:
        summary: IngestSummary = {
            **summarise(simulation, data, observables),
            "flags": {},
            "provenance": record.finish(),
        }
    except InputError:
        # With so few events a level may be empty; the table above says so.
        return []
    folder = Path("results") / config.study / "check"
    folder.mkdir(parents=True, exist_ok=True)
    label = config.report.model_dump()
    figures = {"response": response, "data_over_simulation": data_over_simulation}
    for name, draw in figures.items():
        save(draw(summary, observables), folder / f"{name}.png", record, label=label)
    return [folder / f"{name}.png" for name in figures]
