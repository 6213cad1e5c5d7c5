"""Networks of sets: order and padding change nothing, the number of elements does."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from truthward.learn.sets import DeepSets, ParticleAttention
from truthward.learn.stack import Stack

FEATURES, CONTEXT, PAIRS = 3, 2, 2


def pairs_of(elements: Tensor) -> Tensor:
    difference = elements[:, :, None] - elements[:, None]
    return torch.stack([difference.square().sum(-1), difference.abs().sum(-1)], dim=1)


class Network(nn.Module):
    """Either network, away from its start at zero, as a function of elements, mask and context."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        options = {"width": 8, "depth": 2}
        self.network = (
            DeepSets(FEATURES, CONTEXT, **options)
            if kind == "deep_sets"
            else ParticleAttention(FEATURES, CONTEXT, PAIRS, heads=2, **options)
        )
        self.paired = kind == "attention"
        nn.init.normal_(self.network.whole.layers[-1].weight)

    def forward(self, elements: Tensor, mask: Tensor, context: Tensor) -> Tensor:
        return self.network(elements, mask, context, *([pairs_of(elements)] if self.paired else []))


@pytest.fixture(params=["deep_sets", "attention"])
def kind(request) -> str:
    return request.param


@pytest.fixture
def events() -> tuple[Tensor, Tensor, Tensor]:
    """Six events of 0, 1, 2, 3, 4 and 5 elements."""
    torch.manual_seed(1)
    mask = torch.arange(5) < torch.arange(6)[:, None]
    return torch.randn(6, 5, FEATURES), mask, torch.randn(6, CONTEXT)


def test_order_changes_nothing(kind, events):
    elements, mask, context = events
    network, order = Network(kind), torch.randperm(5)
    found = network(elements, mask, context)
    torch.testing.assert_close(network(elements[:, order], mask[:, order], context), found)
    assert (network(elements.flip(0), mask, context) - found).abs().max() > 1e-3, "the control: other elements"


def test_padding_changes_nothing(kind, events):
    elements, mask, context = events
    network = Network(kind)
    found = network(elements, mask, context)
    other = torch.where(mask[..., None], elements, torch.randn(6, 5, FEATURES))
    torch.testing.assert_close(network(other, mask, context), found)
    more = torch.cat([elements, torch.randn(6, 2, FEATURES)], dim=1)
    wider = torch.cat([mask, torch.zeros(6, 2, dtype=torch.bool)], dim=1)
    torch.testing.assert_close(network(more, wider, context)[1:], found[1:])


def test_multiplicity_matters(kind):
    network = Network(kind)
    same = torch.ones(1, 4, FEATURES)
    logits = [network(same, torch.arange(4)[None] < n, torch.zeros(1, CONTEXT)).item() for n in range(1, 5)]
    assert len({round(v, 5) for v in logits}) == 4


def test_gradients_are_finite_down_to_no_element(kind, events):
    network = Network(kind)
    network(*events).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())


def test_a_stack_equals_its_members(kind, events):
    stack = Stack(lambda: Network(kind), [4, 5])
    found = stack.call("forward", *events)
    for member in range(2):
        single = Network(kind)
        single.load_state_dict(stack.state_of(member))
        torch.testing.assert_close(found[member], single(*events))
    assert (found[0] - found[1]).abs().max() > 1e-3


def test_starts_at_zero(events):
    for network in (DeepSets(FEATURES, CONTEXT), ParticleAttention(FEATURES, CONTEXT, PAIRS)):
        more = [pairs_of(events[0])] if isinstance(network, ParticleAttention) else []
        assert (network(*events, *more) == 0).all()
