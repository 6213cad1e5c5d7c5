"""Options of generative unfolding that belong together; each group is a mapping in the config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DrawOptions:
    """How many truth events are drawn for each data event.

    Args:
        nominal: K of the nominal and of the systematics.
        replicas: K of all other replicas with draws of their own; at most as many as of the nominal are drawn.
        ratio: K of the classifier of a step of prior removal.
    """

    BOUNDS = ((">= 1", "nominal replicas ratio"),)

    nominal: int = 16
    replicas: int = 8
    ratio: int = 4


@dataclass(frozen=True)
class ModelTrainingOptions:
    """The trainings of the generative model.

    Args:
        epochs: of the first training.
        later_epochs: of each training after a step of prior removal.
        batch_size: events in each training step.
        learning_rate: of the first training.
        later_learning_rate: of each training after a step of prior removal.
        patience: a training ends after this number of epochs without improvement on the held-out events; this holds
            for the classifiers as well. 0 trains on all events, for all epochs.
        precision: of the trainings; bf16 is faster if the processor computes in it and the model is wide.
    """

    BOUNDS = (
        (">= 1", "epochs later_epochs batch_size"),
        ("> 0", "learning_rate later_learning_rate"),
        (">= 0", "patience"),
    )

    epochs: int = 60
    later_epochs: int = 10
    batch_size: int = 512
    learning_rate: float = 5e-3
    later_learning_rate: float = 3e-4
    patience: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"


@dataclass(frozen=True)
class ClassifierOptions:
    """All classifiers: of the prior removal, of the matched fraction f and of the efficiency eps.

    Args:
        ratio: the classifier of a step of prior removal: "dense", a network, or "boosted_trees".
        ratio_epochs: of the classifier of a step of prior removal.
        side_epochs: of the classifiers for f and eps.
        batch_size: events in each training step.
        learning_rate: of the optimiser.
        width: of each hidden layer.
        depth: number of hidden layers.
    """

    BOUNDS = (
        (">= 1", "ratio_epochs side_epochs batch_size width depth"),
        ("> 0", "learning_rate"),
    )

    ratio: Literal["dense", "boosted_trees"] = "dense"
    ratio_epochs: int = 6
    side_epochs: int = 15
    batch_size: int = 512
    learning_rate: float = 2e-3
    width: int = 48
    depth: int = 2


@dataclass(frozen=True)
class ReplicaOptions:
    """How the replicas are computed.

    Args:
        by: "response" computes bootstraps as weights for the draws of the nominal, by the response of its networks.
            "training" trains each anew and draws for it. With a condition, or a model that maps distributions, the
            draws of a bootstrap move, so it is always trained.
        stack: replicas that are computed together; changes speed and memory, not the result.
    """

    BOUNDS = ((">= 1", "stack"),)

    by: Literal["response", "training"] = "response"
    stack: int = 25
