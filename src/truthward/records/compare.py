"""File of `truthward compare` and of the stage `compare`."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from truthward.records.shared import Provenance
from truthward.records.validate.figures import Chi2


class Curve(TypedDict):
    """Densities in bins, (B,). edges: (B + 1,). prediction_error: statistical. measured_errors: family -> (B,).

    `measured_error` is the total. Densities have unit area, or are events per unit of the observable.
    """

    edges: list[float]
    measured: list[float]
    measured_error: list[float]
    measured_errors: dict[str, list[float]]
    prediction: list[float]
    prediction_error: list[float]


class ComparedObservable(TypedDict):
    """chi2: see `compare.chi2`. note: what was merged or left out, in words."""

    curve: Curve
    chi2: Chi2
    note: str


class Joint(TypedDict):
    """The chi2 over all observables. bins: observable -> edges of its bins."""

    chi2: Chi2
    bins: dict[str, list[float]]
    note: str


class Unbinned(TypedDict):
    """The two-sample test in all `observables` at once, see `compare.unbinned`.

    value: T. expected: its mean if the prediction is the truth. dof, replica_dof: of the F distribution of
    T / expected. auc: of the discriminant on events that did not train it; None for too few. shares: family ->
    its share of `expected`. reason: why there is no test.
    """

    observables: list[str]
    value: float | None
    expected: NotRequired[float]
    dof: NotRequired[float]
    replica_dof: NotRequired[float | None]
    p: float | None
    auc: NotRequired[float | None]
    shares: NotRequired[dict[str, float]]
    events: NotRequired[int]
    effective_size: NotRequired[float]
    reason: NotRequired[str]


class ComparedYield(TypedDict):
    """Yields in the fiducial region with their errors, their ratio, and the chi2 of the difference."""

    measured: float
    measured_error: float
    prediction: float
    prediction_error: float
    ratio: float
    chi2: Chi2


class ComparedPrediction(TypedDict):
    """source: its files. kind: events or histograms. unbinned: one entry for each set of weights."""

    source: str
    kind: str
    observables: dict[str, ComparedObservable]
    joint: Joint
    unbinned: list[Unbinned]
    total: ComparedYield | None
    notes: list[str]


class ComparedPublication(TypedDict):
    """What was compared. sha256: of its list of checksums. uncertainty: what its errors hold, in words."""

    study: str
    method: str
    sha256: str
    fiducial: str
    particle_level: str | None
    uncertainty: str
    families: dict[str, int]


class DrawnObservable(TypedDict):
    """Label and unit of an observable."""

    label: str
    unit: str


class Comparison(TypedDict):
    """comparison.json. normalised: only shapes are compared. predictions: by label, in their order."""

    format: str
    format_version: str
    normalised: bool
    publication: ComparedPublication
    observables: dict[str, DrawnObservable]
    predictions: dict[str, ComparedPrediction]
    provenance: Provenance
