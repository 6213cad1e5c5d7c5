"""Read TTrees and RNTuples in chunks, with one interface. Every error names the file, the branch and what to do."""

from __future__ import annotations

import errno
import lzma
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import awkward as ak
import uproot

from truthward.errors import InputError, nearest
from truthward.run.files import File

CHUNK = 32_768
"""Entries that are read at once."""

_UNKNOWN = (
    NotImplementedError,
    uproot.interpretation.identify.UnknownInterpretation,
    uproot.interpretation.objects.CannotBeAwkward,
)
"""What uproot raises on a type that it does not know."""

# Exceptions for damaged bytes from uproot, from the code that it makes from a file's streamers, and from decompressors.
_DAMAGE = (
    *_UNKNOWN,
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
    ImportError,
    NameError,
    SyntaxError,
    BufferError,
    StopIteration,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    uproot.compression.cramjam.DecompressionError,
    uproot.DeserializationError,
)
_DISK = (errno.EACCES, errno.EPERM, errno.EIO, errno.ENOENT, errno.ESTALE, errno.EMFILE, errno.ENFILE)
"""Errors of the operating system that are not about the contents of a file."""
_PLAIN = (
    uproot.interpretation.numerical.AsDtype,
    uproot.interpretation.jagged.AsJagged,
    uproot.interpretation.strings.AsStrings,
)
"""Interpretations that can read every file that is not damaged."""


@contextmanager
def reading(path: File) -> Iterator[None]:
    """Turn what uproot raises into an InputError that says whether the file is at fault."""
    try:
        yield
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _damaged(path: File, error: Exception) -> InputError:
    if isinstance(error, ImportError):
        return InputError(f"{path}: reading it needs a package that is not installed ({_reason(error)}); install it")
    if isinstance(error, OSError) and error.errno in _DISK:
        return InputError(f"{path}: cannot be read ({_reason(error)}); check its permissions and the disk")
    if isinstance(error, MemoryError):
        return InputError(
            f"{path}: a part of it does not fit into memory ({_reason(error)}); give the job more memory, or copy the "
            "file again if it is damaged"
        )
    return InputError(
        f"{path}: cannot be read as a ROOT file ({_reason(error)}); it is truncated or damaged: "
        "copy it again, or leave it out of `files`"
    )


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


class Tree:
    """One open TTree or RNTuple. Made by `root.opened`.

    A branch is found by its short name, as ROOT finds it, or by its full path with / between parts, which may begin
    with /. A field of an RNTuple has dots in its path and no other name.

    Attributes:
        path: the file. name: of the tree in it.
        names: all names that find a branch, also names that several branches have.
        branches: the short names, each once, without groups, which have branches and no numbers.
        num_entries: number of entries, the same in all branches.
    """

    def __init__(self, path: File, name: str, handle: Any) -> None:
        self.path, self.name = path, name
        self._handle = handle
        self._paths: dict[str, list[Any]] = {}
        self._short: dict[str, list[str]] = {}
        with reading(path):
            self.num_entries = int(handle.num_entries)
            for full, branch in handle.iteritems():
                self._paths.setdefault(full, []).append(branch)
                short = branch.name if self._is_ttree else full
                if full not in (places := self._short.setdefault(short, [])):
                    places.append(full)
            self._groups = {path.rpartition(".")[0] for path in self._paths} & set(self._paths)
            if self._is_ttree:
                self._groups = {path for path, found in self._paths.items() if any(b.branches for b in found)}
        self.branches = [name for name, places in self._short.items() if not self._groups.issuperset(places)]
        self.names = tuple(dict.fromkeys([*self._short, *self._paths]))

    def type_of(self, name: str) -> str:
        """The C++ type of a branch."""
        return _type_of(self._branch(name))

    def require(self, names: Sequence[str], why: str) -> None:
        """Raise InputError where a branch is not in the file, is not one, or has a type that cannot be read."""
        for name in names:
            if name.removeprefix("/") not in self.names:
                raise InputError(f"{self.path}: no branch {name}, needed for {why}; {nearest(name, self.branches)}")
            self._refuse_type(name)

    def chunks(self, names: Sequence[str], rows: int = CHUNK) -> Iterator[tuple[int, dict[str, Any]]]:
        """Branches in chunks of at most `rows` entries.

        A TTree is read basket by basket. An RNTuple is read cluster by cluster, which is its smallest readable piece.
        The memory depends on `rows` and on the size of a cluster, not on the number of entries.

        Yields:
            first entry of the chunk, and name -> (n,) numpy array or awkward array of lists.

        Raises:
            InputError: damaged content, branches of different lengths, or of a type that cannot be read.
        """
        branches = {name: self._branch(name) for name in names}
        self._same_lengths(branches)
        pieces = self._by_basket(branches, rows) if self._is_ttree else self._by_cluster(branches, rows)
        for start, stop, whole in pieces:
            for name, values in whole.items():
                if len(values) != stop - start:
                    raise InputError(
                        f"{self.path}: branch {name} has {len(values)} values for the entries {start} to {stop}; the "
                        "file is truncated or damaged: copy it again"
                    )
            for first in range(start, stop, rows):
                last = min(first + rows, stop)
                yield first, {name: values[first - start : last - start] for name, values in whole.items()}

    def span(self, names: Sequence[str], start: int, stop: int) -> dict[str, Any]:
        """Branches of the entries from `start` to before `stop`; see `chunks`."""
        branches = {name: self._branch(name) for name in names}
        self._same_lengths(branches)
        try:
            return {
                name: _plain(branch.array(entry_start=start, entry_stop=stop, library="ak"))
                for name, branch in branches.items()
            }
        except _DAMAGE as error:
            raise self._blame(branches, error, start, stop) from error

    @property
    def _is_ttree(self) -> bool:
        return isinstance(self._handle, uproot.TTree)

    def _branch(self, name: str) -> Any:
        """The one branch of a name."""
        return self._paths[self._path(name)][0]

    def _path(self, name: str) -> str:
        """The one full path of a name."""
        path = name.removeprefix("/")
        places = [] if name.startswith("/") else self._short.get(name, [])
        places = list(dict.fromkeys([*places, *([path] if path in self._paths else [])]))
        if len(places) > 1:
            shown = ", ".join(f"`/{place}`" for place in places[:8]) + (", ..." if len(places) > 8 else "")
            raise InputError(
                f"{self.path}: {len(places)} branches are named {name}: {shown}; write the full path of one, in "
                "backticks, in place of the name"
            )
        found = self._paths[places[0]]
        if len(found) > 1:
            raise InputError(
                f"{self.path}: {len(found)} branches have the same path {places[0]}; write the file again with "
                "different names"
            )
        return places[0]

    def _refuse_type(self, name: str) -> None:
        """Refuse a branch that has other branches, or a type that uproot cannot read, before anything is read."""
        path = self._path(name)
        if path in self._groups:
            start = path + ("/" if self._is_ttree else ".")
            inside = [f"`{each}`" for each in self._paths if each.startswith(start) and each not in self._groups]
            shown = ", ".join(inside[:6]) + (", ..." if len(inside) > 6 else "")
            raise InputError(
                f"{self.path}: branch {name} is a group of branches without numbers; name one of them: {shown}"
            )
        if self._is_ttree:
            branch = self._branch(name)
            with reading(self.path):
                interpretation = branch.interpretation
            if isinstance(interpretation, _UNKNOWN):
                raise self._type_error(name, branch, interpretation)

    def _type_error(self, name: str, branch: Any, error: Exception) -> InputError:
        return InputError(
            f"{self.path}: branch {name} has the type {_type_of(branch)}, which cannot be read "
            f"({_reason(error)}); write the values that you need as branches of numbers or of lists of numbers"
        )

    def _blame(self, branches: Mapping[str, Any], error: Exception, start: int, stop: int) -> InputError:
        """The error for a failed reading: a type error if the bytes of the failing branch are complete."""
        for name, branch in branches.items():
            if self._is_ttree and isinstance(branch.interpretation, _PLAIN):
                continue
            try:
                branch.array(entry_start=start, entry_stop=stop, library="ak")
            except _DAMAGE as own:
                if isinstance(own, _UNKNOWN) or (self._is_ttree and _is_whole(branch)):
                    return self._type_error(name, branch, own)
        return _damaged(self.path, error)

    def _by_basket(self, branches: Mapping[str, Any], rows: int) -> Iterator[tuple[int, int, dict[str, Any]]]:
        # uproot's own iteration keeps the last baskets of a chunk, so that none is decompressed twice. Its results have
        # short names, so branches with the same short name are read separately.
        groups: list[dict[str, str]] = []
        for name, branch in branches.items():
            group = next((g for g in groups if branch.name not in g), None)
            if group is None:
                groups.append(group := {})
            group[branch.name] = name
        steps = [self._steps({id(branches[name]) for name in group.values()}, rows) for group in groups]
        for start in range(0, self.num_entries, rows):
            stop = min(start + rows, self.num_entries)
            try:
                whole: dict[str, Any] = {}
                for group, step in zip(groups, steps, strict=True):
                    piece = next(step)
                    whole |= {name: _plain(piece[short]) for short, name in group.items()}
            except _DAMAGE as error:
                raise self._blame(branches, error, start, stop) from error
            yield start, stop, whole

    def _steps(self, chosen: set[int], rows: int) -> Iterator[ak.Array]:
        return self._handle.iterate(filter_branch=lambda branch: id(branch) in chosen, step_size=rows, library="ak")

    def _by_cluster(self, branches: Mapping[str, Any], rows: int) -> Iterator[tuple[int, int, dict[str, Any]]]:
        spans: list[tuple[int, int]] = []
        with reading(self.path):
            for cluster in self._handle.ntuple.cluster_summaries:
                first, last = cluster.num_first_entry, cluster.num_first_entry + cluster.num_entries
                if spans and last - spans[-1][0] <= rows:
                    spans[-1] = (spans[-1][0], last)
                elif last > first:
                    spans.append((first, last))
        for start, stop in spans:
            try:
                whole = {
                    name: _plain(field.array(entry_start=start, entry_stop=stop, library="ak"))
                    for name, field in branches.items()
                }
            except _DAMAGE as error:
                raise self._blame(branches, error, start, stop) from error
            yield start, stop, whole

    def _same_lengths(self, branches: Mapping[str, Any]) -> None:
        for name, branch in branches.items() if self._is_ttree else ():
            entries = int(branch.num_entries)
            if entries != self.num_entries:
                raise InputError(
                    f"{self.path}: branch {name} has {entries} entries, but the tree has {self.num_entries}, so they "
                    "do not belong to the same events; write the file again"
                )


def _type_of(branch: Any) -> str:
    """The C++ type of a branch, as far as the file has it."""
    try:
        name = str(branch.typename)
    except _DAMAGE:
        name = "unknown"
    if name == "unknown" and hasattr(branch, "has_member") and branch.has_member("fClassName"):
        name = str(branch.member("fClassName")) or name
    return name


def _is_whole(branch: Any) -> bool:
    """Whether all baskets of a branch of a TTree can be decompressed."""
    try:
        for number in range(branch.num_baskets):
            branch.basket(number)
    except _DAMAGE:
        return False
    return True


def _plain(values: ak.Array) -> Any:
    return ak.to_numpy(values) if values.ndim == 1 and "string" not in str(values.type) else values
