"""validate/<method>.json."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from truthward.records.shared import Flag, Histogram, Provenance, Used
from truthward.records.unfold import HistoryEntry, Stopping
from truthward.records.validate.figures import Chi2, Distance, Floor, SplitTest, TwoSampleTest


class Verdict(TypedDict):
    """verdict: the worst of all rules. reasons: in words, the worst first. without_truth: no truth is known."""

    verdict: Literal["good", "warnings", "failed"]
    reasons: list[str]
    without_truth: bool


class WeightSummary(TypedDict):
    """sum: yield. effective_sample_size, events: numbers of different events. rows_an_event: draws of one event.
    largest_over_mean: largest |w| over the mean. negative_fraction: of the rows."""

    sum: float
    effective_sample_size: float
    largest_over_mean: float
    negative_fraction: float
    rows_an_event: float
    events: float


class Weights(WeightSummary):
    """Of the joint weights; else of the observable with the smallest effective size. per_observable: None if joint."""

    per_observable: dict[str, WeightSummary] | None


class YieldFigures(TypedDict):
    """Yield in the truth fiducial region, events, with its sigma. Where the truth is known: truth, ratio to it, errors,
    and pull, None without any error."""

    value: float
    sigma: float
    truth: NotRequired[float]
    truth_sigma: NotRequired[float]
    ratio: NotRequired[float]
    ratio_sigma: NotRequired[float]
    pull: NotRequired[float | None]


class ObservableYield(YieldFigures):
    """families: name -> sigma."""

    families: dict[str, float]


class MethodYield(YieldFigures):
    """Means over the observables. per_observable: name -> value."""

    per_observable: dict[str, float]


class Distances(TypedDict):
    """From the truth, of the result, and of simulation and data before unfolding. floor: of the size of the truth."""

    unfolded: Distance
    prior: Distance
    data: Distance
    floor: NotRequired[Floor]


class Chi2Pair(TypedDict):
    """Against the truth, of the result, and of the simulation before unfolding."""

    unfolded: Chi2
    prior: Chi2


class PullSummary(TypedDict):
    """Mean and width of pulls with their errors, and their number."""

    mean: float
    mean_error: float
    width: float
    width_error: float
    count: int


class Pulls(TypedDict):
    """bins: (unfolded - truth) / sigma, (B,), None for an empty bin. summary: None for fewer than two."""

    bins: list[float | None]
    summary: PullSummary | None


class Coverage(TypedDict):
    """edges: of coarse bins, (B + 1,). pulls: of those that have an uncertainty."""

    edges: list[float]
    pulls: list[float]


class RefoldedCurves(TypedDict):
    """For the figures. edges: (B + 1,). folded: its error is of simulation and families without the bootstraps."""

    edges: list[float]
    folded: Histogram
    data: Histogram
    prior: Histogram


class Refolded(TypedDict):
    """The result folded to reco level, and the data, each (B + 2,) with under- and overflow; edges: (B + 1,).

    without_response: share of the yield in truth bins that the simulation does not fill.
    """

    edges: list[float]
    folded: list[float]
    folded_sigma: list[float]
    data: list[float]
    data_sigma: list[float]
    without_response: float
    chi2: Chi2
    shown: NotRequired[RefoldedCurves]


class OnlyChi2(TypedDict):
    """The chi2 of a refolding."""

    chi2: Chi2


class Refolding(TypedDict):
    """unfolded: the result; marginal: by the simulation's own distribution of other observables; prior: simulation."""

    unfolded: Refolded
    marginal: OnlyChi2
    prior: OnlyChi2


class PriorDistance(TypedDict):
    """Distances of the result from the simulation. triangular: None for a negative bin."""

    triangular: float | None
    wasserstein1: float


class Published(TypedDict):
    """bins: number. replicas: of the smaller bootstrap family, None without one."""

    bins: int
    replicas: int | None


class UnfoldedHistogram(Histogram):
    """families: name -> standard deviations, (B,)."""

    families: dict[str, list[float]]


class Curves(TypedDict):
    """Histograms in bins of some edges. truth: where it is known."""

    unfolded: UnfoldedHistogram
    prior: Histogram
    data: Histogram
    truth: NotRequired[Histogram]


class BinnedCurves(Curves):
    """edges: (B + 1,). unit_area: the same, scaled to unit sum within the edges."""

    edges: list[float]
    unit_area: Curves


class AllCurves(TypedDict):
    """own: in the observable's bins, or in those of the method; coarse: for the summary page; published: published."""

    own: BinnedCurves
    coarse: BinnedCurves
    published: BinnedCurves


_Yield = TypedDict("_Yield", {"yield": ObservableYield})


class ObservableFigures(_Yield):
    """One observable. triangular, wasserstein1, chi2, pulls, coverage: None where the truth is not known.

    binned: whether the method unfolds in bins of its own. If so, chi2, pulls, coverage, refold, histogram are in these.
    """

    distance_to_prior: PriorDistance
    refold: Refolding
    triangular: Distances | None
    wasserstein1: Distances | None
    chi2: Chi2Pair | None
    pulls: Pulls | None
    coverage: Coverage | None
    binned: bool
    published: Published
    histogram: AllCurves


class TwoSample(TypedDict):
    """Classifier tests of all observables jointly.

    unfolded, prior, floor: against the truth. reason: why these are None.
    reco: the data against the refolded simulation. ratio: what the learned ratio of the refolding misses.
    """

    unfolded: TwoSampleTest | None
    prior: TwoSampleTest | None
    floor: SplitTest | None
    reason: str | None
    reco: TwoSampleTest | None
    ratio: NotRequired[TwoSampleTest | None]


class ProgressCurves(TypedDict):
    """After each iteration, (K,), relative. distance: from the truth, and counting: error of the true events, None
    without a truth. sigma: family, and "total" -> uncertainty."""

    distance: list[float] | None
    sigma: dict[str, list[float]]
    counting: float | None


class Sampling(TypedDict):
    """Noise of drawing a result. statistical: "data_bootstrap" or "counting". share: of that variance, over all bins.
    observables: name -> the same."""

    statistical: Literal["data_bootstrap", "counting"]
    share: float
    observables: dict[str, float]


_MethodYield = TypedDict("_MethodYield", {"yield": MethodYield})


class MethodFigures(_MethodYield):
    """All that is compared, before it is judged.

    names: of the observables. closure: whether the truth is known. families: name -> replicas. uncertainty: in words.
    history: of the nominal. progress: "iterations", "chosen" and "names", and "all" and each observable ->
    `ProgressCurves`; None for a method that keeps no iterations. sampling: None for one that does not draw. used: by
    sample. prior_share: effective size of the simulated truth over its number of events.
    """

    method: str
    kind: str
    joint: bool
    iterations: int | None
    names: list[str]
    closure: bool
    families: dict[str, int]
    uncertainty: str
    history: list[HistoryEntry]
    stopping: Stopping | None
    observables: dict[str, ObservableFigures]
    used: dict[str, Used]
    weights: Weights
    progress: dict[str, Any] | None
    sampling: Sampling | None
    two_sample: TwoSample
    prior_share: float
    flags: list[Flag]


class ValidatedMethod(MethodFigures):
    """The figures with the verdict."""

    verdict: Verdict
    provenance: Provenance
