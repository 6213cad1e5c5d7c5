"""Schemas read from source agree with the classes that they describe."""

import importlib
import inspect

import pytest

from truthward import plugins
from truthward.errors import ConfigError

PACKAGES = ("models", "unfold", "calibrate", "physics.generators", "events.readers")
ALL = [(package, kind) for package in PACKAGES for kind in plugins.kinds(package)]


def test_every_folder_has_a_plugin() -> None:
    assert {package for package, _ in ALL} == set(PACKAGES)


@pytest.mark.parametrize(("package", "kind"), ALL)
def test_schema_is_the_constructor(package: str, kind: str) -> None:
    schema = plugins.schema(package, kind)
    found = getattr(importlib.import_module(f"truthward.{package}.{kind}"), plugins.class_name(kind))
    parameters = {n: p for n, p in inspect.signature(found.__init__).parameters.items() if n != "self"}
    assert {n: p.default for n, p in parameters.items() if p.default is not p.empty} == {
        n: default for n, (_, default) in schema.options.items() if n not in schema.required
    }
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters.values())
    assert schema.provides == tuple(getattr(found, "PROVIDES", ()))
    assert schema.provides_from == getattr(found, "PROVIDES_FROM", None)


@pytest.mark.parametrize(
    ("value", "annotation", "fits"),
    [
        (1, "int", True),
        (True, "int", False),
        (1, "float", True),
        ("a", "float", False),
        (None, "float | None", True),
        (["a"], "list[str]", True),
        ([1], "list[str]", False),
        ("index", 'Literal["index", "delta_r"]', True),
        ("other", 'Literal["index", "delta_r"]', False),
        ({"a": 1}, "dict[str, int]", True),
        ({"a": "b"}, "dict[str, int]", False),
    ],
)
def test_types(value: object, annotation: str, fits: bool) -> None:
    assert plugins._matches(value, annotation) is fits


def test_unknown_kind_offers_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'gaussian'"):
        plugins.check("physics.generators", {"kind": "gausian"}, "samples.x.generate")


def test_build_makes_the_object() -> None:
    assert type(plugins.build("physics.generators", {"kind": "gaussian"})).__name__ == "Gaussian"
