"""Solvers on an equation whose solution is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from truthward.errors import ConfigError
from truthward.learn.ode import FIXED, integrate

START = torch.tensor([[0.5], [1.0], [2.0]], dtype=torch.float64)


def velocity(x: Tensor, t: float | Tensor) -> Tensor:
    """dx/dt = x cos t."""
    return x * torch.cos(torch.as_tensor(t, dtype=x.dtype))


EXACT = START * math.exp(math.sin(1.0))


def test_every_fixed_solver_converges_with_its_order():
    for solver, order in FIXED.items():
        errors = [float((integrate(velocity, START, solver=solver, steps=n) - EXACT).abs().max()) for n in (16, 32)]
        assert abs(math.log2(errors[0] / errors[1]) - order) < 0.3, solver


@pytest.mark.parametrize("solver", FIXED)
def test_the_number_of_evaluations_is_as_stated(solver):
    times = []

    def counted(x: Tensor, t: float | Tensor) -> Tensor:
        times.append(float(t))
        return velocity(x, t)

    integrate(counted, START, solver=solver, steps=5)
    assert len(times) == 5 * FIXED[solver]
    assert min(times) >= 0
    assert max(times) <= 1 + 1e-12


def test_the_adaptive_solver_keeps_its_tolerance():
    errors = [
        float((integrate(velocity, START, solver="dopri5", tolerance=t) - EXACT).abs().max()) for t in (1e-2, 1e-8)
    ]
    assert errors[1] < 1e-6 < errors[0] < 1e-1


@pytest.mark.parametrize("solver", [*FIXED, "dopri5"])
def test_there_and_back(solver):
    there = integrate(velocity, START, solver=solver, steps=40, tolerance=1e-6)
    back = integrate(velocity, there, solver=solver, steps=40, tolerance=1e-6, start=1.0, end=0.0)
    assert (there - START).abs().max() > 0.01
    torch.testing.assert_close(back, START, rtol=1e-3, atol=1e-4)


def test_the_adaptive_solver_is_refused_under_vmap():
    rates = torch.tensor([1.0, 2.0], dtype=torch.float64)

    def carried(rate: Tensor, solver: str) -> Tensor:
        return integrate(lambda x, t: rate * velocity(x, t), START, solver=solver, steps=20)

    found = torch.func.vmap(lambda rate: carried(rate, "rk4"))(rates)
    torch.testing.assert_close(found[0], EXACT, rtol=1e-4, atol=0)
    with pytest.raises(ConfigError, match=r"dopri5 .* cannot be stacked"):
        torch.func.vmap(lambda rate: carried(rate, "dopri5"))(rates)
