"""The section `amplify` of a config."""

from __future__ import annotations

from pydantic import Field

from truthward.study.strict import Strict


class Amplify(Strict):
    """Samples of a surrogate beyond its training statistics, and the study on a known target that tests them.

    See 2008.06545.

    Attributes:
        factor: number of sampled events for each event of the training.
        chunks: number of jobs that draw them; it does not change the events.
        training_sets: number of independent training sets of the study on a target of known density.
        training_events: number of events in each of these sets.
        members: number of ensemble members that are trained on each set.
        steps: number of steps of the optimiser in each of these trainings.
    """

    factor: float = Field(10.0, gt=0)
    chunks: int = Field(2, ge=1, le=1000)
    training_sets: int = Field(6, ge=2)
    training_events: int = Field(500, ge=100)
    members: int = Field(4, ge=2)
    steps: int = Field(1200, ge=1)
