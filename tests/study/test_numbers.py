"""Numbers are written with the digits that their spread leaves, and never as a zero that they are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truthward.study.numbers import measured


@pytest.mark.parametrize(
    ("value", "spread", "said"),
    [
        (31.46, 4.52, "31.5 ± 4.5"),
        (31.46, 45.2, "31 ± 45"),
        (0.50312, 0.00214, "0.5031 ± 0.0021"),
        (-0.0001, 0.02, "0.000 ± 0.020"),
        (0.0002, 0.00004, "(2.00 ± 0.40)e-04"),
        (-1e-20, None, "-1e-20"),
        (0.25, 1e-12, "0.25"),
        (-0.0, 0.0, "0"),
    ],
)
def test_digits_are_those_of_the_spread(value, spread, said) -> None:
    assert measured(value, spread) == said


@given(st.floats(1e-8, 1e6), st.floats(1e-8, 1e6), st.integers(0, 5))
def test_a_value_is_written_within_its_spread(value, spread, most) -> None:
    mantissa, _, power = measured(-value, spread, most).strip("(").partition(")e")
    found, error = (float(part) * 10 ** float(power or 0) for part in mantissa.split("±"))
    assert abs(found + value) <= spread
    assert error == pytest.approx(spread, rel=0.5)
    assert "-0.0 " not in mantissa
