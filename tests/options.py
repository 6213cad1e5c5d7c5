"""Entries of methods with other options."""

from __future__ import annotations

from typing import Any

from truthward.study.plugins import schema


def merged(entry: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The entry of a method of unfolding with changes: of a group its named options, anything else as a whole."""
    groups = schema("unfold", entry["kind"]).groups
    return entry | {n: entry.get(n, {}) | value if n in groups else value for n, value in changes.items()}
