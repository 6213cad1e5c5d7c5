"""What all that carries noise to data shares: batches, precision, common random numbers, stacks."""

from __future__ import annotations

import pytest
import torch

from truthward.errors import ConfigError
from truthward.learn.nets import MLP, seeded
from truthward.learn.stack import Stack
from truthward.models.flow_matching import FlowMatching


def flow(seed: int = 2, **options) -> FlowMatching:
    return seeded(
        seed, FlowMatching, dimensions=2, conditions=0, width=16, depth=2, activation="tanh", frequencies=1, **options
    )


def test_cache_sized_batches_change_nothing():
    noise, nothing = torch.randn(1000, 2, generator=torch.Generator().manual_seed(1)), torch.empty(1000, 0)
    torch.testing.assert_close(
        flow(batch=64).sample(nothing, noise), flow(batch=5000).sample(nothing, noise), rtol=1e-5, atol=1e-6
    )


def test_the_same_noise_gives_the_same_events_and_other_noise_others():
    model, nothing = flow(), torch.empty(10, 0)
    noise = torch.randn(10, 2, generator=torch.Generator().manual_seed(1))
    assert torch.equal(model.sample(nothing, noise), model.sample(nothing, noise))
    assert not torch.equal(model.sample(nothing), model.sample(nothing))


def test_bad_options_are_refused():
    with pytest.raises(ConfigError, match="steps 0"):
        flow(steps=0)


def test_reduced_precision_moves_events_a_little():
    noise, nothing = torch.randn(1000, 2, generator=torch.Generator().manual_seed(1)), torch.empty(1000, 0)
    full, reduced = flow().sample(nothing, noise), flow(precision="bf16").sample(nothing, noise)
    assert full.dtype == reduced.dtype == torch.float32
    assert 0 < float((full - reduced).abs().max()) < 0.02


def test_what_is_drawn_may_be_trained_upon():
    drawn, network = flow().sample(torch.empty(10, 0)), MLP(2, 1)
    network(drawn).sum().backward()
    assert not drawn.is_inference()
    assert network.layers[0].weight.grad.abs().any()


@pytest.mark.parametrize("solver", ["midpoint", "dopri5"])
def test_members_of_a_stack_draw_one_after_the_other(solver):
    """Each as the module of its own; stacked, the adaptive solver says that it cannot."""
    noise, nothing = torch.randn(100, 2, generator=torch.Generator().manual_seed(1)), torch.empty(100, 0)
    stack = Stack(lambda: flow(int(torch.randint(1000, ())), solver=solver), [1, 2, 3])
    found = stack.each("sample", nothing, noise)
    for m in range(3):
        single = flow(solver=solver)
        single.load_state_dict(stack.state_of(m))
        assert torch.equal(found[m], single.sample(nothing, noise))
    assert not torch.equal(found[0], found[1])
    if solver == "dopri5":
        with pytest.raises(ConfigError, match="cannot be stacked"):
            stack.call("sample", nothing, noise)
    else:
        torch.testing.assert_close(found, stack.call("sample", nothing, noise))


def test_a_unit_of_the_loss_is_that_of_a_normal_likelihood_with_the_velocity_s_own_variance():
    model, g = flow(), torch.Generator().manual_seed(1)
    x, noise = (torch.randn(200_000, 2, generator=g) for _ in range(2))
    t = torch.rand(200_000, 1, generator=g)
    x_t = (1 - t) * noise + t * x
    # The best velocity between normal noise and normal data is linear in x_t.
    best = (2 * t - 1) / (t**2 + (1 - t) ** 2) * x_t
    variance = float((x - noise - best).square().mean())
    # -ln likelihood is the sum over dimensions of squares / (2 variance), the loss their mean.
    assert model.nats == pytest.approx(model.dimensions / (2 * variance), rel=0.01)
