"""What a job finished stays finished, even if nobody is left to take note of it.

Snakemake deletes an output before it makes it again, and makes it again where the call that started the job died; on a
cluster it may also take such an output for good without a record of its params, and then never sees that they change.
So a finished job leaves hard links to its outputs in its state folder, `.<artefact>.state/<key>/kept/`, until a call
that has a record of them ends. The next call runs such jobs again; they take up what is there, if it is of their key.
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

    Where the file system has no hard links nothing is kept.
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
    """Put kept outputs back under their names; False, and nothing done, where they are not all there and whole."""
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
    """Take away the names of kept artefacts that Snakemake has no record of: their jobs run again and take them up."""
    for artefact, _ in _states(results):
        if not recorded(artefact):
            artefact.unlink(missing_ok=True)


def forget(results: str | Path, recorded: Callable[[Path], bool]) -> None:
    """Remove what is kept of the artefacts that Snakemake has a record of."""
    for artefact, states in _states(results):
        if recorded(artefact):
            shutil.rmtree(states, ignore_errors=True)


def _states(results: str | Path) -> list[tuple[Path, Path]]:
    """Pairs (artefact, its state folder) where something is kept."""
    found = {kept.parent.parent for kept in Path(results).glob(f"**/.*.state/*/{FOLDER}")}
    return [(s.with_name(s.name.removeprefix(".").removesuffix(".state")), s) for s in sorted(found)]


def _pairs(outputs: Iterable[Path], folder: Path) -> list[tuple[Path, Path]]:
    """Outputs and where they are kept; two may have one name."""
    return [(path, folder / str(number) / path.name) for number, path in enumerate(outputs)]
