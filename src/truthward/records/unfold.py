"""Diagnostics of an unfolding in the metadata of its sample, and the parts that later files repeat."""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict

HistoryEntry = dict[str, Any]
"""One iteration of one replica. Methods fill it as they like. Figures and verdicts know:

replica: "nominal:0" or "<family>:<index>"; iteration: from 0; observable, fold: where each has its own; yield,
yield_before: events; refold_chi2, refold_ndf; change, changes: of the result, over its data-statistical error;
normalisation_<step>: log of the norm of a density ratio; contents: (D, B) in the watched bins; reliability: level ->
`Reliability`; any other number is drawn under its name.
"""


class Reliability(TypedDict):
    """Whether a classifier is calibrated, in bins of its prediction. chi2 with ndf; ece: mean |observed - predicted|.

    predicted, observed, error: (B,). dropped: number of bins without a positive sum of weights.
    """

    predicted: list[float]
    observed: list[float]
    error: list[float]
    chi2: float
    ndf: int
    ece: float
    dropped: int


class Stopping(TypedDict):
    """How the number of iterations was chosen.

    rule: its name; tolerance: None if the rule has none; limits: what the rule cannot see, in words; largest: largest
    allowed number; chosen: number, or one for each observable. bias, variance: from pseudo-data with known truth, after
    each iteration; the bias is squared. of_folds: number for each fold.
    """

    rule: str
    tolerance: float | None
    limits: str
    largest: int
    chosen: int | dict[str, int]
    bias: NotRequired[list[float]]
    variance: NotRequired[list[float]]
    of_folds: NotRequired[list[int]]
