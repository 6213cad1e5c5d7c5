"""Names of the columns of an event table, and checks of a map of columns to expressions, before a file is open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from truthward.errors import ConfigError, nearest
from truthward.study.signatures import NUMBER
from truthward.study.syntax import Syntax
from truthward.study.variations import variation_of

NUMBERS = ("run", "lumi", "event")
"""The event id is made from these columns if no `event_id` is mapped."""
LUMINOSITY_SECTION = ("run", "lumi")
"""The columns by which certified data are chosen."""
OTHERS = ("pass_truth", "pass_reco", "weight", "event_id", *NUMBERS, "process", "is_background")
"""Columns that belong to no level."""


def level_of(column: str) -> str | None:
    """ "truth" or "reco" for a column of that level, else None.

    >>> level_of("truth_m"), level_of("pass_reco")
    ('truth', None)
    """
    level, _, rest = column.partition("_")
    return level if level in ("truth", "reco") and rest else None


def check_map(branches: Mapping[str, Any], where: str = "branches") -> None:
    """Check a map of columns to expressions.

    Args:
        where: key of the map, for messages.

    Raises:
        ConfigError: a key that is no column, or text that is no expression, with its place.
    """
    for column, text in branches.items():
        if ":" in column and not variation_of(column):
            raise ConfigError(
                f"{where}.{column}: not a valid name of a variation; valid: reco_<observable>:<systematic>:<index>, "
                "pass_reco:<systematic>:<index>, weight:<systematic>:<index>; indices begin at 0"
            )
        if level_of(column) and not variation_of(column) and not column.isidentifier():
            raise ConfigError(f"{where}.{column}: not a valid name of a column; use letters, digits and _ only")
        if not level_of(column) and column.partition(":")[0] not in OTHERS:
            raise ConfigError(
                f"{where}.{column}: no such column; valid: truth_<name>, reco_<name>, {', '.join(OTHERS)}; "
                f"{nearest(column, OTHERS)}"
            )
        if not isinstance(text, str | int | float):
            raise ConfigError(f"{where}.{column}: {text!r:.80} given; an expression over branches is expected")
        try:
            Syntax(text)
        except ConfigError as error:
            raise ConfigError(f"{where}.{column}: {error}") from None


def check_selection(conditions: Mapping[str, str | None]) -> None:
    """Check the conditions of a selection, level -> expression over columns of that level.

    Raises:
        ConfigError: an unknown level, text that is no expression, a column of another level, a number in place of a
            condition.
    """
    for level, text in conditions.items():
        if level not in ("truth", "reco"):
            raise ConfigError(f"selection.{level}: no such level; valid: truth, reco")
        if text is None:
            continue
        try:
            condition = Syntax(text)
        except ConfigError as error:
            raise ConfigError(f"selection.{level}: {error}") from None
        for name in sorted(condition.names):
            if not name.startswith(f"{level}_"):
                raise ConfigError(
                    f"selection.{level}: {name} is no column of this level; use columns named {level}_<name>"
                )
        # A column holds numbers.
        if condition.kind == NUMBER or condition.name_of(condition.tree):
            raise ConfigError(f"selection.{level}: {condition.text!r} is a number; write a condition such as > 150")


def selected(conditions: Mapping[str, str | None]) -> dict[str, frozenset[str]]:
    """Level -> columns in its condition."""
    return {level: Syntax(text).names for level, text in conditions.items() if text is not None}
