"""Gathering the parts of a fanned-out unfolding; the format is described in `unfolded`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from truthward.errors import IncompleteError, InputError
from truthward.events.families import Family
from truthward.events.parquet import Parquet
from truthward.events.unfolded_write import ROWS, expected_columns, write_unfolded
from truthward.run.provenance import Record


def gather(parts: Sequence[str | Path], path: str | Path, *, record: Record) -> None:
    """Merge the parts that jobs wrote through `write_unfolded(..., part=...)` into one complete sample.

    The columns of the same events are put side by side. With a `block` column these are the draws of the nominal,
    block 0, and all other blocks are appended. The result does not depend on the order of `parts`.

    Raises:
        IncompleteError: naming the first replica that no part holds.
        InputError: where parts disagree on the method or the events, or a replica is in two of them.
        CorruptError: where a part is truncated or damaged.
    """
    with ExitStack() as stack:
        paths = sorted(map(Path, parts))
        files = [stack.enter_context(_open(part)) for part in paths]
        if not files:
            raise IncompleteError(f"{path}: no parts given")
        metadata = [f.stored for f in files]
        first = metadata[0]
        for name, other in zip(paths, metadata, strict=True):
            for key in ("method", "kind", "observables", "joint", "families"):
                if other[key] != first[key]:
                    raise InputError(
                        f"{name}: its {key} differs from the {key} of the other parts; unfold all parts again"
                    )
        families = {name: Family(**f) for name, f in first["families"].items()}
        sets = None if first["joint"] else first["observables"]
        owner = _owners(files, paths, expected_columns(families, sets, None, True), metadata)
        blocks = "block" in files[0].schema_arrow.names
        leading = next((m for m in metadata if m["part"] is None or m["part"]["nominal"]), first)
        known = {"method", "kind", "observables", "joint", "families", "history", "iterations", "part", "provenance"}
        write_unfolded(
            path,
            _by_block(files, owner, path) if blocks else _side_by_side(files, owner, path),
            method=first["method"],
            kind=first["kind"],
            observables=first["observables"],
            joint=first["joint"],
            families=families,
            history=[*leading["history"], *(h for m in metadata if m is not leading for h in m["history"])],
            record=record,
            iterations=leading["iterations"],
            extra={
                **{k: v for k, v in leading.items() if k not in known},
                "parts": [m["provenance"] for m in metadata],
            },
        )


def rows_of(part: str | Path) -> Iterator[dict[str, np.ndarray]]:
    """The rows of one part, row group by row group.

    Raises:
        CorruptError: where it is truncated or damaged.
    """
    with _open(Path(part)) as file:
        yield from _appended(file)


def _open(path: Path) -> Parquet:
    keys = ("method", "kind", "observables", "joint", "families", "history", "iterations", "part", "provenance")
    return Parquet(path, what="part of an unfolding", way="run the job that makes it", keys=keys)


def _owners(
    files: Sequence[Parquet], paths: Sequence[Path], expected: Sequence[str], metadata: Sequence[dict]
) -> dict[str, int]:
    """Which file holds each weight column."""
    owner: dict[str, int] = {}
    for number, file in enumerate(files):
        for name in file.schema_arrow.names:
            if name in expected and owner.setdefault(name, number) != number:
                raise InputError(
                    f"{paths[number]}: {name} is in {paths[owner[name]]} also, but a column belongs to one part; "
                    "unfold all parts again"
                )
    if missing := [name for name in expected if name not in owner]:
        have = len(expected) - len(missing)
        raise IncompleteError(
            f"{missing[0]} is in none of the {len(paths)} parts ({have} of {len(expected)} weight columns are there); "
            f"rerun the job of {metadata[0]['method']} that makes it"
        )
    return owner


def _appended(file: Parquet, first: int = 0) -> Iterator[dict[str, np.ndarray]]:
    """All rows from the row `first` on."""
    for group, rows in enumerate(file.groups):
        if first < rows:
            table = file.read_row_group(group, file.schema_arrow.names)
            yield {name: table[name].to_numpy()[first:] for name in table.column_names}
        first = max(first - rows, 0)


def _by_block(files: Sequence[Parquet], owner: Mapping[str, int], path: Any) -> Iterator[dict[str, np.ndarray]]:
    counts = [_common(file, path) for file in files]
    # A part whose replicas all have draws of their own does not hold those of the nominal result.
    having = [number for number, count in enumerate(counts) if count]
    given = {n: having.index(o) for n, o in owner.items() if o in having}
    yield from _side_by_side([files[n] for n in having], given, path, [counts[n] for n in having])
    for file, count in zip(files, counts, strict=True):
        yield from _appended(file, count)


def _common(file: Parquet, path: Any) -> int:
    """Number of rows of block 0, which come first."""
    blocks = [file.read_row_group(g, ["block"])["block"].to_numpy() for g in range(file.num_row_groups)]
    common = np.concatenate(blocks) == 0
    if not common[: common.sum()].all():
        raise InputError(f"{path}: the draws of the nominal result do not come first in a part; unfold all parts again")
    return int(common.sum())


def _side_by_side(
    files: Sequence[Parquet], owner: Mapping[str, int], path: Any, counts: Sequence[int] | None = None
) -> Iterable[dict[str, np.ndarray]]:
    """The first `counts` rows of the files, or all, with the columns of each."""
    counts = [file.num_rows for file in files] if counts is None else counts
    if len(set(counts)) > 1:
        raise InputError(f"{path}: the parts have different numbers of events; unfold all parts again")
    common = [n for n in files[0].schema_arrow.names if n not in owner]
    wanted = [
        [*(common if number == 0 else ["event_id"]), *(n for n, o in owner.items() if o == number)]
        for number in range(len(files))
    ]
    readers = [f.iter_batches(batch_size=ROWS, columns=w) for f, w in zip(files, wanted, strict=True)]
    left = counts[0]
    for batches in zip(*readers, strict=True):
        pieces = [batch.slice(0, left) for batch in batches]
        merged = {n: pieces[0].column(n).to_numpy() for n in common}
        for piece in pieces:
            if not np.array_equal(piece.column("event_id").to_numpy(), merged["event_id"]):
                raise InputError(
                    f"{path}: the parts have different events, or another order of events; unfold all parts again"
                )
            merged.update((n, piece.column(n).to_numpy()) for n in piece.schema.names if n in owner)
        yield merged
        left -= len(merged["event_id"])
        if not left:
            return
