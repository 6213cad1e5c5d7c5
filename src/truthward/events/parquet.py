"""Parquet artefacts: only this module opens and writes them, so that any damage is a typed error.

Pages have checksums (CRC-32, part of the Parquet format), which are verified when they are read. A seal protects the
footer: the SHA-256 of the stored metadata, the number of rows, and the names and types of the columns.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from truthward.errors import CorruptError, InputError

KEY = b"truthward"
SEAL = b"truthward.sha256"

ROW_GROUP = 65536
"""Largest number of rows in a row group of an event table. Tables are streamed in row groups."""

# Arrow raises these for damaged bytes; its own exceptions derive from them.
_DAMAGE = (pa.ArrowException, OSError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError, RuntimeError)


class Parquet:
    """An open Parquet artefact. Methods are named as those of `pyarrow.parquet.ParquetFile`, which it wraps.

    Attributes:
        path: the file.
        stored: the metadata that `finish` stored.
        schema_arrow, num_rows: of the whole file. groups: number of rows of each row group.

    Args:
        what: what the file should be, for messages. way: how to make it, such as "run the ingest stage".
        keys: what its metadata must hold.

    Raises:
        InputError: no such file, or another one than it should be.
        CorruptError: truncated or damaged; also from each method that reads.
    """

    def __init__(self, path: str | Path, *, what: str, way: str, keys: Sequence[str]) -> None:
        self.path, self._way = Path(path), way
        if not self.path.is_file():
            raise InputError(f"{self.path}: no such file ({what}); {way}")
        with self._reading():
            self._file = pq.ParquetFile(self.path, page_checksum_verification=True)
            metadata = self._file.metadata
            stored = metadata.metadata or {}
            self.schema_arrow: pa.Schema = self._file.schema_arrow
            self.num_rows: int = metadata.num_rows
            self.groups = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        with self._reading():
            text = stored.get(KEY, b"{}")
            if SEAL in stored and stored[SEAL] != _seal(text, self.num_rows, self.schema_arrow):
                raise ValueError("its footer is not what was written")
            if sum(self.groups) != self.num_rows:
                raise ValueError(f"row groups of {sum(self.groups)} rows for {self.num_rows}")
            self.stored: dict[str, Any] = dict(json.loads(text))
        if absent := [key for key in keys if key not in self.stored]:
            raise InputError(f"{self.path}: this Parquet file is no {what}: its metadata have no {absent[0]}; {way}")

    def __enter__(self) -> Parquet:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def num_row_groups(self) -> int:
        """Row groups: the units that are read one after the other."""
        return len(self.groups)

    def read(self, columns: Sequence[str]) -> pa.Table:
        """The named columns in full."""
        with self._reading():
            return self._whole(self._file.read(columns=list(columns)), self.num_rows)

    def read_row_groups(self, numbers: Sequence[int], columns: Sequence[str], use_threads: bool = True) -> pa.Table:
        """The named columns of some row groups."""
        with self._reading():
            table = self._file.read_row_groups(list(numbers), columns=list(columns), use_threads=use_threads)
            return self._whole(table, sum(self.groups[number] for number in numbers))

    def read_row_group(self, number: int, columns: Sequence[str], use_threads: bool = True) -> pa.Table:
        """The named columns of one row group."""
        return self.read_row_groups([number], columns, use_threads)

    def iter_batches(self, batch_size: int, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The named columns in batches of that many rows (the last may have fewer), whatever the row groups are.

        One row group after the other: Arrow's own iteration reads ahead, and its memory grows with the file.
        """
        waiting: list[pa.Table] = []
        for number in range(self.num_row_groups):
            whole = pa.concat_tables([*waiting, self.read_row_group(number, columns, use_threads=False)])
            while whole.num_rows >= batch_size:
                yield whole.slice(0, batch_size)
                whole = whole.slice(batch_size)
            waiting = [whole]
        if waiting and waiting[0].num_rows:
            yield waiting[0]

    def _whole(self, table: pa.Table, rows: int) -> pa.Table:
        if table.num_rows != rows:
            raise self._corrupt(f"{table.num_rows} of {rows} rows")
        return table

    def _corrupt(self, why: object) -> CorruptError:
        reason = " ".join(str(why).split())[:200]
        return CorruptError(
            f"{self.path}: truncated or damaged ({reason}); delete it, then {self._way} (the same snakemake call does)"
        )

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except _DAMAGE as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise InputError(f"{self.path}: cannot be read ({error.strerror}); check the disk") from error
            raise self._corrupt(error) from error


def writer(path: str | Path, schema: pa.Schema, *, split: Sequence[str] = ()) -> pq.ParquetWriter:
    """A writer whose pages carry checksums; close it with `finish`.

    split: columns of floats that hardly repeat. Their bytes are stored place by place: only the first ones compress.
    """
    others = [name for name in schema.names if name not in set(split)]
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        write_page_checksum=True,
        use_dictionary=others,
        use_byte_stream_split=list(split),
    )


def finish(sink: pq.ParquetWriter, metadata: Mapping[str, Any], rows: int) -> None:
    """Store metadata, JSON-able without NaN, and seal the footer of a file of that many rows."""
    text = json.dumps(metadata, allow_nan=False).encode()
    sink.add_key_value_metadata({KEY: text, SEAL: _seal(text, rows, sink.schema)})


def _seal(metadata: bytes, rows: int, schema: pa.Schema) -> bytes:
    # Not as Arrow prints a type: that may change with its version.
    columns = [[field.name, _type(field.type), field.nullable] for field in schema]
    return hashlib.sha256(metadata + json.dumps([rows, columns]).encode()).hexdigest().encode()


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_type(kind.value_type)}"
    return "text by number" if pa.types.is_dictionary(kind) else str(kind)
