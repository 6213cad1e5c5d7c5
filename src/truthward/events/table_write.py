"""Write event tables: batches of any length are checked against the contract and become row groups of one size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from truthward.errors import InputError
from truthward.events.contract import PROCESS, ROLES, Batch, is_jagged, to_arrow
from truthward.events.identity import Ids
from truthward.events.parquet import ROW_GROUP, finish, writer
from truthward.run.artefact import atomic
from truthward.run.provenance import Record
from truthward.study.columns import level_of


def _length(batch: Mapping[str, Any]) -> int:
    return max((len(values) for values in batch.values()), default=0)


def _group(pieces: list[pa.Table]) -> pa.Table:
    whole = pa.concat_tables(pieces).combine_chunks()
    place = whole.column_names.index("process")
    return whole.set_column(
        place, "process", whole.column("process").combine_chunks().dictionary_encode().cast(PROCESS)
    )


class _RowGroups:
    """Collect pieces of a table of any length, and write them to a Parquet file in row groups of one size."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows, self.sum_w, self.sum_w2 = path, 0, 0.0, 0.0
        self.names: list[str] = []
        self._sink: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []

    def __enter__(self) -> _RowGroups:
        return self

    def __exit__(self, *error: object) -> None:
        if self._sink is not None:
            self._sink.close()

    def add(self, piece: pa.Table, source: str) -> None:
        """Take a piece. InputError with its source if its columns differ from the columns of the first piece."""
        if self._sink is None:
            schema = _group([piece]).schema
            self.names, self._sink = schema.names, writer(self.path, schema)
        elif piece.column_names != self.names:
            odd = ", ".join(sorted(set(piece.column_names) ^ set(self.names)))
            raise InputError(
                f"{source}: some batches have these columns and others do not: {odd}; give files with the same branches"
            )
        weight = piece.column("weight").to_numpy()
        self.rows += piece.num_rows
        self.sum_w += float(weight.sum())
        self.sum_w2 += float(np.square(weight).sum())
        self._waiting.append(piece)
        while sum(waiting.num_rows for waiting in self._waiting) >= ROW_GROUP:
            whole = pa.concat_tables(self._waiting)
            self._write([whole.slice(0, ROW_GROUP)])
            self._waiting = [whole.slice(ROW_GROUP)]

    def finish(self, metadata: Mapping[str, Any]) -> None:
        """Write the remaining rows, and the metadata."""
        if any(waiting.num_rows for waiting in self._waiting):
            self._write(self._waiting)
        finish(self._sink, metadata, self.rows)

    def _write(self, pieces: list[pa.Table]) -> None:
        assert self._sink is not None, "a piece came before"
        self._sink.write_table(_group(pieces), row_group_size=ROW_GROUP)


class TableSink:
    """An event table that is being written; made by `table_sink`.

    Attributes:
        metadata: what was stored, after `finish`.
    """

    def __init__(self, path: str | Path, groups: _RowGroups, seen: Ids, *, role: str, source: str) -> None:
        self._path, self._groups, self._seen = path, groups, seen
        self.role, self.source = role, source or str(path)
        self.metadata: dict[str, Any] = {}

    def add(self, given: Mapping[str, Any]) -> None:
        """Write a batch of any length: name -> (N,) array; all batches have the same columns.

        `process` ("signal") and `split` (hash of the id) are filled in if they are missing.

        Raises:
            InputError: a breach of the contract (see `contract.to_arrow`).
        """
        if isinstance(given, Batch):
            batch = given
        else:
            batch = Batch(given, source=self.source, entries=self._groups.rows + np.arange(_length(given)))
        piece = to_arrow(batch, role=self.role)
        self._seen.add(piece.column("event_id").to_numpy())
        self._groups.add(piece, batch.source)

    def finish(
        self,
        *,
        observables: Mapping[str, Mapping[str, Any]],
        selection: Mapping[str, str],
        record: Record,
        origin: Mapping[str, Any] | None = None,
        events_in: int | None = None,
        extra: Mapping[str, Any] | None = None,
        empty: bool = False,
    ) -> None:
        """Write the metadata, after the last batch.

        Args:
            observables: label, unit, range and so on of those that are declared; others have their name as label.
            selection: level -> expression that was applied.
            record: provenance, closed here.
            origin: what the reader says of its files.
            events_in: number of events that were read; by default the number of rows.
            extra: further metadata.
            empty: whether batches without any row may be all that there is.

        Raises:
            InputError: no rows at all, or duplicated event ids.
        """
        groups = self._groups
        if not groups.rows and not (empty and groups.names):
            raise InputError(
                f"{self.source}: no event is left for {self._path}; loosen the selection or check the files"
            )
        self._seen.refuse_duplicates(self.source)
        names = [name.partition("_")[2] for name in groups.names if level_of(name) and not is_jagged(name)]
        self.metadata = {
            **(extra or {}),
            "role": self.role,
            "observables": {
                name: dict(observables.get(name, {"label": name, "unit": ""})) for name in dict.fromkeys(names)
            },
            "selection": dict(selection),
            "origin": dict(origin or {}),
            "provenance": record.finish(
                events_in=groups.rows if events_in is None else events_in,
                events_out=groups.rows,
                sum_w=groups.sum_w,
                sum_w2=groups.sum_w2,
            ),
        }
        groups.finish(self.metadata)


@contextmanager
def table_sink(path: str | Path, *, role: str, source: str = "") -> Iterator[TableSink]:
    """Write an event table batch by batch. The file `path` appears only after `finish`, and if there was no error.

    Args:
        path: the Parquet file.
        role: "simulation", "background", "data", "closure_truth" or "prediction".
        source: what to name in messages that concern all batches; `path` by default.

    Raises:
        InputError: a role that does not exist.
    """
    if role not in ROLES:
        raise InputError(f"{path}: role {role!r} given; valid: {', '.join(ROLES)}")
    with atomic(path) as temporary, Ids(temporary.parent) as seen, _RowGroups(temporary) as groups:
        yield TableSink(path, groups, seen, role=role, source=source)


def write_table(
    path: str | Path,
    batches: Iterable[Mapping[str, Any]],
    *,
    observables: Mapping[str, Mapping[str, Any]],
    role: str,
    selection: Mapping[str, str],
    record: Record,
    source: str = "",
    origin: Mapping[str, Any] | None = None,
    extra: Callable[[], Mapping[str, Any]] = dict,
) -> dict[str, Any]:
    """Write an event table from a stream of batches. The file `path` appears only if there was no error.

    Args:
        path, role, source: as in `table_sink`.
        batches: as in `TableSink.add`.
        observables, selection, record, origin: as in `TableSink.finish`.
        extra: function that is called at the end and returns further metadata.

    Returns:
        The metadata that was stored.

    Raises:
        InputError: as in `table_sink` and `TableSink`.
    """
    with table_sink(path, role=role, source=source) as sink:
        for batch in batches:
            sink.add(batch)
        sink.finish(observables=observables, selection=selection, record=record, origin=origin, extra=extra())
    return sink.metadata
