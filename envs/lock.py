"""Print the lock of what is installed: the closure of both .in files and of what pyproject.toml builds with.

Called by `make lock` in an environment made of these alone. Each line says what requires the package, so that
a changed pin reruns only the stages that use it (`truthward.run.environment`).
"""

import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
DIRECT = ("requirements.in", "dev.in", "hepmc.in", "remote.in")
"""What the package needs at run time, what development needs beside it, and what is optional."""
HEAD = "# All packages of the environment, pinned: made by `make lock` from the .in files. Holds no registry address.\n"
# The lock is that of the oldest supported Python, on Linux, whatever machine writes it.
TARGET = {
    "python_version": "3.11",
    "python_full_version": "3.11.0",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "os_name": "posix",
}


def direct() -> list[tuple[Requirement, str]]:
    """What is required by name, and in which file."""
    build = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    lines = {name: (HERE / name).read_text(encoding="utf-8").splitlines() for name in DIRECT}
    found = [(Requirement(s), name) for name in DIRECT for s in lines[name] if s and not s.startswith("#")]
    return found + [(Requirement(line), "pyproject.toml") for line in build]


def requirements(name: str, extras: frozenset[str]) -> list[Requirement]:
    """What an installed package requires on the target, with the extras that are asked of it."""
    every = [Requirement(line) for line in distribution(name).requires or []]
    wanted = ["", *extras]
    return [r for r in every if r.marker is None or any(r.marker.evaluate(TARGET | {"extra": e}) for e in wanted)]


def closure(start: list[tuple[Requirement, str]]) -> dict[str, list[tuple[Requirement, str]]]:
    """Every package that is required, by canonical name, with each requirement and who states it.

    Raises:
        importlib.metadata.PackageNotFoundError: a required package is not installed.
    """
    found: dict[str, list[tuple[Requirement, str]]] = {}
    todo, seen = list(start), set()
    while todo:
        requirement, by = todo.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        found.setdefault(name, []).append((requirement, by))
        if (name, extras) not in seen:
            seen.add((name, extras))
            todo += [(r, name) for r in requirements(name, extras)]
    return found


def lock() -> str:
    """The text of the lock; local version labels such as +cpu are of this machine and left out."""
    lines = []
    for name, stated in sorted(closure(direct()).items()):
        by = sorted({by for _, by in stated})
        lines.append(f"{name}=={distribution(name).version.split('+')[0]}  # via {', '.join(by)}\n")
    return HEAD + "".join(lines)


if __name__ == "__main__":
    sys.stdout.write(lock())
