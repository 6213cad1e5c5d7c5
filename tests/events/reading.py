"""Read all that a reader gives, and build the reader of a preset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import awkward as ak

from truthward.events.readers import Reader
from truthward.study.plugins import build
from truthward.study.presets import expanded


def preset_reader(
    preset: str, path: str | Path, rows: str, columns: Mapping[str, str], truth: bool = True, **more: Any
) -> Reader:
    """The reader of one file by a preset; `more` are further keys of its entry."""
    entry = {"preset": preset, "files": [str(path)], "rows": rows, "branches": dict(columns), **more}
    return build("events.readers", expanded(entry, truth=truth))


def read(reader: Reader, levels: Sequence[str] = ("truth", "reco"), rows: int = 1000) -> dict[str, Any]:
    """All columns of a reader: numpy arrays, or awkward ones of lists."""
    parts = list(reader.batches(levels, rows=rows))
    whole = {name: ak.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {name: ak.to_numpy(values) if values.ndim == 1 else values for name, values in whole.items()}
