"""The grammar of expressions over branches and columns. A dry run needs it, so it works without numpy.

Valid: numbers, names of branches (any characters between backticks), `pi`, `True`, `False`; `+ - * / **` (the exponent
is a number from -16 to 16); comparisons, also chained ones; `& | ~` between conditions, with parentheses around
comparisons; the functions of `signatures.FUNCTIONS`; lists with a place, an index or a mask, as `Jet_pt[0]`,
`GenJet_pt[Jet_genJetIdx]` and `Jet_pt[Jet_eta > 0]`; attributes of vectors, as `(jets[0] + jets[1]).mass`. All of it
with examples: `docs/expressions.md`. The text is parsed, never executed.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from functools import cached_property

from truthward.errors import ConfigError, nearest
from truthward.study.signatures import (
    ANY,
    ATTRIBUTES,
    CONDITION,
    FUNCTIONS,
    INDEX,
    NUMBER,
    NUMERIC,
    RESERVED,
    VECTOR,
    WHOLE,
    Kind,
    added,
)

LONGEST = 1000
"""Characters of an expression, at most."""
DEEPEST = 100
"""Nested operations, at most."""
LARGEST_POWER = 16
CONSTANTS = ("pi", "True", "False")
"""Values of these names, unless there is a branch with such a name."""
FARTHEST = 1000
"""Beyond the places in a list that a number may name."""
BITS = 64

_SUM = (ast.Add, ast.Sub)
_PRODUCT = (ast.Mult, ast.Div)
_LOGIC = (ast.BitAnd, ast.BitOr)
_COMPARE = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
_NEEDED = {
    CONDITION: "a condition is needed (join conditions as (a > 1) & (b < 2))",
    NUMERIC: "a number is needed (take an attribute, such as .pt)",
    INDEX: "a condition or an index is needed (a branch of whole numbers, argmax(..) or 2)",
    WHOLE: "a branch of whole numbers is needed",
}
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
        self._kinds = self._need(NUMERIC, self.tree, 0)

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
        """Branches that the expression tests with `isfinite` or `either`: they may have NaN."""
        calls = [node for node in ast.walk(self.tree) if function_of(node) in ("isfinite", "either")]
        return frozenset(name for call in calls for name in self._names(call))

    @property
    def kind(self) -> Kind | None:
        """`CONDITION` or `NUMBER` if the text alone shows it, else None."""
        if self._kinds == CONDITION:
            return CONDITION
        return None if self._kinds & CONDITION else NUMBER

    def name_of(self, node: ast.AST) -> str:
        """Branch that a node names, with dots (`Jet.PT` of Delphes); empty if it names none."""
        if isinstance(node, ast.Name):
            return self._quoted.get(node.id, node.id)
        if not isinstance(node, ast.Attribute):
            return ""
        owner = self.name_of(node.value)
        return f"{owner}.{self.attribute_of(node)}" if owner else ""

    def attribute_of(self, node: ast.Attribute) -> str:
        """The last part of a name with dots, or what stands behind an expression and a dot."""
        return self._quoted.get(node.attr, node.attr)

    def place(self, node: ast.expr) -> str:
        """Where a node begins, or the name of an attribute, for messages."""
        line, column = node.lineno, node.col_offset
        if isinstance(node, ast.Attribute) and not self.name_of(node):
            line, column = node.end_lineno or line, (node.end_col_offset or 0) - len(node.attr.encode())
        # Python counts bytes of UTF-8 here.
        text = self._plain.split("\n")[line - 1].encode("utf-8", "replace")
        return self._place(line, len(text[:column].decode("utf-8", "replace")) + 1)

    def refuse(self, reason: str, node: ast.expr | None = None) -> ConfigError:
        """The error to raise, with the place of the node at fault."""
        where = "" if node is None else self.place(node)
        return ConfigError(
            f"expression {self.text!r}: {reason}{where}; valid: numbers, branch names (other characters than letters, "
            "digits and _ between backticks), + - * / **, comparisons, (..) & (..), (..) | (..), ~(..), list[0], "
            f"list[index], list[condition], vector.pt, and {', '.join(FUNCTIONS)}"
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

    def _place(self, line: int | None, column: int | None) -> str:
        if not line or not column:
            return " at its end" if self.text else ""
        before = sum(len(each) + 1 for each in self._plain.split("\n")[: line - 1])
        return f" at character {min(before + column, len(self.text) + 1)}"

    def _need(self, wanted: Kind, node: ast.expr, depth: int) -> Kind:
        """What a node may be, which must be something of `wanted`."""
        if (found := self._check(node, depth)) & wanted:
            return found
        given = "a condition" if found == CONDITION else "a number" if found & NUMERIC else "a vector"
        raise self.refuse(f"{given} where {_NEEDED[wanted]},", node)

    def _check(self, node: ast.expr, depth: int) -> Kind:
        """What a node may be. Raises ConfigError for what is wrong whatever the branches are."""
        if depth > DEEPEST:
            raise self.refuse(f"nested more than {DEEPEST} deep")
        depth += 1
        match node:
            case ast.Constant(value=bool()):
                return ANY
            case ast.Constant(value=int() | float() as value):
                if abs(value) > 2**63:
                    raise self.refuse("a number beyond 2^63", node)
                return NUMBER
            case ast.Name() | ast.Attribute() if name := self.name_of(node):
                if isinstance(node, ast.Name) and node.id in RESERVED:
                    raise self.refuse(f"{name} needs arguments in parentheses", node)
                return ANY
            case ast.Attribute():
                return self._check_attribute(node, self._check(node.value, depth))
            case ast.BinOp(op=ast.Pow()):
                if abs(number_of(node.right) or 0.0) > LARGEST_POWER or number_of(node.right) is None:
                    reason = f"an exponent must be a number from -{LARGEST_POWER} to {LARGEST_POWER},"
                    raise self.refuse(reason, node.right)
                self._need(NUMERIC, node.left, depth)
                return NUMBER
            case ast.BinOp() if type(node.op) in _SUM:
                if not (kind := added(self._check(node.left, depth), self._check(node.right, depth))):
                    raise self.refuse("a vector and a number have no sum or difference,", node)
                return kind
            case ast.BinOp() if type(node.op) in _PRODUCT + _LOGIC:
                wanted, kind = (CONDITION, CONDITION) if type(node.op) in _LOGIC else (NUMERIC, NUMBER)
                for part in (node.left, node.right):
                    self._need(wanted, part, depth)
                return kind
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                self._need(NUMERIC, node.operand, depth)
                return NUMBER
            case ast.UnaryOp(op=ast.Invert()):
                self._need(CONDITION, node.operand, depth)
                return CONDITION
            case ast.Compare() if all(type(op) in _COMPARE for op in node.ops):
                for part in (node.left, *node.comparators):
                    self._need(NUMERIC, part, depth)
                return CONDITION
            case ast.Subscript() if not isinstance(node.value, ast.Constant):
                return self._check_element(node, depth)
            case ast.Call(func=ast.Name(), keywords=[]) if function_of(node) in FUNCTIONS:
                return self._check_call(node, function_of(node), depth)
            case ast.Call(func=ast.Name()):
                name = self.name_of(node.func)
                raise self.refuse(f"there is no function {name}; {nearest(name, FUNCTIONS)},", node)
        shown = ast.unparse(node)[:40]
        for made, quoted in self._quoted.items():
            shown = shown.replace(made, f"`{quoted}`")
        raise self.refuse(f"{shown!r} is not allowed,", node)

    def _check_attribute(self, node: ast.Attribute, owner: Kind) -> Kind:
        name = self.attribute_of(node)
        if owner & Kind.RECORD:
            return ANY
        if not owner & VECTOR:
            raise self.refuse(f"only vectors have attributes such as .{name}; a number is", node.value)
        if name not in ATTRIBUTES:
            raise self.refuse(f"a vector has no attribute {name}; {nearest(name, ATTRIBUTES)},", node)
        return NUMBER

    def _check_element(self, node: ast.Subscript, depth: int) -> Kind:
        place = number_of(node.slice)
        if place is not None or isinstance(node.slice, ast.Constant):
            if whole_of(node.slice) is None or abs(place or 0.0) >= FARTHEST:
                raise self.refuse(
                    f"a place in a list must be a whole number from {1 - FARTHEST} to {FARTHEST - 1},", node.slice
                )
        else:
            self._need(INDEX, node.slice, depth)
        return self._check(node.value, depth)

    def _check_call(self, node: ast.Call, name: str, depth: int) -> Kind:
        takes, gives, optional = FUNCTIONS[name]
        if not len(takes) - optional <= len(node.args) <= len(takes):
            wanted = f"{len(takes) - optional} to {len(takes)}" if optional else f"{len(takes)}"
            raise self.refuse(f"{name} takes {wanted} argument(s), {len(node.args)} given,", node)
        kinds = [self._need(kind, part, depth) for kind, part in zip(takes, node.args, strict=False)]
        if name == "bit" and whole_of(node.args[1]) not in range(BITS):
            raise self.refuse(f"a bit must be a number from 0 to {BITS - 1},", node.args[1])
        if name == "sum":
            return added(kinds[0], kinds[0])
        return kinds[0] if gives is None else gives

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


def whole_of(node: ast.AST) -> int | None:
    """Value of a number without a decimal point, signed or not, else None."""
    digits = node.operand if isinstance(node, ast.UnaryOp) else node
    value = number_of(node)
    return None if value is None or not isinstance(getattr(digits, "value", None), int) else int(value)


def function_of(node: ast.AST) -> str:
    """Name of the function that a node calls, else nothing."""
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
