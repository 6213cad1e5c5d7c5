"""The losses of stacks: with their own gradient a training is the one with automatic derivatives."""

from __future__ import annotations

import pytest
import torch

from truthward.learn.fit import Settings, fit
from truthward.learn.stack import Stack
from truthward.ratio.classifier import Classifier, stack_of
from truthward.ratio.losses import LogisticLoss

ROWS, SETTINGS = 300, Settings(epochs=3, batch_size=64, learning_rate=1e-2, weight_decay=1e-2, clip=0.2)


def train(members: list[int], *, soft: bool, own_inputs: bool, own_gradient: bool):
    random = torch.Generator().manual_seed(1)
    x = torch.randn(ROWS, *([3] if own_inputs else []), 4, generator=random)
    target = torch.rand(ROWS, 3, generator=random) if soft else (torch.rand(ROWS, generator=random) < 0.5).float()
    weights = torch.poisson(torch.ones(ROWS, 3), generator=random) - 0.1
    stack = stack_of(4, [m + 5 for m in members], width=16, depth=2)
    loss = LogisticLoss(stack, soft=soft)
    data = x[:, members] if own_inputs else x, target[:, members] if soft else target
    held = torch.arange(ROWS) % 4 == 0
    call = loss if own_gradient else lambda x, target: loss(x, target)
    history = fit(stack, call, data, weights[:, members], SETTINGS, seed=1, validation=held)
    return stack, history


@pytest.mark.parametrize("members", [[1], [0, 1, 2]])
@pytest.mark.parametrize(("soft", "own_inputs"), [(False, False), (False, True), (True, False)])
def test_a_training_is_the_one_with_automatic_derivatives(members, soft, own_inputs):
    found, history = train(members, soft=soft, own_inputs=own_inputs, own_gradient=True)
    expected, other = train(members, soft=soft, own_inputs=own_inputs, own_gradient=False)
    assert history.best == other.best
    torch.testing.assert_close(torch.tensor(history.train), torch.tensor(other.train), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(torch.tensor(history.validation), torch.tensor(other.validation), rtol=1e-4, atol=1e-6)
    for p, q in zip(found.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("soft", [False, True])
def test_a_member_is_the_same_in_any_stack(soft):
    whole, _ = train([0, 1, 2], soft=soft, own_inputs=False, own_gradient=True)
    pair, _ = train([2, 1], soft=soft, own_inputs=False, own_gradient=True)
    # Bit by bit: on a CPU the members are computed one after the other.
    assert all(torch.equal(a, b) for a, b in zip(pair.state_of(0).values(), whole.state_of(2).values(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(pair.state_of(1).values(), whole.state_of(1).values(), strict=True))


def test_frozen_layers_and_bf16_take_automatic_derivatives():
    for frozen in (False, True):
        stack = stack_of(4, [1], width=8, depth=1)
        first = next(iter(stack.parameters()))
        first.requires_grad_(not frozen)
        before = first.detach().clone()
        loss = LogisticLoss(stack, soft=False)
        settings = Settings(epochs=2, batch_size=32, precision="fp32" if frozen else "bf16")
        x = torch.randn(100, 4)
        fit(stack, loss, (x, (x[:, 0] > 0).float()), torch.ones(100), settings, seed=1)
        assert loss._pass is None
        assert torch.equal(first, before) == frozen


def test_only_a_plain_dense_network_has_a_gradient():
    class Shifted(Classifier):
        """Has more than its dense network."""

        @property
        def dense(self):
            return None

    assert LogisticLoss(Stack(lambda: Shifted(4), [1]), soft=False).start() is None
    assert LogisticLoss(stack_of(4, [1]), soft=False).start() is not None
