"""validate/calibrate.json."""

from __future__ import annotations

from typing_extensions import TypedDict

from truthward.records.shared import Flag, Provenance


class Check(TypedDict):
    """A value with its error, and the range low to high that it should be in."""

    name: str
    value: float
    error: float
    low: float
    high: float
    good: bool


class ValidatedCalibration(TypedDict):
    """good: whether all checks are. kind: of the calibrator."""

    good: bool
    kind: str
    checks: list[Check]
    flags: list[Flag]
    provenance: Provenance
