"""Parts of an unfolding, gathered into one sample."""

from __future__ import annotations

import numpy as np
import pytest

from tests.events.test_unfolded import EDGES, FAMILIES, cut, rows, write
from truthward.errors import IncompleteError, InputError
from truthward.events.families import weight_columns
from truthward.events.unfolded import Unfolded, gather
from truthward.run.provenance import Record


def part_of(columns, path, part, nominal):
    """Write the named replicas of `columns` only."""
    keep = {f"replica:{name}:{i}" for name, indices in part.items() for i in indices} | (
        {"weight"} if nominal else set()
    )
    chosen = {n: c for n, c in columns.items() if n in keep or not n.startswith(("weight", "replica"))}
    write(path, cut(chosen, 300), part=part, nominal=nominal, history=[{"part": str(part)}])
    return path


def test_gathered_columns_equal_the_whole(tmp_path):
    given = rows()
    parts = [
        part_of(given, tmp_path / "1.parquet", {"data_bootstrap": [1], "systematic:scale": [0]}, False),
        part_of(given, tmp_path / "0.parquet", {"data_bootstrap": [0, 2]}, True),
    ]
    gather(parts, tmp_path / "u.parquet", record=Record.for_tests())
    whole, found = write(tmp_path / "w.parquet", [given]), Unfolded(tmp_path / "u.parquet")
    assert found.columns == whole.columns
    assert len(found.metadata["parts"]) == 2
    # The nominal's history comes first, and none comes twice.
    assert [entry["part"] for entry in found.metadata["history"]] == [
        "{'data_bootstrap': [0, 2]}",
        "{'data_bootstrap': [1], 'systematic:scale': [0]}",
    ]
    for name in whole.columns:
        assert np.array_equal(next(whole.batches([name]))[name], next(found.batches([name]))[name])
    with pytest.raises(IncompleteError, match="gather"):
        Unfolded(parts[0])


def test_missing_replica_is_named(tmp_path):
    parts = [part_of(rows(), tmp_path / "0.parquet", {"data_bootstrap": [0, 2], "systematic:scale": [0]}, True)]
    with pytest.raises(IncompleteError, match="replica:data_bootstrap:1 is in none"):
        gather(parts, tmp_path / "u.parquet", record=Record.for_tests())
    assert not (tmp_path / "u.parquet").exists()


def test_parts_of_other_events_or_twice_are_refused(tmp_path):
    a = part_of(rows(), tmp_path / "0.parquet", {"data_bootstrap": [0, 1, 2]}, True)
    other = rows() | {"event_id": np.arange(1, 1001, dtype=np.uint64)}
    b = part_of(other, tmp_path / "1.parquet", {"systematic:scale": [0]}, False)
    with pytest.raises(InputError, match="different events"):
        gather([a, b], tmp_path / "u.parquet", record=Record.for_tests())
    c = part_of(rows(), tmp_path / "2.parquet", {"data_bootstrap": [1], "systematic:scale": [0]}, False)
    with pytest.raises(InputError, match=r"data_bootstrap:1 is in .*0\.parquet also"):
        gather([a, c], tmp_path / "u.parquet", record=Record.for_tests())
    d = part_of(rows(500), tmp_path / "3.parquet", {"systematic:scale": [0]}, False)
    with pytest.raises(InputError, match="different numbers"):
        gather([a, d], tmp_path / "u.parquet", record=Record.for_tests())
    assert not (tmp_path / "u.parquet").exists()


def blocks(numbers: list[int], n: int = 200) -> list[dict[str, np.ndarray]]:
    """Drawn events of the named blocks, each with its own weight column alone."""
    names = weight_columns(FAMILIES)
    out = []
    for number in numbers:
        random = np.random.default_rng(number)
        truth = {"truth_x": random.random(n), "truth_y": random.random(n), "event_id": np.arange(n)}
        out.append(truth | {"block": np.full(n, number), names[number]: random.random(n)})
    return out


def test_blocks_are_blind_to_how_they_were_made(tmp_path):
    write(tmp_path / "0.parquet", blocks([0, 4]), part={"systematic:scale": [0]}, nominal=True)
    write(tmp_path / "1.parquet", blocks([1, 2, 3]), part={"data_bootstrap": [0, 1, 2]}, nominal=False)
    gather([tmp_path / "0.parquet", tmp_path / "1.parquet"], tmp_path / "u.parquet", record=Record.for_tests())
    found = Unfolded(tmp_path / "u.parquet")
    assert found.num_rows == 1000
    assert found.columns == write(tmp_path / "w.parquet", blocks([0, 1, 2, 3, 4])).columns
    histogram = found.histogram("x", EDGES)
    for number, contents in enumerate([histogram.nominal, *histogram.replicas["data_bootstrap"]]):
        block = blocks([number])[0]
        weight = block[weight_columns(FAMILIES)[number]].astype(np.float32 if number else float).astype(float)
        expected = np.histogram(block["truth_x"].astype(np.float32), EDGES, weights=weight)[0]
        assert np.allclose(contents, expected, rtol=1e-12)
    with pytest.raises(IncompleteError, match="data_bootstrap:2"):
        write(tmp_path / "x.parquet", blocks([0, 1, 2, 4]))
    astray = blocks([0, 1, 2, 3, 4])
    astray[1]["block"][:] = 2
    with pytest.raises(InputError, match="outside of block 1"):
        write(tmp_path / "x.parquet", astray)
    twice = blocks([0, 1, 2, 3, 4])
    twice[0][weight_columns(FAMILIES)[1]] = np.ones(200)
    with pytest.raises(InputError, match="in block 0 and in block 1"):
        write(tmp_path / "x.parquet", twice)
    assert not (tmp_path / "x.parquet").exists()


def test_replicas_of_the_nominal_draws_lie_beside_them(tmp_path):
    """Parts hold the same draws in row groups of other sizes; only one of their replicas has draws of its own."""
    nominal, own = blocks([0], n=70_000)[0], blocks([4])[0]
    random = np.random.default_rng(8)
    columns = {name: random.random(70_000) for name in weight_columns(FAMILIES)[1:4]}
    common = {n: v for n, v in nominal.items() if n != "weight"}
    cut = [{n: v[rows] for n, v in (common | columns).items()} for rows in (slice(0, 300), slice(300, None))]
    write(tmp_path / "0.parquet", [nominal], part={}, nominal=True)
    write(
        tmp_path / "1.parquet", [*cut, own], part={"data_bootstrap": [0, 1, 2], "systematic:scale": [0]}, nominal=False
    )
    gather([tmp_path / "0.parquet", tmp_path / "1.parquet"], tmp_path / "u.parquet", record=Record.for_tests())
    found = Unfolded(tmp_path / "u.parquet")
    assert found.num_rows == 70_200
    _, replicas = found.weights()
    for number, name in enumerate(weight_columns(FAMILIES)[1:4]):
        np.testing.assert_array_equal(replicas["data_bootstrap"][:70_000, number], columns[name].astype(np.float32))
    assert not replicas["data_bootstrap"][70_000:].any()
    assert not replicas["systematic:scale"][:70_000].any()
    histogram = found.histogram("x", EDGES)
    weight = columns[weight_columns(FAMILIES)[2]].astype(np.float32).astype(float)
    expected = np.histogram(nominal["truth_x"].astype(np.float32), EDGES, weights=weight)[0]
    assert np.allclose(histogram.replicas["data_bootstrap"][1], expected, rtol=1e-12)
    short = [{n: v[:-1] for n, v in part.items()} for part in cut]
    write(
        tmp_path / "2.parquet",
        [*short, own],
        part={"data_bootstrap": [0, 1, 2], "systematic:scale": [0]},
        nominal=False,
    )
    with pytest.raises(InputError, match="different numbers of events"):
        gather([tmp_path / "0.parquet", tmp_path / "2.parquet"], tmp_path / "v.parquet", record=Record.for_tests())
