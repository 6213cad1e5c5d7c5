"""The place of the workflow files: the checkout, or the installed package, which contains a copy."""

from __future__ import annotations

import filecmp
import shutil
from pathlib import Path

from truthward.errors import ConfigError

PACKAGE = Path(__file__).resolve().parents[1]
CARRIED = "_workflow"
"""Folder of an installed package that holds the files; a checkout has none."""
LAID_DOWN = ("Snakefile", "config.yaml", "rules", "workflow", "profiles")
"""Files that a study needs in the folder in which Snakemake is called."""
PARTS = (*LAID_DOWN, "envs/requirements.lock")
"""Files in a wheel."""
_NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


def home() -> Path:
    """The folder that holds Snakefile, rules and the rest: the checkout, or a folder of the installed package."""
    carried = PACKAGE / CARRIED
    return carried if carried.is_dir() else PACKAGE.parents[1]


def copy(source: Path, target: Path, parts: tuple[str, ...] = PARTS) -> None:
    """Copy parts of the workflow from one folder to another."""
    for part in parts:
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part, ignore=_NOT_COPIED, dirs_exist_ok=True)
        else:
            shutil.copyfile(source / part, target / part)


def lay_down(folder: Path) -> bool:
    """Copy the workflow into a folder that has none.

    Returns:
        Whether it was copied; False where the folder has the workflow already.

    Raises:
        ConfigError: the folder has the Snakefile of something else, or files that would be overwritten.
    """
    snakefile = folder / "Snakefile"
    if snakefile.is_file():
        if "truthward" in snakefile.read_text(encoding="utf-8", errors="replace"):
            return False
        raise ConfigError(f"{snakefile}: this is the Snakefile of another workflow; work in an empty folder")
    if taken := [part for part in LAID_DOWN if (folder / part).exists()]:
        raise ConfigError(
            f"{folder / taken[0]}: exists already, but the workflow needs this name; work in an empty folder"
        )
    copy(home(), folder, LAID_DOWN)
    return True


def changed(folder: Path) -> list[str]:
    """Files of the workflow that differ from the package, or are missing, in a folder; config.yaml is not compared."""
    own = home()
    if folder.resolve() == own:
        return []
    files = [p for part in LAID_DOWN for p in ([own / part] if (own / part).is_file() else (own / part).rglob("*"))]
    names = sorted(p.relative_to(own) for p in files if p.is_file() and p.suffix != ".pyc")
    same = filecmp.cmpfiles(own, folder, [n for n in map(str, names) if n != "config.yaml"], shallow=False)
    return sorted(same[1] + same[2])
