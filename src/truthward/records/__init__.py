"""The types of the JSON files that one stage writes and another reads: a module per stage, a type per file.

A type is closed: an unknown key is refused. Parts that a plug-in fills freely are `dict[str, Any]`. If a file does not
have its type, another version of the code wrote it, or it was edited.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from truthward.errors import InputError
from truthward.run.artefact import read_json

Kind = TypeVar("Kind", bound=Mapping[str, object])


def read_record(path: str | Path, kind: type[Kind]) -> Kind:
    """Read a JSON artefact and check it against the type of its content.

    Args:
        kind: a type of this package, such as `records.calibrate.CalibrateSummary`.

    Returns:
        The content, exactly as it is in the file.

    Raises:
        InputError: the file is missing, or its content is not of this type; the message names the first such field.
        CorruptError: the file is not JSON.
    """
    content = read_json(path)
    try:
        _adapter(kind).validate_python(content)
    except ValidationError as error:
        raise InputError(f"{path}: {_first(error)}; run the stage that writes this file again") from error
    return content


def json_schema(kind: type[Any], title: str) -> dict[str, Any]:
    """The JSON schema of a type of this package, for readers that do not have it."""
    found = _adapter(kind).json_schema()  # type: ignore[arg-type]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": title}


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    # The types inside of this one take over its settings.
    return TypeAdapter(with_config(ConfigDict(strict=True, extra="forbid"))(kind))


def _first(error: ValidationError) -> str:
    """The first wrong field, and its value."""
    found, *others = error.errors(include_url=False)
    place = found["loc"]
    field = ".".join(map(str, place)) or "the file"
    if found["type"] == "missing":
        extra = [str(e["loc"][-1]) for e in others if e["type"] == "extra_forbidden" and e["loc"][:-1] == place[:-1]]
        return f"{field} is missing" + (f", but there is {', '.join(extra)}" if extra else "")
    if found["type"] == "extra_forbidden":
        return f"{field} is not a field of this file"
    return f"{field} is {repr(found['input'])[:60]}: {found['msg'][0].lower()}{found['msg'][1:]}"
