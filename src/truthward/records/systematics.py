"""File of the stage `systematics`."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from truthward.records.shared import Provenance


class Density(TypedDict):
    """How well a sample was re-weighted to another.

    auc_before, auc_after: AUC of classifiers between them. auc_error: of the second. closes: it agrees with 1/2.
    """

    auc_before: float
    auc_after: float
    auc_error: float
    closes: bool


_Yield = TypedDict("_Yield", {"yield": float})


class Sizes(_Yield):
    """Of a category of events. events, yield: number and sum of weights in the simulation; else in the alternative."""

    events: int
    events_alternative: int
    yield_alternative: float


class Category(Sizes):
    """taken: what the alternative gives: "density", "yield" or "nothing". A density has the fields of `Density` too."""

    taken: str
    auc_before: NotRequired[float]
    auc_after: NotRequired[float]
    auc_error: NotRequired[float]
    closes: NotRequired[bool]


class WeightFigures(TypedDict):
    """effective_size, largest_over_mean: effective number of events, and largest weight over the mean, with the weights
    of a source; effective_size_before: without them. warnings: in words."""

    effective_size_before: float
    effective_size: float
    largest_over_mean: float
    warnings: list[str]


class Varied(WeightFigures):
    """One source of weights.

    Kind alternative: sample, its name; categories: by name. Kinds alternative and closure: closes. Kind closure: the
    fields of `Density`. Kinds closure and hidden: columns, names. Kind hidden: moved, column -> shift at fixed truth in
    standard deviations. A tilt: column, its name; size, in standard deviations; moved, up and down.
    """

    sample: NotRequired[str]
    categories: NotRequired[dict[str, Category]]
    closes: NotRequired[bool]
    columns: NotRequired[list[str]]
    auc_before: NotRequired[float]
    auc_after: NotRequired[float]
    auc_error: NotRequired[float]
    column: NotRequired[str]
    size: NotRequired[float]
    moved: NotRequired[dict[str, float] | list[float]]


class SystematicsSummary(TypedDict):
    """systematics/summary.json. systematics: source -> what its kind found."""

    systematics: dict[str, Varied]
    provenance: Provenance
