"""Keep the outputs of a finished job, even if the call of Snakemake that started it has died.

If that call died, Snakemake deletes the output and makes it again. On a cluster it may also accept the output without a
record of its params, and then miss later changes of them. So a finished job leaves hard links to its outputs in its
state folder, `.<artefact>.state/<key>/kept/`, until a call with a record of them ends. The next call runs such jobs
again; they use the kept outputs if their key is the same.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from truthward.errors import CorruptError
from truthward.run.artefact import MARK
from truthward.run.checksums import beside, verify

log = logging.getLogger("truthward.run.kept")

FOLDER = "kept"


def keep(outputs: Iterable[Path], state: Path) -> None:
    """Link finished `outputs`, and the records of their checksums, into the state folder.

    If the file system has no hard links, nothing is kept.
    """
    fresh = state / f"{FOLDER}{MARK}"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        for path, name in _pairs(outputs, fresh):
            name.parent.mkdir(parents=True)
            os.link(path, name)
            if beside(path).is_file():
                os.link(beside(path), beside(name))
    except OSError as error:
        log.info("no hard links here (%s): finished work is not kept beyond its own name", error.strerror)
        shutil.rmtree(state.parent)
        return
    fresh.rename(state / FOLDER)


def take_up(outputs: Iterable[Path], state: Path) -> bool:
    """Put kept outputs back under their names; if one is missing or damaged, do nothing and return False."""
    pairs = _pairs(outputs, state / FOLDER)
    if not all(kept.is_file() for _, kept in pairs):
        return False
    try:
        verify(kept for _, kept in pairs)
    except CorruptError as error:
        log.warning("%s", error)
        return False
    for path, kept in pairs:
        path.parent.mkdir(parents=True, exist_ok=True)
        for source, name in ((kept, path), (beside(kept), beside(path))):
            name.unlink(missing_ok=True)
            if source.is_file():
                os.link(source, name)
    return True


def withdraw(results: str | Path, recorded: Callable[[Path], bool]) -> None:
    """Remove the names of kept artefacts without a record in Snakemake: their jobs run again and use what is kept."""
    for artefact, _ in _states(results):
        if not recorded(artefact):
            artefact.unlink(missing_ok=True)


def forget(results: str | Path, recorded: Callable[[Path], bool]) -> None:
    """Remove kept files of artefacts with a record in Snakemake."""
    for artefact, states in _states(results):
        if recorded(artefact):
            shutil.rmtree(states, ignore_errors=True)


def _states(results: str | Path) -> list[tuple[Path, Path]]:
    """Pairs (artefact, its state folder) where something is kept."""
    found = {kept.parent.parent for kept in Path(results).glob(f"**/.*.state/*/{FOLDER}")}
    return [(s.with_name(s.name.removeprefix(".").removesuffix(".state")), s) for s in sorted(found)]


def _pairs(outputs: Iterable[Path], folder: Path) -> list[tuple[Path, Path]]:
    """Outputs and the places where they are kept; two outputs may have the same name."""
    return [(path, folder / str(number) / path.name) for number, path in enumerate(outputs)]
