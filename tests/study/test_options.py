"""Options are collected as the schemas and constructors have them, without loading what computes."""

import subprocess
import sys

import pytest

from truthward.errors import ConfigError
from truthward.study import described, options, plugins
from truthward.study.config import Config


def row(group: str, name: str) -> options.Option:
    (found,) = options.find(group)
    return next(option for option in found.options if option.name == name)


def test_every_section_and_every_plug_in_is_there() -> None:
    sections = [group.name for group in options.sections()]
    assert sections == [field.alias or name for name, field in Config.model_fields.items()]
    for package in options.FOLDERS:
        assert [group.name for group in options.plugins_of(package)] == [
            f"{package}.{k}" for k in plugins.kinds(package)
        ]


@pytest.mark.parametrize(
    ("group", "name", "expected"),
    [
        ("omnifold", "folds", ("unfold.methods.<name>", "int", "0", "= 0 or >= 2")),
        ("gaussian", "width", ("samples.<name>.generate", "float | list of float", "1.0", "> 0")),
        ("flat_tree", "files", ("samples.<name>.read", "list of str", "needed", "")),
        ("publish", "luminosity", ("publish", "float | null", "null", "> 0")),
        ("observables", "range", ("observables.<name>", "[float, float]", "needed", "")),
        ("validate", "share", ("validate.stress", "float", "0.1", "> 0 and < 1")),
        ("surrogate", "models", ("surrogate", "mapping of names to {kind: ..., options}", "{}", "")),
        ("seed", "seed", ("", "int", "1", ">= 0")),
    ],
)
def test_rows_are_those_of_the_schema(group, name, expected) -> None:
    found = row(group, name)
    assert (found.where, found.type, found.default, found.bounds) == expected


@pytest.mark.parametrize("group", options.everything(), ids=lambda group: group.name)
def test_every_option_has_a_meaning(group) -> None:
    assert group.summary
    assert [option.name for option in group.options if len(option.meaning.split()) < 2] == []
    assert [option.name for option in group.options if option.meaning.startswith("see ")] == []


def test_an_option_without_a_text_has_no_meaning() -> None:
    said = "A net.\n\nArgs:\n    width, height: of a layer. depth: layers.\n\nOther:\n    bins: not an option.\n"
    assert described.meanings(said, ["width", "depth", "bins"]) == {"width": "of a layer.", "depth": "layers."}


def test_a_meaning_is_taken_from_the_class_that_a_docstring_names() -> None:
    assert row("flow_matching", "batch").meaning.startswith("events that are carried at once")
    assert row("bridge", "solver").meaning == row("diffusion", "solver").meaning


def test_what_the_program_gives_is_no_option() -> None:
    (group,) = options.find("flow_matching")
    assert not {option.name for option in group.options} & set(options.GIVEN)


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'omnifolt' is neither .* \(did you mean 'omnifold'\?\); valid: study, "):
        options.find("omnifolt")


def test_nothing_that_computes_is_loaded() -> None:
    code = "import sys; from truthward.study import options; options.everything(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "torch", "awkward", "rich"} & set(done.stdout.split())
