"""Write artefacts to a temporary name, then rename them, so that the real name never has an incomplete file."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from truthward.errors import CorruptError, InputError, SpaceError

MARK = ".unfinished-"
"""Only temporary names have this part."""


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it onto `path` on success, remove it on failure.

    The ending is kept (`.name.unfinished-1a2b3c.root`), because writers such as uproot and matplotlib use it. The name
    is random: processes on two machines may have the same number.

    Raises:
        SpaceError: the disk, or a quota on it, is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}{MARK}{uuid.uuid4().hex[:12]}{path.suffix}")
    try:
        yield temporary
        # Flushed before the rename: after a power cut the name must not point at an empty file.
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except Exception as error:
        if _is_full(path.parent, error):
            raise SpaceError(
                f"{path}: no space left on its disk (or within a quota); this file was not written, finished files "
                "stay: free some space and start snakemake again"
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _is_full(folder: Path, error: Exception) -> bool:
    """Whether a full disk made a write fail. Some writers give no error number: then the free space of the disk is
    checked, while the unfinished file is still there."""
    full = (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in full
    try:
        with tempfile.TemporaryFile(dir=folder) as handle:
            handle.write(bytes(2**16))
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as reason:
        return reason.errno in full
    return False


def remove_unfinished(path: str | Path) -> None:
    """Remove temporary files of killed writers of `path`; no writer may be running."""
    path = Path(path)
    for found in path.parent.glob(f"{glob.escape(f'.{path.stem}{MARK}')}*{glob.escape(path.suffix)}"):
        found.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` atomically as UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` atomically; keys sorted, so that equal content is an equal file.

    Raises:
        ValueError: `content` has NaN or an infinity, which JSON cannot store.
    """
    write_text(path, json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON artefact.

    Raises:
        InputError: the file is missing.
        CorruptError: the file is not JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; run the stage that makes it") from error
    except (ValueError, RecursionError) as error:
        # Not JSON, not UTF-8, a number with thousands of digits, or thousands of brackets.
        raise CorruptError(f"{path}: not valid JSON ({error}); delete it and rerun the stage that makes it") from error


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's content as hexadecimal text, read in blocks."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
