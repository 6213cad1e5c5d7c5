"""Readers: one module per file format; a new format is a new module with one class that derives from `Reader`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from truthward.events.contract import Batch
from truthward.events.tree import CHUNK
from truthward.run.files import File, expand


class Reader(ABC):
    """Turns files into batches of event-table columns.

    The constructor opens no file: files may not exist yet when the config is checked. A class declares its observables
    at both levels before any file is open: `PROVIDES` names them, or `PROVIDES_FROM` names the option with these keys.
    """

    STATES = ("PROVIDES", "PROVIDES_FROM")

    PROVIDES: tuple[str, ...] = ()
    PROVIDES_FROM: str | None = None

    tree: str | None = None
    """Name of the tree in all files, where a reader has this option."""

    def __init__(self, files: Sequence[str]) -> None:
        self.files = list(files)

    @cached_property
    def paths(self) -> list[File]:
        """The files, see `expand`; InputError where one is missing or a pattern matches nothing."""
        return expand(self.files, self.tree)

    @property
    def sources(self) -> list[File]:
        """All files that are read."""
        return self.paths

    def contents(self) -> list[str]:
        """What identifies the content of each of the sources, for the metadata."""
        return [file.sha256 for file in self.sources]

    @abstractmethod
    def columns(self) -> list[str]:
        """Columns `truth_*` and `reco_*` that the files give, and variations (see `truthward.study.variations`)."""

    @abstractmethod
    def truth(self) -> list[str]:
        """Truth branches or columns of the files, used or not; empty for real data."""

    @abstractmethod
    def batches(self, levels: Sequence[str], *, rows: int = CHUNK) -> Iterator[Batch]:
        """Columns of the levels with `pass_<level>`, `weight`, `event_id` and `process`, in chunks of `rows` entries.

        `run` and `lumi` are there where the files have them, and variations together with the reco level. Values where
        a flag is false may be anything. Ids do not depend on `rows`, nor on names or order of the files.
        """

    @abstractmethod
    def describe(self, levels: Sequence[str]) -> dict[str, Any]:
        """The origin of a table of these levels, for its metadata; JSON-able."""

    def unflagged(self, levels: Sequence[str]) -> list[str]:
        """Flags `pass_<level>` that the files do not give, so that every event counts as accepted there."""
        return []
