"""Imports inside the package go down only, and third-party imports stay in the layers that may have them."""

import ast
import sys
from pathlib import Path

import pytest

import truthward
from truthward import fingerprint

PACKAGE = Path(truthward.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# What a dry run loads: what no digest holds, the scheduler's own, and what stages share with it.
LIGHT = {
    "artefact",
    "blocks",
    "columns",
    "formula",
    "observable",
    "plugins",
    "strict",
    "surrogate_options",
    "syntax",
    "uncertainty",
    "variations",
    "yaml_file",
}
CHECKS = {"agreement", "checks", "features", "named", "notes", "sources", "verdicts"}
BOTTOM = {*fingerprint.LEFT_OUT, "__init__", "config", *CHECKS, *LIGHT}
LAYERS = {
    "events": 1,
    "physics": 1,
    "seeds": 1,
    "learn": 2,
    "models": 3,
    "ratio": 3,
    "plots": 5,
    "watch": 5,
    "doctor": 6,
}
SUITE = {"validate.stress", "validate.scenarios", "validate.stress_verdict"}
NUMERICS = {"numpy", "scipy", "pandas", "pyarrow", "awkward", "vector", "uproot", "fastjet", "pythia8mc"}
THIRD_PARTY = {
    0: {"pydantic", "yaml"},
    1: NUMERICS,
    2: {"torch", "torchdiffeq", "safetensors", "numpy"},
    3: {"torch", "zuko", "numpy", "safetensors"},
    4: {"torch", "safetensors"} | NUMERICS,
    5: {"matplotlib", "mplhep", "rich"} | NUMERICS,
    6: {"rich", "torch", "yaml"},
}


def layer(module: str) -> int:
    """Layer of `truthward.<module>`, given without the package's name."""
    if module == "validate.metrics":
        return 1
    first = module.split(".")[0]
    return 0 if first in BOTTOM else LAYERS.get(first, 4)


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imports_of(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer"
            base = node.module or ""
            is_package = base.startswith("truthward") and (PACKAGE / "/".join(base.split(".")[1:])).is_dir()
            found.update(f"{base}.{alias.name}" if is_package else base for alias in node.names)
    return found


def violations(module: str, source: str) -> list[str]:
    own, bad = layer(module), []
    top = module.split(".")[0]
    for name in imports_of(source):
        first = name.split(".")[0]
        if first != "truthward":
            if first not in sys.stdlib_module_names and first not in THIRD_PARTY[own]:
                bad.append(f"{module} (layer {own}) imports {first}")
            continue
        other = name.removeprefix("truthward").lstrip(".") or "__init__"
        if (
            not (PACKAGE / other.replace(".", "/")).is_dir()
            and not (PACKAGE / f"{other.replace('.', '/')}.py").is_file()
        ):
            other = other.rpartition(".")[0] or "__init__"  # A name that a package's own file defines.
        if layer(other) > own:
            bad.append(f"{module} (layer {own}) imports {other} (layer {layer(other)})")
        siblings = {top, other.split(".")[0]}
        if siblings == {"models", "ratio"}:
            bad.append(f"{module} imports {other}: models and ratio do not know each other")
        if top == "validate" and other.split(".")[0] == "unfold" and module not in SUITE:
            bad.append(f"{module} imports {other}: the stress suite alone calls methods")
        is_method = top in ("models", "unfold", "calibrate") and "." in module
        is_sibling = is_method and other.startswith(f"{top}.") and (PACKAGE / f"{other.replace('.', '/')}.py").is_file()
        if is_sibling and defines_method(other) and other != module:
            bad.append(f"{module} imports its sibling method {other}")
    return bad


def defines_method(module: str) -> bool:
    from truthward.plugins import kinds

    package, kind = module.rsplit(".", 1)
    return kind in kinds(package)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_down(path: Path) -> None:
    assert violations(name_of(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("events.table", "import torch"),
        ("learn.fit", "from truthward.models import flow_matching"),
        ("config", "def f():\n    import numpy"),
        ("models.flow_matching", "from truthward.ratio.classifier import Classifier"),
        ("unfold.omnifold", "from truthward.unfold.ibu import Ibu"),
        ("validate.method", "from truthward.unfold.base import unfold_all"),
    ],
)
def test_violations_are_found(module: str, source: str) -> None:
    assert violations(module, source)


def test_no_file_is_too_long() -> None:
    long = {name_of(p): n for p in FILES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 400}
    assert long == {}
