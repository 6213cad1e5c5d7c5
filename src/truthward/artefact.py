"""Writing artefacts: beside the name first, then renamed, so that no half file is ever seen under the real name."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from truthward.errors import CorruptError, InputError


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it onto `path` on success, remove it on failure.

    The ending is kept (`.name.1234.root`), because writers such as uproot and matplotlib go by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        # Flushed before the rename: after a power cut the name must not point at an empty file.
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` atomically as UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` atomically; keys sorted, so that equal content is an equal file.

    Raises:
        ValueError: where `content` holds NaN or an infinity, which JSON cannot say.
    """
    write_text(path, json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n")


def write_yaml(path: str | Path, *documents: Any, compact: bool = False) -> None:
    """Write YAML documents atomically, keys in their order; `compact`: innermost lists and mappings on one line."""
    layout = {"sort_keys": False, "allow_unicode": True, "default_flow_style": None if compact else False}
    write_text(path, yaml.safe_dump_all(documents, width=1000, **layout))


def read_json(path: str | Path) -> Any:
    """Read a JSON artefact.

    Raises:
        InputError: where the file is missing.
        CorruptError: where it is not JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; run the stage that makes it") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CorruptError(f"{path}: not valid JSON ({error}); delete it and rerun the stage that makes it") from error


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's content as hexadecimal text, read in blocks."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
