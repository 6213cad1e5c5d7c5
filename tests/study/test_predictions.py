"""What the section `compare` may hold, and what a mistake in it says."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from truthward.errors import ConfigError
from truthward.study import checks

TINY = yaml.safe_load((Path(__file__).parents[2] / "workflow" / "studies" / "tiny.yaml").read_text(encoding="utf-8"))
READ = {"kind": "flat_tree", "files": ["a.root"], "branches": {"truth_x0": "x"}}


def study(predictions: object, **changes: object) -> dict:
    return copy.deepcopy(TINY) | {"compare": {"predictions": predictions}} | changes


def test_a_prediction_is_a_reader_and_a_label() -> None:
    config = checks.parse(study({"herwig": {"read": READ, "label": "Herwig 7"}}))
    assert config.stages()[-3:] == ["publish", "compare", "report"]
    assert config.published_observables() == ["x0"]
    assert not config.compare.absolute
    assert "compare" not in checks.parse(TINY).stages()


@pytest.mark.parametrize(
    ("predictions", "changes", "message"),
    [
        ({}, {}, r"compare\.predictions: "),
        ({"a": {"read": READ}}, {"publish": None}, "add the section `publish`"),
        ({"a b": {"read": READ}}, {}, r"compare\.predictions: 'a b' is not a valid name"),
        ({"a": {"read": READ}, "b": {"read": READ, "label": "a"}}, {}, "two of them have the label 'a'"),
        ({"a": {"read": READ | {"kind": "flat_three"}}}, {}, r"compare\.predictions\.a\.read\.kind"),
        ({"a": {"read": READ | {"branches": {"truth_x1": "x"}}}}, {}, "truth_x0 is not there, but omnifold unfolds x0"),
        ({"a": {"read": READ | {"branches": {"truth_x0": "x +"}}}}, {}, r"read\.branches\.truth_x0"),
    ],
)
def test_a_mistake_is_one_line(predictions, changes, message) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        checks.parse(study(predictions, **changes))
    assert len(str(caught.value).splitlines()) == 1
