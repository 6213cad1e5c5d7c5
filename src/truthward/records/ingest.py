"""Files of the stage `ingest`."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from truthward.records.shared import Histogram, Provenance


class Examined(TypedDict):
    """ingest/examined.json. flags: sample -> what looks odd, in words."""

    flags: dict[str, list[str]]
    provenance: Provenance


class Totals(TypedDict):
    """Over all events. rows, sum_of_weights: by "truth", "reco", "both", "fake", "background" and "data".

    efficiency: both / truth. fake_rate: fake / reco. background_fraction: background / (reco + background).
    data_over_simulation: data / (reco + background). None where there is nothing to divide by.
    """

    rows: dict[str, int]
    sum_of_weights: dict[str, float]
    efficiency: float | None
    fake_rate: float | None
    background_fraction: float | None
    data_over_simulation: float | None


class SampleFigures(TypedDict):
    """One observable of the samples, in its B bins.

    edges: (B + 1,). response: (B, B), truth by reco, sums of weights. truth: signal; reco: signal and background.
    purity, stability, efficiency, fake_rate: (B,), see `ingest.summary.summarise`. out_of_range: share of the weights
    outside of the bins, by "truth", "reco" and "data". data, data_over_simulation and its error: only where there are
    data. None where there is nothing to divide by.
    """

    edges: list[float]
    response: list[list[float]]
    truth: Histogram
    reco: Histogram
    background: Histogram
    purity: list[float | None]
    stability: list[float | None]
    efficiency: list[float | None]
    fake_rate: list[float | None]
    out_of_range: dict[str, float | None]
    data: NotRequired[Histogram]
    data_over_simulation: NotRequired[list[float | None]]
    data_over_simulation_error: NotRequired[list[float | None]]


class SampleRow(TypedDict):
    """One of the samples that are merged into the simulation.

    processes: of its events. events: number of those read. accepted, sum_of_weights: by level. cross_section: pb.
    sum_of_generator_weights: of all events that were generated. effective_luminosity: of the simulation, per fb: that
    of the data times sum of weights over sum of squared weights. None where no cross section is given.
    """

    processes: list[str]
    events: int
    accepted: dict[str, int]
    sum_of_weights: dict[str, float]
    cross_section: float | None
    k_factor: float | None
    sum_of_generator_weights: float | None
    effective_luminosity: float | None


class Summarised(TypedDict):
    """What `ingest.summary.summarise` finds. observables: name -> its figures. samples: those that are merged."""

    events: Totals
    samples: dict[str, SampleRow]
    observables: dict[str, SampleFigures]


class IngestSummary(Summarised):
    """ingest/summary.json. flags: as in `Examined`."""

    flags: dict[str, list[str]]
    provenance: Provenance
