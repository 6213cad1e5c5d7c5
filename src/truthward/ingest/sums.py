"""Lists of checksums of the user's own files, in the formats of `sha256sum` and of CERN Open Data."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from truthward.errors import CorruptError, InputError
from truthward.run.files import File

log = logging.getLogger(__name__)

_DIGEST = re.compile(r"(?:sha256:)?(?P<sha256>[0-9a-f]{64})|adler32:(?P<adler32>[0-9a-f]{8})")


def check(files: Sequence[File], listing: str | Path) -> None:
    """Check files against a list of checksums.

    A line is a digest and a name: `<SHA-256>  <name>` or `adler32:<hex>  <name>`. Or it is a name or address, perhaps a
    size, and a digest, as in `root://... 15790656 adler32:1c2d3e4f`. A line that begins with # is ignored. A file is
    found by its address, by its path relative to the folder of the list, or else by its name.

    Args:
        files: the files. listing: the list.

    Raises:
        InputError: no such list, an invalid line, or a file that is not in the list.
        CorruptError: a file whose content has another digest.
    """
    listing = Path(listing)
    listed = _lines(listing)
    for file in files:
        kind, wanted = _entry(file, listed, listing)
        found = file.sha256 if kind == "sha256" else file.adler32
        if found != wanted:
            raise CorruptError(
                f"{file}: its {kind} is {found}, but {listing} says {wanted}; the file is truncated, damaged or "
                "another version: copy it again, or correct the list"
            )
    log.info("%d files match their checksums in %s", len(files), listing)


def _lines(listing: Path) -> list[tuple[str, str, str]]:
    """(kind, digest, name) of each line."""
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{listing}: cannot be read as a list of checksums ({error}); correct `checksums`") from error
    found = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        match = _DIGEST.fullmatch(words[0].lower())
        if match:
            name = line.strip()[len(words[0]) :].lstrip().removeprefix("*")
        else:
            name, match = words[0], _DIGEST.fullmatch(words[-1].lower())
        if match is None or not name.isprintable() or not name:
            raise InputError(
                f"{listing}:{number}: {line[:80]!r} is not a valid line; write `<sha256> <file>`, as `sha256sum` "
                "does, or `<file> adler32:<8 digits>`"
            )
        found.append((match.lastgroup or "", match[match.lastgroup or 0], name))
    return found


def _entry(file: File, listed: list[tuple[str, str, str]], listing: Path) -> tuple[str, str]:
    exact = [line for line in listed if line[2] == file.address or _same(listing.parent / line[2], file)]
    named = [line for line in listed if line[2].rpartition("/")[2] == file.name]
    entries = {line[:2] for line in exact or named}
    if not entries:
        raise InputError(
            f"{file}: not in {listing}; check that it is complete and add it (`sha256sum {quote(str(file))} >> "
            f"{quote(str(listing))}`), or remove it from `files`"
        )
    # If a file has checksums of both kinds, the stronger one is used.
    kind = "sha256" if "sha256" in dict(entries) else "adler32"
    wanted = [digest for own, digest in entries if own == kind]
    if len(wanted) > 1:
        raise InputError(f"{listing}: {file.name} is listed with different checksums; name the files by their paths")
    return kind, wanted[0]


def _same(path: Path, file: File) -> bool:
    return not file.remote and path.resolve() == Path(file.address).resolve()
