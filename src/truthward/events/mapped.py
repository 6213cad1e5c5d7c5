"""What readers with a map of columns to expressions share: from the branches of a chunk to a batch of columns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Any

import awkward as ak
import numpy as np

from truthward.errors import InputError
from truthward.events.contract import SIGNAL, Batch, flags, identities, refuse_nonfinite
from truthward.events.expression import Expression
from truthward.events.identity import combine
from truthward.events.join import MAIN, Joined, Trees
from truthward.events.lists import RECORD, TEXT, double, formed, type_of
from truthward.events.readers import Reader
from truthward.events.root import content_of, opened
from truthward.events.survey import Survey
from truthward.events.tree import CHUNK, Tree
from truthward.run.files import File, expand
from truthward.study.columns import NUMBERS, OTHERS, level_of
from truthward.study.join import joins_of
from truthward.study.objects import VECTOR
from truthward.study.variations import variation_of


@dataclass
class Rows:
    """The rows that a chunk of a file becomes.

    Attributes:
        entries: (R,) entry of the file that each row is of.
        names: level -> name in an expression -> its values, one for each row; the level None is that of columns which
            belong to no level.
        exists: flag -> (R,) whether the row has an object at that level; a flag of the map is combined with it.
        accepted: flag -> (R,) whether this object is accepted.
        place: (R,) number of the row within its event; None where an event is one row.
        event: (R,) event of the chunk that each row is of; None where each event is one row.
    """

    entries: np.ndarray
    names: Mapping[str | None, Mapping[str, Any]]
    exists: dict[str, np.ndarray] = field(default_factory=dict)
    accepted: Mapping[str, np.ndarray] = field(default_factory=dict)
    place: np.ndarray | None = None
    event: np.ndarray | None = None


class Mapped(Reader):
    """A reader whose columns are expressions (see `truthward.study.syntax`).

    Without a flag every row passes; without a weight it is 1; without an id it is computed from the content of the file
    and the entry. A file without entries changes nothing.
    """

    KIND = ""
    """Name of the reader, for the metadata."""

    def __init__(self, files: list[str], tree: str | None, join: Mapping[str, Any], processes: list[str]) -> None:
        super().__init__(files)
        self.tree, self.joins = tree, joins_of(join)
        self.processes = list(processes)

    @property
    @abstractmethod
    def mapping(self) -> Mapping[str, Expression]:
        """Column -> expression, for these files."""

    @abstractmethod
    def needed(self, wanted: Mapping[str, Expression], levels: Sequence[str]) -> dict[str, str]:
        """Branch -> what it is needed for. InputError where a branch is in some files and not in others."""

    @abstractmethod
    def make_rows(self, arrays: Batch, levels: Sequence[str], wanted: Mapping[str, Expression]) -> Rows:
        """The rows of a chunk, from its branches."""

    @cached_property
    def survey(self) -> Survey | Trees:
        """What the files have."""
        main = Survey(self.paths, self.tree)
        if not self.joins:
            return main
        return Trees(main, self.paths, self.joins, self._joined)

    @cached_property
    def _joined(self) -> dict[str, list[File]]:
        """Joined tree -> its files, where it has its own."""
        return {n: expand(join.files, join.tree) for n, join in self.joins.items() if join.files is not None}

    @property
    def sources(self) -> list[File]:
        """See `Reader.sources`; the files of joined trees are among them."""
        return list(dict.fromkeys([*self.paths, *(file for files in self._joined.values() for file in files)]))

    def contents(self) -> list[str]:
        """See `Reader.contents`."""
        return [content_of(file) for file in self.sources]

    def columns(self) -> list[str]:
        """Columns `truth_*` and `reco_*` and variations that the map gives."""
        return [column for column in self.mapping if level_of(column) or variation_of(column)]

    def unflagged(self, levels: Sequence[str]) -> list[str]:
        """See `Reader.unflagged`."""
        return [flag for level in levels if (flag := f"pass_{level}") not in self.mapping]

    def describe(self, levels: Sequence[str]) -> dict[str, Any]:
        """Files, tree and the expressions that were used."""
        texts = {column: expression.text for column, expression in self.wanted(levels).items()}
        return {
            "reader": self.KIND,
            "files": [path.name for path in self.paths],
            "tree": ", ".join(self.survey.trees),
            "branches": texts,
        }

    def batches(self, levels: Sequence[str], *, rows: int = CHUNK) -> Iterator[Batch]:
        """See `Reader.batches`."""
        wanted = self.wanted(levels)
        names = self.needed(wanted, levels)
        if isinstance(self.survey, Trees):
            for path, batch in self.survey.chunks(sorted(names), rows):
                yield self._batch(wanted, levels, self._seed(wanted, path), batch)
            return
        for file in self.survey.all:
            if file.entries:
                with opened(file.path, file.tree) as tree:
                    for name, why in names.items():
                        tree.require([name], why)
                    yield from self._read(tree, wanted, levels, sorted(names), rows)

    def wanted(self, levels: Sequence[str]) -> dict[str, Expression]:
        """The part of the map that a table of these levels needs."""
        named = [f"pass_{level}" for level in levels] + [name for name in OTHERS if not name.startswith("pass_")]
        if "event_id" in self.mapping:
            named = [name for name in named if name != "event"]
        if "reco" in levels:
            named += [name for name in self.mapping if variation_of(name)]
        return {
            name: text
            for name, text in self.mapping.items()
            if name in named or (level_of(name) in levels and not variation_of(name))
        }

    def _read(
        self, tree: Tree, wanted: Mapping[str, Expression], levels: Sequence[str], names: Sequence[str], rows: int
    ) -> Iterator[Batch]:
        seed = self._seed(wanted, tree.path)
        whole = tree.num_entries
        # If the map has only numbers, nothing is read.
        pieces = tree.chunks(names, rows) if names else ((first, {}) for first in range(0, whole, rows))
        for first, arrays in pieces:
            size = len(next(iter(arrays.values()), range(first, min(first + rows, whole))))
            batch = Batch(arrays, source=str(tree.path), entries=first + np.arange(size))
            yield self._batch(wanted, levels, seed, batch)

    def _seed(self, wanted: Mapping[str, Expression], path: File) -> int | None:
        """64 bits of the content of a file, independent of its folder and name; None where events have numbers."""
        return None if {"event_id", "event"} & set(wanted) else int(path.sha256[:16], 16)

    def _batch(self, wanted: Mapping[str, Expression], levels: Sequence[str], seed: int | None, arrays: Batch) -> Batch:
        found = self.make_rows(arrays, levels, wanted)
        if isinstance(arrays, Joined):
            self._join_flags(arrays, found, levels, wanted)
        size = len(found.entries)
        columns: dict[str, Any] = {}
        for column, expression in wanted.items():
            names = Batch(found.names[level_read(column)], source=arrays.source, entries=found.entries)
            # Variations of flags and weights are "pass_reco:..." and "weight:...".
            if column.partition(":")[0] in (*(f"pass_{level}" for level in levels), "weight"):
                for name in sorted(expression.names - expression.guarded):
                    finite(names, name, column, found.exists.get(column))
            try:
                value = expression.evaluate(names)
            except InputError as error:
                raise InputError(f"{arrays.source}: {column}: {error}") from error
            # An expression without a branch, such as a constant weight, is one number.
            columns[column] = value if isinstance(value, ak.Array) or np.ndim(value) else np.full(size, value)
        batch = Batch(columns, source=arrays.source, entries=found.entries)
        for level in levels:
            _set_flags(batch, f"pass_{level}", found)
        batch.setdefault("weight", np.ones(size))
        batch["process"] = self._process(batch, size)
        batch["event_id"] = _ids(batch, found, seed)
        return batch.like({n: v for n, v in batch.items() if n not in ("event", "is_background")})

    def _join_flags(self, arrays: Joined, found: Rows, levels: Sequence[str], wanted: Mapping[str, Expression]) -> None:
        """A level, and a variation, exists where all trees that its columns use have the event."""
        used: dict[str, set[str]] = {f"pass_{level}": set() for level in levels}
        for column, expression in wanted.items():
            if level := level_read(column):
                varied = variation_of(column)
                flag = f"pass_reco:{varied.systematic}:{varied.index}" if varied else f"pass_{level}"
                used.setdefault(flag, set()).update(self.trees_of(column, expression))
        for flag, trees in used.items():
            base = flag.partition(":")[0]
            if flag != base and trees <= used[base] and flag not in wanted:
                continue
            if flag not in wanted and flag != base and base in wanted:
                raise InputError(
                    f"{arrays.source}: branches: the variation of {flag.partition(':')[2]} is read from another tree, "
                    f"but its acceptance is not mapped; map {flag}, as {base} is mapped"
                )
            mask = np.logical_and.reduce(
                [np.ones(len(arrays.present[MAIN]), dtype=bool), *(arrays.present[t] for t in trees)]
            )
            mask = mask if found.event is None else mask[found.event]
            found.exists[flag] = mask & found.exists.get(flag, np.True_)

    def trees_of(self, column: str, expression: Expression) -> set[str]:
        """The joined trees whose events a column needs."""
        assert isinstance(self.survey, Trees), "asked where trees are joined"
        return {self.survey.split(name)[0] for name in expression.names}

    def _process(self, columns: Batch, size: int) -> np.ndarray:
        given = columns.get("process", columns.get("is_background"))
        if given is None:
            return np.full(size, SIGNAL)
        if isinstance(given, ak.Array) and given.ndim == 1:
            return np.asarray(ak.to_list(given), dtype=str)
        if given.ndim != 1:
            raise InputError(
                f"{columns.source}: process: the branch has a list per event; map one element, such as name[0]"
            )
        if np.asarray(given).dtype.kind not in "fiub":
            return np.asarray(given).astype(str)
        number = np.asarray(given)
        odd = ~((number >= 0) & (number < len(self.processes)) & (number == np.floor(number)))
        if odd.any():
            raise InputError(
                f"{columns.source}: process: {odd.sum()} events have a number without a label, such as "
                f"{number[odd][0]}; the labels are processes: {self.processes}"
            )
        return np.asarray(self.processes)[number.astype(int)]


def level_read(column: str) -> str | None:
    """The level whose names an expression of a column may use."""
    base = column.partition(":")[0]
    return base.removeprefix("pass_") if base.startswith("pass_") else level_of(base)


def _set_flags(batch: Batch, flag: str, found: Rows) -> None:
    """Combine a flag with what the rows are; the shifted flag of a variation asks that there is an object."""
    batch.setdefault(flag, np.ones(len(found.entries), dtype=bool))
    varied = {name for name in (*batch, *found.exists) if name.startswith(f"{flag}:")}
    for name in (flag, *sorted(varied)):
        masks = [found.accepted.get(name), found.exists.get(name, found.exists.get(flag))]
        for mask in (each for each in masks if each is not None):
            batch[name] = flags(batch.get(name, mask), batch, name) & mask


def finite(arrays: Batch, name: str, column: str, exists: np.ndarray | None = None) -> None:
    """Raise InputError where a name that a flag or a weight is computed from has text, NaN or infinities.

    Args:
        exists: (N,) rows that matter; None: all.
    """
    given = arrays[name]
    kind = type_of(given)
    # Of objects, what makes them vectors must be finite.
    fields = [field for field in VECTOR if kind == RECORD and field in given.fields]
    if kind == TEXT or (kind == RECORD and not fields):
        raise InputError(
            f"{arrays.source}: {name} holds {kind}, but {column} is computed from it; name a branch of numbers"
        )
    values = reduce(np.add, [double(formed(given[field])) for field in fields] or [double(formed(given))])
    if values.ndim > 1:
        bad = ~np.isfinite(values)
        while bad.ndim > 1:
            bad = ak.any(bad, axis=-1)
        values = np.where(ak.to_numpy(bad), np.nan, 0.0)
    values = values if exists is None else np.where(exists, values, 0.0)
    refuse_nonfinite(values, arrays, name, f"and {column} uses them (isfinite({name}) there allows them)")


def _ids(columns: Batch, found: Rows, seed: int | None) -> np.ndarray:
    within = [] if found.place is None else [found.place]
    if "event_id" in columns:
        given = columns["event_id"]
        return combine(identities(given, columns), *within) if within else given
    if seed is not None:
        return combine(np.full(len(found.entries), seed, dtype=np.uint64), found.entries, *within)
    parts = [columns[name] for name in NUMBERS if name in columns]
    return combine(*(identities(part, columns) for part in parts), *within)
