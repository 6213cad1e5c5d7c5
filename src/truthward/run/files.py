"""Where the files of a reader are: paths, patterns, lists of files, and addresses that are read over the network."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from glob import glob, has_magic
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

from truthward.errors import InputError
from truthward.run.artefact import write_json

log = logging.getLogger(__name__)

SCHEMES = {"https": "aiohttp", "http": "aiohttp", "root": "fsspec-xrootd"}
"""Schemes of addresses, and the package that each needs."""
LIST = ".txt"
"""Ending of a list of files."""
WAITS = (1.0, 4.0, 16.0)
"""Seconds before each further try at a remote file."""
TIMEOUT, GLANCE = 60.0, 5.0
"""Seconds that a server has for an answer: to a job, and to what only plans."""
BUFFER, BLOCK = 1 << 18, 1 << 23
"""Bytes that are read of a remote file at once: at least, and where all of it is read."""
IDENTITY = ("size", "ETag", "Last-Modified", "mtime")
"""What servers say of a file that changes with it."""

_HEAD = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*)://[^/]*")
_TREE = re.compile(r"(?P<file>.*\.root(?:\.\d+)?):(?P<tree>[^:]+)")
_GONE = (404, 410)
_LATER = (408, 425, 429)
"""Answers of a server that may be others later, although they blame the request."""

Identity = dict[str, Any]
Found = TypeVar("Found")


@dataclass(frozen=True)
class File:
    """A file, and perhaps which tree of it is meant.

    A remote file is read in pieces. Each must have the bytes that were asked for, and what the server says of the file
    must not change from one piece to the next. A piece that fails is asked for again, see `WAITS`.

    Attributes:
        address: a path, or an address such as https://server/file.root.
    """

    address: str
    tree: str | None = None

    def __str__(self) -> str:
        return self.address

    @property
    def remote(self) -> bool:
        """Whether it is read over the network."""
        return _HEAD.match(self.address) is not None

    @property
    def name(self) -> str:
        """Its name without folders."""
        return PurePosixPath(urlsplit(self.address).path if self.remote else self.address).name or self.address

    @property
    def place(self) -> str:
        """What the spec of a job says of it, see `filled`."""
        return (self.address if self.remote else "") + (f":{self.tree}" if self.tree else "")

    @property
    def size(self) -> int:
        """Its number of bytes."""
        return int(self.identity["size"]) if self.remote else Path(self.address).stat().st_size

    @cached_property
    def identity(self) -> Identity:
        """What the server said of a remote file at the first look, see `IDENTITY`."""
        return self.look()

    @property
    def hashed(self) -> bool:
        """Whether its SHA-256 costs nothing over the network: it is local, or was read whole."""
        return not self.remote or "sha256" in vars(self)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of its content, as hexadecimal text."""
        found = hashlib.sha256()
        for block in self._blocks():
            found.update(block)
        return found.hexdigest()

    @cached_property
    def adler32(self) -> str:
        """Adler-32 of its content, as hexadecimal text."""
        value = 1
        for block in self._blocks():
            value = zlib.adler32(block, value)
        return f"{value:08x}"

    def open(self) -> BinaryIO:
        """Open it to read bytes."""
        return io.BufferedReader(_Remote(self), BUFFER) if self.remote else open(self.address, "rb")

    def look(self, waits: Sequence[float] | None = None, timeout: float = TIMEOUT) -> Identity:
        """What the server says of a remote file now; InputError where there is none, or no answer after `waits`."""
        said = self._patiently(lambda system, path: system.info(path, timeout=timeout), waits)
        if said.get("size") is None:
            raise InputError(f"{self}: the server does not say how large it is; read a copy on a disk here")
        return {key: said[key] for key in IDENTITY if said.get(key) is not None}

    def refuse_other(self, identity: Identity, when: str, waits: Sequence[float] | None = None) -> None:
        """Raise InputError where a remote file has changed since the server said `identity` of it."""
        now = self.look(waits)
        other = [key for key in IDENTITY if key in identity and identity[key] != now.get(key, identity[key])]
        if other:
            said = ", ".join(f"{key} was {identity[key]}, is {now[key]}" for key in other)
            raise InputError(f"{self}: changed {when} ({said}); start again when it stays as it is")

    def fetch(self, start: int, stop: int) -> bytes:
        """Bytes `start` to before `stop` of a remote file."""

        def ask(system: Any, path: str) -> bytes:
            found: bytes = system.cat_file(path, start=start, end=stop, timeout=TIMEOUT)
            if len(found) > stop - start:
                raise InputError(f"{self}: the server sends no parts of files; read a copy on a disk here")
            if len(found) < stop - start:
                raise ConnectionError(f"{len(found)} of {stop - start} bytes came")
            return found

        when, identity = "while it was read", self.identity
        try:
            found = self._patiently(ask)
        except InputError:
            # That it has changed says more than that a piece of it is missing.
            self.refuse_other(identity, when, ())
            raise
        self.refuse_other(identity, when)
        return found

    def _blocks(self) -> Iterator[bytes]:
        with self.open() as content:
            while block := content.read(BLOCK):
                yield block

    @cached_property
    def _system(self) -> tuple[Any, str]:
        """File system of fsspec, and the path in it."""
        # Imported here: to plan a study of local files must stay quick.
        from fsspec.core import url_to_fs

        scheme = urlsplit(self.address).scheme
        # Proxies of the environment, and bytes as they lie there: a compressed part has another length.
        http = {"client_kwargs": {"trust_env": True}, "headers": {"Accept-Encoding": "identity"}}
        options: dict[str, Any] = http if SCHEMES[scheme] == "aiohttp" else {}
        try:
            found: tuple[Any, str] = url_to_fs(self.address, **options)
        except ImportError as error:
            raise InputError(
                f"{self}: {scheme}:// is read by a package that is not installed: pip install {SCHEMES[scheme]}"
            ) from error
        return found

    def _patiently(self, ask: Callable[[Any, str], Found], waits: Sequence[float] | None = None) -> Found:
        """Ask the server, again after each of `waits` seconds; InputError where it gives no answer."""
        system = self._system
        waits = WAITS if waits is None else waits
        for number in range(len(waits) + 1):
            try:
                return ask(*system)
            except InputError:
                raise
            except Exception as error:
                # fsspec says of most failures that the file is missing; their cause says what happened.
                cause = (error.__cause__ if isinstance(error, FileNotFoundError) else None) or error
                status = getattr(cause, "status", None) or 0
                if status in _GONE or isinstance(cause, FileNotFoundError):
                    raise InputError(f"{self}: there is no such file on the server; correct `files`") from error
                refused = 400 <= status < 500 and status not in _LATER
                if refused or isinstance(cause, ValueError) or number == len(waits):
                    tries = f", {number + 1} tries" if number else ""
                    raise InputError(
                        f"{self}: cannot be read ({_reason(cause)}{tries}); check the address, your access to it and "
                        "the network, and start again"
                    ) from error
                log.warning("%s: %s; try %d follows in %g s", self, _reason(cause), number + 2, waits[number])
                time.sleep(waits[number])
        raise AssertionError("the last try returns or raises")


def _reason(error: BaseException) -> str:
    """What a library says of a failure, in one line."""
    if status := getattr(error, "status", None):
        return f"the server answers {status} {getattr(error, 'message', '')}".strip()
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}".removesuffix(": ")


class _Remote(io.RawIOBase):
    """A remote file as an open file."""

    def __init__(self, file: File) -> None:
        self._file, self._size, self._at = file, file.size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        stop = min(self._at + len(buffer), self._size)
        found = self._file.fetch(self._at, stop) if stop > self._at else b""
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


def expand(files: Sequence[str], tree: str | None = None) -> list[File]:
    """Files that are named, each once, in the order given and sorted within a pattern.

    Valid is a path, a pattern such as mc/*.root, an address such as https://server/file.root, and a list of files: the
    path of a text file that ends in .txt, with one of these in each line. The paths in a list are relative to its
    folder; its empty lines and those that begin with # are ignored. A name that ends in .root may have a tree behind a
    colon. The network is not used.

    Args:
        tree: of all files; no file may name another one.

    Raises:
        InputError: a file that does not exist, a pattern that matches nothing, a list that cannot be read or is empty,
            an address that cannot be read, or two trees for one file.
    """
    found = list(dict.fromkeys(file for text in files for file in _named(str(text), Path(), ())))
    if not found:
        raise InputError("files: the list is empty; give at least one path or pattern")
    for file in found:
        if tree is not None and file.tree not in (None, tree):
            raise InputError(f"{file}:{file.tree}: `tree` is {tree}; give the tree there, or behind the files")
    return found


def _named(text: str, folder: Path, lists: tuple[Path, ...]) -> Iterator[File]:
    """Files that a text names, in a list of `lists` that lies in `folder`."""
    head = _HEAD.match(text)
    # The name of an existing file may contain [ or * or a colon.
    whole = head is None and (folder / text).is_file()
    parted = None if whole else _TREE.fullmatch(text, head.end() if head else 0)
    name, tree = (text[: parted.end("file")], parted["tree"]) if parted else (text, None)
    if head is not None:
        if head["scheme"] not in SCHEMES:
            valid = ", ".join(f"{scheme}://" for scheme in SCHEMES)
            raise InputError(f"{text}: {head['scheme']}:// cannot be read; valid: {valid}, or a path")
        yield File(name, tree)
        return
    is_pattern = has_magic(name) and not whole
    matches = sorted(glob(name, root_dir=folder, recursive=True)) if is_pattern else [name]
    if not matches:
        raise InputError(f"{folder / name}: no file matches this pattern (seen from {Path.cwd()}); correct `files`")
    for path in (folder / match for match in matches):
        if not path.is_file():
            raise InputError(f"{path}: no such file (seen from {Path.cwd()}); correct `files`")
        if path.suffix == LIST:
            yield from _listed(path, lists)
        else:
            yield File(str(path), tree)


def _listed(path: Path, lists: tuple[Path, ...]) -> Iterator[File]:
    """Files of a list."""
    if path in lists:
        raise InputError(f"{path}: the list names itself; remove it there")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of files ({error}); correct `files`") from error
    texts = {n: line.strip() for n, line in enumerate(lines, 1) if line.strip() and not line.strip().startswith("#")}
    if not texts:
        raise InputError(f"{path}: the list names no file; write one in each line, or remove it from `files`")
    for number, text in texts.items():
        try:
            yield from _named(text, path.parent, (*lists, path))
        except InputError as error:
            raise InputError(f"{path}:{number}: {error}") from error


def filled(read: Mapping[str, Any], local: Iterable[str]) -> dict[str, Any]:
    """The entry of a reader whose files are places, see `File.place`: each local one is the next of `local`.

    >>> filled({"files": ["", "https://server/b.root", ":tree"]}, ["a.root", "c.root"])
    {'files': ['a.root', 'https://server/b.root', 'c.root:tree']}
    """
    rest = iter(local)

    def paths(places: Sequence[str]) -> list[str]:
        return [place if File(place).remote else f"{next(rest)}{place}" for place in places]

    entry = {**read, "files": paths(read["files"])}
    if "join" in read:
        joins = read["join"].items()
        entry["join"] = {n: {**join, "files": paths(join["files"])} if join.get("files") else join for n, join in joins}
    return entry


def planned(files: Iterable[File], note: Path, *, ask: bool, keep: bool) -> dict[str, Identity | None]:
    """What servers say of remote files: a plan holds it, so that a file that changes is read again.

    Where a server gives no answer, it is what a plan before this one was told: a plan needs no network.

    Args:
        note: file with what earlier plans were told.
        ask: whether the servers are asked. keep: whether `note` is written.

    Returns:
        Address -> identity, None where nothing is known.
    """
    try:
        before = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = {}
    asked = list({file.address: file for file in files}.values())
    silent: Counter[str] = Counter()

    def look(file: File) -> Identity | None:
        host = urlsplit(file.address).netloc
        if silent[host] > 2:
            return None
        try:
            found = file.look((), GLANCE)
        except InputError as error:
            log.warning("the plan goes on without an answer: %s", error)
            silent[host] += 1
            return None
        silent[host] = -len(asked)
        return found

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(look, asked)) if ask else [None] * len(asked)
    found = {file.address: told or before.get(file.address) for file, told in zip(asked, answers, strict=True)}
    # In one order: to Snakemake, the same keys in another order are another spec.
    found = {address: told and dict(sorted(told.items())) for address, told in found.items()}
    if keep and (known := before | {address: told for address, told in found.items() if told}) != before:
        write_json(note, known)
    return found
