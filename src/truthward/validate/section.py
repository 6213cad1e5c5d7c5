"""The section `validate` of a config."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

from pydantic import Field, field_validator

from truthward.study.strict import Strict


class StressReplicas(Strict):
    """Replicas of each unfolding of the stress suite: the smallest numbers that allow a verdict.

    Attributes:
        data_bootstrap: bootstraps of the pseudo-data.
        mc_bootstrap: bootstraps of the simulation.
        initialisation: unfoldings with other initial weights.
    """

    data_bootstrap: int = Field(15, ge=5)
    mc_bootstrap: int = Field(15, ge=5)
    initialisation: int = Field(2, ge=0)


class Stress(Strict):
    """The stress suite: every method unfolds pseudo-data with a known truth that are built to break it.

    Attributes:
        replicas: number of replicas of each unfolding.
        events: largest number of simulated events in the suite.
        strength: size of the changes of the truth; weights are exp(strength tanh u) with u of unit width.
        hidden: truth quantity that is changed and not unfolded; None for the first one.
        scaled: observable whose reco values are scaled in the pseudo-data; None for the first continuous one.
        scale: factor on its reco values.
        share: share of the events that remains in the scenario with few events.
    """

    replicas: StressReplicas = StressReplicas()
    events: int = Field(40_000, ge=1)
    strength: float = Field(1.0, gt=0)
    hidden: str | None = None
    scaled: str | None = None
    scale: float = Field(1.05, gt=0)
    share: float = Field(0.1, gt=0, lt=1)


class Fit(Strict):
    """A parameter of which the simulation has several values, fitted to an unfolded observable of each method.

    Attributes:
        parameter: name of the column `truth_<parameter>` of the simulation.
        observable: the unfolded observable that it is fitted to.
        edges: of the fitted bins, in the unit of the observable; three bins at least.
        degree: of the polynomial in the parameter that describes the content of a bin.
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
            raise ValueError(f"{list(value)} given; at least three bins are needed, with increasing edges")
        return value


class Validate(Strict):
    """How the results are judged.

    Attributes:
        seeds: number of trainings of each two-sample test; their spread is its error.
        classifier: of the two-sample tests: a network, or boosted trees, which share no blindness with networks.
        epochs: of each network of a two-sample test.
        events: largest number of events of a sample in unbinned tests and distances.
        posteriors: number of held-out events that check the posteriors of a generative method (1804.06788,
            2302.03026); 0 for no check.
        stress: the stress suite; None: it runs only on request (`snakemake stress_all`).
        fit: a parameter that is fitted to the results; None for none.
    """

    seeds: int = Field(3, ge=2)
    classifier: Literal["dense", "boosted_trees"] = "dense"
    epochs: int = Field(10, ge=1)
    events: int = Field(500_000, ge=1000)
    posteriors: int = Field(5000, ge=0)
    stress: Stress | None = None
    fit: Fit | None = None

    def two_sample(self) -> dict[str, Any]:
        """What the classifiers of the validation need to know."""
        return {"seeds": self.seeds, "epochs": self.epochs, "classifier": self.classifier}

    def unbinned(self) -> dict[str, Any]:
        """What the validation of a result needs to know."""
        return self.two_sample() | {"events": self.events}
