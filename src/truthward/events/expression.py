"""Arithmetic over branches, as the config has it: `truth_m: "mass / 1000"`, `pass_reco: "(pt > 150) & (nJet > 0)"`.

The text is parsed, never executed: the syntax tree is walked and anything off a short list is refused.

What may be written: numbers, branch names, `pi`; `+ - * / **` (the exponent a number, 16 at most in size); comparisons,
chained ones too; `& | ~` between conditions, with parentheses around comparisons; the functions of
`functions.FUNCTIONS`; `Jet_pt[0]`, the element of that place in a jagged branch, NaN in events that have fewer;
`count(Jet_pt)` and `sum(Jet_pt)` per event.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

import awkward as ak
import numpy as np

from truthward.errors import ConfigError, InputError
from truthward.events.contract import nearest
from truthward.events.functions import FUNCTIONS, Values, double, is_condition, place_of

LONGEST = 1000
"""Characters of an expression, at most."""
DEEPEST = 100
"""Nested operations, at most."""
LARGEST_POWER = 16

_LISTS = ("count", "sum")
_ARITHMETIC: dict[type, Callable[..., Values]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: np.true_divide,
}
_COMPARE: dict[type, Callable[..., Values]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_LOGIC: dict[type, Callable[..., Values]] = {ast.BitAnd: np.logical_and, ast.BitOr: np.logical_or}
_PI = "pi"


class Expression:
    """One expression; parsed and checked when it is made, evaluated by `evaluate`.

    Args:
        text: the expression; a bare number is one too.

    Raises:
        ConfigError: something that is not on the list, with the list.

    >>> Expression("sqrt(px**2 + py**2) / 1000").evaluate({"px": np.array([3000.0]), "py": np.array([4000.0])})
    array([5.])
    """

    def __init__(self, text: str | float | int | bool) -> None:
        self.text = str(text).strip()
        if len(self.text) > LONGEST:
            raise ConfigError(f"expression {self.text[:60]!r}...: {len(self.text)} characters, {LONGEST} at most")
        try:
            with warnings.catch_warnings():
                # Python's advice on odd literals ("1or 2") is of no use here: what is odd is refused below.
                warnings.simplefilter("ignore")
                self._tree = ast.parse(self.text, mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else str(error) or type(error).__name__
            raise self._refuse(f"not an expression ({reason})") from error
        self._check(self._tree, 0)

    @cached_property
    def names(self) -> frozenset[str]:
        """Branches that the expression reads."""
        return frozenset(_names(self._tree))

    @cached_property
    def guarded(self) -> frozenset[str]:
        """Branches that the expression itself asks `isfinite` of: NaN is expected in them."""
        calls = [node for node in ast.walk(self._tree) if isinstance(node, ast.Call)]
        return frozenset(name for call in calls if _function(call) == "isfinite" for name in _names(call))

    def evaluate(self, arrays: Mapping[str, Values]) -> Values:
        """Value for each event.

        A plain name is returned in its own type (so that 64-bit event numbers stay exact); arithmetic is in double
        precision whatever the types of the branches. NaN and infinities (0/0, log of a negative number) are returned,
        not raised: the event table refuses them where the event passes.

        Args:
            arrays: branch -> (N,) numbers, or an awkward array of lists of numbers.

        Returns:
            (N,) array, or lists per event; a number where the expression has no branch.

        Raises:
            InputError: an unknown branch (nearest names offered), lists of different lengths in one operation, or a
                branch that is used as what it is not (a list as a number, a number as a condition).
        """
        for name in sorted(self.names):
            if name not in arrays:
                raise InputError(f"expression {self.text!r}: no branch {name}; {nearest(name, arrays)}")
        if _branch(self._tree) and _branch(self._tree) != _PI:
            return arrays[_branch(self._tree)]
        try:
            with np.errstate(all="ignore"):
                return self._value(self._tree, arrays)
        except (ValueError, TypeError, IndexError) as error:
            # awkward and numpy both answer so to lists that do not match; their messages span a screen.
            reason = str(error).splitlines()[0]
            raise InputError(
                f"expression {self.text!r}: its branches do not fit together ({reason}); lists need equal lengths "
                "in each event, and conditions are joined as (a > 1) & (b < 2)"
            ) from error

    def _refuse(self, reason: str) -> ConfigError:
        return ConfigError(
            f"expression {self.text!r}: {reason}; valid: numbers, branch names, + - * / **, comparisons, "
            f"(..) & (..), (..) | (..), ~(..), branch[0], and {', '.join(FUNCTIONS)}"
        )

    def _check(self, node: ast.AST, depth: int) -> None:
        if depth > DEEPEST:
            raise self._refuse(f"nested more than {DEEPEST} deep")
        match node:
            case ast.Constant(value=bool() | int() | float()):
                if abs(node.value) > 2**63:
                    raise self._refuse("a number beyond 2^63")
                children = []
            case ast.Name() | ast.Attribute() if _branch(node):
                if _branch(node) in FUNCTIONS:
                    raise self._refuse(f"{_branch(node)} needs arguments in parentheses")
                children = []
            case ast.BinOp(op=ast.Pow()):
                if self._number(node.right) is None or abs(self._number(node.right) or 0.0) > LARGEST_POWER:
                    raise self._refuse(f"an exponent must be a number, {LARGEST_POWER} at most in size")
                children = [node.left]
            case ast.BinOp() if type(node.op) in _ARITHMETIC or type(node.op) in _LOGIC:
                children = [node.left, node.right]
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() | ast.Invert()):
                children = [node.operand]
            case ast.Compare() if all(type(op) in _COMPARE for op in node.ops):
                children = [node.left, *node.comparators]
            case ast.Subscript(slice=ast.Constant(value=int())) if _branch(node.value):
                if isinstance(node.slice.value, bool) or not 0 <= node.slice.value < 1000:
                    raise self._refuse("a place in a list is a number from 0 to 999")
                children = [node.value]
            case ast.Call(func=ast.Name(), keywords=[]) if _function(node) in FUNCTIONS:
                wanted = FUNCTIONS[_function(node)][0]
                if len(node.args) != wanted:
                    raise self._refuse(f"{_function(node)} takes {wanted} argument(s), has {len(node.args)}")
                children = list(node.args)
            case ast.Call(func=ast.Name()):
                raise self._refuse(f"no function {_function(node)}; {nearest(_function(node), FUNCTIONS)}")
            case _:
                raise self._refuse(f"{ast.unparse(node)[:40]!r} is not allowed")
        for child in children:
            self._check(child, depth + 1)

    @staticmethod
    def _number(node: ast.AST) -> float | None:
        """Value of a number, signed or not, else None."""
        match node:
            case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
                return float(node.value)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
                return -float(node.operand.value)
        return None

    def _value(self, node: ast.AST, arrays: Mapping[str, Values]) -> Values:
        match node:
            case ast.Constant():
                return node.value if isinstance(node.value, bool) else np.float64(node.value)
            case ast.Name() | ast.Attribute():
                return np.float64(np.pi) if _branch(node) == _PI else arrays[_branch(node)]
            case ast.BinOp(op=ast.Pow()):
                return double(self._value(node.left, arrays)) ** self._number(node.right)
            case ast.BinOp() if type(node.op) in _LOGIC:
                left, right = (self._condition(part, arrays) for part in (node.left, node.right))
                return _LOGIC[type(node.op)](left, right)
            case ast.BinOp():
                left, right = (double(self._value(part, arrays)) for part in (node.left, node.right))
                return _ARITHMETIC[type(node.op)](left, right)
            case ast.UnaryOp(op=ast.Invert()):
                return np.logical_not(self._condition(node.operand, arrays))
            case ast.UnaryOp():
                value = double(self._value(node.operand, arrays))
                return -value if isinstance(node.op, ast.USub) else value
            case ast.Compare():
                values = [double(self._value(part, arrays)) for part in (node.left, *node.comparators)]
                result: Values = True
                for op, left, right in zip(node.ops, values[:-1], values[1:], strict=True):
                    result = np.logical_and(result, _COMPARE[type(op)](left, right))
                return result
            case ast.Subscript():
                return place_of(arrays[_branch(node.value)], node.slice.value)
            case _:
                function = _function(node)
                values = [self._value(part, arrays) for part in node.args]
                if function in _LISTS and not all(isinstance(value, ak.Array) for value in values):
                    raise TypeError(f"{function} needs a branch with a list per event")
                if function == "where":
                    return FUNCTIONS["where"][1](
                        self._condition(node.args[0], arrays), double(values[1]), double(values[2])
                    )
                return FUNCTIONS[function][1](*(double(value) for value in values))

    def _condition(self, node: ast.AST, arrays: Mapping[str, Values]) -> Values:
        value = self._value(node, arrays)
        if not is_condition(value):
            raise TypeError(f"{ast.unparse(node)!r} is a number where a condition is needed")
        return value


def names(text: str | float | int | bool) -> set[str]:
    """Branches that an expression reads.

    >>> sorted(names("pt * cosh(eta) > 20 + pi"))
    ['eta', 'pt']
    """
    return set(Expression(text).names)


def _function(node: ast.AST) -> str:
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""


def _branch(node: ast.AST) -> str:
    """Branch that a node names, dots included (`Jet.PT` of Delphes), else nothing."""
    if isinstance(node, ast.Name):
        return node.id
    owner = _branch(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{owner}.{node.attr}" if owner else ""


def _names(node: ast.AST) -> Iterator[str]:
    if _branch(node):
        if _branch(node) != _PI:
            yield _branch(node)
        return
    children = node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node)
    for child in children:
        yield from _names(child)
