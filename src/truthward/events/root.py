"""Open ROOT files, and the tree in each; every error names the file and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uproot

from truthward.errors import InputError, nearest
from truthward.events.tree import Tree, reading
from truthward.run.files import File


@contextmanager
def opened_file(path: File) -> Iterator[tuple[Any, dict[str, str]]]:
    """Open a ROOT file: its handle, and name -> class of what is in it.

    Raises:
        InputError: no such file, or one that is truncated or damaged.
    """
    if not path.remote and not Path(path.address).is_file():
        raise InputError(f"{path}: no such file (seen from {Path.cwd()}); correct `files`")
    with reading(path):
        raw = path.open()
    with raw:
        with reading(path):
            begin = raw.read(4)
        if not b"root".startswith(begin):
            raise InputError(
                f"{path}: cannot be read as a ROOT file: it begins with {begin!r}, a ROOT file begins with b'root'; "
                "the file has another format, or its first bytes are damaged: correct `files`"
            )
        with reading(path):
            # No caches: what was read is used once, and would only fill memory.
            source = raw if path.remote else Path(path.address)
            file = uproot.open(source, object_cache=None, array_cache=None)
        with file:
            with reading(path):
                end, size = int(file.file.fEND), path.size
                kinds = {key.rpartition(";")[0]: kind for key, kind in file.classnames().items()}
            if end > size:
                raise InputError(f"{path}: truncated: it has {size} bytes, but its header says {end}; copy it again")
            yield file, kinds


@contextmanager
def opened(path: File, tree: str | None) -> Iterator[Tree]:
    """Open a TTree or RNTuple of a file: the one of that name, or for None the only one.

    Raises:
        InputError: no such file, truncated or damaged, or no such tree, or several (those that it has are named).
    """
    with opened_file(path) as (file, kinds):
        trees = _trees(kinds)
        if tree is None:
            if len(trees) != 1:
                found = (
                    f"has {len(trees)} trees: {', '.join(trees)}; say which in `tree`"
                    if trees
                    else "has no tree; correct `files`"
                )
                raise InputError(f"{path}: {found}")
            tree = trees[0]
        if tree not in trees:
            raise InputError(f"{path}: no tree {tree}; {nearest(tree, trees)}; set `tree`")
        with reading(path):
            handle = file[tree]
        yield Tree(path, tree, handle)


def trees_of(path: File) -> list[str]:
    """Names of the TTrees and RNTuples of a file; InputError where it cannot be read."""
    with opened_file(path) as (_, kinds):
        return _trees(kinds)


def content_of(path: File) -> str:
    """What identifies the content of a file: its SHA-256; of a remote file that was not read whole, UUID and size.

    ROOT gives each file a UUID when it is written; copies of a file have the same one.
    """
    if path.hashed:
        return path.sha256
    with opened_file(path) as (file, _):
        return f"uuid {file.file.uuid}, {path.size} bytes"


def _trees(kinds: Mapping[str, str]) -> list[str]:
    return [name for name, kind in kinds.items() if kind == "TTree" or kind.endswith("RNTuple")]
