"""Whether the value of an option has the type and the bounds that its source states."""

from __future__ import annotations

import ast
import operator
from functools import cache
from typing import Any, Literal  # noqa: F401 (annotations of options use these names)

from pydantic import ConfigDict, TypeAdapter, ValidationError

_KNOWN = ("int", "float", "str", "bool", "list", "dict", "Any", "Literal")
_COMPARED = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt, "=": operator.eq}


def unknown(annotation: str) -> str:
    """A name in an annotation that `matches` does not know, or nothing: a value could not be checked against it.

    >>> unknown('list[Literal["a"]] | None'), unknown("list[Tensor]")
    ('', 'Tensor')
    """
    names = [node.id for node in ast.walk(ast.parse(annotation, mode="eval")) if isinstance(node, ast.Name)]
    return next((name for name in names if name not in _KNOWN), "")


def matches(value: Any, annotation: str) -> bool:
    """Whether a YAML value fits an annotation such as `int`, `list[str]`, `float | None`, `Literal["a"]`.

    >>> matches(1, "float"), matches(True, "int"), matches({"a": "b"}, "dict[str, int]")
    (True, False, False)
    """
    try:
        _adapter(annotation).validate_python(value)
    except ValidationError:
        return False
    return True


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation, config=ConfigDict(strict=True))


def within(value: Any, bounds: str) -> bool:
    """Whether a number, or each of a list of them, is within bounds: `>= 1`, `> 0 and < 1`, `= 0 or >= 2`.

    >>> within(0, ">= 1"), within([0.5, 0.9], "> 0 and < 1"), within(1, "= 0 or >= 2")
    (False, True, False)
    """
    if isinstance(value, list):
        return all(within(v, bounds) for v in value)
    if not isinstance(value, int | float):
        return True
    each = [[condition.split() for condition in part.split(" and ")] for part in bounds.split(" or ")]
    return any(all(_COMPARED[sign](value, float(limit)) for sign, limit in conditions) for conditions in each)
