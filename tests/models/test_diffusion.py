"""Diffusion against the formulas of its sources, and on a Gaussian, whose best denoiser is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from truthward.errors import ConfigError
from truthward.models.diffusion import Diffusion

SCHEDULES = ["edm", "variance_preserving"]


def diffusion(**options) -> Diffusion:
    torch.manual_seed(3)
    return Diffusion(dimensions=2, conditions=1, width=16, depth=2, activation="tanh", **options).double()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_velocity_is_that_of_the_paper(schedule):
    """dx / dsigma = (x - D) / sigma with D from Table 1 of 2206.00364 for sigma_data = 1, in z = c_in x."""
    model = diffusion(schedule=schedule)
    z, condition, t = torch.randn(50, 2).double(), torch.randn(50, 1).double(), 0.05 + 0.9 * torch.rand(50, 1).double()
    t.requires_grad_()
    sigma = model.angle(t)[0].tan()
    (slope,) = torch.autograd.grad(sigma.sum(), t)
    c_skip, c_out, c_in = 1 / (sigma**2 + 1), sigma / (sigma**2 + 1).sqrt(), 1 / (sigma**2 + 1).sqrt()
    x = z / c_in
    denoised = c_skip * x + c_out * model._f(c_in * x, sigma.atan(), condition)
    along = (x - denoised) / sigma * c_in - x * sigma * c_in**3
    torch.testing.assert_close(model.velocity(z, t, condition), along * slope)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("width", [0.3, 2.0])
def test_a_gaussian_comes_out_of_its_best_denoiser(schedule, width, monkeypatch):
    """The flow of its ODE is linear: x(1) = width * x(0), from all noise to none."""

    def best(z: Tensor, phi: Tensor, condition: Tensor) -> Tensor:
        return z * phi.sin() * phi.cos() * (width**2 - 1) / ((width * phi.cos()) ** 2 + phi.sin() ** 2)

    model = diffusion(schedule=schedule, solver="rk4", steps=40)
    noise, condition = torch.randn(50, 2).double(), torch.zeros(50, 1).double()
    monkeypatch.setattr(model, "_f", best)
    torch.testing.assert_close(model.sample(condition, noise), width * noise, rtol=1e-4, atol=1e-6)
    expected = (-0.5 * noise.square() - 0.5 * math.log(2 * math.pi)).sum(-1) - 2 * math.log(width)
    torch.testing.assert_close(model.log_prob(width * noise, condition), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_loss_is_least_where_the_network_is_the_best_denoiser(schedule, monkeypatch):
    """Of a single point mu all is known at any level: F = (z cos(phi) - mu) / sin(phi), and no loss is left."""
    mu = torch.tensor([0.7, -1.2]).double()

    def best(z: Tensor, phi: Tensor, condition: Tensor) -> Tensor:
        noise = (z - phi.cos() * mu) / phi.sin()
        return phi.sin() * mu - phi.cos() * noise

    model = diffusion(schedule=schedule)
    monkeypatch.setattr(model, "_f", best)
    x = mu.expand(500, 2)
    assert float(model.loss(x, x[:, :1]).max()) < 1e-12


def test_equal_times_are_the_steps_of_edm():
    """Eq. 5 of 2206.00364, but for the stretch of the angle to [0, pi / 2]."""
    model, steps = diffusion(sigma_min=1e-6, sigma_max=1e6), 18
    sigma = model.angle(torch.linspace(0, 1, steps, dtype=torch.float64))[0][1:-1].tan()
    i = torch.arange(1, steps - 1, dtype=torch.float64)
    expected = (1e6 ** (1 / 7) + i / (steps - 1) * (1e-6 ** (1 / 7) - 1e6 ** (1 / 7))) ** 7
    close = (expected > 1e-3) & (expected < 1e3)
    assert close.sum() > 5
    torch.testing.assert_close(sigma[close], expected[close], rtol=3e-3, atol=0)


def test_levels_of_the_training(monkeypatch):
    seen = {}
    for schedule in SCHEDULES:
        model = diffusion(schedule=schedule, level_mean=0.3, level_width=0.7)
        monkeypatch.setattr(model, "_f", lambda z, phi, c, s=schedule: (seen.update({s: phi}), 0 * z)[1])
        torch.manual_seed(1)
        x = torch.randn(20000, 2).double()
        # A network that knows nothing has the loss of unit columns.
        assert float(model.loss(x, x[:, :1]).mean()) == pytest.approx(1.0, abs=0.03)
    log_sigma, even = seen["edm"].tan().log(), seen["variance_preserving"] / (0.5 * math.pi)
    assert float(log_sigma.mean()) == pytest.approx(0.3, abs=0.02)
    assert float(log_sigma.std()) == pytest.approx(0.7, abs=0.02)
    assert float(even.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(even.std()) == pytest.approx(12**-0.5, abs=0.01)


def test_bad_options_are_refused():
    with pytest.raises(ConfigError, match=r"sigma_max 0\.001"):
        diffusion(sigma_max=0.001)
    with pytest.raises(ConfigError, match="depth 0"):
        Diffusion(dimensions=2, conditions=1, depth=0)
