"""Checksums of artefacts: written when a job is done, verified before another job reads the artefact.

The record of `data.parquet` is `.data.parquet.sha256` beside it, in the form that `sha256sum --check` reads:

    # 1234567 bytes, rule ingest
    <64 hexadecimal digits>  data.parquet

A job removes the records of its outputs at its start and writes them at its end. If it is killed, a file is left
without a record, which Snakemake knows to be incomplete, but never with the record of another file.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable
from pathlib import Path
from shlex import quote

from truthward.errors import CorruptError
from truthward.run.artefact import sha256, write_text

log = logging.getLogger(__name__)

SUMS = "SHA256SUMS"
"""Name of the list of a publication; files in its folder have no other record."""

_RECORD = re.compile(r"# (?P<size>\d+) bytes, rule (?P<rule>\w+)\n(?P<digest>[0-9a-f]{64})  (?P<name>[^\n]+)\n")


def beside(path: str | Path) -> Path:
    """Path of the record of an artefact.

    >>> beside("results/tiny/ingest/data.parquet").as_posix()
    'results/tiny/ingest/.data.parquet.sha256'
    """
    return Path(path).with_name(f".{Path(path).name}.sha256")


def identity(path: str | Path) -> list[str | int]:
    """Identifies the content of a file without reading it: its record, or size and time of a file without a record."""
    try:
        return [str(path), beside(path).read_text(encoding="utf-8", errors="replace")]
    except FileNotFoundError:
        stat = Path(path).stat()
        return [str(path), stat.st_size, stat.st_mtime_ns]


def forget(paths: Iterable[str | Path]) -> None:
    """Remove the records of artefacts that will be made again."""
    for path in paths:
        beside(path).unlink(missing_ok=True)


def record(paths: Iterable[str | Path], rule: str) -> None:
    """Write the record of each artefact that a rule has made, reading each once."""
    made = list(map(Path, paths))
    listed = [path.parent for path in made if path.name == SUMS]
    for path in made:
        # Snakemake itself reports a missing file.
        if path.is_file() and not any(folder in path.parents for folder in listed):
            write_text(beside(path), f"# {path.stat().st_size} bytes, rule {rule}\n{sha256(path)}  {path.name}\n")


def verify(paths: Iterable[str | Path]) -> list[Path]:
    """Check artefacts against their records; each is read once, in blocks.

    Returns:
        Artefacts without a record: files of the user, and results of versions that wrote no records.

    Raises:
        CorruptError: an artefact is not as its rule wrote it; the message names it, the rule, and what to do.
    """
    unknown, total, started = [], 0, time.perf_counter()
    given = list(map(Path, paths))
    for path in given:
        if (size := _verified(path)) is None:
            unknown.append(path)
        else:
            total += size
    if len(given) > len(unknown):
        log.info(
            "%d inputs are what their rules wrote, by SHA-256: %.1f MB, %.2f s",
            len(given) - len(unknown),
            total / 1e6,
            time.perf_counter() - started,
        )
    return unknown


def _verified(path: Path) -> int | None:
    """Size in bytes of an artefact that agrees with its record; None without a record."""
    side = beside(path)
    try:
        text = side.read_bytes().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return None
    anew = f"to make it again: rm {quote(str(path))} {quote(str(side))}, then the same snakemake call again"
    found = _RECORD.fullmatch(text)
    if found is None or found["name"] != path.name:
        raise CorruptError(f"{side}: this is no record of a checksum; {anew}")
    size, wanted = path.stat().st_size, int(found["size"])
    if size == wanted and sha256(path) == found["digest"]:
        return size
    if size < wanted:
        what = f"truncated to {size} of {wanted} bytes"
    elif size > wanted:
        what = f"it has {size} bytes, but rule {found['rule']} wrote {wanted}"
    else:
        what = f"its content is not what rule {found['rule']} wrote"
    raise CorruptError(
        f"{path}: {what}; {anew} (that reruns rule {found['rule']}); if you replaced it on purpose, "
        f"remove its record: rm {quote(str(side))}"
    )
