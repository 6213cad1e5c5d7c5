"""The event table: one Parquet file per sample, the contract between all stages.

Columns: `truth_<observable>`, `reco_<observable>` (float32, GeV and radians; null where not `pass_truth`, `pass_reco`),
the two flags (bool), `weight` (float64, sum = expected yield), `process` (text), `event_id` (uint64), `split` (uint8:
0 train, 1 validation, 2 test), and jagged `truth_constituents_*`, `reco_constituents_*` (list of float32) where the
source has them. Simulation may have variations, `reco_<observable>:<systematic>:<index>`, `pass_reco:...` and
`weight:...` (see `truthward.study.variations`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa

from truthward.errors import InputError, nearest
from truthward.events.contract import Batch, is_jagged
from truthward.events.parquet import ROW_GROUP, Parquet
from truthward.study.columns import level_of


class EventTable:
    """A handle on an event table. Opening reads only the footer; rows are read by row group.

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
        """ "simulation", "background", "data", "closure_truth" or "prediction"."""
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
        """As `read`, for the rows from `first` up to `end`. Only the row groups with these rows are read."""
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
