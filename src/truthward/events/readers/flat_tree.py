"""Any flat TTree or RNTuple, through a map of columns to expressions over its branches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import awkward as ak
import numpy as np

from truthward.errors import ConfigError, InputError
from truthward.events.contract import ROLES, SIGNAL, Batch, identities, level_of, nearest, refuse_nonfinite
from truthward.events.expression import Expression
from truthward.events.identity import combine
from truthward.events.readers import Reader
from truthward.events.root import CHUNK, opened
from truthward.variations import column_of, variation_of

_NUMBERS = ("run", "lumi", "event")
_OTHERS = ("pass_truth", "pass_reco", "weight", "event_id", *_NUMBERS, "process", "is_background")


class FlatTree(Reader):
    """Reads flat trees; each column is an expression over branches (see `events.expression`).

    Without a map, branches named `truth_*` and `reco_*` are taken as they are. `pass_truth`, `pass_reco`, `weight`,
    `event_id`, `run`, `lumi`, `event`, `process` and `is_background` are taken from branches of these names unless the
    map says otherwise. Without a flag every event passes; without a weight it is 1; without any id it is made of the
    content of the file and the entry.

    Variations of the simulation (see `truthward.variations`) are columns of their own in the map, such as
    "reco_m:jes:0", "pass_reco:jes:0" or "weight:scale:1"; without a map they are taken from branches named
    `reco_m__jes__0` and so on. Other tables than those of simulation have none of them.

    Args:
        files: paths and globs.
        tree: name of the TTree or RNTuple.
        branches: column -> expression, such as {"truth_m": "mass / 1000", "pass_reco": "reco_pt > 150"}.
        processes: label of each number in a numeric `process` (or false and true of `is_background`).

    A branch that a flag or weight is computed from must be finite in all events, unless the expression itself asks
    `isfinite` of it: otherwise NaN > 150 would drop the event without a word.
    """

    PROVIDES: tuple[str, ...] = ()
    PROVIDES_FROM = "branches"

    def __init__(
        self,
        *,
        files: list[str],
        tree: str = "events",
        branches: dict[str, Any] = {},  # noqa: B006 -- a literal, for the schema; never changed
        processes: list[str] = ["signal", "background"],  # noqa: B006
    ) -> None:
        super().__init__(files)
        self.tree = tree
        for column in branches:
            if ":" in column and not variation_of(column):
                raise ConfigError(
                    f"branches.{column}: not a variation; it is reco_<observable>:<systematic>:<index>, or pass_reco "
                    "or weight in place of the observable, with indices from 0"
                )
            if level_of(column) and not variation_of(column) and not column.isidentifier():
                raise ConfigError(f"branches.{column}: the name of a column has letters, digits and _ alone")
            if not level_of(column) and column.partition(":")[0] not in _OTHERS:
                raise ConfigError(
                    f"branches.{column}: not a column; it is truth_<name>, reco_<name>, {', '.join(_OTHERS)}; "
                    f"{nearest(column, _OTHERS)}"
                )
        self.branches = dict(branches)
        self.processes = list(processes)

    @cached_property
    def mapping(self) -> dict[str, Expression]:
        """Column -> expression, as it stands for these files."""
        with opened(self.paths[0], self.tree) as tree:
            present = tree.branches
        plain = [name for name in present if name.isidentifier() and (level_of(name) or column_of(name) != name)]
        texts = dict(self.branches) or {column_of(name): name for name in plain}
        texts = {name: name for name in _OTHERS if name in present} | texts
        return {column: Expression(text) for column, text in texts.items()}

    def columns(self) -> list[str]:
        """Columns `truth_*` and `reco_*` and variations that the map gives."""
        return [column for column in self.mapping if level_of(column) or variation_of(column)]

    def truth(self) -> list[str]:
        """Truth columns of the map, and branches of the file that are named as truth."""
        found = [column for column in self.mapping if level_of(column) == "truth" or column == "pass_truth"]
        for path in self.paths:
            with opened(path, self.tree) as tree:
                found += [name for name in tree.branches if level_of(name) == "truth" or name == "pass_truth"]
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
            "tree": self.tree,
            "branches": texts,
        }

    def batches(self, levels: Sequence[str], *, rows: int = CHUNK) -> Iterator[Batch]:
        """See `Reader.batches`."""
        flags = [f"pass_{level}" for level in levels]
        wanted = self._wanted(levels)
        for path in self.paths:
            with opened(path, self.tree) as tree:
                for column, expression in wanted.items():
                    tree.require(sorted(expression.names), f"{column}: {expression.text}")
                names = sorted(set().union(*(expression.names for expression in wanted.values())))
                # 64 bits of the file's content: the same wherever it lies and whatever its name.
                seed = None if {"event_id", "event"} & set(wanted) else int(self.digests[path][:16], 16)
                for first, arrays in tree.chunks(names or tree.branches[:1], rows):
                    size = len(next(iter(arrays.values())))
                    entries = first + np.arange(size)
                    yield self._batch(wanted, flags, seed, Batch(arrays, source=str(tree.path), entries=entries), size)

    def _wanted(self, levels: Sequence[str]) -> dict[str, Expression]:
        named = [f"pass_{level}" for level in levels] + [name for name in _OTHERS if not name.startswith("pass_")]
        if "event_id" in self.mapping:
            named = [name for name in named if name not in _NUMBERS]
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
            columns[column] = value if expression.names else np.full(size, value)
        for flag in flags:
            columns.setdefault(flag, np.ones(size, dtype=bool))
        columns.setdefault("weight", np.ones(size))
        columns["process"] = self._process(columns, arrays, size)
        columns["event_id"] = _ids(columns, arrays, seed)
        kept = [name for name in columns if name not in _NUMBERS and name != "is_background"]
        return arrays.like({name: columns[name] for name in kept})

    def _process(self, columns: Mapping[str, Any], arrays: Batch, size: int) -> np.ndarray:
        given = columns.get("process", columns.get("is_background"))
        if given is None:
            return np.full(size, SIGNAL)
        if isinstance(given, ak.Array):
            return np.asarray(ak.to_list(given), dtype=str)
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


def _finite(arrays: Batch, name: str, column: str) -> None:
    values = arrays[name]
    if isinstance(values, ak.Array):
        values = ak.to_numpy(ak.all(np.isfinite(values), axis=-1)).astype(float)
        values[values == 0] = np.nan
    if np.asarray(values).dtype.kind == "f":
        refuse_nonfinite(values, arrays, name, f"and {column} is computed from it (or ask isfinite({name}) there)")


def _ids(columns: Mapping[str, Any], arrays: Batch, seed: int | None) -> np.ndarray:
    if "event_id" in columns:
        return columns["event_id"]
    if seed is not None:
        return combine(np.full(len(arrays.entries), seed, dtype=np.uint64), arrays.entries)
    parts = [columns[name] for name in _NUMBERS if name in columns]
    return combine(*(identities(part, arrays) for part in parts))
