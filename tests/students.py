"""Small models with students, and their two trainings."""

from __future__ import annotations

import torch
from torch import Tensor

from truthward.learn.distil import distil
from truthward.learn.fit import Settings, fit
from truthward.learn.nets import seeded
from truthward.learn.stack import Stack
from truthward.models.consistency import Consistency

TEACHER = {"kind": "flow_matching", "width": 24, "depth": 2}
OPTIONS = {"width": 32, "depth": 2, "pairs": 6000, "epochs": 8, "batch_size": 250}
EVENTS = 600


def model(teacher: dict | None = None, **options) -> Consistency:
    chosen = {**OPTIONS, **options}
    return seeded(2, Consistency, dimensions=2, conditions=1, teacher=teacher or TEACHER, **chosen)


def events(n: int = EVENTS, seed: int = 1) -> tuple[Tensor, Tensor]:
    """The first column is an arc, on the side that the condition says."""
    g = torch.Generator().manual_seed(seed)
    side = (torch.rand(n, 1, generator=g) < 0.5).float() * 2 - 1
    angle = torch.rand(n, 1, generator=g) * torch.pi
    return torch.cat([side * angle.sin(), angle.cos()], 1) + 0.1 * torch.randn(n, 2, generator=g), side


def trained(stack: Stack, *, signed: bool = False, seed: int = 4) -> Stack:
    """First training of the members, without the second."""
    x, condition = events()
    weights = torch.ones(len(x), stack.members)
    if signed:
        weights[::5] = -1.0
    settings = Settings(epochs=20, batch_size=100, learning_rate=4e-3)
    fit(stack, lambda x, c: stack.call("loss", x, c), (x, condition), weights, settings, seed=seed)
    return stack


def taught(stack: Stack, weights: Tensor | None = None, seed: int = 5, **options) -> Stack:
    condition = events()[1]
    distil(stack, condition, torch.ones(len(condition), 1) if weights is None else weights, seed=seed, **options)
    return stack


def single(stack: Stack, member: int = 0, **options) -> Consistency:
    found = model(**options)
    found.load_state_dict(stack.state_of(member))
    return found.eval()


def missed(one: Consistency, n: int = 2000) -> float:
    """Mean distance of the student from the teacher, with noise that no training has seen."""
    noise, condition = torch.randn(n, 2, generator=torch.Generator().manual_seed(8)), events(n, seed=9)[1]
    with torch.no_grad():
        return float(one.student_loss(noise, condition, one.taught(condition, noise)).mean())
