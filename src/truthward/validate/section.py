"""The section `validate` of a config."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from pydantic import Field, field_validator

from truthward.study.strict import Strict


class StressReplicas(Strict):
    """Replicas of each unfolding of the stress suite: as few as still bear a verdict."""

    data_bootstrap: int = Field(15, ge=5)
    mc_bootstrap: int = Field(15, ge=5)
    initialisation: int = Field(2, ge=0)


class Stress(Strict):
    """The stress scenarios, see `validate.scenarios`."""

    replicas: StressReplicas = StressReplicas()
    events: int = Field(40_000, ge=1)
    strength: float = Field(1.0, gt=0)
    hidden: str | None = None
    scaled: str | None = None
    scale: float = Field(1.05, gt=0)
    share: float = Field(0.1, gt=0, lt=1)


class Fit(Strict):
    """A parameter of which the simulation has several values, fitted to an unfolded observable of each method.

    parameter: the column truth_<parameter> of the simulation; edges: of the fitted bins, in the observable's unit;
    degree: of the polynomial in the parameter that the content of a bin is.
    """

    parameter: str
    observable: str
    edges: tuple[float, ...]
    degree: int = Field(2, ge=1, le=4)

    @field_validator("edges", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("edges")
    @classmethod
    def _rising(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(value) < 4 or any(a >= b for a, b in pairwise(value)):
            raise ValueError(f"{list(value)} given; at least three bins are needed, with edges that rise")
        return value


class Validate(Strict):
    """Two-sample tests: seeds, and epochs of each classifier; events that an unbinned figure takes of a sample at most;
    held-out events that a generative method's posteriors are checked with, 0 for no check; the stress suite, None for
    by request alone; and a parameter that is fitted to the results, None for none."""

    seeds: int = Field(3, ge=2)
    epochs: int = Field(10, ge=1)
    events: int = Field(500_000, ge=1000)
    posteriors: int = Field(5000, ge=0)
    stress: Stress | None = None
    fit: Fit | None = None

    def two_sample(self) -> dict[str, int]:
        """What the classifiers of the validation need to know."""
        return {"seeds": self.seeds, "epochs": self.epochs}

    def unbinned(self) -> dict[str, int]:
        """What the validation of a result needs to know."""
        return self.two_sample() | {"events": self.events}
