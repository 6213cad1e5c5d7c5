"""The sections `ingest` and `selection` of a config."""

from __future__ import annotations

from pydantic import Field

from truthward.study.strict import Strict


class Selection(Strict):
    """Expressions over columns; an event that fails is no longer accepted at that level."""

    truth: str | None = None
    reco: str | None = None


class Ingest(Strict):
    """What the samples may be. yield_difference: the largest one between the weights of a simulation and of the data at
    reco level, relative to the data; None where the simulation has no meaningful yield."""

    yield_difference: float | None = Field(0.2, gt=0)
