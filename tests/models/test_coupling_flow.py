"""The splines of the coupling flow, and which columns its couplings move."""

from __future__ import annotations

import math

import pytest
import torch
from zuko.transforms import MonotonicRQSTransform

from truthward.errors import ConfigError
from truthward.learn.nets import seeded
from truthward.models.coupling_flow import BOUND, CouplingFlow, Spline


def flow(dimensions: int, conditions: int = 0, **options) -> CouplingFlow:
    return seeded(2, CouplingFlow, dimensions=dimensions, conditions=conditions, width=16, **options)


def test_splines_are_those_of_zuko():
    g = torch.Generator().manual_seed(1)
    widths, heights = (torch.rand(2, 50, 3, 8, generator=g, dtype=torch.float64) + 0.2).unbind(0)
    slopes = torch.rand(50, 3, 7, generator=g, dtype=torch.float64) + 0.3
    x = torch.linspace(-BOUND - 1, BOUND + 1, 150, dtype=torch.float64).reshape(50, 3)
    ends = 0.5 * math.log(1e3), 0.5 * math.log(1e3), math.log(1e3)
    # zuko bounds what it is given; this undoes it.
    free = [v.log() / (1.0 - v.log().abs() / end) for v, end in zip((widths, heights, slopes), ends, strict=True)]
    theirs = MonotonicRQSTransform(*free)
    sums, one = (torch.nn.functional.pad(s.cumsum(-1), (1, 0)) for s in (widths, heights)), torch.ones(50, 3, 1)
    ours = Spline(torch.stack([*sums, torch.cat([one, slopes, one], -1)], -2))
    for found, wanted in zip(ours.call_and_ladj(x), theirs.call_and_ladj(x), strict=True):
        torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(ours.inv(ours(x)), x)


@pytest.mark.parametrize(("dimensions", "conditions"), [(1, 0), (1, 2), (5, 2)])
def test_the_density_is_that_of_what_is_drawn(dimensions, conditions):
    """log p(x) = log normal(z) + log |det dz/dx|, with the determinant from automatic differentiation."""
    model = flow(dimensions, conditions).double()
    g = torch.Generator().manual_seed(3)
    noise, given = (torch.randn(9, n, generator=g, dtype=torch.float64) for n in (dimensions, conditions))
    x = model.sample(given, noise)
    torch.testing.assert_close(latent(model, x, given), noise, rtol=1e-6, atol=1e-6)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda v, c: latent(model, v[None], c[None])[0]))(x, given)
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(noise).sum(-1)
    torch.testing.assert_close(model.log_prob(x, given), normal + jacobian.det().abs().log(), rtol=1e-6, atol=1e-6)
    model.loss(x, given).sum().backward()
    assert all(p.grad.abs().any() for p in model.parameters())


def latent(model: CouplingFlow, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
    columns = list(x.unbind(-1))
    for coupling in model.couplings:
        columns, _ = coupling(columns, condition.unbind(-1))
    return torch.stack(columns, -1)


@pytest.mark.parametrize("dimensions", [2, 3, 4, 6, 8, 12, 17])
def test_the_fewest_couplings_move_every_column_and_separate_every_pair(dimensions):
    fewest = (dimensions - 1).bit_length() + 1
    moved = [set(c.moved) for c in flow(dimensions, transforms=fewest).couplings]
    assert set().union(*moved) == set(range(dimensions))
    for a in range(dimensions):
        for b in range(a):
            assert any((a in m) != (b in m) for m in moved), (a, b)


def test_far_outside_of_the_splines_nothing_moves():
    model, far = flow(3), torch.tensor([[7.0, -6.5, 8.0], [-9.0, 5.5, -7.0]])
    assert torch.equal(model.sample(torch.empty(2, 0), far), far)


def test_bad_options_are_refused():
    with pytest.raises(ConfigError, match=r"transforms 3.*at least 4 \(for 6 dimensions"):
        flow(6, transforms=3)
    with pytest.raises(ConfigError, match="bins 1"):
        flow(2, bins=1)
