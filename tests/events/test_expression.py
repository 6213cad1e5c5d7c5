"""Expressions: the right result against numpy, or a typed error; never anything else, and never any execution."""

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truthward.errors import ConfigError, InputError
from truthward.events.expression import Expression

A = np.array([-2.0, 0.0, 0.5, 3.0])
B = np.array([1, 2, 3, 4], dtype=np.int16)
JETS = ak.Array([[50.0, 20.0], [], [30.0], [90.0, 80.0, 70.0]])
BRANCHES = {"a": A, "b": B, "jets": JETS}

number = st.floats(-100, 100).map(lambda x: (repr(x), np.float64(x)))
branch = st.sampled_from([("a", A), ("b", B.astype(np.float64))])


def combined(children):
    binary = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.true_divide}
    unary = {"abs": np.abs, "sqrt": np.sqrt, "exp": np.exp, "tanh": np.tanh, "log": np.log}
    pairs = {"hypot": np.hypot, "maximum": np.maximum, "arctan2": np.arctan2}
    return st.one_of(
        st.tuples(st.sampled_from(list(binary)), children, children).map(
            lambda t: (f"({t[1][0]} {t[0]} {t[2][0]})", binary[t[0]](t[1][1], t[2][1]))
        ),
        st.tuples(st.sampled_from(list(unary)), children).map(lambda t: (f"{t[0]}({t[1][0]})", unary[t[0]](t[1][1]))),
        st.tuples(st.sampled_from(list(pairs)), children, children).map(
            lambda t: (f"{t[0]}({t[1][0]}, {t[2][0]})", pairs[t[0]](t[1][1], t[2][1]))
        ),
        children.map(lambda c: (f"(-{c[0]})", -c[1])),
        children.map(lambda c: (f"({c[0]})**2", c[1] ** 2.0)),
        st.tuples(children, children).map(
            lambda t: (f"where({t[0][0]} > {t[1][0]}, 1, {t[0][0]})", np.where(t[0][1] > t[1][1], 1.0, t[0][1]))
        ),
    )


@pytest.fixture(autouse=True)
def _quiet():
    with np.errstate(all="ignore"):
        yield


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_agrees_with_numpy(data):
    with np.errstate(all="ignore"):
        text, expected = data.draw(st.recursive(st.one_of(number, branch), combined, max_leaves=8))
    if len(text) > 900:
        return
    np.testing.assert_array_equal(Expression(text).evaluate(BRANCHES), expected)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(text=st.one_of(st.text(max_size=40), st.text("ab1.()[]+-*/%&|~<>=,!'\":_ jets\n\\{}@;", max_size=40)))
def test_any_text_gives_a_value_or_a_typed_error(text):
    try:
        Expression(text).evaluate(BRANCHES)
    except (ConfigError, InputError):
        pass


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "a.__class__()",
        "(lambda: 1)()",
        "[x for x in a]",
        "a if b else 1",
        "a and b",
        "'text'",
        "a[1.0]",
        "a[1000]",
        "a[b + 1]",
        "a[0:2]",
        "3[0]",
        "a ** b",
        "a ** 17",
        "9**9**9",
        "1e400",
        "f'{a}'",
        "sqrt",
        "sqrt(a, b)",
        "sqrt(x=a)",
        "bit(a, b)",
        "bit(a, 64)",
        "sort(a, b, a)",
        "sqrt(a).pt",
        "p4(a, a, a, a)",
        "p4(a, a, a, a).size",
        "p4(a, a, a, a) + 1",
        "sum(p4(a, a, a, a)) > 1",
        "a % 2",
        "a // 2",
        "a is b",
        "",
        "a = 3",
        "a\x00",
        "1j",
        "(" * 300 + "a" + ")" * 300,
        "-" * 500 + "a",
        "a + " * 400 + "a",
    ],
)
def test_what_is_not_on_the_list_is_refused(text):
    with pytest.raises(ConfigError, match="expression"):
        Expression(text)


def test_names_and_guards():
    expression = Expression("where(isfinite(x), x, 0) * cosh(eta) + Jet.PT[0] + pi")
    assert expression.names == {"x", "eta", "Jet.PT"}
    assert expression.constants == {"pi"}
    assert expression.guarded == {"x"}
    assert Expression(1.5).names == set()


def test_unknown_branch_offers_the_nearest():
    with pytest.raises(
        InputError, match=r"expression 'reco_mas / 1000': no branch reco_mas, at character 1; nearest names: reco_mass"
    ):
        Expression("reco_mas / 1000").evaluate({"reco_mass": A, "other": A})
    with pytest.raises(ConfigError, match="no function sqr; nearest names: sqrt"):
        Expression("sqr(a)")


def test_conditions():
    np.testing.assert_array_equal(Expression("(a > 0) & ~(b == 4)").evaluate(BRANCHES), [False, False, True, False])
    np.testing.assert_array_equal(Expression("-1 < a <= 0.5").evaluate(BRANCHES), [False, True, True, False])
    for text, place in (("a & b", 1), ("~a", 2), ("where(a, 1, 2)", 7), ("any(jets)", 5)):
        with pytest.raises(InputError, match=rf", at character {place}; conditions are joined as"):
            Expression(text).evaluate(BRANCHES)
    # What is wrong whatever the branches are is refused without them.
    for text, place in (("a > 1 & b < 3", 5), ("~(a + b)", 3), ("where(1 - a, 1, 2)", 7), ("(a > 1) | 3", 11)):
        with pytest.raises(ConfigError, match=rf"a number where a condition is needed .*, at character {place};"):
            Expression(text)


def test_small_integers_do_not_wrap():
    small = np.array([200], dtype=np.uint8)
    assert Expression("n + n").evaluate({"n": small}) == 400
    assert Expression("n * 1000").evaluate({"n": small}) == 200_000
    assert Expression("1 - n").evaluate({"n": small}) == -199


def test_a_plain_name_keeps_all_64_bits():
    ids = np.array([2**64 - 1, 2**53 + 1], dtype=np.uint64)
    assert Expression("event").evaluate({"event": ids}) is ids


def test_jagged_branches():
    np.testing.assert_array_equal(Expression("jets[0] / 10").evaluate(BRANCHES), [5.0, np.nan, 3.0, 9.0])
    np.testing.assert_array_equal(Expression("count(jets)").evaluate(BRANCHES), [2, 0, 1, 3])
    np.testing.assert_array_equal(Expression("sum(where(jets > 25, jets, 0))").evaluate(BRANCHES), [50, 0, 30, 240])
    assert ak.to_list(Expression("jets / (b + 0)").evaluate(BRANCHES)[0]) == [50.0, 20.0]
    with pytest.raises(InputError, match="lists need equal lengths"):
        Expression("jets + other").evaluate(BRANCHES | {"other": ak.Array([[1.0], [], [1.0], [1.0]])})
    with pytest.raises(InputError, match="needs a branch with a list per event"):
        Expression("a[0]").evaluate(BRANCHES)
    with pytest.raises(InputError, match="text where a number"):
        Expression("label + 1").evaluate({"label": np.array(["x", "y"])})
