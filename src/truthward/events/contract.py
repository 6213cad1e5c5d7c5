"""Checks of a batch of events before it enters an event table; each error names the file, the column and the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa

from truthward.errors import InputError, nearest
from truthward.events.split import split_of
from truthward.study.columns import level_of
from truthward.study.variations import reco_flag, variation_of

ROLES: dict[str, tuple[str, ...]] = {
    "simulation": ("truth", "reco"),
    "background": ("reco",),
    "data": ("reco",),
    "closure_truth": ("truth",),
    "prediction": ("truth",),
}
"""Role of a table -> levels whose columns it has."""

VARIED = ("simulation", "background")
"""Roles whose tables may have variations. A background is merged into a simulation."""

PROCESS = pa.dictionary(pa.int32(), pa.string())
SIGNAL = "signal"


class Batch(dict[str, Any]):
    """Columns of some events, name -> (N,) array, with their file and entries, for messages.

    Attributes:
        source: file of the events.
        entries: (N,) entry in that file of each row; rows count from 0 where None.
    """

    def __init__(self, columns: Mapping[str, Any], *, source: str, entries: np.ndarray | None = None) -> None:
        super().__init__(columns)
        self.source = source
        self.entries = entries

    def like(self, columns: Mapping[str, Any]) -> Batch:
        """Other columns of the same rows."""
        return Batch(columns, source=self.source, entries=self.entries)

    def take(self, mask: np.ndarray) -> Batch:
        """The rows where `mask` (N,) is true."""
        entries = np.flatnonzero(mask) if self.entries is None else self.entries[mask]
        return Batch({name: values[mask] for name, values in self.items()}, source=self.source, entries=entries)


def is_jagged(column: str) -> bool:
    """Whether a column holds a list per event."""
    return level_of(column) is not None and column.partition("_")[2].startswith("constituents_")


def _at(rows: np.ndarray, batch: Batch) -> str:
    entries = rows[:5] if batch.entries is None else batch.entries[rows[:5]]
    head = ", ".join(str(int(entry)) for entry in entries)
    return f"first at {'entry' if rows.size == 1 else 'entries'} {head}{', ...' if rows.size > 5 else ''}"


def refuse_nonfinite(values: Any, batch: Batch, column: str, why: str) -> None:
    """Raise InputError if `values` (N,) has NaN or infinities; the message has their number and the first entries."""
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise InputError(
            f"{batch.source}: {column}: {bad.size} of {len(values)} values are NaN or infinite {why}, "
            f"{_at(bad, batch)}; correct the file, or select these events away with a pass flag"
        )


def _numbers(values: Any, batch: Batch, column: str) -> np.ndarray:
    try:
        array = np.asarray(ak.to_numpy(values) if isinstance(values, ak.Array) else values)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{batch.source}: {column}: not one number per event (a jagged branch?); take one element, such as name[0]"
        ) from error
    if array.ndim != 1 or array.dtype.kind not in "fiub":
        raise InputError(
            f"{batch.source}: {column}: not one number per event ({array.dtype} {array.shape[1:]}); take one element, "
            "such as name[0]"
        )
    return array


def flags(values: Any, batch: Batch, column: str) -> np.ndarray:
    """Pass flags as (N,) bool from booleans or from the numbers 0 and 1; anything else is an InputError."""
    array = _numbers(values, batch, column)
    if array.dtype.kind == "b":
        return array
    odd = np.flatnonzero((array != 0) & (array != 1))
    if odd.size:
        raise InputError(
            f"{batch.source}: {column}: {odd.size} values are neither 0 nor 1, {_at(odd, batch)}; "
            f"write a condition such as '{column}: branch > 0'"
        )
    return array.astype(bool)


def identities(values: Any, batch: Batch, column: str = "event_id") -> np.ndarray:
    """Event ids as (N,) uint64 from any whole, non-negative numbers; anything else is an InputError."""
    array = _numbers(values, batch, column)
    if array.dtype.kind == "f":
        # Beyond 2^53 neighbouring integers are one float: two events would share an id.
        bad = np.flatnonzero(~((array >= 0) & (array < 2.0**53) & (array == np.floor(array))))
    else:
        bad = np.flatnonzero(array < 0)
    if bad.size:
        raise InputError(
            f"{batch.source}: {column}: {bad.size} values are no integers of 0 or more (up to 2^53 if computed), "
            f"{_at(bad, batch)}; map an integer branch"
        )
    return array.astype(np.uint64)


def _lists(
    values: Any, mask: np.ndarray, batch: Batch, column: str, flag: str, counts: dict[str, tuple[str, np.ndarray]]
) -> pa.Array:
    kept = ak.Array(values)[mask]
    if kept.ndim != 2 and len(kept):
        raise InputError(f"{batch.source}: {column}: {kept.type} found; map a branch with a list of numbers per event")
    lacking = np.flatnonzero(ak.to_numpy(ak.is_none(kept)))
    if lacking.size:
        raise InputError(
            f"{batch.source}: {column}: {lacking.size} accepted events have no list; write an empty list there, or "
            "select these events away with a pass flag"
        )
    length = np.zeros(len(mask), dtype=np.int64)
    if len(kept):
        length[mask] = ak.to_numpy(ak.num(kept, axis=1))
    other, known = counts.setdefault(flag, (column, length))
    bad = np.flatnonzero(known != length)
    if bad.size:
        raise InputError(
            f"{batch.source}: {column} and {other} have different numbers of constituents in {bad.size} events, "
            f"{_at(bad, batch)}; both must describe the same constituents"
        )
    with np.errstate(over="ignore"):
        flat = ak.to_numpy(ak.flatten(kept, axis=1)).astype(np.float32) if len(kept) else np.empty(0, np.float32)
    if not np.isfinite(flat).all():
        rows = np.unique(np.repeat(np.arange(len(mask)), length)[~np.isfinite(flat)])
        raise InputError(
            f"{batch.source}: {column}: NaN or infinite in {rows.size} accepted events, {_at(rows, batch)}; correct "
            "the file, or select these events away with a pass flag"
        )
    offsets = np.concatenate([[0], np.cumsum(length)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat), mask=pa.array(~mask))


def _required(role: str) -> set[str]:
    return {"weight", "event_id", *(f"pass_{level}" for level in ROLES[role])}


def to_arrow(batch: Batch, *, role: str) -> pa.Table:
    """Check one batch against the contract and return it as an Arrow table, columns in the order of the contract.

    Values of a level are null where the level's flag is false, whatever the file had there (-99, NaN). `process` is
    "signal" and `split` the hash of the id where the batch lacks them. Tables of the roles `VARIED` may have variations
    (see `study.variations`); a shifted reco column is null where `pass_reco`, or the variation's own flag, is false.

    Raises:
        InputError: a column is missing, foreign to the role, of another length, of another type, or not finite where
            its flag is true; a weight is not finite. Negative and zero weights are legal.
    """
    levels = ROLES[role]
    missing = _required(role) - set(batch)
    if missing:
        raise InputError(
            f"{batch.source}: a table of role {role} needs the columns {', '.join(sorted(missing))}, which are "
            f"missing; {nearest(min(missing), batch)}"
        )
    allowed = _required(role) | {"process", "split", "member"}
    varied = {name for name in batch if variation_of(name)}
    if role in VARIED:
        allowed |= varied
    foreign = [name for name in batch if name not in allowed and (level_of(name) not in levels or name in varied)]
    if foreign:
        raise InputError(
            f"{batch.source}: a table of role {role} cannot have the columns {', '.join(foreign)}; remove them"
        )
    size = len(batch["event_id"])
    for name, values in batch.items():
        if len(values) != size:
            raise InputError(
                f"{batch.source}: {name} has {len(values)} rows where event_id has {size}; read them from one tree"
            )
    own = sorted(name for name in varied if not level_of(name))
    masks = {
        name: flags(batch[name], batch, name)
        for name in [f"pass_{level}" for level in levels] + own
        if name.startswith("pass_")
    }
    event_id = identities(batch["event_id"], batch)
    columns: dict[str, pa.Array] = {name: pa.array(mask) for name, mask in masks.items()}
    for name in ["weight", *(name for name in own if name.startswith("weight:"))]:
        weight = _numbers(batch[name], batch, name).astype(np.float64)
        refuse_nonfinite(weight, batch, name, "(negative and zero weights are legal)")
        columns[name] = pa.array(weight)
    columns["process"] = pa.array(np.asarray(batch.get("process", np.full(size, SIGNAL))).astype(object), pa.string())
    columns["event_id"] = pa.array(event_id)
    columns["split"] = pa.array(np.asarray(batch.get("split", split_of(event_id))).astype(np.uint8))
    if "member" in batch:  # Which network of an ensemble drew the event.
        columns["member"] = pa.array(_numbers(batch["member"], batch, "member").astype(np.int32))
    counts: dict[str, tuple[str, np.ndarray]] = {}
    for name in sorted(
        (name for name in batch if level_of(name)), key=lambda name: (level_of(name) != "truth", is_jagged(name))
    ):
        flag = "pass_truth" if level_of(name) == "truth" else reco_flag(name, masks)
        mask = masks[flag]
        if is_jagged(name):
            columns[name] = _lists(batch[name], mask, batch, name, flag, counts)
            continue
        with np.errstate(over="ignore"):
            values = _numbers(batch[name], batch, name).astype(np.float32)
        # Checked after the cast: 1e39 is finite as a double and infinite in the table.
        refuse_nonfinite(np.where(mask, values, 0.0), batch, name, f"where {flag} is true")
        columns[name] = pa.array(values, mask=~mask)
    return pa.table(columns)
