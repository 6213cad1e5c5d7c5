"""`truthward verify PUBLICATION`: check that a publication is unchanged, and that it is what it says."""

from __future__ import annotations

from pathlib import Path

from truthward.publish import stage


def run(folder: Path) -> int:
    """Verify and say what was verified.

    Raises:
        InputError: there is no publication, or its format is newer.
        CorruptError: a file is missing or has changed, or the metadata do not fit the events.
    """
    metadata = stage.verify(folder)
    count = len((folder / stage.SUMS).read_text(encoding="utf-8").splitlines())
    print(f"{folder}: study {metadata['study']}, {count} files, all as they were published")
    print(*stage.examine(folder), sep="\n")
    return 0
