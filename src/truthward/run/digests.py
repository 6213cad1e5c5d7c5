"""The digest of the source that can change the result of a stage: it decides on reruns, not the time of the files."""

from __future__ import annotations

import ast
import hashlib
import json
import logging
import os
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from truthward import __version__
from truthward.errors import StaleError
from truthward.layers import LEFT_OUT
from truthward.run import environment, workflow
from truthward.study import plugins

log = logging.getLogger("truthward")

PLAN = "TRUTHWARD_PLAN"
"""Environment variable with the versions that the scheduler planned with."""

PACKAGE = workflow.PACKAGE


def strip(source: str) -> str:
    """Source without comments and docstrings, in one canonical layout.

    >>> strip('def f():\\n    "says what"\\n    return 1  # why') == strip('def f(): return 1')
    True
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str())), *rest]:
                    node.body = rest or [ast.Pass()]
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
def _named(path: Path) -> frozenset[str]:
    """Modules that a file names in import statements, those inside functions included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


@cache
def imports(path: Path) -> frozenset[str]:
    """Modules of this package that a file names in import statements, those inside functions included."""
    return frozenset(name for name in _named(path) if name.split(".")[0] == "truthward" and _file_of(name))


@cache
def foreign(paths: tuple[Path, ...]) -> dict[str, str]:
    """Top-level modules that files import, and a file that does: module -> its name.

    This package, the standard library, and modules that lie beside the file are left out.
    """
    found: dict[str, str] = {}
    for path in paths:
        for top in sorted({name.split(".")[0] for name in _named(path)}):
            if top not in sys.stdlib_module_names and top != "truthward" and not path.with_name(f"{top}.py").is_file():
                found.setdefault(top, path.name)
    return found


def closure(start: Iterable[Path]) -> list[Path]:
    """Every source file reachable from `start` by static imports, less what is left out; sorted."""
    seen: set[Path] = set()
    todo = list(start)
    while todo:
        if (path := todo.pop()) in seen:
            continue
        seen.add(path)
        for module in imports(path):
            found = _file_of(module)
            if found and module.removeprefix("truthward.") not in LEFT_OUT and found != PACKAGE / "__init__.py":
                todo.append(found)
    return sorted(seen)


def code(adapter: Path, kinds: Iterable[Iterable[str]] = ()) -> dict[str, object]:
    """The `code` param of a rule.

    Args:
        adapter: the rule's script.
        kinds: (package, kind) of the plug-ins that the config chose for it.

    Returns:
        {"digest": of all reachable source, "environment": of the locked packages that it imports, "kinds": as given};
        a job computes it again and compares.

    Raises:
        ConfigError: the source imports a package that the lock does not pin.
    """
    chosen = [list(kind) for kind in kinds]
    files = reached(adapter, chosen)
    text = "".join(f"{name}\0{digest}\n" for name, digest in sorted(_digests(files).items()))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return {"digest": digest, "environment": environment.digest(foreign(files)), "kinds": chosen}


def _digests(files: Iterable[Path]) -> dict[str, str]:
    """Digests of files, by names that are the same wherever the checkout lies, or the package is installed."""
    carried = PACKAGE / workflow.CARRIED
    own = {p: p.is_relative_to(PACKAGE) and not p.is_relative_to(carried) for p in files}
    return {p.relative_to(PACKAGE).as_posix() if own[p] else f"adapter/{p.name}": _digest(p) for p in own}


def reached(adapter: Path, kinds: Iterable[Iterable[str]]) -> tuple[Path, ...]:
    """Every source file that a rule's result depends on: the closure of its adapter and of the chosen plug-ins."""
    return _closure(adapter, *(plugins.source(package, kind) for package, kind in kinds))


@cache
def _closure(*start: Path) -> tuple[Path, ...]:
    # A plan needs it for each job, but thousands of jobs of one rule have the same value.
    return tuple(closure(start))


def hand_over(scripts: Path) -> None:
    """Put the versions of the scheduler into the environment of its jobs, as `TRUTHWARD_PLAN`.

    A job on a cluster reads the workflow again: its params come from the source on its own machine, so they always
    agree with that source, even if the scheduler had another one.

    Args:
        scripts: folder of the adapters.
    """
    carried = PACKAGE / workflow.CARRIED
    files = [*(p for p in PACKAGE.rglob("*.py") if not p.is_relative_to(carried)), *scripts.glob("*.py")]
    sources = {name: digest[:8] for name, digest in sorted(_digests(files).items())}
    os.environ[PLAN] = json.dumps(_versions() | sources)


def _versions() -> dict[str, str]:
    lock = hashlib.sha256(environment.LOCK.read_bytes()).hexdigest()[:8]
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"truthward": __version__, "python": python, "envs/requirements.lock": lock}


def check(adapter: Path, planned: dict[str, Any]) -> None:
    """Check that a job runs what its scheduler planned: compare the `code` param, and the versions in the environment.

    Raises:
        StaleError: the source, the lock, Python or this package differs, or an installed package is not at the version
            of the lock.
    """
    again = "changed in between or differs on this machine: start snakemake again, with one checkout on all machines"
    files = reached(adapter, planned["kinds"])
    handed = json.loads(os.environ.get(PLAN) or "{}")
    own = _versions() | {name: digest[:8] for name, digest in _digests(files).items()}
    differing = [f"{n} ({v} here, {handed.get(n, 'none')} there)" for n, v in own.items() if handed.get(n) != v]
    if handed and differing:
        listed = ", ".join(differing[:5]) + (f" and {len(differing) - 5} more" if len(differing) > 5 else "")
        raise StaleError(
            f"rule {adapter.stem}: this job has other versions than the scheduler planned with: {listed}; {again}"
        )
    if not handed:
        log.warning(
            "the versions that the scheduler planned with did not reach this job, so they are not compared (%s is not "
            "in its environment)",
            PLAN,
        )
    given = code(adapter, planned["kinds"])
    for key, what in (("digest", "source"), ("environment", "envs/requirements.lock")):
        if given[key] != planned[key]:
            raise StaleError(
                f"rule {adapter.stem}: the scheduler planned with {key} {planned[key]}, this job has {given[key]}; "
                f"the {what} {again}"
            )
    environment.check_installed(foreign(files))
