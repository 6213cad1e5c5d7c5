"""Write unfolded samples, whole or in parts; `unfolded` describes the format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from truthward.errors import DivergedError, IncompleteError, InputError
from truthward.events.families import Family, weight_columns
from truthward.events.parquet import finish, writer
from truthward.run.artefact import atomic
from truthward.run.provenance import Record

ROWS = 65536
"""Largest number of rows in a row group, which a reader has in memory at once."""

_TYPES = {"event_id": pa.uint64(), "split": pa.uint8(), "block": pa.int32()}


def write_unfolded(
    path: str | Path,
    rows: Iterable[Mapping[str, np.ndarray]],
    *,
    method: str,
    kind: str,
    observables: Sequence[str],
    joint: bool,
    families: Mapping[str, Family],
    history: Sequence[Mapping[str, Any]],
    record: Record,
    part: Mapping[str, Sequence[int]] | None = None,
    nominal: bool = True,
    iterations: int | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write an unfolded sample, or one part of it, atomically.

    Args:
        rows: dictionaries of columns, each (n,), all with the same names. With a `block` column, weight columns may
            be left out where they are zero.
        method: the name in the config; kind: the class of method.
        observables: the unfolded ones; the rows may carry more `truth_*` columns.
        joint: one set of weights for all observables, or one for each.
        families: all families of the whole result, with their full counts.
        history: dictionaries, one an iteration, of JSON-able diagnostics.
        part: family -> indices of the replicas that this file holds; None where it holds them all.
        nominal: whether a part holds the nominal weights.
        iterations: how many were made; None where the method has none.
        extra: further metadata of the method, JSON-able.

    Raises:
        DivergedError: where weights are not finite (with their count), or do not sum to something positive.
        IncompleteError: where a declared replica is missing.
        InputError: for a missing truth column or event id, unequal lengths, values that are not finite, a column
            that does not belong, or a weight outside of its block.
    """
    indices = {n: list(range(f.count)) if part is None else list(part.get(n, ())) for n, f in families.items()}
    expected = expected_columns(families, None if joint else observables, indices, nominal)
    numbers = {n: k for k, n in enumerate(weight_columns(families))} if joint else {}
    places: dict[str, set[int]] = {name: set() for name in expected}
    sink, totals, bad, count = None, dict.fromkeys(expected, 0.0), dict.fromkeys(expected, 0), 0
    seen: set[str] = set()
    squares = 0.0
    with atomic(path) as temporary, ExitStack() as stack:
        for batch in rows:
            schema = _schema(batch, expected, observables, path)
            if sink is None:
                # A method that unfolds one observable at a time does it in bins: the weights in a bin repeat.
                replicas = [name for name in expected if joint and name.startswith("replica:")]
                sink = stack.enter_context(writer(temporary, schema, split=replicas))
            elif schema != sink.schema:
                raise InputError(f"{path}: the columns of the rows change from one batch to another")
            columns = _columns(batch, schema, path)
            seen.update(name for name in expected if name in batch)
            for name in expected:
                bad[name] += int((~np.isfinite(columns[name])).sum())
                totals[name] += float(columns[name].sum(dtype=float))
            if nominal:
                squares += float((columns[expected[0]].astype(float) ** 2).sum())
            if "block" in columns:
                _check_blocks(columns, numbers, places, path)
            count += len(columns["event_id"])
            sink.write_table(pa.table(columns, schema=schema), row_group_size=ROWS)
        if sink is None or count == 0:
            raise InputError(f"{path}: no truth events to write")
        _check_weights(expected, seen, bad, totals, count, path)
        sum_w, sum_w2 = (totals[expected[0]], squares) if nominal else (None, None)
        metadata = {
            **(extra or {}),
            "method": method,
            "kind": kind,
            "observables": list(observables),
            "joint": joint,
            "families": {name: f.to_json() for name, f in families.items()},
            "history": [dict(entry) for entry in history],
            "iterations": iterations,
            "part": None if part is None and nominal else {"nominal": nominal, "indices": indices},
            "provenance": record.finish(events_out=count, sum_w=sum_w, sum_w2=sum_w2),
        }
        finish(sink, metadata, count)


def expected_columns(
    families: Mapping[str, Family],
    observables: Sequence[str] | None,
    indices: Mapping[str, Sequence[int]] | None,
    nominal: bool,
) -> list[str]:
    """Weight columns, the nominal first; `observables` None for a joint method, `indices` None for all replicas."""
    names = []
    for observable in [None] if observables is None else observables:
        every = iter(weight_columns(families, observable))
        first = next(every)
        names += [first] if nominal else []
        for name, f in families.items():
            own = enumerate(islice(every, f.count))
            names += [column for index, column in own if indices is None or index in indices[name]]
    return names


def _schema(batch: Mapping[str, Any], expected: Sequence[str], observables: Sequence[str], path: Any) -> pa.Schema:
    truth = [name for name in batch if name.startswith("truth_")]
    fixed = [name for name in _TYPES if name in batch]
    if missing := [n for n in (*(f"truth_{o}" for o in observables), "event_id") if n not in batch]:
        raise InputError(f"{path}: the rows have no column {missing[0]}, but every unfolded sample needs it")
    absent = [name for name in expected if name not in batch]
    if absent and "block" not in batch:
        raise IncompleteError(f"{path}: the rows have no column {absent[0]}, but the families of replicas need it")
    if extra := [n for n in batch if n not in (*truth, *fixed, *expected)]:
        raise InputError(
            f"{path}: column {extra[0]} is neither a column of an unfolded sample nor a declared replica; remove it"
        )
    weights = [(n, pa.float64() if n.startswith("weight") else pa.float32()) for n in expected]
    return pa.schema([*((n, pa.float32()) for n in sorted(truth)), *((n, _TYPES[n]) for n in fixed), *weights])


def _columns(batch: Mapping[str, np.ndarray], schema: pa.Schema, path: Any) -> dict[str, np.ndarray]:
    rows = len(batch["event_id"])
    columns = {}
    for field in schema:
        kind = field.type.to_pandas_dtype()
        given = batch[field.name] if field.name in batch else np.zeros(rows, kind)
        # A weight beyond float32 turns infinite here and is counted among those that are not finite.
        with np.errstate(over="ignore", invalid="ignore"):
            columns[field.name] = np.ascontiguousarray(given, dtype=kind)
        if columns[field.name].shape != (rows,):
            raise InputError(f"{path}: column {field.name} has shape {columns[field.name].shape} for {rows} events")
        if field.name.startswith("truth_") and not np.isfinite(columns[field.name]).all():
            raise InputError(f"{path}: column {field.name} has values that are not finite; write finite values only")
    return columns


def _check_blocks(
    columns: Mapping[str, np.ndarray], numbers: Mapping[str, int], places: dict[str, set[int]], path: Any
) -> None:
    """Each column weights either its own block or the draws of the nominal; `places` has its blocks so far."""
    for name, found in places.items():
        found.update(np.unique(columns["block"][columns[name] != 0]).tolist())
        own = numbers[name]
        if found - {0, own}:
            raise InputError(f"{path}: weights of {name} lie outside of block {own}, and not in block 0 of the nominal")
        if len(found) > 1:
            raise InputError(f"{path}: weights of {name} lie in block 0 and in block {own}; one of them is needed")


def _check_weights(
    expected: Sequence[str], seen: set[str], bad: Mapping[str, int], totals: Mapping[str, float], count: int, path: Any
) -> None:
    if absent := [name for name in expected if name not in seen]:
        raise IncompleteError(f"{path}: no block of rows has the column {absent[0]}")
    if diverged := {name: n for name, n in bad.items() if n}:
        name, number = next(iter(diverged.items()))
        raise DivergedError(
            f"{path}: {number} of {count} weights of {name} are not finite ({sum(diverged.values())} over "
            f"{len(diverged)} columns); check the history of the training"
        )
    if low := [name for name in expected if not totals[name] > 0]:
        raise DivergedError(
            f"{path}: {low[0]} sums to {totals[low[0]]:g}, but a yield is positive; check the history of the training"
        )
