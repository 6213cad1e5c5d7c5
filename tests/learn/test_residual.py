"""Linear residuals: unit width, no correlation left, and the same columns back."""

from __future__ import annotations

import pytest
import torch

from truthward.errors import InputError
from truthward.learn.residual import Residual


def sample() -> tuple[torch.Tensor, torch.Tensor]:
    given = torch.randn(5000, 2, generator=torch.Generator().manual_seed(1)) * 3 + 1
    return given, given @ torch.tensor([[1.0, 0.5], [0.0, 2.0]]) + 0.05 * torch.randn(
        5000, 2, generator=torch.Generator().manual_seed(2)
    )


def test_unit_width_and_no_correlation_are_left():
    given, z = sample()
    left = Residual(2, 2).fit(given, z)(given, z)
    torch.testing.assert_close(left.std(0), torch.ones(2), rtol=1e-2, atol=0)
    assert torch.cat([given, left], 1).T.corrcoef()[:2, 2:].abs().max() < 0.02
    assert torch.cat([given, z], 1).T.corrcoef()[:2, 2:].abs().max() > 0.9


def test_round_trip():
    given, z = sample()
    residual = Residual(2, 2).fit(given, z)
    torch.testing.assert_close(residual.inverse(given, residual(given, z)), z, rtol=1e-5, atol=1e-5)


def test_weights_count_by_magnitude_and_columns_that_say_the_same_are_legal():
    given, z = sample()
    given = torch.cat([given, given[:, :1]], 1)
    w = torch.ones(5000)
    w[::2] = -1.0
    signed, plain = Residual(3, 2).fit(given, z, w), Residual(3, 2).fit(given, z)
    assert torch.equal(signed.slope, plain.slope)
    assert torch.isfinite(plain(given, z)).all()


def test_bad_samples_are_refused():
    with pytest.raises(InputError, match="1 values not finite"):
        Residual(1, 1).fit(torch.tensor([[1.0], [torch.inf]]), torch.ones(2, 1))
    with pytest.raises(InputError, match="2 events"):
        Residual(1, 1).fit(torch.ones(2, 1), torch.ones(2, 1), torch.zeros(2))
