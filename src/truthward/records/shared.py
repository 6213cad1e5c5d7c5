"""Parts that the files of several stages have."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict


class Git(TypedDict):
    """The checkout that the package ran from. commit: its hash; dirty: whether it had changes. None outside git."""

    commit: str | None
    dirty: bool | None


class Provenance(TypedDict):
    """How an artefact was made, see `run.provenance.Record`.

    spec: the part of the config that the stage read. code: digest of the source. events_in, events_out, sums: None
    where the stage does not count them. wall_seconds: s. peak_memory_mb: MB.
    """

    package: str
    version: str
    git: Git
    python: str
    platform: str
    stage: str
    spec: dict[str, Any]
    code: str
    seed: int
    device: str
    events_in: int | None
    events_out: int | None
    sum_of_weights: float | None
    sum_of_squared_weights: float | None
    wall_seconds: float
    peak_memory_mb: float


class Histogram(TypedDict):
    """sum: contents of the bins, (B,), events; error: their standard deviations, (B,)."""

    sum: list[float]
    error: list[float]


class Losses(TypedDict):
    """Of a training: train, validation: loss after each epoch, of each member; best: epoch that was kept, by member."""

    train: list[list[float]]
    validation: list[list[float]]
    best: list[int]


class Flag(TypedDict):
    """One failure. test: its name; observable: None for all of them; message: the result in words."""

    test: str
    observable: str | None
    message: str


class Used(TypedDict):
    """Of a sample, events: number of all; used: number of those that unbinned figures use."""

    events: int
    used: int
