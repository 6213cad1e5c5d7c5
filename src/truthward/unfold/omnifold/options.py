"""Options of OmniFold that belong together; each group is a mapping in the config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class NetworkOptions:
    """The classifiers of both steps.

    Args:
        width: of each hidden layer.
        depth: number of hidden layers.
        activation: between the layers; quick_gelu is gelu within 0.02, and faster in dense networks.
        constituents: of each jet that the classifiers see, at most, the hardest ones; the last one stands for all
            others.
    """

    BOUNDS = ((">= 1", "width depth constituents"),)

    width: int = 64
    depth: int = 2
    activation: Literal["relu", "gelu", "quick_gelu", "silu", "tanh"] = "quick_gelu"
    constituents: int = 30


@dataclass(frozen=True)
class TrainingOptions:
    """The trainings of both steps.

    Args:
        epochs: of each step.
        later_epochs: of each step in the later iterations of a warm start.
        start: "warm" continues from the networks of the iteration before, "cold" starts from the initial weights.
        batch_size: events in each training step, at most; an epoch has at least 32 batches.
        learning_rate: of the optimiser, in the first iteration.
        annealing: factor on the learning rate from one iteration to the next.
        patience: a step ends after this number of epochs without improvement on the held-out events, and the best
            epoch is used. 0 trains on all events, for all epochs, and loses no statistics.
        precision: of the trainings; bf16 is faster if the processor computes in it and the networks are wide.
    """

    BOUNDS = (
        (">= 1", "epochs later_epochs batch_size"),
        ("> 0", "learning_rate annealing"),
        (">= 0", "patience"),
    )

    epochs: int = 6
    later_epochs: int = 3
    start: Literal["warm", "cold"] = "warm"
    batch_size: int = 1024
    learning_rate: float = 6e-3
    annealing: float = 0.7
    patience: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"


@dataclass(frozen=True)
class ReplicaOptions:
    """How the replicas are computed.

    Args:
        by: "response" computes bootstraps as the response of the nominal's classifiers, "training" trains each anew.
        stack: replicas that are computed together; changes speed and memory, not the result.
    """

    BOUNDS = ((">= 1", "stack"),)

    by: Literal["response", "training"] = "response"
    stack: int = 50
