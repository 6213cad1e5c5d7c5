"""The second training of models with a student, which learns to draw what the trained model draws."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from truthward.learn.device import placed, training_device
from truthward.learn.fit import History, fit
from truthward.learn.stack import Stack
from truthward.study.seeds import seed_for

log = logging.getLogger("truthward.distil")

TESTED = 4096
"""Number of further pairs, which measure the distance between student and teacher."""


def distil(
    stack: Stack,
    condition: Tensor,
    weights: Tensor,
    *,
    seed: int,
    label: str = "training",
    state: Path | None = None,
    state_key: str = "",
) -> History | None:
    """Train the student of each member, after `loss` has trained the members; it must follow each such training.

    Models without a student (`GenerativeModel.STUDENT` is empty) are left as they are. The conditions are those of
    training events, drawn in proportion to the sum of |weight| over the members. A student learns a function and not a
    density, so its own loss has no weights: negative ones change nothing.

    Args:
        stack: E trained models. A model with a student has the methods and attributes of `models.consistency`.
        condition: (N, C), or (N, E, C) if members have their own.
        weights: (N, K), those of the training, of any sign.
        seed: seed of the pairs and of the order of the batches.
        label, state, state_key: those of the training before; the state has a file of its own beside it.

    Returns:
        The losses; None for models without a student.

    Raises:
        As `fit`.
    """
    model: Any = stack.template
    if not model.STUDENT:
        return None
    generator = torch.Generator().manual_seed(seed_for(seed, "distil", "pairs"))
    share = weights.double().abs().sum(1).cumsum(0)
    drawn = torch.rand(model.pairs + TESTED, generator=generator, dtype=torch.float64) * share[-1]
    given = condition[torch.searchsorted(share, drawn, right=True).clamp(max=len(share) - 1)]
    noise = torch.randn(len(given), model.dimensions, generator=generator)
    own, device = given.ndim == 3, training_device()
    stack.eval()
    with placed(stack, device):
        target = torch.stack(
            [
                stack.one(m, "taught", (given[:, m] if own else given).to(device), noise.to(device)).cpu()
                for m in range(stack.members)
            ],
            dim=1,
        )

    def loss(noise: Tensor, condition: Tensor, target: Tensor) -> Tensor:
        seen = condition.transpose(0, 1) if own else condition
        return stack.call("student_loss", noise, seen, target.transpose(0, 1), own=(False, own, True))

    first, rest = slice(model.pairs), slice(model.pairs, None)
    history = fit(
        stack,
        loss,
        (noise[first], given[first], target[first]),
        torch.ones(model.pairs, stack.members),
        model.settings,
        seed=seed_for(seed, "distil", "fit"),
        label=f"{label}, student",
        state=state and state.with_name(f"{state.stem}.distil{state.suffix}"),
        state_key=state_key,
    )
    with torch.no_grad():
        off = loss(noise[rest], given[rest], target[rest]).mean(1)
    log.info("%s: the students miss their teachers by %.3f at most (columns of width 1)", label, float(off.max()))
    for m in range(stack.members):
        stack.load_member(m, stack.state_of(m) | {"learned_from": stack.one(m, "mark")})
    return history
