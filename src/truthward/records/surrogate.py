"""File of the stage `surrogate`."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from truthward.records.shared import Losses, Provenance

_Yield = TypedDict("_Yield", {"yield": float})


class Facts(_Yield):
    """What was learned from. training_events, training_events_effective: number, and (sum w)^2 / sum w^2.

    yield: sum of weights of all splits. rows: events of the simulation that pass at any level. member_yields:
    "<process>/<pattern>" -> yield of each member.
    """

    training_events: int
    training_events_effective: float
    rows: int
    member_yields: dict[str, list[float]]


class Training(Facts):
    """seconds: of the training, s."""

    seconds: float


class Corrected(TypedDict):
    """Correction of the drawn weights. auc_before, auc_after: by member; auc_sigma: their error for equal samples.

    effective_size, largest_over_mean: of all drawn events, after; effective_size_before: before.
    """

    auc_before: list[float]
    auc_after: list[float]
    auc_sigma: float
    effective_size_before: float
    effective_size: float
    largest_over_mean: float
    history: Losses


class Sampled(TypedDict):
    """The drawn sample. correction: None where its weights are not corrected."""

    events: int
    sum_of_weights: float
    events_per_second: float
    correction: Corrected | None


class SurrogateSummary(TypedDict):
    """surrogate/<name>/summary.json. members: number. uncertainty: as in the config."""

    kind: str
    members: int
    uncertainty: dict[str, Any]
    training: Training
    history: Losses
    samples: Sampled
    provenance: Provenance
