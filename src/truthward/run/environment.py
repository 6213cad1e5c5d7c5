"""Packages that can change the result of a stage: its imports, their requirements, and their versions in the lock."""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from truthward.errors import ConfigError, StaleError
from truthward.run import workflow

LOCK = workflow.home() / "envs" / "requirements.lock"
_PIN = re.compile(r"([A-Za-z0-9][\w.-]*)==(\S+)(?:\s+#\s*via\s+(.+))?")


class Pin(NamedTuple):
    """A line of the lock: the version, and the packages that require it."""

    version: str
    via: tuple[str, ...]


def canonical(name: str) -> str:
    """The canonical name of a package.

    >>> canonical("Jupyter_Core")
    'jupyter-core'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(path: Path = LOCK) -> dict[str, Pin]:
    """The lock, by canonical name.

    Raises:
        ConfigError: there is no such file, or a line of it is not `name==version  # via what requires it`.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}; install truthward again; in a checkout: `pip install .`, or with --editable"
        ) from error
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        if (match := _PIN.fullmatch(line.strip())) is None:
            raise ConfigError(
                f"{path.name}:{number}: {line!r} is not `name==version  # via ...`; write it by `make lock`"
            )
        name, version, via = match.groups()
        found[canonical(name)] = Pin(version, tuple(canonical(v) for v in re.split(r",\s*", via or "") if v))
    return found


_pins = cache(pins)


def _required(todo: set[str], locked: dict[str, Pin]) -> list[str]:
    """Packages, and all that these require."""
    seen: set[str] = set()
    while todo:
        seen |= todo
        todo = {name for name, pin in locked.items() if seen & set(pin.via)} - seen
    return sorted(seen)


def used(path: Path = LOCK) -> list[str]:
    """Packages of the lock that truthward runs with: without those of development alone."""
    locked = _pins(path)
    return _required({name for name, pin in locked.items() if canonical("requirements.in") in pin.via}, locked)


def _package(module: str, file: str, locked: dict[str, Pin]) -> str:
    """The locked package that a top-level module belongs to; `file` imports it."""
    if canonical(module) in locked:
        return canonical(module)
    # Slow, and only for modules that are not named as their package is.
    for name in importlib.metadata.packages_distributions().get(module, ()):
        if canonical(name) in locked:
            return canonical(name)
    raise ConfigError(
        f"{file} imports {module}, which envs/requirements.lock does not pin; add its package to "
        "envs/requirements.in and run `make lock`"
    )


def digest(modules: Mapping[str, str], path: Path = LOCK) -> str:
    """Digest of the pins of the packages that `modules` belong to, and of all that these require.

    Comments, order and case of the lock, and packages that are not required here, do not change it.

    Args:
        modules: what a stage's source imports, see `digests.foreign`.

    Raises:
        ConfigError: a module belongs to no package of the lock.
    """
    locked = _pins(path)
    reached = _required({_package(module, file, locked) for module, file in modules.items()}, locked)
    text = "".join(f"{name}=={locked[name].version}\n" for name in reached)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differing(packages: Iterable[str], path: Path = LOCK) -> dict[str, tuple[str | None, str]]:
    """Packages whose installed version is not the version of the lock: name -> (installed or None, locked).

    Local labels such as `+cpu` are ignored: they name the build, not the version.
    """
    locked, found = _pins(path), {}
    for name in packages:
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed = None
        if installed is None or installed.split("+")[0] != locked[name].version:
            found[name] = (installed, locked[name].version)
    return found


def check_installed(modules: Mapping[str, str], path: Path = LOCK) -> None:
    """Check the installed versions of the packages of `modules` against the lock.

    Raises:
        StaleError: a version differs; the message names each such package, both versions, and what to do.
    """
    locked = _pins(path)
    if wrong := differing(sorted({_package(m, file, locked) for m, file in modules.items()}), path):
        listed = "; ".join(
            f"{name} {installed or '(none)'} is installed, envs/requirements.lock has {version}"
            for name, (installed, version) in wrong.items()
        )
        raise StaleError(
            f"{listed}: build the environment again (`make .venv/.stamp` in a checkout, the container from "
            f"envs/container.def, or `pip install -r {path}`); to use another version on purpose, put it into the "
            "lock; this reruns what was made with the old version"
        )
