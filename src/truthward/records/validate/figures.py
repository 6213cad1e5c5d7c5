"""Figures of merit that several files of `validate` have."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict


class Floor(TypedDict):
    """Mean and standard deviation of a distance between two samples of one truth. size: effective number of events."""

    mean: float
    sd: float
    size: NotRequired[float]


class Repeated(TypedDict):
    """A figure of replicas, bootstraps or members; None where it is not defined, or where there are too few."""

    mean: float | None
    sd: float | None
    values: list[float | None]


class Distance(TypedDict):
    """A distance with its statistical floor. excess: value - floor; significance: excess over the floor's sd.

    reason: why one is None. replicas: family -> the distance of each replica. members: the same of each member.
    """

    value: float | None
    floor: Floor | None
    excess: float | None
    significance: float | None
    reason: NotRequired[str | None]
    replicas: NotRequired[dict[str, Repeated]]
    members: NotRequired[Repeated]


class Chi2(TypedDict):
    """value with ndf degrees of freedom and p-value; None, and the reason, where there is no test.

    hartlap: factor on the inverse covariance. edges: of the merged bins, None for an open end. replicas: number behind
    the covariance. families: those that it holds.
    """

    value: float | None
    ndf: int | None
    p: float | None
    hartlap: NotRequired[float]
    edges: NotRequired[list[float | None]]
    replicas: NotRequired[float]
    families: NotRequired[list[str]]
    reason: NotRequired[str]


class Scores(TypedDict):
    """A score of classifiers over the seeds; sd: None for one seed."""

    mean: float
    sd: float | None
    values: list[float]


class Ensemble(TypedDict):
    """Scores of the mean of log w over the seeds. jsd: bits."""

    auc: float
    jsd: float


class RatioHistogram(TypedDict):
    """Distribution of w = D / (1 - D). log10_edges: (B + 1,). fractions: of the sum of weights, (B,). below, above: of
    what is outside."""

    log10_edges: list[float]
    fractions: list[float]
    below: float
    above: float


_Below = TypedDict("_Below", {"below_0.5": float, "below_0.2": float})


class Tails(_Below):
    """Distribution of w over a sample, and near_one in fine bins. quantiles: share -> w. above_2, above_5, below_0.5,
    below_0.2: fractions of the sum of weights. mean_weight: 1 on the tested sample for a calibrated classifier."""

    histogram: RatioHistogram
    near_one: RatioHistogram
    quantiles: dict[str, float]
    above_2: float
    above_5: float
    mean_weight: float


class BothTails(TypedDict):
    """Of the events of the reference p, and of the tested sample q."""

    p: Tails
    q: Tails


class SplitTest(TypedDict):
    """Classifiers between two samples, see `validate.two_sample.two_sample_test`. effective_sizes: of p and q."""

    auc: Scores
    jsd: Scores
    effective_sizes: list[float]
    weights: BothTails


class TwoSampleTest(SplitTest):
    """auc_sigma: of the AUC of equal distributions. significance: of AUC - 1/2. saturated: number of cut scores."""

    ensemble: Ensemble
    auc_sigma: float
    significance: float
    saturated: int
