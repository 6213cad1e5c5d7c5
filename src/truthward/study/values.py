"""Whether the value of an option has the type and the bounds that its source states."""

from __future__ import annotations

import ast
import operator
from typing import Any

_PLAIN = {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,), "list": (list,), "dict": (dict,)}
_COMPARED = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt, "=": operator.eq}


def unknown(annotation: str) -> str:
    """A name in an annotation that `matches` does not know, or nothing: a value could not be checked against it.

    >>> unknown('list[Literal["a"]] | None'), unknown("list[Tensor]")
    ('', 'Tensor')
    """
    names = [node.id for node in ast.walk(ast.parse(annotation, mode="eval")) if isinstance(node, ast.Name)]
    return next((name for name in names if name not in (*_PLAIN, "Any", "Literal")), "")


def matches(value: Any, annotation: str) -> bool:
    """Whether a YAML value fits an annotation such as `int`, `list[str]`, `float | None`, `Literal["a"]`.

    >>> matches(1, "float"), matches(True, "int"), matches({"a": "b"}, "dict[str, int]")
    (True, False, False)
    """
    return _fits(value, ast.parse(annotation, mode="eval").body)


def _fits(value: Any, node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _fits(value, node.left) or _fits(value, node.right)
    if isinstance(node, ast.Constant) and node.value is None:
        return value is None
    if isinstance(node, ast.Name):
        if node.id == "Any":
            return True
        if isinstance(value, bool) and node.id in ("int", "float"):
            return False
        return isinstance(value, _PLAIN[node.id])
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if node.value.id == "Literal":
            return value in [ast.literal_eval(e) for e in inner]
        if node.value.id == "list":
            return isinstance(value, list) and all(_fits(v, inner[0]) for v in value)
        if node.value.id == "dict":
            return isinstance(value, dict) and all(_fits(v, inner[-1]) for v in value.values())
    return True


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
