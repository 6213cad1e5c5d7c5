"""The contents of a list of files, before any is read: a branch must be in all files that have events, or in none."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from truthward.errors import InputError, nearest
from truthward.events.root import opened
from truthward.run.files import File

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contents:
    """A file: its tree, the number of entries, the short names of the branches, and all `names` that find a branch."""

    path: File
    tree: str
    entries: int
    branches: tuple[str, ...]
    names: frozenset[str]


class Survey:
    """The contents of all files; branches matter only in files with entries.

    Args:
        paths: the files. tree: name of their tree; None: the one that is named with each file, or its only one.

    Raises:
        InputError: see `root.opened`.
    """

    def __init__(self, paths: Sequence[File], tree: str | None) -> None:
        self.all: list[Contents] = []
        seen: dict[tuple[str, ...], tuple[tuple[str, ...], frozenset[str]]] = {}
        for path in paths:
            with opened(path, tree or path.tree) as found:
                # Files of a sample have the same branches: they are kept once.
                kept = seen.setdefault(found.names, (tuple(found.branches), frozenset(found.names)))
                self.all.append(Contents(path, found.name, found.num_entries, *kept))
        empty = [file.path.name for file in self.all if not file.entries]
        if empty:
            shown = ", ".join(empty[:4]) + (", ..." if len(empty) > 4 else "")
            log.warning("%d of %d files have no entry: %s", len(empty), len(self.all), shown)
        self.filled = [file for file in self.all if file.entries] or self.all

    @property
    def branches(self) -> list[str]:
        """Short names of the branches of any file with entries."""
        return list(dict.fromkeys(name for file in self.filled for name in file.branches))

    @property
    def trees(self) -> list[str]:
        """Names of the trees, each once."""
        return list(dict.fromkeys(file.tree for file in self.all))

    def has(self, name: str, why: str) -> bool:
        """Whether the files have a branch that they may or may not have.

        Raises:
            InputError: some have it and some do not.
        """
        having, lacks = self._split(name)
        if having and lacks:
            lacking = lacks[0]
            raise InputError(
                f"{lacking.path}: no branch {name}, but {having[0].path} has it ({why}); {len(having)} of "
                f"{len(self.filled)} files have it: give only files with it, or only files without it, or make two "
                "samples"
            )
        return bool(having)

    def require(self, names: Iterable[str], why: str) -> None:
        """Refuse files in which a branch is missing: InputError with the nearest names, and a file that has it."""
        for name in names:
            having, lacking = self._split(name)
            if lacking:
                also = f"{having[0].path} has it; " if having else ""
                raise InputError(
                    f"{lacking[0].path}: no branch {name}, needed for {why}; {also}{nearest(name, lacking[0].branches)}"
                )

    def _split(self, name: str) -> tuple[list[Contents], list[Contents]]:
        """Files with and without a branch."""
        found: tuple[list[Contents], list[Contents]] = ([], [])
        for file in self.filled:
            found[name.removeprefix("/") not in file.names].append(file)
        return found
