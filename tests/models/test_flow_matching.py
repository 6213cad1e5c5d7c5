"""Solvers of the flow: their order, and common random numbers."""

from __future__ import annotations

import pytest
import torch

from truthward.errors import ConfigError
from truthward.learn.nets import seeded
from truthward.models.flow_matching import FlowMatching


def flow(**options) -> FlowMatching:
    return seeded(
        2, FlowMatching, dimensions=2, conditions=0, width=16, depth=2, activation="tanh", frequencies=1, **options
    )


@pytest.mark.parametrize(("solver", "order"), [("midpoint", 2), ("heun", 2), ("rk4", 4)])
def test_solvers_converge_with_their_order(solver, order):
    noise = torch.randn(100, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    nothing = torch.empty(100, 0, dtype=torch.float64)
    exact = flow(solver="rk4", steps=200).double().sample(nothing, noise)
    errors = [
        (flow(solver=solver, steps=n).double().sample(nothing, noise) - exact).square().mean().sqrt() for n in (16, 32)
    ]
    assert abs(float(torch.log2(errors[0] / errors[1])) - order) < 0.5


def test_the_adaptive_solver_keeps_its_tolerance():
    noise = torch.randn(100, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    nothing = torch.empty(100, 0, dtype=torch.float64)
    exact = flow(solver="rk4", steps=200).double().sample(nothing, noise)
    errors = [
        float((flow(solver="dopri5", tolerance=t).double().sample(nothing, noise) - exact).abs().max())
        for t in (1e-2, 1e-6)
    ]
    assert errors[1] < 1e-4 < errors[0]


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
