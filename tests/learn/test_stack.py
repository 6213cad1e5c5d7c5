"""Stacks: each member is what it would be alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from truthward.learn.fit import Settings, fit
from truthward.learn.nets import MLP, seeded
from truthward.learn.stack import Stack


def factory() -> MLP:
    return MLP(2, 1, width=8, depth=2)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_members_begin_as_modules_of_their_seed():
    stack, x = Stack(factory, [5, 6, 5]), normal(7, 2)
    out = stack.call("forward", x)
    assert out.shape == (3, 7, 1)
    for i, seed in enumerate([5, 6, 5]):
        torch.testing.assert_close(out[i], seeded(seed, factory)(x))
    assert torch.equal(out[0], out[2])
    assert not torch.equal(out[0], out[1])


def test_states_go_out_and_in():
    stack, x = Stack(factory, [1, 2]), normal(7, 2)
    module = factory()
    module.load_state_dict(stack.state_of(1))
    torch.testing.assert_close(module(x), stack.call("forward", x)[1])
    other = seeded(9, factory)
    before = stack.call("forward", x)[1]
    stack.load_member(0, other.state_dict())
    torch.testing.assert_close(stack.call("forward", x)[0], other(x))
    assert torch.equal(stack.call("forward", x)[1], before)


def test_a_state_is_a_copy():
    stack = Stack(factory, [1, 2])
    state = stack.state_of(0)
    with torch.no_grad():
        for p in stack.parameters():
            p.zero_()
    assert all(t.abs().sum() > 0 for t in state.values())


def test_own_arguments_have_a_member_axis():
    stack, x = Stack(factory, [1, 2]), normal(2, 7, 2)
    out = stack.call("forward", x, own=(True,))
    assert out.shape == (2, 7, 1)
    for i in range(2):
        torch.testing.assert_close(out[i], stack.call("forward", x[i])[i])


@pytest.mark.parametrize("own", [False, True])
def test_a_stack_of_one_is_called_as_a_member_of_two(own):
    one, two, x = Stack(Noisy, [2]), Stack(Noisy, [1, 2]), normal(7, 2)
    found = []
    for stack in (one, two):
        torch.manual_seed(3)
        found.append(stack.call("noisy", x.expand(stack.members, 7, 2) if own else x, own=(own,)))
        found[-1][-1].sum().backward()
    torch.testing.assert_close(found[0], found[1][1:])
    for name, p in one.named_parameters():
        torch.testing.assert_close(p.grad, two.get_parameter(name).grad[1:])
    with pytest.raises(RuntimeError):
        one.call("forward", normal(7, 3))
    # What was lent is back, also after an error.
    assert all(t.is_meta for t in (*one.template.parameters(), *one.template.buffers()))


class Noisy(nn.Module):
    """Adds a random number; has a buffer; a method other than forward."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(2, 1)
        self.register_buffer("offset", torch.rand(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(-1) + self.offset

    def noisy(self, x: Tensor) -> Tensor:
        return self(x) + torch.randn(len(x))


def test_random_numbers_are_common_to_the_members():
    stack, x = Stack(Noisy, [1, 2]), normal(7, 2)
    noise = stack.call("noisy", x) - stack.call("forward", x)
    torch.testing.assert_close(noise[0], noise[1])
    assert noise[0].std() > 0.1


def test_buffers_are_stacked_and_saved():
    stack, x = Stack(Noisy, [1, 2]), normal(7, 2)
    assert any("offset" in name for name in stack.state_dict())
    again = Stack(Noisy, [3, 4])
    again.load_state_dict(stack.state_dict())
    assert torch.equal(again.call("forward", x), stack.call("forward", x))


def test_building_a_stack_leaves_the_generator():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Stack(factory, [1, 2])
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("patience", [0, 2])
def test_a_member_does_not_depend_on_its_stack(patience):
    x = normal(300, 2)
    y = x[:, 0] * x[:, 1] + 0.3 * normal(300, seed=1)
    held = torch.arange(300) % 3 == 0
    weights = torch.poisson(torch.ones(300, 3), generator=torch.Generator().manual_seed(2))
    settings = Settings(epochs=8, batch_size=32, learning_rate=2e-2, patience=patience, weight_decay=1e-2)

    def train(members: list[int]) -> tuple[Tensor, list[int]]:
        stack = Stack(factory, [10 + m for m in members])

        def loss(x: Tensor, y: Tensor) -> Tensor:
            return (stack.call("forward", x).squeeze(-1) - y).square()

        history = fit(stack, loss, (x, y), weights[:, members], settings, seed=1, validation=held)
        return stack.call("forward", x), history.best

    whole, best = train([0, 1, 2])
    pair, best_pair = train([2, 1])
    torch.testing.assert_close(pair, whole[[2, 1]], rtol=1e-4, atol=1e-5)
    assert best_pair == [best[2], best[1]]
    alone, best_alone = train([1])
    torch.testing.assert_close(alone[0], whole[1], rtol=1e-4, atol=1e-5)
    assert best_alone == [best[1]]


def test_a_stack_of_one_is_the_module_itself():
    x = normal(200, 2)
    y = x[:, 0]
    settings = Settings(epochs=4, batch_size=32, learning_rate=1e-2)
    stack, module = Stack(factory, [4]), seeded(4, factory)
    weights = torch.ones(200)
    fit(stack, lambda x, y: (stack.call("forward", x)[..., 0] - y) ** 2, (x, y), weights[:, None], settings, seed=1)
    fit(module, lambda x, y: (module(x)[:, 0] - y) ** 2, (x, y), weights, settings, seed=1)
    torch.testing.assert_close(stack.call("forward", x)[0], module(x), rtol=1e-4, atol=1e-5)


class Phase(nn.Linear):
    """Says whether it is trained."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.full_like(super().forward(x), float(self.training))


@pytest.mark.parametrize("members", [1, 2])
def test_members_know_whether_they_are_trained(members):
    stack, x = Stack(lambda: Phase(2, 1), [1, 2][:members]), normal(7, 2)
    for mode in (False, True):
        stack.train(mode)
        assert (stack.call("forward", x) == mode).all()
        assert (stack.each("forward", x) == mode).all()
