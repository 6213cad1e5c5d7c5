"""Read predictions that are events: ROOT, Parquet, and particles of HepMC3 or LHE, through a map of expressions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa

from truthward.compare.particles import particles
from truthward.compare.prediction import Sample
from truthward.compare.section import Entry
from truthward.errors import InputError, nearest
from truthward.events.contract import Batch, flags
from truthward.events.expression import Expression
from truthward.events.parquet import Parquet
from truthward.events.root import opened
from truthward.events.tree import CHUNK
from truthward.run.files import File

OTHERS = ("weight", "pass_truth")


def read_events(label: str, paths: Sequence[Path], entry: Entry, observables: Sequence[str]) -> Sample:
    """The events of some files of one format.

    Without `columns`, an observable is the column `truth_<name>` or `<name>`, and `weight` and `pass_truth` are used if
    they are there.

    Raises:
        InputError: an observable is missing, a column cannot be read, or its expression has no number for each event.
        ConfigError: an expression is not valid.
    """
    pieces: dict[str, list[np.ndarray]] = {name: [] for name in (*observables, "weight")}
    notes: dict[str, None] = {}
    for path in paths:
        for arrays, size, said in _chunks(path, entry, observables):
            notes |= dict.fromkeys(said)
            found = _columns(path, arrays, size, entry, observables)
            for name, values in found.items():
                pieces[name].append(values)
    if not pieces["weight"]:
        raise InputError(f"{label}: {', '.join(path.name for path in paths)}: no event is in these files; check them")
    weights = np.concatenate(pieces.pop("weight")).astype(np.float64) * entry.scale
    with np.errstate(over="ignore"):
        single = {name: np.concatenate(parts).astype(np.float32) for name, parts in pieces.items()}
    return Sample(label, ", ".join(path.name for path in paths), single, weights, list(notes))


def _chunks(path: Path, entry: Entry, observables: Sequence[str]) -> Iterator[tuple[dict[str, Any], int, list[str]]]:
    """Columns of some events, their number, and what the reader says."""
    name = path.name.lower()
    if name.endswith(".root"):
        with opened(File(str(path)), entry.tree) as tree:
            wanted = _branches(path, entry, observables, tree.branches, tree.names)
            tree.require(wanted, "the prediction")
            for first, arrays in tree.chunks(wanted, CHUNK) if wanted else ():
                del first
                yield arrays, len(next(iter(arrays.values()))), []
    elif name.endswith(".parquet"):
        with Parquet(path, what="prediction", way="correct `file`", keys=()) as file:
            columns = file.schema_arrow.names
            wanted = _branches(path, entry, observables, columns, columns)
            for number in range(file.num_row_groups):
                table = file.read_row_group(number, wanted)
                yield {n: _array(table.column(n)) for n in wanted}, table.num_rows, []
    else:
        yield from particles(path, entry)


def _branches(
    path: Path, entry: Entry, observables: Sequence[str], known: Sequence[str], valid: Sequence[str]
) -> list[str]:
    """Columns that the map needs, each of which is in the file."""
    wanted = set().union(*(Expression(text).names for text in _map(path, entry, observables, known).values()))
    wanted |= Expression(entry.select).names if entry.select else set()
    for name in sorted(wanted):
        if name.removeprefix("/") not in valid:
            raise InputError(f"{path}: no column {name}; {nearest(name, known)}; correct `columns` or `select`")
    return sorted(wanted)


def _map(path: Path, entry: Entry, observables: Sequence[str], known: Sequence[str]) -> dict[str, Any]:
    """Observable, `weight` and `pass_truth` -> expression."""
    given = {name.removeprefix("truth_"): text for name, text in entry.columns.items()}
    if unknown := [name for name in given if name not in (*observables, *OTHERS)]:
        raise InputError(
            f"{path}: columns.{unknown[0]}: not an observable of the publication; "
            f"{nearest(unknown[0], (*observables, *OTHERS))}"
        )
    for name in (*observables, *OTHERS):
        here = [column for column in (f"truth_{name}", name) if column in known]
        if name not in given and here:
            given[name] = here[0] if here[0].isidentifier() else f"`{here[0]}`"
    if lack := [name for name in observables if name not in given]:
        raise InputError(
            f"{path}: no column for the observable {lack[0]}: neither truth_{lack[0]} nor {lack[0]}; "
            f"{nearest(lack[0], known)}; map it in `columns` of a file of predictions, or leave it out (--observables)"
        )
    return given


def _columns(
    path: Path, arrays: Mapping[str, Any], size: int, entry: Entry, observables: Sequence[str]
) -> dict[str, np.ndarray]:
    """Observables and weights of the selected events."""
    texts = _map(path, entry, observables, list(arrays))
    found = {name: _evaluated(path, name, text, arrays, size) for name, text in texts.items()}
    kept = np.ones(size, dtype=bool)
    if "pass_truth" in found:
        kept &= flags(found.pop("pass_truth"), Batch({}, source=str(path)), "pass_truth")
    if entry.select:
        kept &= _evaluated(path, "select", entry.select, arrays, size).astype(bool)
    weight = found.get("weight", np.ones(size))
    return {name: found[name][kept] for name in observables} | {"weight": weight[kept]}


def _evaluated(path: Path, name: str, text: Any, arrays: Mapping[str, Any], size: int) -> np.ndarray:
    try:
        value = Expression(text).evaluate(arrays)
    except InputError as error:
        raise InputError(f"{path}: {name}: {error}") from error
    if isinstance(value, ak.Array) and value.ndim > 1:
        raise InputError(f"{path}: {name}: {text} is a list for each event; take one element, such as pt[0]")
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise InputError(f"{path}: {name}: {text} is text; a number is needed")
    return np.broadcast_to(array, (size,))


def _array(column: pa.ChunkedArray) -> Any:
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return ak.Array(column.to_pylist())
    return column.to_numpy()
