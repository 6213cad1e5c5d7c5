"""Imports inside the package go down only, and third-party imports stay in the layers that may have them."""

from __future__ import annotations

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import truthward
from truthward.layers import LEFT_OUT, ROOMS, SECTION, STAGES, THIRD_PARTY, USES, layer
from truthward.study.plugins import kinds, source

PACKAGE = Path(truthward.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
PLUGINS = ("models", "unfold", "calibrate", "physics.generators", "events.readers")


def name_of(path: Path) -> str:
    """`events.table` of its file; a package's own file has the package's name, and that of all is empty."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path) for path in FILES}


class Runs(ast.NodeTransformer):
    """Leaves out what only a type checker reads."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


def imports_of(code: str, *, types: bool = True) -> tuple[set[str], set[str]]:
    """Modules of the package, and top-level names of others, that a source imports, inside functions too.

    types: whether what only a type checker reads is among them.
    """
    own, foreign = set(), set()
    tree = ast.parse(code)
    for node in ast.walk(tree if types else Runs().visit(tree)):
        if isinstance(node, ast.Import):
            found = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer"
            found = [(node.module, alias.name) for alias in node.names]
        else:
            continue
        for base, name in found:
            first, _, rest = base.partition(".")
            if first != "truthward":
                foreign.add(first)
                continue
            inside = f"{rest}.{name}".strip(".")
            own.add(inside if inside in NAMES else rest)
    return own, foreign


def method_of(module: str) -> tuple[str, str] | None:
    """Folder and kind of the plug-in that a module is a part of."""
    for package in PLUGINS:
        rest = module.removeprefix(f"{package}.")
        if rest != module and (kind := rest.split(".")[0]) in kinds(package):
            return package, kind
    return None


def violations(module: str, code: str) -> list[str]:
    mine, room, bad = layer(module), module.split(".")[0], []
    own, foreign = imports_of(code)
    allowed = THIRD_PARTY[mine] | sys.stdlib_module_names
    bad += [f"{module} (layer {mine}) imports {name}" for name in foreign if name not in allowed]
    for other in own:
        theirs, place = layer(other), other.split(".")[0]
        if theirs > mine:
            bad.append(f"{module} (layer {mine}) imports {other} (layer {theirs})")
        if theirs == mine == STAGES and place != room and (room, place) not in USES:
            bad.append(f"{module} imports {other}: stages meet in tables of events alone")
        if {room, place} == {"models", "ratio"}:
            bad.append(f"{module} imports {other}: models and ratio do not know each other")
        one, two = method_of(module), method_of(other)
        if two and one != two:
            bad.append(f"{module} imports {other}, of a plug-in that only the config may choose")
    return bad


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_down(path: Path) -> None:
    assert violations(name_of(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("events.table", "import torch"),
        ("learn.fit", "from truthward.models import flow_matching"),
        ("study.config", "def f():\n    import numpy"),
        ("unfold.section", "import numpy"),
        ("models.flow_matching", "from truthward.ratio.classifier import Classifier"),
        ("unfold.omnifold.method", "from truthward.unfold.ibu import Ibu"),
        ("unfold.inputs.arrays", "from truthward.unfold.omnifold import chain"),
        ("publish.hepdata", "from truthward.validate import metrics"),
    ],
)
def test_violations_are_found(module: str, code: str) -> None:
    assert violations(module, code)


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name_of(path): imports_of(path.read_text(encoding="utf-8"), types=False)[0] for path in FILES}
    try:
        order = [*TopologicalSorter(graph).static_order()]
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
    assert NAMES - set(order) == set()


def test_the_list_of_rooms_is_that_of_the_folders() -> None:
    found = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert found - {"__init__"} == set(ROOMS)
    assert {name for pair in USES for name in pair} <= set(ROOMS)
    assert [name for name in LEFT_OUT if name not in NAMES] == []
    assert any(name.endswith(f".{SECTION}") for name in NAMES)


def test_every_plug_in_has_a_file() -> None:
    for package in PLUGINS:
        assert kinds(package), package
        assert all(source(package, kind).is_file() for kind in kinds(package))


def test_no_file_is_too_long() -> None:
    long = {name_of(p): n for p in FILES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 400}
    assert long == {}
