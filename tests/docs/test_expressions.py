"""The page of expressions: each example has the value that the page says, and all functions are on it."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import awkward as ak
import numpy as np
import pytest

from tests.docs.blocks import BLOCKS, ROOT
from truthward.errors import ConfigError
from truthward.events.expression import Expression
from truthward.study.signatures import ATTRIBUTES, FUNCTIONS

PAGE = "docs/expressions.md"
MINE = [block for block in BLOCKS if block.page == PAGE]
EXAMPLES = [
    tuple(part.strip() for part in line.split(" -> "))
    for block in MINE
    for line in block.text.splitlines()
    if " -> " in line
]


@pytest.fixture(scope="module")
def event() -> dict[str, Any]:
    """Branches of one event."""
    (text,) = (block.text for block in MINE if block.language == "json")
    return {
        name: ak.Array([value]) if isinstance(value, list) else np.array([value])
        for name, value in json.loads(text).items()
    }


def close(found: Any, expected: Any) -> bool:
    """Whether nested lists have the same numbers, to the digits that the page has."""
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    if isinstance(expected, bool):
        return found is expected
    return math.isnan(found) if math.isnan(expected) else abs(found - expected) < 1e-6


@pytest.mark.parametrize(("text", "said"), EXAMPLES, ids=[text for text, _ in EXAMPLES])
def test_example_has_the_value_of_the_page(event, text, said):
    (found,) = ak.to_list(Expression(text).evaluate(event))
    assert close(found, json.loads(said)), found


def test_a_wrong_value_would_be_found():
    assert not close([1.0, 2.0], [1, 2.1])
    assert not close([1.0], [1, 2])
    assert not close(1.0, float("nan"))
    assert not close(1, True)


def test_all_that_is_valid_is_on_the_page():
    table = (ROOT / PAGE).read_text(encoding="utf-8").partition("## One value per event")[0]
    words = set(re.findall(r"[\w.]+", table))
    assert set(FUNCTIONS) <= words
    assert {f".{name}" for name in ATTRIBUTES} <= words
    used = " ".join(text for text, _ in EXAMPLES)
    plain = [name for name in FUNCTIONS if FUNCTIONS[name].takes != FUNCTIONS["sqrt"].takes]
    assert [name for name in plain if f"{name}(" not in used] == ["arctan2", "minimum", "maximum"]


def test_the_message_of_the_page_is_the_real_one():
    (said,) = (line for block in MINE for line in block.text.splitlines() if line.startswith("expression "))
    with pytest.raises(ConfigError) as caught:
        Expression(re.findall("'(.*?)'", said)[0])
    assert str(caught.value).startswith(f"{said}; valid: ")
