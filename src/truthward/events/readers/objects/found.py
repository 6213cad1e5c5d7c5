"""The objects of a collection at one level, in one chunk of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import awkward as ak
import numpy as np

from truthward.errors import InputError
from truthward.events.contract import Batch, refuse_nonfinite
from truthward.events.expression import Expression
from truthward.events.readers.objects.branches import source
from truthward.events.readers.objects.clustering import clustered
from truthward.events.readers.objects.constituents import linked
from truthward.events.readers.objects.pairing import Placed, close, leading
from truthward.study.objects import VECTOR, Collection, Text


class Found:
    """Objects of all events of a chunk, in flat arrays over events: (J,) numbers, or J lists.

    Args:
        name: of the collection. level: truth or reco. collection: its definition.
        arrays: the branches of the chunk. wanted: fields that are used.
        others: the collections that this one needs, at the same level.

    Attributes:
        counts: (E,) objects of each event. event: (J,) their event in the chunk. place: (J,) their place in the event.
        rank: (J,) place of the accepted objects by falling `order`, from 0; -1 for the others.

    Raises:
        InputError: fields with different numbers of objects, fields that are no lists, or a field that decides which
            objects are accepted and that is NaN.
    """

    def __init__(
        self,
        name: str,
        level: str,
        collection: Collection,
        arrays: Batch,
        wanted: set[str],
        others: Mapping[str, Found],
    ) -> None:
        self.name, self.level, self._collection, self._arrays = name, level, collection, arrays
        self._flat: dict[str, Any] = {}
        side = collection.side(level)
        assert side is not None, "the branches that are needed say which levels there are"
        if side.cluster is not None:
            parts = others[side.cluster.of]
            inside = sorted(each.removeprefix("constituents.") for each in wanted if each.startswith("constituents."))
            jets = clustered(parts.whole(dict.fromkeys((*VECTOR, *inside))), side.cluster, inside)
            self.counts = ak.to_numpy(ak.num(jets["pt"], axis=1))
            self._flat = {each: ak.flatten(values, axis=1) for each, values in jets.items()}
            self._flat = {each: ak.to_numpy(v) if v.ndim == 1 else v for each, v in self._flat.items()}
        else:
            lists = {each: self._list(each) for each in sorted(wanted) if not each.startswith("constituents.")}
            first = next(iter(lists))
            self.counts = ak.to_numpy(ak.num(lists[first], axis=1))
            for each, values in lists.items():
                self._add(each, values, first)
            for each in sorted(wanted - set(lists)):
                self._add(each, linked(side.constituents, each.partition(".")[2], arrays, self.counts), first)
        self.event = np.repeat(np.arange(len(self.counts)), self.counts)
        self.place = np.arange(len(self.event)) - np.repeat(np.cumsum(self.counts) - self.counts, self.counts)
        if side.where is not None:
            self._keep(np.asarray(self.inner(side.where), dtype=bool))
        self.rank = self._ranked(others)

    def __getitem__(self, field: str) -> Any:
        """A field of all objects."""
        return self._flat[field]

    def __contains__(self, field: str) -> bool:
        return field in self._flat

    def __iter__(self) -> Iterator[str]:
        return iter(self._flat)

    @staticmethod
    def at(values: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Whole numbers of the objects `index` (R,); -1 where the index is -1."""
        return np.append(values, -1)[index]

    @property
    def placed(self) -> Placed:
        """Where the objects are; InputError where a direction is NaN."""
        for field in ("eta", "phi"):
            refuse_nonfinite(self[field], self._where(), f"{self.name}.{field} at {self.level} level", "in objects")
        return Placed(self.event, np.asarray(self["eta"], np.float64), np.asarray(self["phi"], np.float64))

    def whole(self, fields: Mapping[str, Any]) -> ak.Array:
        """The accepted objects of each event by rank, as records of four-vectors with further fields."""
        return self.listed(self.record(fields, self._kept()))

    def record(self, fields: Mapping[str, Any], index: np.ndarray) -> ak.Array:
        """Records of the objects `index` (R,), see `events.vectors`.

        They are plain ones: the library of vectors takes fields such as tau and m for other names of the mass.
        """
        return ak.zip({field: self.take(field, index) for field in fields if field in self}, depth_limit=1)

    def take(self, field: str, index: np.ndarray) -> Any:
        """A field of the objects `index` (R,); for -1 zero, or an empty list."""
        values = self[field]
        if isinstance(values, np.ndarray):
            return np.append(values, np.zeros(1, values.dtype))[index]
        return ak.concatenate([values, ak.Array([[]])])[np.where(index < 0, len(values), index)]

    def accepted(self, field: str) -> ak.Array:
        """A field of the accepted objects of each event, by rank."""
        return self.listed(self.take(field, self._kept()))

    def listed(self, flat: Any) -> ak.Array:
        """Lists by event, of what is flat over the accepted objects by rank."""
        return ak.unflatten(flat, np.bincount(self.event[self.rank >= 0], minlength=len(self.counts)))

    def inner(self, text: Text) -> np.ndarray:
        """Value of an expression over the fields and over branches for each object, (J,)."""
        expression = Expression(text)
        names: dict[str, Any] = {}
        for each in expression.names:
            if each in self:
                names[each] = self[each]
            elif each in self._arrays:
                names[each] = self._arrays[each][self.event]
            values = names.get(each)
            if each not in expression.guarded and isinstance(values, np.ndarray) and values.dtype.kind == "f":
                what = f"{self.name}.{each} at {self.level} level"
                refuse_nonfinite(values, self._where(), what, f"and {text} uses them")
        try:
            value = expression.evaluate(names)
        except InputError as error:
            raise InputError(f"{self._arrays.source}: collections.{self.name}: {error}") from error
        return value if np.ndim(value) else np.full(len(self.event), value)

    def _keep(self, good: np.ndarray) -> None:
        """Remove the objects that are not `good` (J,); the others keep their places in the file."""
        self.counts = np.bincount(self.event[good], minlength=len(self.counts))
        self.event, self.place = self.event[good], self.place[good]
        self._flat = {field: values[good] for field, values in self._flat.items()}

    def _kept(self) -> np.ndarray:
        """The accepted objects, by event and rank."""
        order = np.lexsort((self.rank, self.event))
        return order[self.rank[order] >= 0]

    def _ranked(self, others: Mapping[str, Found]) -> np.ndarray:
        collection = self._collection
        good = np.ones(len(self.event), dtype=bool)
        if (text := collection.condition(self.level)) is not None:
            good &= np.asarray(self.inner(text), dtype=bool)
        for name, distance in collection.away_from.items():
            if name in others:
                other = others[name]
                near, by, _ = close(self.placed, other.placed, len(self.counts), distance)
                good[near[other.rank[by] >= 0]] = False
        by_order = collection.order is not None and (collection.must_order or collection.order in self)
        order = np.asarray(self.inner(str(collection.order)), np.float64) if by_order else None
        rank = leading(self.event, order, good)
        if collection.nth is not None:
            return np.where(rank == collection.nth - 1, 0, -1)
        return np.where(rank < collection.first, rank, -1) if collection.first is not None else rank

    def _list(self, field: str) -> ak.Array:
        side = self._collection.side(self.level)
        assert side is not None, "checked by the constructor"
        text = source(side.fields, field)
        assert text is not None, "checked by the branches that are needed"
        try:
            value = Expression(text).evaluate(self._arrays)
        except InputError as error:
            raise InputError(f"{self._arrays.source}: collections.{self.name}.{self.level}.{field}: {error}") from error
        if isinstance(value, ak.Array):
            return value
        if np.ndim(value) == 0:
            # A number, such as the mass of a muon, is that of every object.
            others = [n for n, t in side.fields.items() if n != "*" and Expression(t).names]
            return ak.broadcast_arrays(value, self._list(others[0] if others else "pt"))[0]
        raise InputError(
            f"{self._arrays.source}: collections.{self.name}.{self.level}.{field}: {text!r} has one value per event, "
            "but a field needs a list with one value per object"
        )

    def _add(self, field: str, values: ak.Array, first: str) -> None:
        other = ak.to_numpy(ak.num(values, axis=1))
        bad = np.flatnonzero(other != self.counts)
        if bad.size:
            at = bad[0] if self._arrays.entries is None else self._arrays.entries[bad[0]]
            raise InputError(
                f"{self._arrays.source}: {self.name}.{field} and {self.name}.{first} at {self.level} level have "
                f"different numbers of objects in {bad.size} events, first in entry {at}; the file is inconsistent, or "
                "the fields are of different collections"
            )
        flat = ak.flatten(values, axis=1)
        self._flat[field] = ak.to_numpy(flat) if flat.ndim == 1 and not flat.fields else flat

    def _where(self) -> Batch:
        entries = self._arrays.entries
        return Batch({}, source=self._arrays.source, entries=self.event if entries is None else entries[self.event])
