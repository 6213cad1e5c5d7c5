"""Objects of any format: collections at both levels, matched pairs or whole events as rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from truthward.errors import ConfigError, InputError
from truthward.events.contract import Batch
from truthward.events.expression import Expression
from truthward.events.join import Trees
from truthward.events.mapped import Mapped, Rows, level_read
from truthward.events.readers.objects.branches import Needed, attributes, source
from truthward.events.readers.objects.found import Found
from truthward.events.readers.objects.pairing import close, delta_r, nearest_first, same
from truthward.study.columns import check_map
from truthward.study.objects import EVENTS, LEVELS, VECTOR, collections_of


class Objects(Mapped):
    """Reads collections of objects: jets, leptons, and their constituents.

    With `rows: events` each event is a row, and `jets[0].pt` is the leading accepted jet of the level of the column.
    With `rows: jets` each pair is a row: first all jets are matched, one to one; then the acceptance is applied at each
    level. A truth jet without an accepted partner is a miss, a reco jet without one is a fake, and `jets.pt` is the jet
    of the row. Real data have the reco level only.

    Columns are expressions over collections, their fields and branches. A column of the truth level sees the objects of
    that level, and so does `pass_truth`; likewise for reco. A flag of the map is combined with the acceptance of the
    row's object. The flag of a variation asks only that there is an object.

    Args:
        files: paths, patterns, lists (`.txt`) and addresses (`https://`, `root://`); `file.root:tree` names a tree.
        tree: name of the TTree or RNTuple; null: the only one of each file.
        collections: name -> collection, see `study.objects.Collection`.
        rows: events, or the collection whose pairs are the rows.
        branches: column -> expression, such as {"truth_jet_m": "jets.mass", "weight": "genWeight"}.
        join: name -> tree that is joined to the main one, see `study.join.Join`; its branches are `name.branch`.
        processes: label of each number in a numeric `process` (or false and true of `is_background`).

    The id of a row is made of run, lumi and event, or of `event_id`, and of the number of the object.
    """

    PROVIDES_FROM = "branches"
    KIND = "objects"

    def __init__(
        self,
        *,
        files: list[str],
        tree: str | None = None,
        join: dict[str, Any] = {},  # noqa: B006
        collections: dict[str, Any] = {},  # noqa: B006 -- a literal, for the schema; never changed
        rows: str = "events",
        branches: dict[str, Any] = {},  # noqa: B006
        processes: list[str] = ["signal", "background"],  # noqa: B006
    ) -> None:
        super().__init__(files, tree, join, processes)
        check_map(branches)
        if not branches:
            raise ConfigError("branches: nothing is mapped; write `column: expression`")
        self.collections, self.row_of, self.branches = collections_of(collections, rows), rows, dict(branches)
        self._declared = collections
        self._known: dict[tuple[str, ...], Needed] = {}

    @cached_property
    def mapping(self) -> dict[str, Expression]:
        """Column -> expression."""
        return {column: Expression(text) for column, text in self.branches.items()}

    def truth(self) -> list[str]:
        """Truth columns of the map, and branches of the files that the collections name at truth level."""
        found = [column for column in self.mapping if level_read(column) == "truth"]
        for name, collection in self.collections.items():
            side = collection.truth
            fields = [] if side is None else [n for n in (*side.fields, "pt") if n != "*"]
            texts = [source(side.fields, n) for n in fields] if side is not None else []
            for text in (t for t in texts if t is not None):
                names = Expression(text).names
                if names and all(self.survey.has(n, f"the truth of {name}") for n in names):
                    found += sorted(names)
        return list(dict.fromkeys(found))

    def describe(self, levels: Sequence[str]) -> dict[str, Any]:
        """Files, tree, collections and the expressions that were used."""
        return {**super().describe(levels), "rows": self.row_of, "collections": self._declared}

    def needed(self, wanted: Mapping[str, Expression], levels: Sequence[str]) -> dict[str, str]:
        """See `Mapped.needed`."""
        return self._needed(wanted).branches

    def make_rows(self, arrays: Batch, levels: Sequence[str], wanted: Mapping[str, Expression]) -> Rows:
        """The events or the pairs of a chunk; see `Mapped.make_rows`."""
        assert arrays.entries is not None, "a reader numbers its entries"
        needed = self._needed(wanted)
        found: dict[str, dict[str, Found]] = {level: {} for level in LEVELS}
        for name, collection in self.collections.items():
            for level in LEVELS:
                if (fields := needed.fields.get((name, level))) is not None:
                    found[level][name] = Found(name, level, collection, arrays, fields, found[level])
        more = sorted({"", *VECTOR}.union(*map(attributes, wanted.values())) - {""})
        if self.row_of == EVENTS:
            names: dict[str | None, Mapping[str, Any]] = {None: arrays}
            names |= {level: Event(arrays, found[level], more) for level in LEVELS}
            return Rows(arrays.entries, names)
        return self._pairs(arrays, arrays.entries, found, more)

    def trees_of(self, column: str, expression: Expression) -> set[str]:
        """See `Mapped.trees_of`; where objects are rows, a tree without the event has no object."""
        if self.row_of != EVENTS:
            return set()
        assert isinstance(self.survey, Trees), "asked where trees are joined"
        return {self.survey.split(name)[0] for name in self._needed({column: expression}).branches}

    def _pairs(
        self, arrays: Batch, entries: np.ndarray, found: Mapping[str, Mapping[str, Found]], more: Sequence[str]
    ) -> Rows:
        """Rows: every truth object with its partner or none (-1), then every reco object without one."""
        truth, reco = (found[level].get(self.row_of) for level in LEVELS)
        partner = self._partners(truth, reco, len(entries)) if truth and reco else np.empty(0, dtype=np.int64)
        if reco is not None and truth is None:
            partner = np.full(len(reco.event), -1)
        alone = np.flatnonzero(partner < 0)
        back = np.full(0 if truth is None else len(truth.event), -1)
        back[partner[partner >= 0]] = np.flatnonzero(partner >= 0)
        index = {
            "truth": np.concatenate([np.arange(len(back)), np.full(len(alone), -1)]),
            "reco": np.concatenate([back, alone]),
        }
        sides = {"truth": truth, "reco": reco}
        event, place = np.full(len(index["truth"]), -1), np.zeros(len(index["truth"]), dtype=np.int64)
        for offset, level in ((1, "reco"), (0, "truth")):
            side, at = sides[level], index[level]
            if side is not None:
                event = np.where(at >= 0, side.at(side.event, at), event)
                place = np.where(at >= 0, 2 * side.at(side.place, at) + offset, place)
        # Stable order by event: the rows of an event stay together whatever the chunks are.
        order = np.argsort(event, kind="stable")
        event, place = event[order], place[order]
        names: dict[str | None, Mapping[str, Any]] = {None: Event(arrays, {}, (), event)}
        exists, accepted = {}, {}
        for level in LEVELS:
            side, at = sides[level], index[level][order]
            names[level] = Event(arrays, found[level], more, event, (self.row_of, at))
            if side is not None:
                exists[f"pass_{level}"] = at >= 0
                accepted[f"pass_{level}"] = (at >= 0) & (side.at(side.rank, at) >= 0)
        return Rows(entries[event], names, exists, accepted, place, event)

    def _partners(self, truth: Found, reco: Found, events: int) -> np.ndarray:
        """Truth object of each reco object, -1 for none."""
        match = self.collections[self.row_of].match
        assert match is not None, "checked with the config"
        if match.delta_r is not None:
            return nearest_first(*close(reco.placed, truth.placed, events, match.delta_r), len(reco.event))
        if match.index is not None:
            mine, theirs = reco.inner(match.index), truth.place
        else:
            assert match.keys is not None, "a match has one of three forms"
            mine, theirs = reco.inner(match.keys["reco"]), truth.inner(match.keys["truth"])
        for values, side in ((mine, reco), (theirs, truth)):
            if (np.asarray(values) != np.floor(values)).any():
                raise InputError(f"collections.{self.row_of}.match: keys at {side.level} level are no whole numbers")
        r, t = same(np.asarray(mine, np.int64), np.asarray(theirs, np.int64), reco.placed, truth.placed)
        return nearest_first(r, t, delta_r(reco.placed, truth.placed, r, t), len(reco.event))

    def _needed(self, wanted: Mapping[str, Expression]) -> Needed:
        """The branches of some columns; found once, not for each chunk."""
        if (columns := tuple(wanted)) not in self._known:
            self._known[columns] = self._find(wanted)
        return self._known[columns]

    def _find(self, wanted: Mapping[str, Expression]) -> Needed:
        needed = Needed(self.collections, self.survey)
        for column, expression in wanted.items():
            needed.column(column, expression, level_read(column))
        if self.row_of == EVENTS:
            return needed
        collection = self.collections[self.row_of]
        # Objects are matched even if only one level is needed: the ids must be the same in both tables.
        for level in LEVELS:
            if collection.side(level) is not None and (level == "reco" or self._has_truth(needed)):
                needed.make(self.row_of, level, "the rows")
                if collection.match is not None:
                    for each in ("eta", "phi"):
                        needed.field(self.row_of, level, each, "the match")
        if collection.match is not None and self._has_truth(needed):
            keys = {"reco": collection.match.index} if collection.match.index else collection.match.keys or {}
            for level, text in keys.items():
                if text is not None:
                    needed.inner(self.row_of, level, text, "the match")
        return needed

    def _has_truth(self, needed: Needed) -> bool:
        """Whether the files have truth objects: simulation has, real data have not."""
        collection = self.collections[self.row_of]
        if collection.truth is None:
            return False
        side = collection.truth
        name = self.row_of if side.cluster is None else side.cluster.of
        return needed.exists(name, "truth")


class Event(Mapping[str, Any]):
    """What the names in an expression mean at one level, made when they are asked for.

    Args:
        arrays: branches of the chunk. found: collections of the level.
        more: fields that objects have when they are named without a field.
        event: (R,) event of each row; None where events are rows.
        row: the collection whose objects are rows, and (R,) the object of each row or -1.
    """

    def __init__(
        self,
        arrays: Batch,
        found: Mapping[str, Found],
        more: Sequence[str],
        event: np.ndarray | None = None,
        row: tuple[str, np.ndarray] | None = None,
    ) -> None:
        self._arrays, self._found, self._more, self._event, self._row = arrays, found, more, event, row
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._arrays
        for name, found in self._found.items():
            yield name
            yield from (f"{name}.{field}" for field in found)

    def __len__(self) -> int:
        return len(self._arrays) + sum(1 + len(list(found)) for found in self._found.values())

    def _make(self, name: str) -> Any:
        head, _, field = name.partition(".")
        if head not in self._found:
            values = self._arrays[name]
            return values if self._event is None else values[self._event]
        found = self._found[head]
        if self._row is not None and head == self._row[0]:
            index = self._row[1]
            return found.take(field, index) if field else found.record(dict.fromkeys(self._more), index)
        values = found.accepted(field) if field else found.whole(dict.fromkeys(self._more))
        return values if self._event is None else values[self._event]
