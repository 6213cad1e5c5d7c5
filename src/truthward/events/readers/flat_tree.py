"""Any flat TTree or RNTuple, through a map of columns to expressions over its branches."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import awkward as ak
import numpy as np

from truthward.errors import ConfigError, InputError
from truthward.events.contract import ROLES, SIGNAL, Batch, identities, refuse_nonfinite
from truthward.events.expression import Expression
from truthward.events.identity import combine
from truthward.events.lists import RECORD, TEXT, double, formed, type_of
from truthward.events.readers import Reader
from truthward.events.root import opened
from truthward.events.survey import Survey
from truthward.events.tree import CHUNK, Tree
from truthward.study.columns import NUMBERS, OTHERS, check_map, level_of
from truthward.study.variations import column_of, variation_of

log = logging.getLogger(__name__)

_ALIKE = {
    "eventnumber": "event",
    "runnumber": "run",
    "lumiblock": "lumi",
    "luminosityblock": "lumi",
    "eventweight": "weight",
    "event_weight": "weight",
    "genweight": "weight",
    "mcweight": "weight",
}
"""Common names of branches, in small letters, for a column."""


class FlatTree(Reader):
    """Reads flat trees; each column is an expression over branches (see `truthward.study.syntax`).

    Only branches in the map are used; the log lists branches that have the name of a column and are not used. Without a
    flag every event passes; without a weight it is 1; without an id it is computed from the content of the file and the
    entry. A file without entries changes nothing.

    Variations of the simulation (see `truthward.study.variations`) are columns of their own in the map, such as
    "reco_m:jes:0", "pass_reco:jes:0" or "weight:scale:1"; with `same_names` they are taken from branches named
    `reco_m__jes__0` and so on. Only tables of simulation have them.

    Args:
        files: paths and globs.
        tree: name of the TTree or RNTuple; null: the only one of each file.
        branches: column -> expression, such as {"truth_m": "mass / 1000", "pass_reco": "reco_pt > 150"}.
        same_names: also use every branch that has the name of a column, unless the map has this column. Such a branch
            must be in all files that have entries, or in none.
        processes: label of each number in a numeric `process` (or false and true of `is_background`).

    The branches of a flag or weight must be finite in all events, unless the expression tests them with `isfinite`:
    otherwise NaN > 150 would drop an event without a message.
    """

    PROVIDES: tuple[str, ...] = ()
    PROVIDES_FROM = "branches"

    def __init__(
        self,
        *,
        files: list[str],
        tree: str | None = None,
        branches: dict[str, Any] = {},  # noqa: B006 -- a literal, for the schema; never changed
        same_names: bool = False,
        processes: list[str] = ["signal", "background"],  # noqa: B006
    ) -> None:
        super().__init__(files)
        self.tree = tree
        check_map(branches)
        if not branches and not same_names:
            raise ConfigError("branches: nothing is mapped; write `column: branch`, or `same_names: true`")
        self.branches = dict(branches)
        self.same_names = same_names
        self.processes = list(processes)

    @cached_property
    def survey(self) -> Survey:
        """What the files have."""
        return Survey(self.paths, self.tree)

    @cached_property
    def mapping(self) -> dict[str, Expression]:
        """Column -> expression, for these files."""
        texts = {column: Expression(text) for column, text in self.branches.items()}
        if self.same_names:
            why = "it has the name of a column, and `same_names` is true"
            named = {column_of(name): name for name in self.survey.branches if name.isidentifier()}
            named = {c: name for c, name in named.items() if _is_column(c) and c not in texts}
            return {c: Expression(name) for c, name in named.items() if self.survey.has(name, why)} | texts
        used = set().union(*(expression.names for expression in texts.values()))
        free = [(_looks_like(name), name) for name in self.survey.branches if name not in used]
        lines = [f'"{c}": {name}' if ":" in c else f"{c}: {name}" for c, name in free if c and c not in texts]
        if lines:
            log.warning(
                "%s: the map does not use these branches, although their names look like columns; to use one, add its "
                "line to `branches`: %s",
                self.survey.all[0].path,
                ", ".join(lines),
            )
        return texts

    def columns(self) -> list[str]:
        """Columns `truth_*` and `reco_*` and variations that the map gives."""
        return [column for column in self.mapping if level_of(column) or variation_of(column)]

    def truth(self) -> list[str]:
        """Truth columns of the map, and branches of the file that are named as truth."""
        found = [column for column in self.mapping if level_of(column) == "truth" or column == "pass_truth"]
        named = dict.fromkeys(name for file in self.survey.all for name in file.branches)
        found += [name for name in named if level_of(name) == "truth" or name == "pass_truth"]
        return list(dict.fromkeys(found))

    def unflagged(self, levels: Sequence[str]) -> list[str]:
        """See `Reader.unflagged`."""
        return [flag for level in levels if (flag := f"pass_{level}") not in self.mapping]

    def describe(self, levels: Sequence[str]) -> dict[str, Any]:
        """Files, tree and the expressions that were used."""
        texts = {column: expression.text for column, expression in self._wanted(levels).items()}
        return {
            "reader": "flat_tree",
            "files": [path.name for path in self.paths],
            "tree": ", ".join(self.survey.trees),
            "branches": texts,
        }

    def batches(self, levels: Sequence[str], *, rows: int = CHUNK) -> Iterator[Batch]:
        """See `Reader.batches`."""
        flags = [f"pass_{level}" for level in levels]
        wanted = self._wanted(levels)
        names: set[str] = set()
        for column, expression in wanted.items():
            self.survey.require(sorted(expression.names), f"{column}: {expression.text}")
            why = f"it would stand for the constant in {column}: {expression.text}"
            names |= expression.names | {name for name in expression.constants if self.survey.has(name, why)}
        for file in self.survey.all:
            if file.entries:
                with opened(file.path, file.tree) as tree:
                    for column, expression in wanted.items():
                        tree.require(sorted(expression.names), f"{column}: {expression.text}")
                    yield from self._read(tree, wanted, flags, sorted(names), rows)

    def _read(
        self, tree: Tree, wanted: Mapping[str, Expression], flags: Sequence[str], names: Sequence[str], rows: int
    ) -> Iterator[Batch]:
        # 64 bits of the content of the file: independent of its folder and name.
        seed = None if {"event_id", "event"} & set(wanted) else int(self.digests[tree.path][:16], 16)
        whole = tree.num_entries
        # If the map has only numbers, nothing is read.
        pieces = tree.chunks(names, rows) if names else ((first, {}) for first in range(0, whole, rows))
        for first, arrays in pieces:
            size = len(next(iter(arrays.values()), range(first, min(first + rows, whole))))
            entries = first + np.arange(size)
            yield self._batch(wanted, flags, seed, Batch(arrays, source=str(tree.path), entries=entries), size)

    def _wanted(self, levels: Sequence[str]) -> dict[str, Expression]:
        named = [f"pass_{level}" for level in levels] + [name for name in OTHERS if not name.startswith("pass_")]
        if "event_id" in self.mapping:
            named = [name for name in named if name not in NUMBERS]
        if tuple(levels) == ROLES["simulation"]:
            named += [name for name in self.mapping if variation_of(name)]
        return {
            name: text
            for name, text in self.mapping.items()
            if name in named or (level_of(name) in levels and not variation_of(name))
        }

    def _batch(
        self, wanted: Mapping[str, Expression], flags: Sequence[str], seed: int | None, arrays: Batch, size: int
    ) -> Batch:
        columns: dict[str, Any] = {}
        for column, expression in wanted.items():
            # Variations of flags and weights are "pass_reco:..." and "weight:...".
            if column.partition(":")[0] in (*flags, "weight"):
                for name in sorted(expression.names - expression.guarded):
                    _finite(arrays, name, column)
            try:
                value = expression.evaluate(arrays)
            except InputError as error:
                raise InputError(f"{arrays.source}: {column}: {error}") from error
            # An expression without a branch, such as a constant weight, is one number.
            columns[column] = value if isinstance(value, ak.Array) or np.ndim(value) else np.full(size, value)
        for flag in flags:
            columns.setdefault(flag, np.ones(size, dtype=bool))
        columns.setdefault("weight", np.ones(size))
        columns["process"] = self._process(columns, arrays, size)
        columns["event_id"] = _ids(columns, arrays, seed)
        kept = [name for name in columns if name not in NUMBERS and name != "is_background"]
        return arrays.like({name: columns[name] for name in kept})

    def _process(self, columns: Mapping[str, Any], arrays: Batch, size: int) -> np.ndarray:
        given = columns.get("process", columns.get("is_background"))
        if given is None:
            return np.full(size, SIGNAL)
        if isinstance(given, ak.Array) and given.ndim == 1:
            return np.asarray(ak.to_list(given), dtype=str)
        if given.ndim != 1:
            raise InputError(
                f"{arrays.source}: process: the branch has a list per event; map one element, such as name[0]"
            )
        if np.asarray(given).dtype.kind not in "fiub":
            return np.asarray(given).astype(str)
        number = np.asarray(given)
        odd = ~((number >= 0) & (number < len(self.processes)) & (number == np.floor(number)))
        if odd.any():
            raise InputError(
                f"{arrays.source}: process: {odd.sum()} events have a number without a label, such as "
                f"{number[odd][0]}; the labels are processes: {self.processes}"
            )
        return np.asarray(self.processes)[number.astype(int)]


def _is_column(name: str) -> bool:
    return bool(level_of(name) or variation_of(name) or name in OTHERS)


def _looks_like(branch: str) -> str:
    """Column of no level, or variation, that a branch seems to be, or nothing."""
    column, small = column_of(branch), branch.lower()
    if variation_of(column):
        return column
    return _ALIKE.get(small, small if small in OTHERS else "")


def _finite(arrays: Batch, name: str, column: str) -> None:
    if (kind := type_of(arrays[name])) in (TEXT, RECORD):
        raise InputError(
            f"{arrays.source}: {name} holds {kind}, but {column} is computed from it; name a branch of numbers"
        )
    values = double(formed(arrays[name]))
    if values.ndim > 1:
        bad = ~np.isfinite(values)
        while bad.ndim > 1:
            bad = ak.any(bad, axis=-1)
        values = np.where(ak.to_numpy(bad), np.nan, 0.0)
    refuse_nonfinite(values, arrays, name, f"and {column} uses them (isfinite({name}) there allows them)")


def _ids(columns: Mapping[str, Any], arrays: Batch, seed: int | None) -> np.ndarray:
    if "event_id" in columns:
        return columns["event_id"]
    if seed is not None:
        assert arrays.entries is not None, "a reader numbers its entries"
        return combine(np.full(len(arrays.entries), seed, dtype=np.uint64), arrays.entries)
    parts = [columns[name] for name in NUMBERS if name in columns]
    return combine(*(identities(part, arrays) for part in parts))
