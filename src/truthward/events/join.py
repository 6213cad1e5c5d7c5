"""Several trees of one sample, joined by event numbers: an event that one of them lacks is a miss or a fake."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import awkward as ak
import numpy as np

from truthward.errors import InputError
from truthward.events.contract import Batch, identities
from truthward.events.expression import Expression
from truthward.events.identity import combine
from truthward.events.root import opened
from truthward.events.survey import Survey
from truthward.events.tree import CHUNK
from truthward.run.files import File
from truthward.study.join import Join

MAIN = ""
"""Name of the main tree in `Joined.present`."""


class Joined(Batch):
    """Branches of some events of several trees.

    Attributes:
        present: tree -> (N,) whether it has the event.
    """

    present: Mapping[str, np.ndarray]


class Source:
    """One tree of all its files, with the key of each entry.

    Args:
        name: before the dot of its branches. survey: its files. on: expressions that give the key; None: the keys are
            those of the tree `alike`, entry by entry, or the number of the entry.
    """

    def __init__(self, name: str, survey: Survey, on: Sequence[str] | None, alike: Source | None = None) -> None:
        self.name, self.survey, self._on, self._alike = name, survey, on, alike
        self.first = np.cumsum([0, *(file.entries for file in survey.all)])
        self._last: tuple[Any, ...] = ()

    @cached_property
    def keys(self) -> np.ndarray:
        """(N,) uint64, the key of each entry; InputError where two entries have the same."""
        if self._on is None:
            return np.arange(self.first[-1], dtype=np.uint64) if self._alike is None else self._alike.keys
        expressions = [Expression(text) for text in self._on]
        names = sorted(set().union(*(each.names for each in expressions)))
        self.survey.require(names, f"join.{self.name}.by" if self.name else "join.<name>.by")
        parts = []
        for file in self.survey.filled:
            with opened(file.path, file.tree) as tree:
                for first, arrays in tree.chunks(names) if file.entries else ():
                    batch = Batch(arrays, source=str(file.path))
                    batch.entries = first + np.arange(len(arrays[names[0]]))
                    parts.append(combine(*(identities(each.evaluate(batch), batch) for each in expressions)))
        found = np.concatenate([np.empty(0, dtype=np.uint64), *parts])
        if (repeated := len(found) - len(np.unique(found))) > 0:
            raise InputError(
                f"{self.survey.all[0].path}: {self._tree}: {repeated} entries have the {' and '.join(self._on)} of "
                "another entry, so it is not clear which belong together; give more branches in `by`, such as the run"
            )
        return found

    @cached_property
    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.keys, kind="stable")
        return self.keys[order], order

    def find(self, keys: np.ndarray) -> np.ndarray:
        """(N,) the entry with each key, -1 for none."""
        known, order = self._sorted
        if not len(known):
            return np.full(len(keys), -1)
        place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.where(known[place] == keys, order[place], -1)

    def read(self, names: Sequence[str], entries: np.ndarray) -> dict[str, Any]:
        """Branches of the entries (N,); where an entry is -1 a number is NaN and a list is empty."""
        parts: list[tuple[np.ndarray, dict[str, Any]]] = []
        for number in range(len(self.survey.all)):
            rows = np.flatnonzero((entries >= self.first[number]) & (entries < self.first[number + 1]))
            if rows.size:
                inside = entries[rows] - self.first[number]
                # Whole chunks: with trees in the same order, the next rows begin in the chunk that was read last.
                for block in np.unique(inside // CHUNK):
                    mine = inside // CHUNK == block
                    arrays = self._block(number, int(block), names)
                    parts.append((rows[mine], {n: v[inside[mine] - block * CHUNK] for n, v in arrays.items()}))
        if not parts:
            # The types of the branches are known, although no event of these is there.
            parts = [(np.empty(0, dtype=np.int64), {n: v[:0] for n, v in self._block(0, 0, names).items()})]
        where = np.concatenate([np.empty(0, dtype=np.int64), *(rows for rows, _ in parts)])
        return {name: _placed([v[name] for _, v in parts], where, len(entries)) for name in names}

    def _block(self, number: int, block: int, names: Sequence[str]) -> dict[str, Any]:
        which = (number, block, tuple(names))
        if self._last[:1] != (which,):
            file = self.survey.all[number]
            with opened(file.path, file.tree) as tree:
                tree.require(names, f"the tree joined as {self.name}")
                self._last = (which, tree.span(names, block * CHUNK, min((block + 1) * CHUNK, file.entries)))
        arrays: dict[str, Any] = self._last[1]
        return arrays

    @property
    def _tree(self) -> str:
        return f"the tree {', '.join(self.survey.trees)}"


def _placed(parts: Sequence[Any], where: np.ndarray, size: int) -> Any:
    """Values at the rows `where` of `size` rows; NaN, an empty list or an empty text at the others."""
    if any(isinstance(part, ak.Array) for part in parts):
        whole = ak.concatenate(parts)
        nothing: list[Any] = [""] if "string" in str(whole.type) and whole.ndim == 1 else [[]]
        place = np.full(size, len(whole))
        place[where] = np.arange(len(whole))
        return ak.concatenate([whole, ak.Array(nothing)])[place]
    whole = np.concatenate(parts)
    if len(where) < size and whole.dtype.kind not in "fb":
        whole = whole.astype(np.float64)
    result = np.full(size, np.nan if whole.dtype.kind == "f" else 0, dtype=whole.dtype)
    result[where] = whole
    return result


@dataclass
class Trees:
    """The main tree and those that are joined to it; it is surveyed as one tree, see `Survey`.

    Args:
        main: files of the main tree. paths: its files. joins: name -> tree.
    """

    main: Survey
    paths: Sequence[File]
    joins: Mapping[str, Join]
    files: Mapping[str, Sequence[File]]

    @cached_property
    def surveys(self) -> dict[str, Survey]:
        """Name -> its files."""
        found = {MAIN: self.main}
        for name, join in self.joins.items():
            found[name] = Survey(self.files.get(name) or [File(path.address) for path in self.paths], join.tree)
            entries = sum(file.entries for file in found[name].all), sum(file.entries for file in self.main.all)
            if join.by is None and entries[0] != entries[1]:
                raise InputError(
                    f"{found[name].all[0].path}: join.{name}: its tree has {entries[0]} entries, the main tree has "
                    f"{entries[1]}, so they cannot be joined entry by entry; give `by`, branches of the event number"
                )
        return found

    @property
    def branches(self) -> list[str]:
        """Branches of all trees; those of a joined one with its name and a dot before them."""
        return [f"{name}.{b}" if name else b for name, survey in self.surveys.items() for b in survey.branches]

    @property
    def trees(self) -> list[str]:
        """Names of all trees."""
        return [tree for survey in self.surveys.values() for tree in survey.trees]

    @property
    def all(self) -> list[Any]:
        """Files of the main tree."""
        return self.main.all

    def split(self, name: str) -> tuple[str, str]:
        """Tree and branch of a name."""
        head, _, rest = name.partition(".")
        return (head, rest) if rest and head in self.joins else (MAIN, name)

    def has(self, name: str, why: str) -> bool:
        """See `Survey.has`."""
        tree, branch = self.split(name)
        return self.surveys[tree].has(branch, why)

    def require(self, names: Iterable[str], why: str) -> None:
        """See `Survey.require`."""
        for name in names:
            tree, branch = self.split(name)
            self.surveys[tree].require([branch], why)

    def chunks(self, names: Sequence[str], rows: int) -> Iterator[tuple[File, Joined]]:
        """Events that any tree has: those of the main tree in its order, then those that only others have.

        Yields:
            the file that an event was found in first, and its branches.
        """
        sources = self._sources()
        wanted: dict[str, list[str]] = {name: [] for name in sources}
        for name in names:
            tree, branch = self.split(name)
            wanted[tree].append(branch)
        for name, join in self.joins.items():
            for mine, theirs in _keys(join):
                if mine in names and theirs not in wanted[name]:
                    wanted[name].append(theirs)
        earlier: list[Source] = []
        for source in sources.values():
            for number, file in enumerate(source.survey.all):
                for start in range(0, file.entries, rows):
                    inside = np.arange(start, min(start + rows, file.entries))
                    keys = source.keys[source.first[number] + inside]
                    new = np.logical_and.reduce([np.ones(len(keys), dtype=bool), *(e.find(keys) < 0 for e in earlier)])
                    if new.any():
                        batch = self._joined(sources, wanted, keys[new], str(file.path), inside[new])
                        if source.name != MAIN:
                            # The event number of an event that the main tree lacks.
                            pairs = _keys(self.joins[source.name])
                            batch |= {mine: batch[f"{source.name}.{theirs}"] for mine, theirs in pairs if mine in batch}
                        yield file.path, batch
            earlier.append(source)

    def _sources(self) -> dict[str, Source]:
        on = [join.by for join in self.joins.values() if join.by is not None]
        if any(each["main"] != on[0]["main"] for each in on):
            raise InputError(f"{self.paths[0]}: join: all trees need the same `by` of the main tree")
        sources = {MAIN: Source(MAIN, self.main, on[0]["main"] if on else None)}
        for name, join in self.joins.items():
            sources[name] = Source(
                name, self.surveys[name], None if join.by is None else join.by["joined"], sources[MAIN]
            )
        return sources

    def _joined(
        self,
        sources: Mapping[str, Source],
        wanted: Mapping[str, Sequence[str]],
        keys: np.ndarray,
        path: str,
        entries: np.ndarray,
    ) -> Joined:
        columns: dict[str, Any] = {}
        present = {}
        for name, source in sources.items():
            found = source.find(keys)
            present[name] = found >= 0
            values = source.read(wanted[name], found)
            columns |= {f"{name}.{branch}" if name else branch: v for branch, v in values.items()}
        batch = Joined(columns, source=path, entries=entries)
        batch.present = present
        return batch


def _keys(join: Join) -> list[tuple[str, str]]:
    """Branches of the main and of the joined tree that are equal for the same event."""
    return [] if join.by is None else list(zip(join.by["main"], join.by["joined"], strict=True))
