"""Schemas read from source agree with the classes that they describe."""

import dataclasses
import importlib
import inspect
import re
import shutil

import pytest

from truthward.errors import ConfigError
from truthward.study import plugins, values

PACKAGES = ("models", "unfold", "calibrate", "physics.generators", "events.readers")
ALL = [(package, kind) for package in PACKAGES for kind in plugins.kinds(package)]


def test_every_folder_has_a_plugin() -> None:
    assert {package for package, _ in ALL} == set(PACKAGES)


@pytest.mark.parametrize(("package", "kind"), ALL)
def test_schema_is_the_constructor(package: str, kind: str) -> None:
    schema = plugins.schema(package, kind)
    inside = plugins.source(package, kind).relative_to(plugins.ROOT).with_suffix("")
    found = getattr(importlib.import_module(".".join(["truthward", *inside.parts])), plugins.class_name(kind))
    parameters = {n: p for n, p in inspect.signature(found.__init__).parameters.items() if n != "self"}
    given = {n: p.default for n, p in parameters.items() if p.default is not p.empty}
    fields = {f"{n}.{f}": v for n in schema.groups for f, v in dataclasses.asdict(given.pop(n)).items()}
    assert given | fields == {n: default for n, (_, default) in schema.options.items() if n not in schema.required}
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
    assert values.matches(value, annotation) is fits


def test_unknown_kind_offers_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'gaussian'"):
        plugins.check("physics.generators", {"kind": "gausian"}, "samples.x.generate")


def test_build_makes_the_object() -> None:
    assert type(plugins.build("physics.generators", {"kind": "gaussian"})).__name__ == "Gaussian"


BOUNDS = [(package, kind, o, b) for package, kind in ALL for o, b in plugins.schema(package, kind).bounds.items()]
JUST_BEYOND = {
    ">= 0": [-1],
    ">= 1": [0],
    ">= 2": [1],
    "> 0": [0, -1],
    "> 0 and < 1": [0, 1],
    "= 0 or >= 2": [1, -1],
    ">= 0 and <= 1": [[-1, 1], [0, 2]],
    ">= 0 and < 0.5": [[0.1, 0.5]],
    ">= 0 and <= 0.99": [1.0],
    ">= 0 and <= 0.49": [0.5],
    ">= 1 and <= 10": [0, 11],
}


def nested(option: str, value: object) -> dict[str, object]:
    """The entry that sets an option: `network.width` is the mapping {"network": {"width": value}}."""
    group, _, name = option.rpartition(".")
    return {group: {name: value}} if group else {name: value}


@pytest.mark.parametrize(("package", "kind", "option", "bounds"), BOUNDS)
def test_an_option_beyond_its_bounds_is_refused_by_its_source_alone(package, kind, option, bounds) -> None:
    schema = plugins.schema(package, kind)
    given = tuple(schema.required)
    for value in JUST_BEYOND[bounds]:
        number = float(value) if schema.options[option][0].startswith("float") and isinstance(value, int) else value
        with pytest.raises(ConfigError) as caught:
            plugins.check(package, {"kind": kind} | nested(option, number), "here", given)
        assert str(caught.value).startswith(f"here.{option}: {number} given, ")
        assert str(caught.value).endswith(f" {bounds} expected")
    if option not in schema.required:
        plugins.check(package, {"kind": kind} | nested(option, schema.options[option][1]), "here", given)


def test_numbers_of_networks_have_bounds() -> None:
    """A new plug-in says what its own may be; these names mean the same everywhere."""
    common = {"epochs", "batch_size", "width", "depth", "batch", "steps", "iterations", "stack", "learning_rate"}
    for package, kind in ALL:
        if package in ("models", "unfold", "calibrate"):
            schema = plugins.schema(package, kind)
            assert {o for o in schema.options if o.rpartition(".")[2] in common} <= set(schema.bounds), kind


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            {"stop": "change"},
            r"here\.stop: 'change' given, a mapping .* rule, tolerance .* write stop: \{rule: change\}$",
        ),
        ({"draws": 8}, r"here\.draws: 8 given, a mapping .* write draws: \{nominal: 8\}$"),
        ({"draws": "all"}, r"here\.draws: 'all' given, a mapping with some of nominal, replicas, ratio is expected$"),
        (
            {"training": {"epoch": 3}},
            r"here\.training\.epoch: training of generative has no such option; .* mean 'epochs'\?\)$",
        ),
        ({"training": {"epochs": "3"}}, r"here\.training\.epochs: '3' given, int expected$"),
        ({"epochs": 3}, r"here\.epochs: .* has moved to training\.epochs; write training: \{epochs: 3\}$"),
        ({"epoch": 3}, r"here\.epoch: generative has no such option; .* \(did you mean 'training\.epochs'\?\)$"),
        ({"width": 9}, r"here\.width: .* has moved to classifiers\.width; write classifiers: \{width: 9\}$"),
        ({"replica_draws": 2}, r"here\.replica_draws: .* write draws: \{replicas: 2\}$"),
        ({"later_rate": 0.1}, r"here\.later_rate: .* write training: \{later_learning_rate: 0.1\}$"),
    ],
)
def test_a_group_is_a_mapping_and_a_former_option_is_refused_with_its_place(entry, said) -> None:
    with pytest.raises(ConfigError, match=said):
        plugins.check("unfold", {"kind": "generative"} | entry, "here")


def test_former_options_have_a_place_that_exists() -> None:
    moved = {
        (kind, place) for kind in plugins.kinds("unfold") for place in plugins.schema("unfold", kind).moved.values()
    }
    assert moved
    assert [(kind, place) for kind, place in moved if place not in plugins.schema("unfold", kind).options] == []


def test_a_group_is_built_on_the_defaults_of_the_constructor() -> None:
    """Stop at a tolerance of its own is the default of the generative method, not of the group."""
    default = plugins.build("unfold", {"kind": "generative"}).rule
    assert (default.stop, default.tolerance) == ("change", 0.5)
    changed = plugins.build("unfold", {"kind": "generative", "stop": {"tolerance": 0.25}, "training": {"epochs": 2}})
    assert (changed.rule.stop, changed.rule.tolerance) == ("change", 0.25)
    assert (changed.recipe.first.epochs, changed.recipe.first.batch_size, changed.recipe.later.epochs) == (2, 512, 10)
    entry = {"kind": "generative", "stop": {"tolerance": 0.25}}
    assert [plugins.option("unfold", entry, f"stop.{name}") for name in ("rule", "tolerance")] == ["change", 0.25]


CALIBRATOR = """
class Mine(Calibrator):
    def __init__(self, *, features: list = [], log_features: list = [], target: str = "", scales: list = []):
        pass
"""


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A copy of the folders of plug-ins, in which a test may write one; nothing that was read before is known."""
    for package, (file, _) in plugins.CONTRACTS.items():
        folder = tmp_path / package.replace(".", "/")
        folder.mkdir(parents=True)
        shutil.copy(plugins.ROOT / package.replace(".", "/") / file, folder / file)
    monkeypatch.setattr(plugins, "ROOT", tmp_path)
    caches = (plugins.kinds, plugins.schema)
    for cached in caches:
        cached.cache_clear()
    yield tmp_path
    for cached in caches:
        cached.cache_clear()


@pytest.mark.parametrize(
    ("package", "body", "said"),
    [
        ("calibrate", CALIBRATOR, "Mine has no option `members`, but every Calibrator needs it"),
        ("unfold", "class Mine(Unfolder):\n    pass", "Mine does not set joint, but every Unfolder must"),
        ("events.readers", "class Mine(Reader):\n    pass", "Mine does not set PROVIDES or PROVIDES_FROM"),
        ("physics.generators", "class Mine(Generator):\n    pass", "Mine does not set PROVIDES, but every Generator"),
        (
            "models",
            "class Mine(GenerativeModel):\n    def __init__(self, *, x: Tensor = 1): pass",
            "mine.x: its annotation",
        ),
        (
            "models",
            "class Another(GenerativeModel):\n    pass",
            "models/mine.py has no class Mine, it has Another; name",
        ),
    ],
)
def test_what_a_plug_in_lacks_is_named(house, package, body, said) -> None:
    (house / package.replace(".", "/") / "mine.py").write_text(body, encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(said)):
        plugins.check(package, {"kind": "mine"}, "somewhere")


def test_every_plug_in_keeps_its_contract() -> None:
    assert set(plugins.CONTRACTS) == set(PACKAGES)
    assert [plugins.schema(*each).kind for each in ALL] == [kind for _, kind in ALL]
