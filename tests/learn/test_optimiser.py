"""The optimiser is torch's AdamW; its state goes out and in."""

from __future__ import annotations

import pytest
import torch

from truthward.learn.nets import MLP, seeded
from truthward.learn.optimiser import AdamW, clip


def step(module: MLP, x: torch.Tensor) -> None:
    module.zero_grad()
    (module(x) - x[:, :1]).square().mean().backward()


def test_the_steps_are_those_of_torch():
    ours, theirs = (seeded(1, MLP, 2, 1, width=8) for _ in range(2))
    own = AdamW(list(ours.parameters()), weight_decay=0.1)
    reference = torch.optim.AdamW(theirs.parameters(), weight_decay=0.1, fused=True)
    x = torch.randn(30, 2)
    for rate in (0.1, 0.02, 0.03):
        step(ours, x)
        own.step(rate)
        step(theirs, x)
        reference.param_groups[0]["lr"] = rate
        reference.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_a_parameter_without_a_gradient_stays():
    a, b = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    optimiser = AdamW([a, b], weight_decay=0.1)
    optimiser.step(0.1)
    a.grad = torch.ones(2)
    optimiser.step(0.1)
    assert torch.equal(b, torch.ones(2))
    assert not torch.equal(a, torch.ones(2))


def test_a_state_goes_on_as_it_was():
    x, modules, found = torch.randn(30, 2), [seeded(1, MLP, 2, 1, width=8) for _ in range(2)], []
    first = AdamW(list(modules[0].parameters()), 0.0)
    step(modules[0], x)
    first.step(0.1)
    second = AdamW(list(modules[1].parameters()), 0.0)
    modules[1].load_state_dict(modules[0].state_dict())
    second.load_state_dict(first.state_dict())
    for module, optimiser in zip(modules, (first, second), strict=True):
        step(module, x)
        optimiser.step(0.1)
        found.append([p.detach() for p in module.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    with pytest.raises(ValueError, match="other parameters"):
        AdamW([torch.nn.Parameter(torch.ones(3))], 0.0).load_state_dict(first.state_dict())


@pytest.mark.parametrize("members", [1, 2])
def test_what_is_not_finite_stays_so(members):
    gradients = [torch.full((members, 3), torch.nan), torch.ones(members, 2)]
    clip(gradients, 1.0, members)
    assert all(g.isnan().all() for g in gradients)


def test_small_gradients_stay():
    gradients = [torch.full((1, 3), 0.1), torch.full((1, 2), 0.2)]
    before = [g.clone() for g in gradients]
    clip(gradients, 1.0, 1)
    assert all(torch.equal(a, b) for a, b in zip(gradients, before, strict=True))
    clip(gradients, 0.1, 1)
    assert torch.cat(gradients, 1).norm() == pytest.approx(0.1, rel=1e-4)
