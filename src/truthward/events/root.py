"""Open ROOT files: find the files and the tree in each; every error names the file and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import uproot

from truthward.errors import InputError, nearest
from truthward.events.tree import Tree, reading


def expand(files: Sequence[str]) -> list[Path]:
    """Files of a list of paths and globs, each once, in the order given and sorted within a glob.

    Raises:
        InputError: a file that does not exist, or a glob that matches nothing.
    """
    found: dict[Path, None] = {}
    for text in files:
        # The name of an existing file may contain [ or *.
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


def trees_of(path: Path) -> list[str]:
    """Names of the TTrees and RNTuples of a file; InputError where it cannot be read."""
    with _file(path) as (_, trees):
        return trees


@contextmanager
def opened(path: Path, tree: str | None) -> Iterator[Tree]:
    """Open a TTree or RNTuple of a file: the one of that name, or for None the only one.

    Raises:
        InputError: no such file, truncated or damaged, or no such tree, or several (those that it has are named).
    """
    with _file(path) as (file, trees):
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


@contextmanager
def _file(path: Path) -> Iterator[tuple[Any, list[str]]]:
    """An open file, and the names of its trees."""
    if not path.is_file():
        raise InputError(f"{path}: no such file (seen from {Path.cwd()}); correct `files`")
    with reading(path), path.open("rb") as raw:
        begin = raw.read(4)
    if not b"root".startswith(begin):
        raise InputError(
            f"{path}: cannot be read as a ROOT file: it begins with {begin!r}, a ROOT file begins with b'root'; the "
            "file has another format, or its first bytes are damaged: correct `files`"
        )
    with reading(path):
        # No caches: what was read is used once, and would only fill memory.
        file = uproot.open(path, object_cache=None, array_cache=None)
    with file:
        with reading(path):
            end, size = int(file.file.fEND), path.stat().st_size
            kinds = {key.rpartition(";")[0]: kind for key, kind in file.classnames().items()}
        if end > size:
            raise InputError(f"{path}: truncated: it has {size} bytes, but its header says {end}; copy it again")
        yield file, [name for name, kind in kinds.items() if kind == "TTree" or kind.endswith("RNTuple")]
