"""Networks: shapes, gradients, and initial weights that belong to their seed."""

from __future__ import annotations

import pytest
import torch

from truthward.learn.nets import ACTIVATIONS, MLP, seeded


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_shapes_and_a_gradient_in_every_parameter(activation, depth):
    net = seeded(1, MLP, 3, 2, width=8, depth=depth, activation=activation)
    x = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(1))
    out = net(x)
    assert out.shape == (5, 4, 2)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
    assert sum(isinstance(layer, torch.nn.Linear) for layer in net.layers) == depth + 1


def test_zero_last_starts_at_zero_and_learns():
    net = seeded(1, MLP, 3, 2, zero_last=True)
    out = net(torch.ones(4, 3))
    assert torch.equal(out, torch.zeros(4, 2))
    out.sum().backward()
    assert net.layers[-1].weight.grad.abs().sum() > 0


def test_seeded_depends_on_the_seed_alone_and_leaves_the_generator():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = seeded(1, MLP, 2, 1)
    assert torch.equal(torch.rand(3), expected)
    again, other = seeded(1, MLP, 2, 1), seeded(2, MLP, 2, 1)
    x = torch.ones(1, 2)
    assert torch.equal(first(x), again(x))
    assert not torch.equal(first(x), other(x))
