"""File of the stage `calibrate`."""

from __future__ import annotations

from typing_extensions import TypedDict

from truthward.records.shared import Losses, Provenance


class Moments(TypedDict):
    """Of a distribution. central68: half the central 68% interval. effective_events: (sum w)^2 / sum w^2."""

    mean: float
    mean_error: float
    width: float
    width_error: float
    median: float
    median_error: float
    central68: float
    central68_error: float
    effective_events: float


class Pull(Moments):
    """Pulls (response - mean) / sigma of held-out events, a unit Gaussian where mean and sigma are right.

    edges: (B + 1,). counts: sums of weights, (B,). fraction_outside: share of the weights outside of the edges.
    good, gaussian, verdict: see `calibrate.closure.pulls`.
    """

    edges: list[float]
    counts: list[float]
    fraction_outside: float
    good: bool
    gaussian: bool
    verdict: str


class BinMoments(TypedDict):
    """Of the response in one bin; see `Moments`."""

    mean: float
    mean_error: float
    median: float
    median_error: float
    central68: float


class ClosureRow(TypedDict):
    """One bin of a quantity. low, high: its edges. events: their number. before, after: response reco / truth."""

    low: float
    high: float
    events: int
    before: BinMoments
    after: BinMoments


class BeforeAndAfter(TypedDict):
    """Response reco / truth of all held-out events."""

    before: Moments
    after: Moments


class Parts(TypedDict):
    """Mean of each part of the uncertainty of the response."""

    systematic: float
    statistical: float


class Sigma(Parts):
    """relative_to_mean: each part over the predicted mean."""

    relative_to_mean: Parts


class Members(TypedDict):
    """count: of members. By member: mean_response; closure, the mean of response / prediction. spread: mean over the
    events of the standard deviation over members."""

    count: int
    mean_response: list[float]
    closure: list[float]
    spread: float


class Judged(TypedDict):
    """Tests on held-out events. closure: `reco_<quantity>` or `truth_<quantity>` -> bins."""

    pull: Pull
    closure: dict[str, list[ClosureRow]]
    closure_caveat: str
    response: BeforeAndAfter
    sigma: Sigma
    members: Members


class Calibrated(TypedDict):
    """One calibrated sample. mean_factor: mean of 1 / response. variations: number of varied columns of the target."""

    events: int
    pass_reco: int
    mean_factor: float
    role: str
    variations: int


class CalibrateSummary(Judged):
    """calibrate/summary.json. target, features, scales: names of quantities. events: by split. samples: by name."""

    kind: str
    target: str
    features: list[str]
    scales: list[str]
    events: dict[str, int]
    history: Losses
    samples: dict[str, Calibrated]
    provenance: Provenance
