"""Any flat TTree or RNTuple, through a map of columns to expressions over its branches."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from truthward.errors import ConfigError
from truthward.events.contract import Batch
from truthward.events.expression import Expression
from truthward.events.mapped import Mapped, Rows
from truthward.study.columns import OTHERS, check_map, level_of
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


class FlatTree(Mapped):
    """Reads flat trees; each column is an expression over branches (see `truthward.study.syntax`).

    Only branches in the map are used; the log lists branches that have the name of a column and are not used. Without a
    flag every event passes; without a weight it is 1; without an id it is computed from the content of the file and the
    entry. A file without entries changes nothing.

    Variations of the simulation (see `truthward.study.variations`) are columns of their own in the map, such as
    "reco_m:jes:0", "pass_reco:jes:0" or "weight:scale:1"; with `same_names` they are taken from branches named
    `reco_m__jes__0` and so on. Only tables of simulation have them.

    Args:
        files: paths, patterns, lists (`.txt`) and addresses (`https://`, `root://`); `file.root:tree` names a tree.
        tree: name of the TTree or RNTuple; null: the only one of each file.
        branches: column -> expression, such as {"truth_m": "mass / 1000", "pass_reco": "reco_pt > 150"}.
        same_names: also use every branch that has the name of a column, unless the map has this column. Such a branch
            must be in all files that have entries, or in none.
        join: name -> tree that is joined to the main one, see `study.join.Join`; its branches are `name.branch`.
        processes: label of each number in a numeric `process` (or false and true of `is_background`).

    The branches of a flag or weight must be finite in all events, unless the expression tests them with `isfinite`:
    otherwise NaN > 150 would drop an event without a message.
    """

    PROVIDES_FROM = "branches"
    KIND = "flat_tree"

    def __init__(
        self,
        *,
        files: list[str],
        tree: str | None = None,
        branches: dict[str, Any] = {},  # noqa: B006 -- a literal, for the schema; never changed
        same_names: bool = False,
        join: dict[str, Any] = {},  # noqa: B006
        processes: list[str] = ["signal", "background"],  # noqa: B006
    ) -> None:
        super().__init__(files, tree, join, processes)
        check_map(branches)
        if not branches and not same_names:
            raise ConfigError("branches: nothing is mapped; write `column: branch`, or `same_names: true`")
        self.branches = dict(branches)
        self.same_names = same_names

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

    def truth(self) -> list[str]:
        """Truth columns of the map, and branches of the file that are named as truth."""
        found = [column for column in self.mapping if level_of(column) == "truth" or column == "pass_truth"]
        named = dict.fromkeys(name for file in self.survey.all for name in file.branches)
        found += [name for name in named if level_of(name) == "truth" or name == "pass_truth"]
        return list(dict.fromkeys(found))

    def needed(self, wanted: Mapping[str, Expression], levels: Sequence[str]) -> dict[str, str]:
        """See `Mapped.needed`."""
        names: dict[str, str] = {}
        for column, expression in wanted.items():
            self.survey.require(sorted(expression.names), f"{column}: {expression.text}")
            why = f"it would stand for the constant in {column}: {expression.text}"
            constants = [name for name in expression.constants if self.survey.has(name, why)]
            names |= dict.fromkeys([*expression.names, *constants], f"{column}: {expression.text}")
        return names

    def make_rows(self, arrays: Batch, levels: Sequence[str], wanted: Mapping[str, Expression]) -> Rows:
        """Each event is a row; see `Mapped.make_rows`."""
        assert arrays.entries is not None, "a reader numbers its entries"
        return Rows(arrays.entries, dict.fromkeys((None, "truth", "reco"), arrays))


def _is_column(name: str) -> bool:
    return bool(level_of(name) or variation_of(name) or name in OTHERS)


def _looks_like(branch: str) -> str:
    """Column of no level, or variation, that a branch seems to be, or nothing."""
    column, small = column_of(branch), branch.lower()
    if variation_of(column):
        return column
    return _ALIKE.get(small, small if small in OTHERS else "")
