"""Every kind of file is read as it was written; a field that is missing, misspelt or of another type is refused."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest

from tests.records.examples import KINDS, example
from truthward.errors import CorruptError, InputError
from truthward.records import read_record
from truthward.records.validate.method import ValidatedMethod
from truthward.run.artefact import write_json


@pytest.fixture
def refused(tmp_path):
    """The message for a content that is refused."""

    def message(kind: Any, content: object) -> str:
        write_json(tmp_path / "file.json", content)
        with pytest.raises(InputError, match=r"file\.json") as caught:
            read_record(tmp_path / "file.json", kind)
        return str(caught.value)

    return message


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_file_is_read_as_it_was_written(tmp_path, kind) -> None:
    write_json(tmp_path / "file.json", example(kind))
    assert read_record(tmp_path / "file.json", kind) == example(kind)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_field_at_the_top_has_to_be_there_under_its_name(refused, kind) -> None:
    for name in example(kind):
        content = example(kind)
        content["misspelt"] = content.pop(name)
        said = refused(kind, content)
        assert f" {name} is missing, but there is misspelt; run the stage" in said


@pytest.mark.parametrize(
    ("place", "key", "said"),
    [
        (("observables", "x", "refold", "unfolded", "chi2"), "p", "observables.x.refold.unfolded.chi2.p is missing"),
        (("two_sample", "unfolded", "weights", "q"), "below_0.5", "two_sample.unfolded.weights.q.below_0.5 is missing"),
        (("stopping",), "chosen", "stopping.chosen is missing"),
    ],
)
def test_a_field_deep_inside_has_to_be_there(refused, place, key, said) -> None:
    content = example(ValidatedMethod)
    part = content
    for name in place:
        part = part[name]
    del part[key]
    assert said in refused(ValidatedMethod, content)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("joint", "yes", "joint is 'yes'"),
        ("yield", {"value": "1.5"}, "yield.value is '1.5'"),
        ("verdict", {"verdict": "fine"}, "verdict.verdict is 'fine': input should be 'good', 'warnings' or 'failed'"),
        ("flags", [{"extra": 1}], "flags.0.extra is not a field of this file"),
    ],
)
def test_a_value_of_another_type_is_refused_with_what_was_found(refused, name, value, said) -> None:
    content = copy.deepcopy(example(ValidatedMethod))
    if isinstance(value, dict):
        content[name] |= value
    elif isinstance(value, list):
        content[name][0] |= value[0]
    else:
        content[name] = value
    assert said in refused(ValidatedMethod, content)


def test_a_file_that_is_no_object_is_refused(refused) -> None:
    assert "the file is [1]" in refused(ValidatedMethod, [1])


def test_parts_that_plug_ins_fill_are_open_and_optional_ones_may_be_left_out(tmp_path) -> None:
    content = example(ValidatedMethod)
    content["history"][0]["of_a_plug_in"] = [{"any": None}]
    del content["two_sample"]["ratio"]
    content["progress"] = None
    write_json(tmp_path / "file.json", content)
    assert read_record(tmp_path / "file.json", ValidatedMethod) == content


def test_whole_numbers_stay_whole(tmp_path) -> None:
    content = example(ValidatedMethod) | {"prior_share": 1}
    write_json(tmp_path / "file.json", content)
    assert isinstance(read_record(tmp_path / "file.json", ValidatedMethod)["prior_share"], int)


def test_a_file_that_is_not_there_or_not_json(tmp_path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_record(tmp_path / "none.json", ValidatedMethod)
    (tmp_path / "half.json").write_text("{")
    with pytest.raises(CorruptError, match="not valid JSON"):
        read_record(tmp_path / "half.json", ValidatedMethod)


def test_types_are_loaded_without_numpy_and_torch() -> None:
    modules = {kind.__module__ for kind in KINDS}
    code = f"import sys, {', '.join(modules)}; print(sorted({{'numpy', 'torch'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
