"""The section `surrogate` of a config."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from truthward.study.generative_members import Uncertainty
from truthward.study.strict import Plugin, Strict


class Correction(Strict):
    """The classifier between drawn and simulated events, whose density ratio corrects the weights of drawn events.

    Attributes:
        classifier: a network, with the options below, or boosted trees, which need none of them.
        epochs: number of epochs of its training.
        batch_size: number of events in each step.
        learning_rate: learning rate of the optimiser.
        width: number of nodes in each hidden layer.
        depth: number of hidden layers.
    """

    classifier: Literal["dense", "boosted_trees"] = "dense"
    epochs: int = Field(20, ge=1)
    batch_size: int = Field(512, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    width: int = Field(64, ge=1)
    depth: int = Field(3, ge=1)


class Surrogate(Strict):
    """Generative models of (truth, reco).

    Attributes:
        models: name -> model, a kind and its options.
        uncertainty: the members of a model; their spread is its uncertainty.
        epochs: number of epochs of each training.
        batch_size: number of events in each step.
        learning_rate: learning rate of the optimiser.
        correction: classifier that corrects the weights of the drawn events. With None their weights stay equal.
    """

    models: dict[str, Plugin] = Field({})
    uncertainty: Uncertainty = Uncertainty()
    epochs: int = Field(60, ge=1)
    batch_size: int = Field(256, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    correction: Correction | None = None
