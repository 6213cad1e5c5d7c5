"""Expressions drawn at random: numpy's own value of the same tree, or a typed error, soon and in little memory."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from typing import Any

import awkward as ak
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from truthward.errors import ConfigError, InputError
from truthward.events.expression import Expression
from truthward.study.signatures import FUNCTIONS
from truthward.study.syntax import DEEPEST, LONGEST

QUICK = settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
X = np.array([-3.0, -0.5, 0.0, 0.25, 2.0, 1e6])
N = np.array([0, 1, 2, 3, 5, 8], dtype=np.int32)
GOOD = np.array([True, False, True, True, False, True])
ROWS = [[1.0, 2.0], [], [3.0], [4.0, -5.0, 6.0], [np.nan], []]
OTHER = [[3.0, 3.0], [], [-1.0], [2.0, 0.0, 2.0], [7.0], []]
TO = [[0, 1, -1], [0], [], [2, 9], [0], []]
LISTS = ak.Array(ROWS)
JETS = ak.zip({"pt": abs(LISTS), "eta": LISTS / 9, "phi": ak.Array(OTHER), "mass": 1.0, "id": ak.Array(OTHER) > 0})
BRANCHES = {
    "x": X,
    "n": N,
    "good": GOOD,
    "lists": LISTS,
    "other": ak.Array(OTHER),
    "to": ak.Array(TO),
    "nested": ak.Array([[row, []] for row in ROWS]),
    "jets": JETS,
    "Jet.PT": X,
    "text": np.array(list("abcdef")),
}

OPERATORS = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.true_divide}
COMPARISONS = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}
LOGIC = {"&": np.logical_and, "|": np.logical_or}
ONE = ("sqrt", "log", "log10", "exp", "sin", "cos", "tan", "arctan", "sinh", "cosh", "tanh", "floor", "abs")
TWO = ("arctan2", "hypot", "minimum", "maximum")
LEAVES = {
    "x": X,
    "n": N.astype(float),
    "Jet.PT": X,
    "pi": np.float64(np.pi),
    "count(lists)": np.array([2.0, 0.0, 1.0, 3.0, 1.0, 0.0]),
    "sum(lists)": np.array([3.0, 0.0, 3.0, 5.0, np.nan, 0.0]),
    "lists[0]": np.array([1.0, np.nan, 3.0, 4.0, np.nan, np.nan]),
    "lists[2]": np.array([np.nan, np.nan, np.nan, 6.0, np.nan, np.nan]),
}

Tree = tuple[str, Any]
"""The text, and numpy's value, made as the tree grows and not by any parser."""


@st.composite
def number(draw: st.DrawFn, depth: int) -> Tree:
    ways = ["leaf", "value", "pair", "one", "two", "minus", "power", "where", "list"]
    how = draw(st.sampled_from(ways[: 2 if depth == 0 else 9]))
    if how == "leaf":
        return draw(st.sampled_from(list(LEAVES.items())))
    if how == "value":
        value = draw(st.one_of(st.integers(0, 1000).map(float), st.floats(0, 1e6)))
        return repr(value), np.float64(value)
    if how == "list":
        name = draw(st.sampled_from(list(REDUCED)))
        text, rows = draw(lists(depth - 1))
        return f"{name}({text})", np.array([REDUCED[name](np.array(row, dtype=float)) for row in rows])
    text, value = draw(number(depth - 1))
    if how == "one":
        name = draw(st.sampled_from(ONE))
        return f"{name}({text})", getattr(np, name)(value)
    if how == "minus":
        return f"-({text})", -value
    if how == "power":
        power = draw(st.sampled_from([-2, -1, 0, 0.5, 2, 3, 16]))
        return f"({text})**{power}", np.power(np.asarray(value), np.float64(power))
    other, second = draw(number(depth - 1))
    if how == "pair":
        symbol = draw(st.sampled_from(list(OPERATORS)))
        return f"({text}) {symbol} ({other})", OPERATORS[symbol](value, second)
    if how == "two":
        name = draw(st.sampled_from(TWO))
        return f"{name}({text}, {other})", getattr(np, name)(value, second)
    asked, truth = draw(condition(depth - 1))
    return f"where({asked}, {text}, {other})", np.where(truth, value, second)


def _or_nan(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda row: function(row) if len(row) else np.nan


def _place(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda row: function(row) if len(row) and not np.isnan(row).any() else -1


REDUCED: dict[str, Callable[[Any], Any]] = {
    "sum": lambda row: sum(row, start=0.0),
    "count": len,
    "min": _or_nan(np.min),
    "max": _or_nan(np.max),
    "mean": _or_nan(lambda row: sum(row, start=0.0) / len(row)),
    "first": _or_nan(lambda row: row[0]),
    "argmin": _place(np.argmin),
    "argmax": _place(np.argmax),
}
Rows = tuple[str, list[Any]]
"""The text, and for each event the list that loops make of it."""


@st.composite
def lists(draw: st.DrawFn, depth: int) -> Rows:
    """Lists of numbers, of any lengths."""
    how = draw(st.sampled_from(["leaf", "each", "mask", "index", "sort", "sort by"][: 1 if depth < 1 else 6]))
    if how == "leaf":
        return draw(st.sampled_from([("lists", ROWS), ("other", OTHER), ("nested[0]", ROWS)]))
    text, rows = draw(lists(depth - 1))
    if how == "index":
        return f"({text})[to]", [
            [row[i] if 0 <= i < len(row) else np.nan for i in to] for row, to in zip(rows, TO, strict=True)
        ]
    if how == "sort":
        return f"sort({text})", [list(np.array(row)[_falling(row)]) for row in rows]
    # What is computed of the same lists has their lengths.
    symbol = draw(st.sampled_from(list(OPERATORS)))
    factor, numbers = draw(number(depth - 1))
    numbers = np.broadcast_to(numbers, X.shape)
    other = f"({text}) {symbol} ({factor})"
    made = [list(OPERATORS[symbol](np.array(row, dtype=float), n)) for row, n in zip(rows, numbers, strict=True)]
    if how == "each":
        return other, made
    if how == "sort by":
        return f"sort({text}, {other})", [list(np.array(row)[_falling(by)]) for row, by in zip(rows, made, strict=True)]
    sign = draw(st.sampled_from(list(COMPARISONS)))
    kept = [
        [x for x, y in zip(row, by, strict=True) if COMPARISONS[sign](y, 1)] for row, by in zip(rows, made, strict=True)
    ]
    return f"({text})[{other} {sign} 1]", kept


def _falling(by: list[float]) -> np.ndarray:
    key = np.array(by, dtype=float)
    return np.argsort(-np.where(np.isnan(key), -np.inf, key), kind="stable")


@st.composite
def condition(draw: st.DrawFn, depth: int) -> Tree:
    how = draw(st.sampled_from(["leaf", "compare", "chain", "finite", "logic", "not"][: 1 if depth == 0 else 6]))
    if how == "leaf":
        return "good", GOOD
    if how in ("logic", "not"):
        text, value = draw(condition(depth - 1))
        if how == "not":
            return f"~({text})", np.logical_not(value)
        symbol = draw(st.sampled_from(list(LOGIC)))
        other, second = draw(condition(depth - 1))
        return f"({text}) {symbol} ({other})", LOGIC[symbol](value, second)
    text, value = draw(number(depth - 1))
    if how == "finite":
        return f"isfinite({text})", np.isfinite(value)
    symbol = draw(st.sampled_from(list(COMPARISONS)))
    other, second = draw(number(depth - 1))
    if how == "compare":
        return f"({text}) {symbol} ({other})", COMPARISONS[symbol](value, second)
    return f"0 < ({text}) {symbol} ({other})", (value > 0) & COMPARISONS[symbol](value, second)


@QUICK
@given(data=st.data())
def test_a_tree_has_numpys_value(data: st.DataObject) -> None:
    with np.errstate(all="ignore"):
        text, expected = data.draw(st.one_of(number(4), condition(4)))
    if len(text) > LONGEST:
        with pytest.raises(ConfigError, match="characters"):
            Expression(text)
        return
    found = Expression(text).evaluate(BRANCHES)
    np.testing.assert_array_equal(np.broadcast_to(found, X.shape), np.broadcast_to(expected, X.shape))


@QUICK
@given(data=st.data(), start=st.integers(0, 6), size=st.integers(0, 6))
def test_lists_have_the_values_of_loops_in_any_chunk(data: st.DataObject, start: int, size: int) -> None:
    with np.errstate(all="ignore"):
        text, rows = data.draw(lists(4))
    if len(text) > LONGEST:
        return
    part = {name: values[start : start + size] for name, values in BRANCHES.items()}
    found = Expression(text).evaluate(part)
    assert isinstance(found, ak.Array)
    assert [len(row) for row in found] == [len(row) for row in rows[start : start + size]]
    flat = [x for row in rows[start : start + size] for x in row]
    np.testing.assert_array_equal(ak.to_numpy(ak.flatten(found)), np.array(flat, dtype=float))


WORDS = """x n good lists other to nested jets text Jet PT pi sqrt where count sum min any first argmax sort bit p4
delta_phi pt mass isfinite lambda import if else for in not and or is await
async yield None True False ... __import__ __class__ os exec eval 0 1 2 1e308 1e309 9999999999999999999999 1j 'a' b''
f'{x}' + - * / // % ** @ << >> & | ^ ~ < <= > >= == != ( ) [ ] { } , : . ; = := -> ! # \\ """
TOKENS = [*WORDS.split(), "\n", "\t"]


@QUICK
@given(tokens=st.lists(st.sampled_from(TOKENS), max_size=25), glue=st.sampled_from(["", " "]))
def test_any_sequence_of_tokens_is_a_value_or_a_typed_error(tokens: list[str], glue: str) -> None:
    _value_or_typed_error(glue.join(tokens))


@QUICK
@given(text=st.text(max_size=60))
def test_any_text_is_a_value_or_a_typed_error(text: str) -> None:
    _value_or_typed_error(text)


SOME = ["x", "n", "good", "lists", "to", "nested", "jets", "jets.eta", "few", "fixed", "text", "True", "2", "-1", "1.5"]
ODD = {
    "few": ak.Array([[1, None], None, [3], [], [None], [2, 3]]),
    "fixed": np.arange(24, dtype=np.uint8).reshape(6, 2, 2),
}


def untyped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Texts of all that the grammar has, whatever the parts may be."""
    calls = st.sampled_from(sorted(FUNCTIONS)).flatmap(
        lambda name: st.lists(inner, min_size=(n := len(FUNCTIONS[name].takes)), max_size=n).map(
            lambda parts: f"{name}({', '.join(parts)})"
        )
    )
    signs = st.sampled_from(["+", "-", "*", "/", "&", "|", "<", "=="])
    return st.one_of(
        calls,
        st.tuples(inner, signs, inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, inner).map(lambda t: f"{t[0]}[{t[1]}]"),
        st.tuples(inner, st.sampled_from(["pt", "mass", "rapidity", "id"])).map(lambda t: f"({t[0]}).{t[1]}"),
        st.tuples(st.sampled_from("-~"), inner).map("".join),
    )


@QUICK
@given(text=st.recursive(st.sampled_from(SOME), untyped, max_leaves=8), rows=st.sampled_from([0, 1, 6]))
def test_any_sentence_of_the_grammar_is_a_value_or_a_typed_error(text: str, rows: int) -> None:
    _value_or_typed_error(text, {name: values[:rows] for name, values in (BRANCHES | ODD).items()})


def _value_or_typed_error(text: str, branches: Mapping[str, Any] = BRANCHES) -> None:
    try:
        found = Expression(text).evaluate(branches)
    except (ConfigError, InputError):
        return
    assert isinstance(found, np.ndarray | np.generic | ak.Array | bool | int | float)


REFUSED = [
    "x.__class__",  # an attribute is a dotted branch name, never looked up: an unknown branch
    "x.__class__.__mro__[0]",
    "().__class__.__bases__",
    "[y for y in x]",
    "{y for y in x}",
    "{y: y for y in x}",
    "(y for y in x)",
    "[*x]",
    "{**x}",
    "sqrt(*x)",
    "sqrt(**x)",
    "lambda: x",
    "(lambda: x)()",
    "(y := x)",
    "f'{x}'",
    "f'{x!r:>{n}}'",
    "'a' * 10",
    "b'a'",
    "'%s' % x",
    "x if good else n",
    "good and good",
    "not good",
    "x @ n",
    "x % n",
    "x // n",
    "x << 100000",
    "1 << 10000000000",
    "x ** n",
    "x ** 10 ** 10",
    "10 ** 10 ** 10",
    "9 ** 9 ** 9 ** 9",
    "2 ** 17",
    "x * 10 ** 400",
    "x * 1" + "0" * 400,
    "0x" + "f" * 400,
    "1e400",
    "-1e999",
    "1j",
    "...",
    "None",
    "await x",
    "(yield x)",
    "x[n]",
    "x[0:1]",
    "x[::2]",
    "x[...]",
    "x[-1]",
    "lists[1000]",
    "lists[10**9]",
    "lists[True]",
    "lists[0][0]",
    "sqrt(x)(n)",
    "sqrt(x).real",
    "x.real()",
    "__import__('os')",
    "open('x')",
    "getattr(x, 'a')",
    "exec('1')",
    "sqrt(x=x)",
    "where(good)",
    "x; n",
    "x = n",
    "x\nn",
    "import os",
    "del x",
    "x\x00",
    "\ud800",
    "(" * 500 + "x" + ")" * 500,
    "-" * 900 + "x",
    "~" * 900 + "good",
    "sqrt(" * 190 + "x" + ")" * 190,
    "x" + "+x" * 499,
    "[" * 900,
    "x." + "y." * 300 + "z",
    "1" * 999,
    "x" * 1001,
]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: ascii(text[:24]))
def test_refused_at_once(text: str) -> None:
    before, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((ConfigError, InputError)) as caught:
        Expression(text).evaluate(BRANCHES)
    assert len(str(caught.value).splitlines()) == 1
    # Not a measurement of speed: what is held against is a computer busy until it is switched off.
    assert time.process_time() - before < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 500_000


def test_the_longest_and_deepest_that_are_allowed_are_evaluated() -> None:
    deep = "sqrt(" * (DEEPEST - 1) + "n" + ")" * (DEEPEST - 1)
    assert np.isfinite(Expression(deep).evaluate(BRANCHES)).all()
    chain = "x" + "<x" * ((LONGEST - 1) // 2)
    assert not Expression(chain).evaluate(BRANCHES).any()


def test_memory_goes_with_the_branch_and_not_with_the_text() -> None:
    # Each operation makes an array of a branch's length, and at most as many are alive as the tree is deep.
    many = np.ones(200_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    text = "+".join(["x*x"] * 90)
    assert Expression(text).evaluate({"x": many})[0] == 90.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
