"""validate/methods.json."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from truthward.records.shared import Provenance
from truthward.records.validate.method import Sampling, Verdict


class Cell(TypedDict):
    """A value with its spread over seeds or bootstraps. excess: over the floor."""

    value: float | None
    spread: float | None
    excess: NotRequired[float | None]


class MethodRow(TypedDict):
    """A method, or the data or simulation before unfolding, or the floor; kind: of a method. None: not defined for it.

    triangular: by observable. chi2_p, refold_p: smallest over the observables. effective_sample_size: events.
    """

    name: str
    kind: str | None
    triangular: dict[str, Cell | None]
    auc: Cell | None
    jsd: Cell | None
    chi2_p: float | None
    refold_p: float | None
    yield_ratio: Cell | None
    effective_sample_size: float | None


class SurrogateRow(TypedDict):
    """A surrogate against held-out simulation; floor: of simulation against itself. flags: their number."""

    name: str
    flags: int
    triangular_truth: dict[str, Cell]
    triangular_reco: dict[str, Cell]
    auc_truth: Cell | None
    auc_reco: Cell | None
    auc_both: Cell | None
    floor_auc_truth: Cell | None
    floor_auc_reco: Cell | None
    floor_auc_both: Cell | None


class PosteriorRow(TypedDict):
    """Posteriors of a method. ranks_p, ranks_spread: by observable. used: number of events. flags: their number."""

    name: str
    conditional: bool
    ranks_p: dict[str, float]
    ranks_spread: dict[str, float]
    tarp_p: float
    flags: int
    used: int


class InBinsOf(TypedDict):
    """A method that unfolds in bins of its own. bins, declared: observable -> number. triangular: method -> observable
    -> discriminator in these bins, None for a negative bin."""

    bins: dict[str, int]
    declared: dict[str, int]
    triangular: dict[str, dict[str, float | None]]


class MethodsTable(TypedDict):
    """observables: names. better_than_prior: method -> number of observables. used: events of each larger sample in
    unbinned figures, None for all. verdicts, binned, sampling: by method."""

    verdicts: dict[str, Verdict]
    binned: dict[str, InBinsOf]
    observables: list[str]
    rows: list[MethodRow]
    better_than_prior: dict[str, int | None]
    used: int | None
    sampling: dict[str, Sampling]
    surrogates: list[SurrogateRow]
    posteriors: list[PosteriorRow]
    provenance: Provenance
