"""Which source can change a stage's result: the digest that decides on reruns, by the code and not by file time."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
# Layer L0: reads the config, writes and names files; it does not enter results.
INFRASTRUCTURE = {"config", "checks", "plugins", "errors", "artefact", "provenance", "fingerprint", "job"}


def strip(source: str) -> str:
    """Source without comments and docstrings, in one canonical layout.

    >>> strip('def f():\\n    "says what"\\n    return 1  # why') == strip('def f(): return 1')
    True
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            if is_text and isinstance(first.value.value, str):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


@cache
def _digest(path: Path) -> str:
    return hashlib.sha256(strip(path.read_text(encoding="utf-8")).encode()).hexdigest()


def _file_of(module: str) -> Path | None:
    """Source of `truthward.a.b`, or None where there is none."""
    parts = module.split(".")[1:]
    folder = PACKAGE.joinpath(*parts)
    if (folder / "__init__.py").is_file():
        return folder / "__init__.py"
    return folder.with_suffix(".py") if parts and folder.with_suffix(".py").is_file() else None


@cache
def imports(path: Path) -> frozenset[str]:
    """Modules of this package that a file names in import statements, those inside functions included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(name for name in found if name.split(".")[0] == "truthward" and _file_of(name))


def closure(start: Iterable[Path]) -> list[Path]:
    """Every source file reachable from `start` by static imports, less the infrastructure; sorted."""
    seen: set[Path] = set()
    todo = list(start)
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        for module in imports(path):
            found = _file_of(module)
            name = module.split(".")[1] if "." in module else "__init__"
            if name not in INFRASTRUCTURE and found != PACKAGE / "__init__.py":
                todo.append(found)
    return sorted(seen)


def code(adapter: Path, kinds: Iterable[tuple[str, str]] = ()) -> dict[str, object]:
    """The `code` param of a rule.

    Args:
        adapter: the rule's script.
        kinds: (package, kind) of the plug-ins that the config chose for it.

    Returns:
        {"digest": of all reachable source, "kinds": as given}; a job computes it again and compares.
    """
    kinds = [list(kind) for kind in kinds]
    plugins = [PACKAGE.joinpath(*package.split("."), f"{kind}.py") for package, kind in kinds]
    # By names that are the same wherever the checkout lies.
    named = {
        path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else f"adapter/{path.name}": _digest(path)
        for path in closure([adapter, *plugins])
    }
    text = "".join(f"{name}\0{digest}\n" for name, digest in sorted(named.items()))
    return {"digest": hashlib.sha256(text.encode()).hexdigest()[:16], "kinds": kinds}
