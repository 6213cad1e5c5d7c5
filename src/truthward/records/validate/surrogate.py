"""validate/surrogate.<name>.json."""

from __future__ import annotations

from typing_extensions import TypedDict

from truthward.records.shared import Flag, Histogram, Provenance, Used
from truthward.records.validate.figures import Distance, TwoSampleTest


class Fraction(TypedDict):
    """A fraction of events in surrogate (with sigma) and simulation (with simulation_sigma), and the pull between."""

    surrogate: float
    sigma: float
    simulation: float
    simulation_sigma: float
    pull: float


class Atom(Fraction):
    """value: of the observable."""

    value: float


class Curves(TypedDict):
    """edges: (B + 1,). surrogate: scaled to the yield of the held-out simulation."""

    edges: list[float]
    surrogate: Histogram
    simulation: Histogram


class Marginal(TypedDict):
    """One observable at one level. pulls: (B,), None for an empty bin. non_integer: share of values that are no
    integers, None where any value is allowed."""

    triangular: Distance
    wasserstein1: Distance
    pulls: list[float | None]
    atoms: list[Atom]
    non_integer: float | None
    histogram: Curves


class AgainstSimulation(TypedDict):
    """Held-out simulation against the surrogate, and against the rest of the simulation."""

    surrogate: TwoSampleTest
    floor: TwoSampleTest


class ValidatedSurrogate(TypedDict):
    """members: number. levels: level -> observable -> figures. categories: "<process>/<pattern>" -> its fraction.
    two_sample: "truth", "reco" and "both". used: by sample."""

    members: int
    levels: dict[str, dict[str, Marginal]]
    categories: dict[str, Fraction]
    two_sample: dict[str, AgainstSimulation]
    used: dict[str, Used]
    flags: list[Flag]
    provenance: Provenance
