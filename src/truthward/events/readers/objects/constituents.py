"""The particles of each object, whichever way a format links them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import awkward as ak
import numpy as np

from truthward.errors import InputError
from truthward.events.contract import Batch
from truthward.events.expression import Expression
from truthward.events.readers.objects.branches import source
from truthward.study.objects import Constituents, Link, Text

UNIQUE = 0xFFFFFF
"""A reference of ROOT and a fUniqueID agree in these bits; the others number the process."""


def linked(groups: Sequence[Constituents], field: str, arrays: Batch, counts: np.ndarray) -> ak.Array:
    """A field of the constituents of each object, (E, var, var).

    Args:
        groups: where constituents are; an object may have some of each group.
        counts: (E,) objects of each event.

    Raises:
        InputError: a number of an object or of a constituent that is beyond the end of its list.
    """
    parts = []
    for group in groups:
        text = source(group.fields, field)
        assert text is not None, "checked by the branches that are needed"
        values = _value(text, arrays)
        parts.append(values if group.link is None else _by(group.link, values, arrays, counts))
    return parts[0] if len(parts) == 1 else ak.concatenate(parts, axis=2)


def _value(text: Text, arrays: Batch) -> Any:
    return Expression(text).evaluate(arrays)


def _by(link: Link, values: ak.Array, arrays: Batch, counts: np.ndarray) -> ak.Array:
    if link.refs is not None and link.key is not None:
        return _by_reference(_value(link.refs, arrays), _value(link.key, arrays), values)
    if link.begin is not None and link.end is not None:
        begin, end = (_value(each, arrays) for each in (link.begin, link.end))
        return _by_range(begin, end, _items(link, arrays), values, arrays)
    if link.items is not None:
        return _by_items(_value(link.items, arrays), values, arrays)
    assert link.owner is not None, "a link has one of four forms"
    return _by_owner(_value(link.owner, arrays), _items(link, arrays), values, arrays, counts)


def _items(link: Link, arrays: Batch) -> ak.Array | None:
    return None if link.item is None else _value(link.item, arrays)


def _by_owner(owner: ak.Array, item: ak.Array | None, values: ak.Array, arrays: Batch, counts: np.ndarray) -> ak.Array:
    if item is not None:
        _refuse_beyond(item, ak.num(values, axis=1), arrays, "item")
        values = values[item]
    _refuse_beyond(owner, counts, arrays, "owner")
    flat, of = ak.flatten(values, axis=1), ak.to_numpy(ak.flatten(owner, axis=1)).astype(np.int64)
    start = np.cumsum(counts) - counts
    of += np.repeat(start, ak.to_numpy(ak.num(owner, axis=1)))
    order = np.argsort(of, kind="stable")
    lists = ak.unflatten(flat[order], np.bincount(of, minlength=int(counts.sum())))
    return ak.unflatten(lists, counts)


def _by_range(begin: ak.Array, end: ak.Array, item: ak.Array | None, values: ak.Array, arrays: Batch) -> ak.Array:
    many = ak.values_astype(end, np.int64) - ak.values_astype(begin, np.int64)
    if ak.any(many < 0):
        raise InputError(f"{arrays.source}: link: `end` is before `begin`; the file is inconsistent")
    flat_many = ak.to_numpy(ak.flatten(many, axis=1))
    within = np.arange(flat_many.sum()) - np.repeat(np.cumsum(flat_many) - flat_many, flat_many)
    index = np.repeat(ak.to_numpy(ak.flatten(begin, axis=1)).astype(np.int64), flat_many) + within
    per_event = ak.to_numpy(ak.sum(many, axis=1))
    places = ak.unflatten(index, per_event)
    if item is not None:
        _refuse_beyond(places, ak.num(item, axis=1), arrays, "end")
        places = item[places]
    _refuse_beyond(places, ak.num(values, axis=1), arrays, "item" if item is not None else "end")
    lists = ak.unflatten(ak.flatten(values[places], axis=1), flat_many)
    return ak.unflatten(lists, ak.num(begin, axis=1))


def _by_items(items: ak.Array, values: ak.Array, arrays: Batch) -> ak.Array:
    if "m_persKey" in items.fields:
        # The index of a link to nothing is 0, and its container is 0.
        containers = np.unique(ak.to_numpy(ak.flatten(items["m_persKey"], axis=None)))
        if (others := int((containers != 0).sum())) > 1:
            raise InputError(
                f"{arrays.source}: link.items: the links lead to {others} containers; only links to one can be followed"
            )
        items = ak.where(items["m_persKey"] == 0, -1, ak.values_astype(items["m_persIndex"], np.int64))
    items = items[items >= 0]
    places = ak.flatten(items, axis=2)
    _refuse_beyond(places, ak.num(values, axis=1), arrays, "items")
    lists = ak.unflatten(ak.flatten(values[places], axis=1), ak.flatten(ak.num(items, axis=2), axis=1))
    return ak.unflatten(lists, ak.num(items, axis=1))


def _by_reference(refs: Any, key: ak.Array, values: ak.Array) -> ak.Array:
    """References that mean no entry of this list are of another group, and give nothing here."""
    refs = refs["refs"] if "refs" in getattr(refs, "fields", ()) else refs
    events = np.arange(len(key), dtype=np.int64)
    many = ak.to_numpy(ak.num(key, axis=1))
    mine = np.repeat(events, many) << 24 | (ak.to_numpy(ak.flatten(key, axis=1)).astype(np.int64) & UNIQUE)
    inner = ak.num(refs, axis=2)
    owners = np.repeat(events, ak.to_numpy(ak.sum(inner, axis=1)))
    asked = owners << 24 | (ak.to_numpy(ak.flatten(refs, axis=None)).astype(np.int64) & UNIQUE)
    order = np.argsort(mine, kind="stable")
    place = np.searchsorted(mine, asked, sorter=order)
    place = order[np.minimum(place, max(len(mine) - 1, 0))] if len(mine) else np.zeros(len(asked), dtype=np.int64)
    known = mine[place] == asked if len(mine) else np.zeros(len(asked), dtype=bool)
    flat_inner = ak.to_numpy(ak.flatten(inner, axis=1))
    kept = np.bincount(np.repeat(np.arange(len(flat_inner)), flat_inner)[known], minlength=len(flat_inner))
    lists = ak.unflatten(ak.flatten(values, axis=1)[place[known]], kept)
    return ak.unflatten(lists, ak.num(refs, axis=1))


def _refuse_beyond(index: ak.Array, counts: Any, arrays: Batch, key: str) -> None:
    bad = ak.any((index < 0) | (index >= counts), axis=1)
    rows = np.flatnonzero(ak.to_numpy(bad))
    if rows.size:
        at = rows[0] if arrays.entries is None else arrays.entries[rows[0]]
        raise InputError(
            f"{arrays.source}: link.{key} of constituents is negative or beyond the end of its list in {rows.size} "
            f"events, first in entry {at}; name the branches of one collection"
        )
