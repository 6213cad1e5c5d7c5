"""The written-out passes find the numbers of automatic derivatives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from truthward.learn.dense import DensePass
from truthward.learn.nets import ACTIVATIONS, MLP
from truthward.learn.stack import Stack


def of(members: int, activation: str, depth: int = 2) -> Stack[MLP]:
    return Stack(lambda: MLP(3, 2, width=8, depth=depth, activation=activation), list(range(members)))


def automatic(stack: Stack[MLP], x: Tensor, factors: Tensor) -> list[Tensor]:
    for p in stack.parameters():
        p.grad = None
    outputs = stack.call("forward", x, own=(x.ndim == 3,))
    (outputs.square() * factors).sum().backward()
    return [p.grad.clone() for p in stack.parameters()]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("together", [False, True])
def test_gradients_are_those_of_automatic_derivatives(activation, members, own, together):
    stack = of(members, activation)
    passes = DensePass(list(stack.parameters()), stack.template.activation, together=together)
    # Another number of rows needs other memory; with the same number, the memory holds what the call before left.
    for rows in (40, 40, 7):
        x = torch.randn(*([members] if own else []), rows, 3)
        factors = torch.randn(members, rows, 2)
        expected = automatic(stack, x, factors)
        for p, part in zip(
            stack.parameters(), passes.gradient.split([p.numel() for p in stack.parameters()]), strict=True
        ):
            p.grad = part.view_as(p)
        passes.run(x, lambda chosen, y, factors=factors: 2 * y * factors[chosen])
        for p, g in zip(stack.parameters(), expected, strict=True):
            torch.testing.assert_close(p.grad, g, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("depth", [0, 1, 4])
def test_any_depth(depth):
    stack, x, factors = of(2, "gelu", depth), torch.randn(20, 3), torch.randn(2, 20, 2)
    expected = automatic(stack, x, factors)
    DensePass(list(stack.parameters()), stack.template.activation).run(x, lambda m, y: 2 * y * factors[m])
    for p, g in zip(stack.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, g, rtol=1e-4, atol=1e-4)


def test_the_optimiser_finds_gradients_in_the_layout_of_the_parameters():
    """It reads both as plain memory."""
    stack = of(3, "gelu")
    DensePass(list(stack.parameters()), stack.template.activation)
    assert all(p.grad.stride() == p.stride() and p.grad.is_contiguous() for p in stack.parameters())
