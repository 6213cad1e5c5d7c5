"""The losses of stacks of generative models: their own gradient is that of automatic derivatives."""

from __future__ import annotations

import pytest
import torch

from truthward.learn.regression import StackLoss
from truthward.learn.stack import Stack
from truthward.models.diffusion import Diffusion
from truthward.models.flow_matching import FlowMatching
from truthward.study.plugins import build


def stack_of(members: int, kind: str = "flow_matching", **options) -> Stack:
    entry = {"kind": kind, "width": 16, "depth": 2} | options
    return Stack(lambda: build("models", entry, dimensions=3, conditions=2), list(range(members)))


@pytest.mark.parametrize("activation", ["relu", "silu"])
@pytest.mark.parametrize(
    ("members", "x", "condition"),
    [
        (1, (40, 3), (40, 2)),
        (4, (40, 3), (40, 2)),
        (4, (40, 1, 3), (40, 2)),
        (4, (40, 2, 3), (40, 2)),
        (4, (40, 3), (40, 4, 2)),
        (4, (40, 4, 3), (40, 4, 2)),
    ],
)
def test_own_gradient_is_the_derivative(members, x, condition, activation):
    torch.manual_seed(2)
    x, condition, factors = torch.randn(x), torch.randn(condition), torch.randn(members, 40)
    stack = stack_of(members, activation=activation)
    loss = StackLoss(stack)
    torch.manual_seed(3)
    losses = loss(x, condition)
    wanted = torch.autograd.grad((losses * factors).sum(), list(stack.parameters()))
    assert loss.start() is not None
    torch.manual_seed(3)
    torch.testing.assert_close(loss.gradient(x, condition, factors), losses.detach(), rtol=1e-5, atol=1e-6)
    for p, g in zip(stack.parameters(), wanted, strict=True):
        torch.testing.assert_close(p.grad, g, rtol=1e-4, atol=1e-5)
    assert max(float(g.abs().max()) for g in wanted) > 0.1


def test_members_of_a_set_see_the_events_of_their_set():
    stack = stack_of(4)
    x, condition = torch.randn(30, 2, 3), torch.randn(30, 2)
    torch.manual_seed(3)
    losses = StackLoss(stack)(x, condition)
    for member in range(4):
        torch.manual_seed(3)
        alone = stack.one(member, "loss", x[:, member // 2], condition)
        torch.testing.assert_close(losses[member], alone, rtol=1e-5, atol=1e-6)


def test_only_a_regression_of_a_dense_network_has_an_own_gradient():
    assert StackLoss(stack_of(2)).start() is not None
    assert StackLoss(stack_of(2, "coupling_flow")).start() is None
    assert not hasattr(Diffusion, "regression")
    assert hasattr(FlowMatching, "regression")
