"""validate/fit.<method>.json."""

from __future__ import annotations

from typing_extensions import TypedDict

from truthward.records.shared import Flag, Provenance


class FittedParameter(TypedDict):
    """value: of the parameter; sigma: its standard deviation; parts: that of each family. chi2 with ndf and the
    probability of a larger one. replicas: family -> what was fitted to each, (R,)."""

    value: float
    parts: dict[str, float]
    sigma: float
    chi2: float
    ndf: int
    probability: float
    replicas: dict[str, list[float]]


class Contents(TypedDict):
    """Events in the bins, (B,). templates: those of the smallest and the largest simulated value."""

    unfolded: list[float]
    sigma: list[float]
    fitted: list[float]
    templates: list[list[float]]


class ValidatedParameter(FittedParameter):
    """parameter, observable: names. edges: (B + 1,). truth: true value, pull: (value - truth) / sigma, None where it is
    not known. simulated: values of the parameter."""

    method: str
    parameter: str
    observable: str
    edges: list[float]
    truth: float | None
    pull: float | None
    simulated: list[float]
    contents: Contents
    flags: list[Flag]
    provenance: Provenance
