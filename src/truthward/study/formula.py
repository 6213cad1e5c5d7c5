"""The expression that the example of a publication histograms: checked before the first job, then written into its
script."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from truthward.errors import ConfigError

FUNCTIONS = (
    "abs",
    "arctan2",
    "cos",
    "cosh",
    "exp",
    "log",
    "log10",
    "maximum",
    "minimum",
    "sin",
    "sinh",
    "sqrt",
    "tanh",
)
WHERE = "publish.example"
LONGEST = 1000
"""Characters of an expression, at most."""


def parsed(expression: str) -> ast.Expression:
    """The syntax tree of an expression of observables.

    Raises:
        ConfigError: the text is no expression.
    """
    try:
        if len(expression) > LONGEST:
            raise ConfigError(f"{WHERE}: the expression has {len(expression)} characters; use {LONGEST} at most")
        return ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"{WHERE}: {expression!r} is not a valid expression; write one such as m / jet_pt") from error


def formula(expression: str, known: Iterable[str]) -> tuple[str, list[str]]:
    """The expression as Python code over `t["truth_<name>"]`, and the observables in it.

    Raises:
        ConfigError: an unknown observable or function, no observable at all, or what an expression may not hold.
    """
    known = list(known)
    names: list[str] = []

    class Columns(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.Call:
            if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS or node.keywords:
                valid = ", ".join(FUNCTIONS)
                raise ConfigError(f"{WHERE}: {ast.unparse(node.func)} is no function; valid: {valid}")
            function = ast.Attribute(ast.Name("np", ast.Load()), node.func.id, ast.Load())
            return ast.Call(function, [self.visit(argument) for argument in node.args], [])

        def visit_Name(self, node: ast.Name) -> ast.Subscript:
            if node.id not in known:
                raise ConfigError(f"{WHERE}: no observable {node.id}; there are: {', '.join(known)}")
            if node.id not in names:
                names.append(node.id)
            return ast.Subscript(ast.Name("t", ast.Load()), ast.Constant(f"truth_{node.id}"), ast.Load())

        def generic_visit(self, node: ast.AST) -> ast.AST:
            allowed = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.Constant, ast.operator, ast.unaryop)
            number = not isinstance(node, ast.Constant) or type(node.value) in (int, float)
            if not isinstance(node, allowed) or not number:
                raise ConfigError(
                    f"{WHERE}: {ast.unparse(node)!r} is not allowed in an expression; valid: numbers, observables, "
                    f"arithmetic operators, parentheses and {', '.join(FUNCTIONS)}"
                )
            return super().generic_visit(node)

    text = ast.unparse(ast.fix_missing_locations(Columns().visit(parsed(expression))))
    if not names:
        raise ConfigError(f"{WHERE}: {expression!r} has no observable; there are: {', '.join(known)}")
    return text.replace("'", '"'), names


def refuse_unfolded(expression: str, unfolded: Iterable[str], spare: Iterable[str]) -> None:
    """Raise ConfigError if the expression is an unfolded observable; `spare` are observables that are not unfolded."""
    unfolded = list(unfolded)
    name = ast.unparse(parsed(expression))
    if name in unfolded:
        raise ConfigError(
            f"{WHERE}: {name} is unfolded itself, but the example must show a quantity that was not unfolded; write an "
            f"expression such as {unfolded[0]} ** 2, or an observable that is not unfolded "
            f"({', '.join(spare) or 'the study has none'}); without this key the example shows {unfolded[0]}"
        )
