"""The sections `ingest` and `selection` of a config."""

from __future__ import annotations

from pydantic import Field

from truthward.study.strict import Strict


class Selection(Strict):
    """Expressions over columns; an event that fails is no longer accepted at that level.

    Attributes:
        truth: cut at truth level, such as "jet_pt > 200"; None for none.
        reco: cut at reco level; None for none.
    """

    truth: str | None = None
    reco: str | None = None


class Ingest(Strict):
    """Tolerances of the checks of the samples.

    Attributes:
        yield_difference: largest difference between the sums of weights of a simulation and of the data at reco level,
            relative to the data. None: the yield of the simulation has no meaning and is not checked.
    """

    yield_difference: float | None = Field(0.2, gt=0)
