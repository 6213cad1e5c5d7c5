"""Files of the stage `amplify`."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from truthward.records.shared import Provenance


class WithInterval(TypedDict):
    """A value with its standard deviation sigma and the ends of its 68% interval."""

    value: float
    sigma: float
    low: float
    high: float


class Worth(TypedDict):
    """What drawn samples are worth, see `amplify.worth.worth`.

    drawn: events. n_equivalent: events. G: n_equivalent / training events. mse, mse_predicted: true, and by the spread
    of the members. calibration: their quotient. bias_share: squared bias over mse, None for one training set.
    """

    drawn: int
    n_equivalent: float
    G: WithInterval
    mse: float
    mse_predicted: float
    calibration: WithInterval
    bias_share: float | None


class CurvePoint(Worth):
    """multiple: drawn events over training events."""

    multiple: float


class Target(TypedDict):
    """The known target: a ring of a radius and width with a modulation of so many lobes."""

    name: str
    radius: float
    width: float
    modulation: float
    lobes: int


class RegionCounts(TypedDict):
    """Numbers of regions in radius and angle."""

    radial: int
    angular: int


class Studied(TypedDict):
    """The result of `amplify.study.amplification_study`.

    training_events: number in each training set. members: number for each set. steps: of the optimiser. model,
    uncertainty: as in the config. curve: of the model. bootstrap_control: the same for bootstrapped training events;
    truth_control: for true events. seconds: s.
    """

    target: Target
    regions: RegionCounts
    training_sets: int
    training_events: int
    members: int
    uncertainty: dict[str, Any]
    steps: int
    model: dict[str, Any]
    curve: list[CurvePoint]
    bootstrap_control: list[CurvePoint]
    truth_control: list[CurvePoint]
    seconds: float


class AmplificationStudy(Studied):
    """amplify/<name>/study.json."""

    provenance: Provenance


class ColumnWorth(TypedDict):
    """Of one column. n_equivalent, its lower end and by the spread alone: events. edges: of the cells, inner ones.

    mse_from_spread, mse_from_test: by the members' spread, and by the test sample with its sigma.
    """

    n_equivalent: float
    n_equivalent_low: float
    n_equivalent_by_spread: float
    mse_from_spread: float
    mse_from_test: float
    mse_from_test_sigma: float
    edges: list[float]


class SampleWorth(TypedDict):
    """Of all columns. n_train: effective number of training events. G: n_equivalent / n_train. calibration: factor on
    the mse from the spread."""

    n_equivalent: float
    n_equivalent_low: float
    n_train: float
    n_equivalent_by_spread: float
    G: float
    G_low: float
    G_by_spread: float
    calibration: float
    columns: dict[str, ColumnWorth]


class Amplification(SampleWorth):
    """The amplification that the sample itself states. events, members: numbers. statement: in words."""

    events: int
    members: int
    statement: str


class Gathered(Amplification):
    """sum_of_weights: of the drawn events."""

    sum_of_weights: float


class AmplifiedSample(Gathered):
    """factor: drawn events over training events."""

    factor: float


class AmplifySummary(TypedDict):
    """amplify/<name>/summary.json."""

    study: AmplificationStudy
    sample: AmplifiedSample
    provenance: Provenance
