"""Readers: one module per file format; a new format is a new module with one class that derives from `Reader`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from truthward.events.contract import Batch
from truthward.events.root import expand
from truthward.events.tree import CHUNK
from truthward.run.artefact import sha256


class Reader(ABC):
    """Turns files into batches of event-table columns.

    The constructor opens no file: files may not exist yet when the config is checked. A class declares its observables
    at both levels before any file is open: `PROVIDES` names them, or `PROVIDES_FROM` names the option with these keys.
    """

    STATES = ("PROVIDES", "PROVIDES_FROM")

    PROVIDES: tuple[str, ...] = ()
    PROVIDES_FROM: str | None = None

    def __init__(self, files: Sequence[str]) -> None:
        self.files = list(files)

    @property
    def paths(self) -> list[Path]:
        """The files; InputError where one is missing or a pattern matches nothing."""
        return expand(self.files)

    @cached_property
    def digests(self) -> dict[Path, str]:
        """SHA-256 of each file, as hexadecimal text; each is read once."""
        return {path: sha256(path) for path in self.paths}

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
