"""Train the members of a generative model, whose spread is its uncertainty: an ensemble or a posterior of weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from truthward.learn.distil import distil
from truthward.learn.fit import History, Settings, fit
from truthward.learn.regression import StackLoss
from truthward.learn.repulsion import crowding
from truthward.learn.stack import Stack
from truthward.learn.variational import Variational
from truthward.study.generative_members import Uncertainty
from truthward.study.seeds import seed_for

REACH = 2.0
"""Distance from the events, in units of standard normal columns, at which members also repel each other. Without events
they separate there, and the uncertainty grows (as in 1902.09754)."""


def train_members(
    factory: Callable[[], nn.Module],
    uncertainty: Uncertainty,
    x: Tensor,
    condition: Tensor,
    weights: Tensor,
    settings: Settings,
    *,
    events: float,
    seeds: list[int],
    seed: int,
    validation: Tensor | None = None,
    label: str = "training",
    state: Path | None = None,
    state_key: str = "",
) -> tuple[Stack, History]:
    """Train T times E plain models by S = T times `uncertainty.trainings` trainings in one stack.

    T is the number of independent training sets. The members of one set are next to each other.

    An ensemble adds (repulsion / N) ln sum_j k(f_i, f_j) to the loss of member i (`learn.repulsion.crowding`). f is the
    `probe` of the models, which is the velocity or the log-density, because different weights can give the same
    function (2106.11642). It is taken at the points of the batch and at points around them. A posterior is the one of
    `learn.variational`.

    Args:
        factory: builds a generative model.
        x: (N, S, D) events of each training, or (N, T, D) of each set.
        condition: (N, C), the same in all.
        weights: (N, S), including the bootstraps if members have bootstraps.
        events: effective number of training events in a set, before bootstraps.
        seeds: S seeds of the initial weights.
        seed: seed of the order of batches and of the draws from a posterior.
        validation, label, state, state_key: see `fit`.

    Returns:
        A stack of the T E members, and the losses of the S trainings.

    Raises:
        As `fit`.
    """
    size, draws = len(seeds), uncertainty.members // uncertainty.trainings
    repulsion = uncertainty.repulsion if uncertainty.kind == "ensemble" else 0.0

    def posterior() -> Variational:
        model: Any = factory()
        return Variational(
            model,
            events=events,
            nats=model.nats / uncertainty.temperature,
            layers=uncertainty.layers,
            prior=uncertainty.prior,
            without=model.STUDENT,
        )

    stack = Stack(factory if uncertainty.kind == "ensemble" else posterior, seeds)

    loss = StackLoss(stack)

    def repelled(x: Tensor, condition: Tensor) -> Tensor:
        value = loss(x, condition)
        if stack.training:
            value = value + (repulsion / events) * _force(stack, x, condition, uncertainty.members)[:, None]
        return value

    history = fit(
        stack,
        repelled if repulsion else loss,
        (x, condition),
        weights,
        settings,
        seed=seed,
        validation=validation,
        label=label,
        state=state,
        state_key=state_key,
    )
    members: Stack = stack
    if uncertainty.kind == "variational":
        trained, members = posterior(), Stack(factory, [0] * (size * draws))
        for t in range(size):
            trained.load_state_dict(stack.state_of(t))
            for m, drawn in enumerate(trained.posterior(draws, seed_for(seed, "posterior", t))):
                members.load_member(t * draws + m, drawn)
    distil(members, condition, weights, seed=seed, label=label, state=state, state_key=state_key)
    return members, history


def _force(stack: Stack, x: Tensor, condition: Tensor, members: int) -> Tensor:
    """Repulsion within each set's members, (S,), at points that all of them share: those of the set's first member."""
    sets = stack.members // members
    points = x[:, :: x.shape[1] // sets].movedim(1, 0).repeat_interleave(members, 0)  # (S, B, D)
    near = points[:, : len(x) // 4 + 1]
    around = near + REACH * torch.randn(near.shape[1:], device=x.device)
    total: Any = 0.0
    for at, given in ((points, condition), (around, condition[: near.shape[1]])):
        f = stack.call("probe", at, given, own=(True, False))
        total = total + crowding(f.unflatten(0, (sets, members))).flatten()
    return total
