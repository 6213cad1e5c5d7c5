"""Predictions from the words of a call: files of data, `NAME=FILE`, or a file that describes predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from truthward.compare.prediction import Prediction
from truthward.compare.read_events import read_events
from truthward.compare.read_histograms import read_histograms
from truthward.compare.section import Entry, entry_from
from truthward.errors import ConfigError, InputError
from truthward.run.files import expand

EVENTS = (".root", ".parquet", ".hepmc", ".hepmc3", ".hepmc2", ".lhe")
HISTOGRAMS = (".yoda", ".yaml", ".yml")
PACKED = (".gz", ".bz2", ".xz", ".zst")


def entries_of(words: Sequence[str]) -> dict[str, Entry]:
    """Label -> entry, for each word of a call: FILE, NAME=FILE, or a YAML file of predictions.

    Raises:
        ConfigError: a file of predictions is not valid, or two predictions have one label.
        InputError: a file is not there.
    """
    found: dict[str, Entry] = {}
    for word in words:
        name, _, file = word.rpartition("=") if not Path(word).is_file() else ("", "", word)
        described = {} if name else _described(Path(file))
        for label, entry in (described or {name or _stem(Path(file)): Entry(file=file)}).items():
            if label in found:
                raise ConfigError(f"{label}: two predictions have this label; write NAME=FILE for one of them")
            found[label] = entry
    return found


def read(label: str, entry: Entry, observables: Sequence[str]) -> Prediction:
    """Read one prediction; the ending of its files decides how.

    Raises:
        InputError: the files have an unknown ending or several, or cannot be read.
    """
    paths = [Path(file.address) for file in expand(entry.files)]
    kinds = {_kind(path) for path in paths}
    (kind,) = kinds if len(kinds) == 1 else ("",)
    if kind in EVENTS:
        return read_events(label, paths, entry, observables)
    if kind in HISTOGRAMS and len(paths) == 1:
        return read_histograms(label, paths[0], entry, observables)
    shown = ", ".join(path.name for path in paths[:4])
    raise InputError(
        f"{label}: {shown}: not a prediction; valid: files of one of {', '.join(EVENTS)}, or one file of "
        f"{', '.join(HISTOGRAMS)}, packed or not"
    )


def _described(path: Path) -> dict[str, Entry]:
    """The entries of a file of predictions; none if it is no such file."""
    if path.suffix not in (".yaml", ".yml"):
        return {}
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        documents: list[Any] = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not readable as YAML ({' '.join(str(error).split())[:200]})") from error
    first = documents[0] if documents else None
    # Tables and submissions of HEPData are predictions themselves.
    if len(documents) > 1 or not isinstance(first, dict) or "independent_variables" in first:
        return {}
    found = {str(name): entry_from(content, f"{path}: {name}") for name, content in first.items()}
    beside = path.parent
    return {n: e.model_copy(update={"file": [str(beside / file) for file in e.files]}) for n, e in found.items()}


def _kind(path: Path) -> str:
    """The ending, in small letters, without that of packing."""
    return next((s.lower() for s in reversed(path.suffixes) if s.lower() not in PACKED), "")


def _stem(path: Path) -> str:
    """Name of a file up to its first dot."""
    return path.name.partition(".")[0] or path.name
