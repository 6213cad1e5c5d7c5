"""validate/posterior.<method>.json."""

from __future__ import annotations

from typing_extensions import TypedDict

from truthward.records.shared import Flag, Provenance, Used


class Statistic(TypedDict):
    """A test statistic and its p-value."""

    value: float
    p: float


class Pearson(Statistic):
    """ndf: degrees of freedom."""

    ndf: int


class Spread(TypedDict):
    """Spread of ranks relative to uniform ones, and its standard deviation."""

    value: float
    error: float


class CoverageCurve(TypedDict):
    """value: share of events below each credibility. sd: expected standard deviation of it. (P,) each.

    band: half width of the band that holds a whole curve with 95%.
    """

    credibility: list[float]
    value: list[float]
    sd: list[float]
    band: float


class Uniformity(TypedDict):
    """Whether ranks are uniform, see `validate.posterior.uniformity`. fractions, error: (B,), one expected each."""

    fractions: list[float]
    error: list[float]
    chi2: Pearson
    ks: Statistic
    spread: Spread
    coverage: CoverageCurve


class ValidatedPosterior(TypedDict):
    """conditional: whether the method states a posterior. draws: of each event. ranks: by observable; tarp: of all
    jointly. used: of the held-out events."""

    conditional: bool
    draws: int
    ranks: dict[str, Uniformity]
    tarp: Uniformity
    used: Used
    flags: list[Flag]
    provenance: Provenance
