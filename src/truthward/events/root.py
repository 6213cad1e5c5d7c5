"""Opening ROOT files: TTrees and RNTuples through one handle, in chunks; every failure names file and way out."""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import awkward as ak
import uproot

from truthward.errors import InputError
from truthward.events.contract import nearest

CHUNK = 32_768
"""Entries that are read at once."""

# What uproot and the decompressors raise on bytes that are not what they should be.
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    uproot.compression.cramjam.DecompressionError,
    uproot.DeserializationError,
)


def expand(files: Sequence[str]) -> list[Path]:
    """Files of a list of paths and globs, each once, in the order given and sorted within a glob.

    Raises:
        InputError: a file that does not exist, or a glob that matches nothing.
    """
    found: dict[Path, None] = {}
    for text in files:
        # A file that is there may have [ or * in its name.
        is_pattern = has_magic(str(text)) and not Path(text).is_file()
        matches = sorted(glob(str(text), recursive=True)) if is_pattern else [str(text)]
        if not matches:
            raise InputError(f"{text}: no file matches this pattern (seen from {Path.cwd()}); correct `files`")
        for match in matches:
            if not Path(match).is_file():
                raise InputError(f"{match}: no such file (seen from {Path.cwd()}); correct `files`")
            found.setdefault(Path(match))
    if not found:
        raise InputError("files: the list is empty; give at least one path or pattern")
    return list(found)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"{path}: cannot be read as a ROOT file ({type(error).__name__}: {reason}); it is truncated or damaged: "
            "copy it again, or leave it out of `files`"
        ) from error


class Tree:
    """One open TTree or RNTuple. Made by `opened`.

    Attributes:
        path: the file.
        branches: names of its branches (fields of an RNTuple).
        num_entries: entries, the same in all branches.
    """

    def __init__(self, path: Path, handle: Any) -> None:
        self.path = path
        self._handle = handle
        with _reading(path):
            self.num_entries = int(handle.num_entries)
            self.branches = list(dict.fromkeys(handle.keys(full_paths=False)))

    def require(self, names: Sequence[str], why: str) -> None:
        """Raise InputError where a branch is not in the file, with the nearest names."""
        for name in names:
            if name not in self.branches:
                raise InputError(f"{self.path}: no branch {name}, needed for {why}; {nearest(name, self.branches)}")

    def chunks(self, names: Sequence[str], rows: int = CHUNK) -> Iterator[tuple[int, dict[str, Any]]]:
        """Branches in chunks of at most `rows` entries.

        A TTree is read basket by basket, an RNTuple cluster by cluster (the smallest piece that it can be read in):
        memory goes with `rows` and the size of a cluster, not with the number of entries.

        Yields:
            first entry of the chunk, and name -> (n,) numpy array or awkward array of lists.

        Raises:
            InputError: damaged content, or branches of different lengths.
        """
        self._same_lengths(names)
        wanted = set(names)
        pieces = self._by_basket(wanted, rows) if self._is_ttree else self._by_cluster(wanted, rows)
        for start, stop, read in pieces:
            with _reading(self.path):
                whole = {name: _plain(read[name]) for name in names}
            for name, values in whole.items():
                if len(values) != stop - start:
                    raise InputError(
                        f"{self.path}: {name} gives {len(values)} of the entries {start} to {stop}; it is truncated or "
                        "damaged: copy it again"
                    )
            for first in range(start, stop, rows):
                last = min(first + rows, stop)
                yield first, {name: values[first - start : last - start] for name, values in whole.items()}

    @property
    def _is_ttree(self) -> bool:
        return isinstance(self._handle, uproot.TTree)

    def _by_basket(self, wanted: set[str], rows: int) -> Iterator[tuple[int, int, ak.Array]]:
        # uproot's own iteration keeps the baskets that a chunk ended in, so that none is decompressed twice.
        steps = self._handle.iterate(filter_name=lambda name: name in wanted, step_size=rows, library="ak")
        for start in range(0, self.num_entries, rows):
            with _reading(self.path):
                piece = next(steps)
            yield start, min(start + rows, self.num_entries), piece

    def _by_cluster(self, wanted: set[str], rows: int) -> Iterator[tuple[int, int, ak.Array]]:
        spans: list[tuple[int, int]] = []
        with _reading(self.path):
            for cluster in self._handle.ntuple.cluster_summaries:
                first, last = cluster.num_first_entry, cluster.num_first_entry + cluster.num_entries
                if spans and last - spans[-1][0] <= rows:
                    spans[-1] = (spans[-1][0], last)
                elif last > first:
                    spans.append((first, last))
        for start, stop in spans:
            with _reading(self.path):
                piece = self._handle.arrays(
                    filter_name=lambda name: name in wanted, entry_start=start, entry_stop=stop, library="ak"
                )
            yield start, stop, piece

    def _same_lengths(self, names: Sequence[str]) -> None:
        if self._is_ttree:
            for name in names:
                entries = int(self._handle[name].num_entries)
                if entries != self.num_entries:
                    raise InputError(
                        f"{self.path}: branch {name} has {entries} entries where the tree has {self.num_entries}; the "
                        "levels are not of the same events: write the file again"
                    )


@contextmanager
def opened(path: Path, tree: str) -> Iterator[Tree]:
    """Open a TTree or RNTuple of a file.

    Raises:
        InputError: no such file, truncated or damaged, or no such tree (the trees that it has are named).
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file (seen from {Path.cwd()}); correct `files`")
    with _reading(path):
        # No caches: what was read is used once, and would only fill memory.
        file = uproot.open(path, object_cache=None, array_cache=None)
    with file:
        with _reading(path):
            end, size = int(file.file.fEND), path.stat().st_size
            kinds = {key.partition(";")[0]: kind for key, kind in file.classnames().items()}
        if end > size:
            raise InputError(f"{path}: truncated: {size} bytes where its header says {end}; copy it again")
        trees = [name for name, kind in kinds.items() if kind == "TTree" or kind.endswith("RNTuple")]
        if tree not in trees:
            raise InputError(f"{path}: no tree {tree}; {nearest(tree, trees)}; set `tree`")
        with _reading(path):
            handle = file[tree]
        yield Tree(path, handle)


def _plain(values: ak.Array) -> Any:
    return ak.to_numpy(values) if values.ndim == 1 and "string" not in str(values.type) else values
