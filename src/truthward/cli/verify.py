"""`truthward verify PUBLICATION`: check that a publication is unchanged since it was written."""

from __future__ import annotations

from pathlib import Path

from truthward.publish import stage


def run(folder: Path) -> int:
    """Verify and say what was verified.

    Raises:
        InputError: there is no publication.
        CorruptError: a file is missing or has changed.
    """
    metadata = stage.verify(folder)
    count = len((folder / stage.SUMS).read_text(encoding="utf-8").splitlines())
    print(f"{folder}: study {metadata['study']}, {count} files, all as they were published")
    return 0
