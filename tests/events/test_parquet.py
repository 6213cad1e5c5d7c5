"""Damage of a Parquet artefact is found when it is opened or read, whatever it hit, and never changes a number."""

import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from truthward.errors import CorruptError, InputError
from truthward.events.parquet import Parquet, finish, writer

ROWS = 500
HINTS = {"what": "table", "way": "run the stage", "keys": ("role",)}


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(1)
    table = pa.table(
        {
            "x": rng.normal(size=ROWS).astype(np.float32),
            "id": np.arange(ROWS, dtype=np.uint64),
            "flag": rng.random(ROWS) < 0.5,
            "maybe": pa.array(rng.random(ROWS), mask=rng.random(ROWS) < 0.3),
            "lists": pa.array([[float(i)] * (i % 4) for i in range(ROWS)], pa.list_(pa.float32())),
            "process": pa.array(["signal", "background"] * (ROWS // 2)).dictionary_encode(),
        }
    )
    path = tmp_path / "t.parquet"
    with writer(path, table.schema) as sink:
        sink.write_table(table, row_group_size=200)
        finish(sink, {"role": "any", "sum": 1.5}, ROWS)
    return path


def everything(path):
    with Parquet(path, **HINTS) as file:
        names = file.schema_arrow.names
        groups = [file.read_row_group(number, names) for number in range(file.num_row_groups)]
        return file.stored, pa.concat_tables(groups), file.read(names)


def test_round_trip(path) -> None:
    stored, parts, whole = everything(path)
    assert stored == {"role": "any", "sum": 1.5}
    assert whole.num_rows == ROWS
    assert parts["lists"].to_pylist() == whole["lists"].to_pylist()
    with Parquet(path, **HINTS) as file:
        assert file.groups == [200, 200, 100]
        assert [b.num_rows for b in file.iter_batches(300, ["x"])] == [300, 200]


def test_no_damage_changes_a_number(path) -> None:
    content, right = path.read_bytes(), everything(path)
    draw = random.Random(3)
    found = 0
    for _ in range(400):
        damaged = bytearray(content)
        # The footer is a small part of a real file, and the one whose damage could mislead most.
        first = draw.choice([0, len(content) - 3000])
        for place in range(
            start := draw.randrange(first, len(content)), min(start + draw.choice([1, 1, 30]), len(content))
        ):
            damaged[place] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged if draw.random() < 0.9 else damaged[: draw.randrange(len(damaged))])
        try:
            given = everything(path)
        except (CorruptError, InputError):
            found += 1
        else:
            assert given[0] == right[0]
            assert all(a.equals(b) for a, b in zip(given[1:], right[1:], strict=True))
    assert found > 300


def test_a_flipped_page_is_found_where_only_that_page_is_read(path) -> None:
    place = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    content = bytearray(path.read_bytes())
    content[place + 100] ^= 4
    path.write_bytes(content)
    with Parquet(path, **HINTS) as file:
        assert file.read_row_group(0, ["x"]).num_rows == 200
        assert file.read(["id"]).num_rows == ROWS
        for read in (
            lambda: file.read_row_group(1, ["x"]),
            lambda: file.read(["x"]),
            lambda: list(file.iter_batches(300, ["x"])),
        ):
            with pytest.raises(CorruptError, match=r"t\.parquet: truncated or damaged.*delete it, then run the stage"):
                read()


def test_other_metadata_under_the_seal_is_refused(path) -> None:
    content = path.read_bytes()
    assert content.count(b'"sum": 1.5') == 1
    path.write_bytes(content.replace(b'"sum": 1.5', b'"sum": 1.4'))
    with pytest.raises(CorruptError, match="its footer is not what was written"):
        Parquet(path, **HINTS)


def test_files_of_others_and_missing_ones_are_named(path, tmp_path) -> None:
    with pytest.raises(InputError, match=r"none\.parquet: no such file \(table\); run the stage"):
        Parquet(tmp_path / "none.parquet", **HINTS)
    pq.write_table(pa.table({"x": [1]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match=r"other\.parquet: this Parquet file is no table: its metadata have no role"):
        Parquet(tmp_path / "other.parquet", **HINTS)


def test_a_file_without_a_seal_is_read(path, tmp_path) -> None:
    old = pq.read_table(path).replace_schema_metadata({"truthward": '{"role": "any"}'})
    pq.write_table(old, tmp_path / "old.parquet")
    assert everything(tmp_path / "old.parquet")[2]["x"].to_pylist() == old["x"].to_pylist()


def test_metadata_that_json_cannot_say_is_not_written(path) -> None:
    schema = pa.schema([("x", pa.float32())])
    with writer(path.with_name("nan.parquet"), schema) as sink, pytest.raises(ValueError, match="JSON"):
        finish(sink, {"sum": float("nan")}, 0)
