"""Scaling: unit moments, the way back, what it refuses."""

from __future__ import annotations

import pytest
import torch

from truthward.errors import InputError
from truthward.learn.scaling import Standardise


def sample(size: int = 4000) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(size, 3, generator=generator) * torch.tensor([1e-4, 1.0, 300.0]) + torch.tensor(
        [0.0, -5.0, 900.0]
    )


def moments(z: torch.Tensor, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    w = (w / w.sum()).double()[:, None]
    mean = (w * z).sum(0)
    return mean, (w * (z - mean) ** 2).sum(0).sqrt()


@pytest.mark.parametrize("weighted", [False, True])
def test_zero_mean_and_unit_width(weighted):
    x = sample()
    w = 0.1 + torch.rand(len(x), generator=torch.Generator().manual_seed(2)) if weighted else torch.ones(len(x))
    mean, sigma = moments(Standardise(3).fit(x, w if weighted else None)(x).double(), w)
    torch.testing.assert_close(mean, torch.zeros(3).double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(sigma, torch.ones(3).double(), atol=1e-4, rtol=0)


def test_weights_matter_by_size_and_not_by_sign_or_unit():
    x = sample()
    w = torch.rand(len(x), generator=torch.Generator().manual_seed(2)) + (x[:, 1] > -5).float()
    sign = torch.where(torch.arange(len(x)) % 5 == 0, -1.0, 1.0)
    reference = Standardise(3).fit(x, w)
    for same in (10 * w, sign * w):
        torch.testing.assert_close(Standardise(3).fit(x, same).mean, reference.mean)
        torch.testing.assert_close(Standardise(3).fit(x, same).sigma, reference.sigma)
    assert (Standardise(3).fit(x).mean[1] - reference.mean[1]).abs() > 0.05


def test_inverse_and_state():
    x = sample()
    scaling = Standardise(3).fit(x)
    torch.testing.assert_close(scaling.inverse(scaling(x)), x, rtol=1e-4, atol=1e-8)
    again = Standardise(3)
    again.load_state_dict(scaling.state_dict())
    assert torch.equal(again(x), scaling(x))


def test_a_constant_column_is_shifted_and_not_blown_up():
    x = torch.full((10, 3), 1e4)
    x[:, 0] = torch.arange(10.0)
    z = Standardise(3).fit(x)(x)
    assert torch.equal(z[:, 1:], torch.zeros(10, 2))


@pytest.mark.parametrize("bad", [torch.ones(1, 3), torch.tensor([[1.0, 2.0, float("nan")]] * 3)])
def test_refusals(bad):
    with pytest.raises(InputError, match=r"1 events, 0 values|3 events, 3 values"):
        Standardise(3).fit(bad)
