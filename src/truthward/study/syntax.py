"""The grammar of expressions over branches and columns. A dry run needs it, so it works without numpy.

Valid: numbers, names of branches (any characters between backticks), `pi`, `True`, `False`; `+ - * / **` (the exponent
is a number from -16 to 16); comparisons, also chained ones; `& | ~` between conditions, with parentheses around
comparisons; the functions of `ARGUMENTS`; `Jet_pt[0]`, an element of a jagged branch; `count(Jet_pt)` and `sum(Jet_pt)`
per event. The text is parsed, never executed.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from functools import cached_property

from truthward.errors import ConfigError, nearest

LONGEST = 1000
"""Characters of an expression, at most."""
DEEPEST = 100
"""Nested operations, at most."""
LARGEST_POWER = 16
CONSTANTS = ("pi", "True", "False")
"""Values of these names, unless there is a branch with such a name."""
ARGUMENTS = {
    **dict.fromkeys(("sqrt", "log", "log10", "exp", "sin", "cos", "tan", "arctan", "sinh", "cosh", "tanh"), 1),
    **dict.fromkeys(("abs", "floor", "isfinite", "count", "sum"), 1),
    **dict.fromkeys(("arctan2", "hypot", "minimum", "maximum"), 2),
    "where": 3,
}
"""Function -> number of arguments. `where(condition, yes, no)`; angles in radians; `log` is natural."""

CONDITION, NUMBER = "condition", "number"
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div)
_LOGIC = (ast.BitAnd, ast.BitOr)
_COMPARE = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
_QUOTED = re.compile(r"`([^`\n]+)`")


class Syntax:
    """One expression, checked when it is made.

    Args:
        text: the expression; a number is also an expression.

    Attributes:
        tree: its syntax tree; `name_of` gives the branch that a node names.

    Raises:
        ConfigError: the text has something that is not valid; the message has its place and what is valid.

    >>> sorted(Syntax("`jet pt` * cosh(eta) > 20 + pi").names)
    ['eta', 'jet pt']
    """

    def __init__(self, text: str | float | int | bool) -> None:
        self.text = str(text).strip()
        if len(self.text) > LONGEST:
            raise ConfigError(
                f"expression {self.text[:60]!r}...: it has {len(self.text)} characters; use {LONGEST} at most"
            )
        self._quoted: dict[str, str] = {}
        self._plain = self._unquoted()
        try:
            with warnings.catch_warnings():
                # Python's advice on odd literals ("1or 2") is of no use here: what is odd is refused below.
                warnings.simplefilter("ignore")
                self.tree: ast.expr = ast.parse(self._plain, mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else str(error) or type(error).__name__
            place = self._place(error.lineno, error.offset) if isinstance(error, SyntaxError) else ""
            raise self.refuse(f"not an expression ({reason}){place}") from error
        self._check(self.tree, 0)

    @cached_property
    def names(self) -> frozenset[str]:
        """Branches that the expression needs."""
        return frozenset(name for name in self._names(self.tree) if name not in self.constants)

    @cached_property
    def constants(self) -> frozenset[str]:
        """The names of `CONSTANTS` in the expression; if there is a branch with such a name, the branch is used."""
        bare = {node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name)}
        bare |= {str(node.value) for node in ast.walk(self.tree) if isinstance(node, ast.Constant)}
        return frozenset(bare.intersection(CONSTANTS) - set(self._quoted.values()))

    @cached_property
    def guarded(self) -> frozenset[str]:
        """Branches that the expression tests with `isfinite`: they may have NaN."""
        calls = [node for node in ast.walk(self.tree) if isinstance(node, ast.Call)]
        return frozenset(name for call in calls if function_of(call) == "isfinite" for name in self._names(call))

    @cached_property
    def kind(self) -> str | None:
        """`CONDITION` or `NUMBER` if the text alone shows it, else None."""
        return self._kind(self.tree)

    def name_of(self, node: ast.AST) -> str:
        """Branch that a node names, with dots (`Jet.PT` of Delphes); empty if it names none."""
        if isinstance(node, ast.Name):
            return self._quoted.get(node.id, node.id)
        if not isinstance(node, ast.Attribute):
            return ""
        owner = self.name_of(node.value)
        return f"{owner}.{self._quoted.get(node.attr, node.attr)}" if owner else ""

    def refuse(self, reason: str, node: ast.expr | None = None) -> ConfigError:
        """The error to raise, with the place of the node at fault."""
        where = "" if node is None else self._place(node.lineno, self._column(node))
        return ConfigError(
            f"expression {self.text!r}: {reason}{where}; valid: numbers, branch names (other characters than letters, "
            "digits and _ between backticks), + - * / **, comparisons, (..) & (..), (..) | (..), ~(..), branch[0], and "
            f"{', '.join(ARGUMENTS)}"
        )

    def _unquoted(self) -> str:
        """The text with a unique word of the same length in place of each quoted name."""
        free = (chr(code) for code in range(0x4E00, 0x9FFF) if chr(code) not in self.text)

        def word(found: re.Match[str]) -> str:
            before, after = self.text[: found.start()][-1:], self.text[found.end() :][:1]
            if re.fullmatch(r"\w", before) or re.fullmatch(r"\w", after):
                raise self.refuse(f"an operator is missing beside {found[0]}, at character {found.start() + 1}")
            made = next(free) * len(found[0])
            self._quoted[made] = found[1]
            return made

        plain = _QUOTED.sub(word, self.text)
        if "`" in plain:
            raise self.refuse(f"a backtick is not closed, at character {plain.index('`') + 1}")
        return plain

    def _column(self, node: ast.expr) -> int:
        # Python counts bytes of UTF-8 here.
        line = self._plain.split("\n")[node.lineno - 1]
        return len(line.encode("utf-8", "replace")[: node.col_offset].decode("utf-8", "replace")) + 1

    def _place(self, line: int | None, column: int | None) -> str:
        if not line or not column:
            return " at its end" if self.text else ""
        before = sum(len(each) + 1 for each in self._plain.split("\n")[: line - 1])
        return f" at character {min(before + column, len(self.text) + 1)}"

    def _kind(self, node: ast.AST) -> str | None:
        match node:
            case ast.Constant() | ast.Name() | ast.Attribute():
                number = isinstance(node, ast.Constant) and not isinstance(node.value, bool)
                return NUMBER if number else None
            case ast.BinOp() if type(node.op) in _LOGIC:
                return CONDITION
            case ast.UnaryOp(op=ast.Invert()) | ast.Compare():
                return CONDITION
        return CONDITION if function_of(node) == "isfinite" else NUMBER

    def _conditions(self, *nodes: ast.expr) -> None:
        for node in nodes:
            if self._kind(node) == NUMBER:
                raise self.refuse("a number where a condition is needed (join conditions as (a > 1) & (b < 2)),", node)

    def _check(self, node: ast.expr, depth: int) -> None:
        if depth > DEEPEST:
            raise self.refuse(f"nested more than {DEEPEST} deep")
        children: list[ast.expr]
        match node:
            case ast.Constant(value=bool() | int() | float() as value):
                if abs(value) > 2**63:
                    raise self.refuse("a number beyond 2^63", node)
                children = []
            case ast.Name() | ast.Attribute() if name := self.name_of(node):
                if isinstance(node, ast.Name) and node.id in ARGUMENTS:
                    raise self.refuse(f"{name} needs arguments in parentheses", node)
                children = []
            case ast.BinOp(op=ast.Pow()):
                if number_of(node.right) is None or abs(number_of(node.right) or 0.0) > LARGEST_POWER:
                    reason = f"an exponent must be a number from -{LARGEST_POWER} to {LARGEST_POWER},"
                    raise self.refuse(reason, node.right)
                children = [node.left]
            case ast.BinOp() if type(node.op) in _ARITHMETIC + _LOGIC:
                children = [node.left, node.right]
                self._conditions(*(children if type(node.op) in _LOGIC else ()))
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() | ast.Invert()):
                children = [node.operand]
                self._conditions(*(children if isinstance(node.op, ast.Invert) else ()))
            case ast.Compare() if all(type(op) in _COMPARE for op in node.ops):
                children = [node.left, *node.comparators]
            case ast.Subscript(slice=ast.Constant(value=int() as place)) if self.name_of(node.value):
                if isinstance(place, bool) or not 0 <= place < 1000:
                    raise self.refuse("the index of a list must be a number from 0 to 999,", node.slice)
                children = [node.value]
            case ast.Call(func=ast.Name(), keywords=[]) if function_of(node) in ARGUMENTS:
                name, wanted = function_of(node), ARGUMENTS[function_of(node)]
                if len(node.args) != wanted:
                    raise self.refuse(f"{name} takes {wanted} argument(s), {len(node.args)} given,", node)
                children = list(node.args)
                self._conditions(*(children[:1] if name == "where" else ()))
            case ast.Call(func=ast.Name()):
                name = self.name_of(node.func)
                raise self.refuse(f"there is no function {name}; {nearest(name, ARGUMENTS)},", node)
            case _:
                shown = ast.unparse(node)[:40]
                for made, quoted in self._quoted.items():
                    shown = shown.replace(made, f"`{quoted}`")
                raise self.refuse(f"{shown!r} is not allowed,", node)
        for child in children:
            self._check(child, depth + 1)

    def _names(self, node: ast.AST) -> Iterator[str]:
        if name := self.name_of(node):
            yield name
            return
        children = node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node)
        for child in children:
            yield from self._names(child)


def number_of(node: ast.AST) -> float | None:
    """Value of a number, signed or not, else None."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return float(value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -float(value)
    return None


def function_of(node: ast.AST) -> str:
    """Name of the function that a node calls, else nothing."""
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
