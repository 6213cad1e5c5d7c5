"""Values of expressions over branches: `truth_m: "mass / 1000"`, `pass_reco: "(pt > 150) & (nJet > 0)"`.

The grammar is in `truthward.study.syntax`. The text is evaluated from its syntax tree; nothing is executed.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from truthward.errors import InputError, nearest
from truthward.events import vectors
from truthward.events.functions import FUNCTIONS
from truthward.events.lists import (
    RECORD,
    Unfit,
    Values,
    condition,
    double,
    element,
    finished,
    formed,
    kept,
    listed,
    partner,
    type_of,
    whole,
)
from truthward.study import signatures
from truthward.study.signatures import CONDITION, NUMERIC, WHOLE
from truthward.study.syntax import Syntax, function_of, number_of, whole_of

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

_AS: dict[signatures.Kind, Callable[[Values], Values]] = {CONDITION: condition, NUMERIC: double, WHOLE: whole}


class Expression(Syntax):
    """An expression that can be evaluated.

    A branch named as a constant (`pi`, `True`) has the branch's values; `Jet_pt[0]` is NaN in events without a jet. If
    there is no branch `jets.pt`, it is the field or attribute pt of the records `jets`.

    >>> Expression("sqrt(px**2 + py**2) / 1000").evaluate({"px": np.array([3000.0]), "py": np.array([4000.0])})
    array([5.])
    """

    def evaluate(self, arrays: Mapping[str, Values]) -> Values:
        """Value for each event.

        A plain name is returned in its own type (so that 64-bit event numbers stay exact); arithmetic is in double
        precision whatever the types of the branches. NaN and infinities (0/0, log of a negative number) are returned,
        not raised: the event table refuses them where the event passes. What is missing, such as the second jet of an
        event with one, is NaN in the end.

        Args:
            arrays: branch -> (N,) numbers, or an awkward array of lists of numbers, or of records (vectors).

        Returns:
            (N,) array, or lists per event; a number where the expression has no branch.

        Raises:
            InputError: an unknown branch (nearest names offered), lists of different lengths in one operation, or a
                branch of the wrong type (a list as a number, a number as a condition). The message has the place.
        """
        if (name := self.name_of(self.tree)) in arrays:
            return arrays[name]
        with np.errstate(all="ignore"):
            value = self._value(self.tree, arrays)
            with self._at(self.tree):
                return finished(value)

    @contextmanager
    def _at(self, node: ast.expr) -> Iterator[None]:
        """Give what is wrong the place of a node."""
        try:
            yield
        except Unfit as error:
            raise InputError(f"expression {self.text!r}: {error.reason},{self.place(node)}; {error.valid}") from error
        except (ValueError, TypeError, IndexError) as error:
            # awkward and numpy raise these for lists of different lengths; their own messages are a screen long.
            reason = str(error).splitlines()[0]
            raise InputError(
                f"expression {self.text!r}: its branches do not fit together ({reason}),{self.place(node)}; lists need "
                "equal lengths in each event"
            ) from error

    def _branch(self, name: str, arrays: Mapping[str, Values]) -> Values:
        """A branch, or a field of one, in its own type."""
        if name in arrays:
            return arrays[name]
        owner, _, field = name.rpartition(".")
        if owner in arrays and type_of(arrays[owner]) == RECORD:
            return vectors.attribute(arrays[owner], field)
        call = f"; to call the function, write {name}(...)" if name in FUNCTIONS else ""
        raise Unfit(f"no branch {name}", nearest(name, arrays) + call)

    def _value(self, node: ast.expr, arrays: Mapping[str, Values]) -> Values:
        match node:
            case ast.Constant(value=bool()):
                with self._at(node):
                    return formed(arrays.get(str(node.value), node.value))
            case ast.Constant(value=int() | float() as value):
                return np.float64(value)
            case ast.Name() | ast.Attribute() if name := self.name_of(node):
                if name == "pi" and name not in arrays:
                    return np.float64(np.pi)
                with self._at(node):
                    return formed(self._branch(name, arrays))
            case ast.Subscript():
                return self._element(node, arrays)
            case ast.Call():
                takes = signatures.FUNCTIONS[function_of(node)].takes
                values = [self._part(part, arrays, kind) for kind, part in zip(takes, node.args, strict=False)]
                with self._at(node):
                    return FUNCTIONS[function_of(node)](*values)
            case ast.Attribute():
                value = self._value(node.value, arrays)
                with self._at(node):
                    return vectors.attribute(value, self.attribute_of(node))
        return self._operation(node, arrays)

    def _part(self, node: ast.expr, arrays: Mapping[str, Values], kind: signatures.Kind) -> Values:
        """A value as what an operation takes."""
        value = self._value(node, arrays)
        with self._at(node):
            return _AS[kind](value) if kind in _AS else value

    def _element(self, node: ast.Subscript, arrays: Mapping[str, Values]) -> Values:
        with self._at(node):
            values = listed(self._value(node.value, arrays), "[ ]")
        if (place := whole_of(node.slice)) is not None:
            return element(values, place)
        index = self._value(node.slice, arrays)
        with self._at(node.slice):
            return kept(values, index) if type_of(index) == "b" else partner(values, index)

    def _operation(self, node: ast.expr, arrays: Mapping[str, Values]) -> Values:
        match node:
            case ast.BinOp(op=ast.Pow()):
                return self._part(node.left, arrays, NUMERIC) ** number_of(node.right)
            case ast.BinOp() if type(node.op) in _LOGIC:
                left, right = (self._part(part, arrays, CONDITION) for part in (node.left, node.right))
                with self._at(node):
                    return _LOGIC[type(node.op)](left, right)
            case ast.BinOp(op=ast.Mult() | ast.Div()):
                left, right = (self._part(part, arrays, NUMERIC) for part in (node.left, node.right))
                with self._at(node):
                    return _ARITHMETIC[type(node.op)](left, right)
            case ast.BinOp():
                left, right = (self._value(part, arrays) for part in (node.left, node.right))
                with self._at(node):
                    if RECORD in (type_of(left), type_of(right)):
                        return vectors.summed(left, right, _ARITHMETIC[type(node.op)])
                    return _ARITHMETIC[type(node.op)](double(left), double(right))
            case ast.UnaryOp(op=ast.Invert()):
                return np.logical_not(self._part(node.operand, arrays, CONDITION))
            case ast.UnaryOp():
                value = self._part(node.operand, arrays, NUMERIC)
                return -value if isinstance(node.op, ast.USub) else value
            case ast.Compare():
                values = [self._part(part, arrays, NUMERIC) for part in (node.left, *node.comparators)]
                result: Values = True
                with self._at(node):
                    for op, left, right in zip(node.ops, values[:-1], values[1:], strict=True):
                        result = np.logical_and(result, _COMPARE[type(op)](left, right))
                return result
        raise TypeError(f"{ast.unparse(node)!r} has no value")


def names(text: str | float | int | bool) -> set[str]:
    """Branches that an expression reads.

    >>> sorted(names("pt * cosh(eta) > 20 + pi"))
    ['eta', 'pt']
    """
    return set(Expression(text).names)
