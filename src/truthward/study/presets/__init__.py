"""Presets of formats: small files of maps that an entry of a reader may begin from, with `preset: <name>`.

A preset has the keys of a reader's entry. Beside them stand `recognise` (branches that show a file of this format),
`based_on` (another preset) and `simulation` (keys for samples that have a truth level). The keys of the entry itself
replace those of the preset; mappings are merged.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from truthward.errors import ConfigError, nearest

FOLDER = Path(__file__).parent
_OWN = ("recognise", "based_on", "simulation")


def names() -> tuple[str, ...]:
    """The presets that come with the package."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@cache
def preset(name: str) -> dict[str, Any]:
    """A preset by its name, or by the path of a file of one's own that ends in .yaml.

    Raises:
        ConfigError: there is no such preset, or its file is no mapping.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise ConfigError(f"preset: no preset {name!r}; {nearest(name, names())}; or give the path of a .yaml file")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ConfigError(f"preset: {path} is no mapping with the keys of a reader")
    base = content.get("based_on")
    return content if base is None else merged(preset(base), content)


def expanded(entry: Mapping[str, Any], *, truth: bool) -> dict[str, Any]:
    """The entry of a reader with the keys of its preset; without a preset the entry as it is.

    Args:
        truth: whether the sample has a truth level; real data have none, and no generator weight.
    """
    if "preset" not in entry:
        return dict(entry)
    if not isinstance(entry["preset"], str):
        raise ConfigError(f"preset: {entry['preset']!r:.80} given; write one of {', '.join(names())}")
    found = preset(entry["preset"])
    base = {key: value for key, value in found.items() if key not in _OWN}
    if truth:
        base = merged(base, dict(found.get("simulation") or {}))
    return merged(base, {key: value for key, value in entry.items() if key != "preset"})


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two mappings in one; where both have a key, mappings are merged and all else is taken of `over`.

    >>> merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"c": 4}})
    {'a': {'b': 1, 'c': 4}, 'd': 3}
    """
    found = dict(base)
    for key, value in over.items():
        below = found.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            value = merged(below, value)
        found[key] = value
    return found
