"""Values of expressions over branches: `truth_m: "mass / 1000"`, `pass_reco: "(pt > 150) & (nJet > 0)"`.

The grammar is in `truthward.study.syntax`. The text is evaluated from its syntax tree; nothing is executed.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping

import awkward as ak
import numpy as np

from truthward.errors import InputError, nearest
from truthward.events.functions import FUNCTIONS, Values, double, is_condition, place_of
from truthward.study.syntax import Syntax, function_of, number_of

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


class Expression(Syntax):
    """An expression that can be evaluated.

    A branch named as a constant (`pi`, `True`) has the branch's values; `Jet_pt[0]` is NaN in events without a jet.

    >>> Expression("sqrt(px**2 + py**2) / 1000").evaluate({"px": np.array([3000.0]), "py": np.array([4000.0])})
    array([5.])
    """

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
                branch of the wrong type (a list as a number, a number as a condition).
        """
        for name in sorted(self.names):
            if name not in arrays:
                raise InputError(f"expression {self.text!r}: no branch {name}; {nearest(name, arrays)}")
        if (name := self.name_of(self.tree)) in arrays:
            return arrays[name]
        try:
            with np.errstate(all="ignore"):
                return self._value(self.tree, arrays)
        except (ValueError, TypeError, IndexError) as error:
            # awkward and numpy raise these for lists of different lengths; their own messages are a screen long.
            reason = str(error).splitlines()[0]
            raise InputError(
                f"expression {self.text!r}: its branches do not fit together ({reason}); lists need equal lengths "
                "in each event, and conditions are joined as (a > 1) & (b < 2)"
            ) from error

    def _value(self, node: ast.expr, arrays: Mapping[str, Values]) -> Values:
        match node:
            case ast.Constant(value=bool()):
                return arrays.get(str(node.value), node.value)
            case ast.Constant(value=int() | float() as value):
                return np.float64(value)
            case ast.Name() | ast.Attribute():
                name = self.name_of(node)
                return np.float64(np.pi) if name == "pi" and name not in arrays else arrays[name]
            case ast.BinOp(op=ast.Pow()):
                return double(self._value(node.left, arrays)) ** number_of(node.right)
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
            case ast.Subscript(slice=ast.Constant(value=int() as place)):
                return place_of(arrays[self.name_of(node.value)], place)
            case ast.Call():
                function = function_of(node)
                values = [self._value(part, arrays) for part in node.args]
                if function in _LISTS and not all(isinstance(value, ak.Array) for value in values):
                    raise TypeError(f"{function} needs a branch with a list per event")
                if function == "where":
                    return FUNCTIONS["where"](
                        self._condition(node.args[0], arrays), double(values[1]), double(values[2])
                    )
                return FUNCTIONS[function](*(double(value) for value in values))
        raise TypeError(f"{ast.unparse(node)!r} has no value")

    def _condition(self, node: ast.expr, arrays: Mapping[str, Values]) -> Values:
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
