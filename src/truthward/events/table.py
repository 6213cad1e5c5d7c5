"""The event table: one Parquet file per sample, the contract between all stages.

Columns: `truth_<observable>`, `reco_<observable>` (float32, GeV and radians; null where not `pass_truth`, `pass_reco`),
the two flags (bool), `weight` (float64, sum = expected yield), `process` (text), `event_id` (uint64), `split` (uint8:
0 train, 1 validation, 2 test), and jagged `truth_constituents_*`, `reco_constituents_*` (list of float32) where the
source has them. Simulation may have variations, `reco_<observable>:<systematic>:<index>`, `pass_reco:...` and
`weight:...` (see `truthward.study.variations`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from truthward.errors import InputError, nearest
from truthward.events.contract import PROCESS, ROLES, Batch, is_jagged, to_arrow
from truthward.events.identity import Ids
from truthward.events.parquet import Parquet, finish, writer
from truthward.run.artefact import atomic
from truthward.run.provenance import Record
from truthward.study.columns import level_of

ROW_GROUP = 65536
"""Rows a row group, at most: the unit in which tables are streamed."""


class EventTable:
    """A handle on an event table; opening reads the footer alone, rows come by row group.

    Raises:
        InputError: no such file, or a Parquet file that is no event table.
        CorruptError: truncated or damaged; also from each method that reads.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self._open() as file:
            self.num_rows: int = file.num_rows
            self.columns: list[str] = file.schema_arrow.names
            self.metadata: dict[str, Any] = file.stored

    @property
    def role(self) -> str:
        """ "simulation", "data" or "closure_truth"."""
        return str(self.metadata["role"])

    @property
    def observables(self) -> list[str]:
        """Names of the observables (one number an event) that the table has at any of its levels, in column order."""
        names = [name.partition("_")[2] for name in self.columns if level_of(name) and not is_jagged(name)]
        return list(dict.fromkeys(names))

    def read(self, columns: Sequence[str]) -> dict[str, np.ndarray]:
        """Whole columns by name: (N,) arrays, NaN where null; jagged ones as awkward arrays with None where null.

        Raises:
            InputError: where a column is not there; the nearest names are offered.
        """
        with self._open() as file:
            return _arrays(file.read(columns=self._known(columns)))

    def batches(self, columns: Sequence[str] | None = None, rows: int = ROW_GROUP) -> Iterator[Batch]:
        """As `read`, in batches of at most `rows` rows; all columns by default."""
        names = self._known(self.columns if columns is None else columns)
        first = 0
        with self._open() as file:
            # One row group after the other: Arrow's own iteration reads ahead, and its memory grows with the file.
            for group in range(file.num_row_groups):
                whole = file.read_row_group(group, columns=names, use_threads=False)
                for start in range(0, whole.num_rows, rows):
                    piece = whole.slice(start, rows)
                    entries = first + np.arange(piece.num_rows)
                    yield Batch(_arrays(piece), source=str(self.path), entries=entries)
                    first += piece.num_rows

    def between(self, first: int, end: int, columns: Sequence[str]) -> dict[str, np.ndarray]:
        """As `read`, of the rows from `first` up to `end`; of the others only those of the same row groups are read."""
        names = self._known(columns)
        with self._open() as file:
            starts = np.cumsum([0, *file.groups])
            groups = np.flatnonzero((starts[:-1] < end) & (starts[1:] > first)).tolist()
            if not groups:
                return _arrays(file.schema_arrow.empty_table().select(names))
            whole = file.read_row_groups(groups, columns=names, use_threads=False)
        return _arrays(whole.slice(first - starts[groups[0]], end - first))

    def level(self, level: str, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Observables at one level, "truth" or "reco".

        Returns:
            mask (N,) bool: which events pass; values (N, D) float32 in the order of `names`, NaN where the mask is
            False.
        """
        columns = [f"{level}_{name}" for name in names]
        # One column at a time: the peak is the result and one column, not two copies of everything.
        mask = self.read([f"pass_{level}"])[f"pass_{level}"]
        values = np.empty((self.num_rows, len(columns)), dtype=np.float32)
        for index, column in enumerate(self._known(columns)):
            values[:, index] = self.read([column])[column]
        return mask, values

    def _open(self) -> Parquet:
        way = "run the ingest stage, or what else makes it"
        return Parquet(self.path, what="event table", way=way, keys=("role", "observables"))

    def _known(self, columns: Sequence[str]) -> list[str]:
        for name in columns:
            if name not in self.columns:
                raise InputError(f"{self.path}: no column {name}; {nearest(name, self.columns)}")
        return list(columns)


def _arrays(table: pa.Table) -> dict[str, Any]:
    return {name: _array(table.column(name)) for name in table.column_names}


def _array(column: pa.ChunkedArray) -> Any:
    if pa.types.is_list(column.type):
        return _lists(column)
    if pa.types.is_dictionary(column.type):
        whole = column.unify_dictionaries().combine_chunks()
        words = np.array(whole.dictionary.to_pylist(), dtype=str)
        return words[whole.indices.to_numpy()]
    return column.to_numpy()


def _lists(column: pa.ChunkedArray) -> ak.Array:
    # By hand: awkward 2.14's from_arrow misreads the validity bits of some slices (one from row 8 on, say).
    whole = column.combine_chunks()
    valid = whole.is_valid().to_numpy(zero_copy_only=False)
    lengths = np.where(valid, whole.value_lengths().fill_null(0).to_numpy(zero_copy_only=False), 0)
    lists = ak.unflatten(ak.Array(whole.flatten().to_numpy(zero_copy_only=False)), lengths)
    return ak.mask(lists, valid)


def _length(batch: Mapping[str, Any]) -> int:
    return max((len(values) for values in batch.values()), default=0)


def _group(pieces: list[pa.Table]) -> pa.Table:
    whole = pa.concat_tables(pieces).combine_chunks()
    place = whole.column_names.index("process")
    return whole.set_column(
        place, "process", whole.column("process").combine_chunks().dictionary_encode().cast(PROCESS)
    )


class _RowGroups:
    """Pieces of a table on their way into a Parquet file, in row groups of one size whatever the pieces' lengths."""

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
        """Take a piece; InputError, with its source, where its columns are not those of the first one."""
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
        """Write what waits, and the metadata."""
        if any(waiting.num_rows for waiting in self._waiting):
            self._write(self._waiting)
        finish(self._sink, metadata, self.rows)

    def _write(self, pieces: list[pa.Table]) -> None:
        assert self._sink is not None, "a piece came before"
        self._sink.write_table(_group(pieces), row_group_size=ROW_GROUP)


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
    events_in: Callable[[], int] | None = None,
    extra: Callable[[], Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Write an event table from a stream of batches, checking the contract; nothing is under `path` unless all is well.

    Batches may have any length: row groups have 65,536 rows whatever it is. `process` ("signal") and `split` (hash of
    the id) are filled in where batches lack them.

    Args:
        path: the Parquet file.
        batches: name -> (N,) array; all batches have the same columns.
        observables: name -> label, unit, range and so on, of those that are declared; others of the columns
            get their name as label.
        role: "simulation", "data" or "closure_truth".
        selection: level -> expression that was applied.
        record: provenance, closed here.
        origin: what the reader says of its files; stored as metadata "origin".
        source: what to name in messages that concern all batches; `path` by default.
        events_in: asked at the end for the number of events read, where it is not the number of rows that came.
        extra: asked at the end for further metadata.

    Returns:
        The metadata that was stored.

    Raises:
        InputError: a breach of the contract (see `contract.to_arrow`), no rows at all, or duplicated event ids.
    """
    if role not in ROLES:
        raise InputError(f"{path}: role {role!r} given; valid: {', '.join(ROLES)}")
    source = source or str(path)
    with atomic(path) as temporary, Ids(temporary.parent) as seen, _RowGroups(temporary) as sink:
        for given in batches:
            if isinstance(given, Batch):
                batch = given
            else:
                batch = Batch(given, source=source, entries=sink.rows + np.arange(_length(given)))
            piece = to_arrow(batch, role=role)
            seen.add(piece.column("event_id").to_numpy())
            sink.add(piece, batch.source)
        if not sink.rows:
            raise InputError(f"{source}: no event is left for {path}; loosen the selection or check the files")
        seen.refuse_duplicates(source)
        names = [name.partition("_")[2] for name in sink.names if level_of(name) and not is_jagged(name)]
        metadata = {
            **(extra() if extra else {}),
            "role": role,
            "observables": {
                name: dict(observables.get(name, {"label": name, "unit": ""})) for name in dict.fromkeys(names)
            },
            "selection": dict(selection),
            "origin": dict(origin or {}),
            "provenance": record.finish(
                events_in=sink.rows if events_in is None else events_in(),
                events_out=sink.rows,
                sum_w=sink.sum_w,
                sum_w2=sink.sum_w2,
            ),
        }
        sink.finish(metadata)
    return metadata
