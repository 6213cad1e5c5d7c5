"""Several trees in one sample: what the key `join` of a reader may say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ValidationError, field_validator

from truthward.errors import ConfigError
from truthward.study.strict import Strict
from truthward.study.syntax import Syntax

SIDES = ("main", "joined")


class Join(Strict):
    """A tree whose entries are joined to those of the main tree.

    Attributes:
        tree: its name; None: the only one of its files.
        files: as the reader's `files`; None: it is in the files of the main tree.
        by: expressions over branches whose values are equal in both trees for the same event, such as
            [runNumber, eventNumber], or {main: [...], joined: [...]} where the names differ. None: entry by entry.
    """

    tree: str | None = None
    files: list[str] | None = None
    by: dict[Literal["main", "joined"], list[str]] | None = None

    @field_validator("by", mode="before")
    @classmethod
    def _both(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            if set(value) != set(SIDES):
                raise ValueError("write {main: ..., joined: ...}, or one list where the names are the same")
            return {side: [each] if isinstance(each, str) else each for side, each in value.items()}
        return value if value is None else dict.fromkeys(SIDES, [value] if isinstance(value, str) else value)


def joins_of(content: Mapping[str, Any], where: str = "join") -> dict[str, Join]:
    """The joined trees of an entry of a config, by the names that stand before the dot of their branches.

    Raises:
        ConfigError: a key that is not valid, with its place.
    """
    found: dict[str, Join] = {}
    for name, entry in content.items():
        if not str(name).isidentifier():
            raise ConfigError(f"{where}.{name}: not a valid name; use letters, digits and _ only")
        try:
            found[name] = Join.model_validate(entry)
        except ValidationError as error:
            first = error.errors()[0]
            place = "".join(f".{part}" for part in first["loc"])
            valid = "" if first["type"] != "extra_forbidden" else f"; valid: {', '.join(Join.model_fields)}"
            raise ConfigError(f"{where}.{name}{place}: {first['msg'].removeprefix('Value error, ')}{valid}") from None
        by = found[name].by or {}
        for side, texts in by.items():
            for text in texts:
                try:
                    Syntax(text)
                except ConfigError as error:
                    raise ConfigError(f"{where}.{name}.by.{side}: {error}") from None
        if len({len(texts) for texts in by.values()}) > 1 or any(not texts for texts in by.values()):
            raise ConfigError(f"{where}.{name}.by: give as many expressions for the main tree as for the joined one")
    return found
