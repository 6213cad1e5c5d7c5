"""The scaling of network inputs: normal scores whatever the unit, the tail or the odd event, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm, rankdata
from torch import Tensor

from truthward.errors import InputError
from truthward.learn.scaling import RankScaling
from truthward.ratio.classifier import classifier_of

N = 4000


def normals(size: int = N, columns: int = 1, seed: int = 1) -> Tensor:
    return torch.randn(size, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scaled(x: Tensor, w: Tensor | None = None, at: Tensor | None = None, **options) -> Tensor:
    return RankScaling(x.shape[1], **options).fit((x, w))(x if at is None else at)


def test_scores_are_those_of_the_ranks():
    x = normals(columns=2)
    z = scaled(torch.stack([x[:, 0], x[:, 1] ** 3], 1))
    expected = norm.ppf((rankdata(x.numpy(), axis=0) - 0.5) / N)
    # Linear between 64 quantiles, a tenth apart.
    np.testing.assert_allclose(z, expected, atol=0.1)
    assert np.abs(z.numpy() - expected).mean() < 0.01


def test_weighted_scores_are_those_of_repeated_events():
    x = normals(1000)
    w = torch.from_numpy(np.random.default_rng(2).integers(0, 4, 1000).astype(float))
    sign = torch.where(torch.arange(1000) % 5 == 0, -1.0, 1.0)
    repeated = scaled(torch.repeat_interleave(x, w.long(), dim=0), at=x, spikes=False)
    for same in (w, 7.0 * w, sign * w):
        torch.testing.assert_close(scaled(x, same, spikes=False), repeated, rtol=0, atol=1e-5)
    assert (scaled(x, spikes=False) - repeated).abs().max() > 0.01


MAPS = {
    **{f"unit {unit:g}": (lambda x, u=unit: x * u) for unit in (1e-12, 1e-3, 1e6, 1e12)},
    "shift": lambda x: x + 1e6,
    "power law over six decades": lambda x: 10.0 ** (6.0 * torch.special.ndtr(x)),
    "exponential": lambda x: x.exp(),
    "cubic": lambda x: x**3 + 0.1 * x,
}


@pytest.mark.parametrize("name", MAPS)
def test_a_monotone_map_changes_nothing(name):
    x, other = normals(), normals(seed=2)
    mapped = [MAPS[name](v) for v in (x, other)]
    before, after = scaled(x, at=other), scaled(mapped[0], at=mapped[1])
    # Single precision leaves 1/16 of a width after the shift; the other maps are exact at the knots, a tenth apart.
    tolerance = {"shift": 0.12, "unit": 1e-4}.get(name.split()[0], 0.1)
    assert after.shape == before.shape
    inside = before.abs() < 3.0
    assert inside.double().mean() > 0.99
    assert (after - before)[inside].abs().max() < tolerance


@pytest.mark.parametrize("far", [1e3, 1e6, 1e9, 1e30])
def test_one_far_value_changes_no_other_score(far):
    x = normals(2700)
    odd = x.clone()
    odd[5] = far
    before, after = scaled(x), scaled(odd)
    others = torch.arange(2700) != 5
    assert (after - before)[others].abs().max() < 0.3, "the last ranks move up by one"
    assert (after - before)[others].abs().mean() < 2e-3
    assert float(after[5]) == pytest.approx(norm.ppf(1 - 0.5 / 2700), abs=1e-3)
    assert float(after[5]) == float(after.max())


def test_beyond_the_ends_order_is_kept_and_nothing_is_far():
    x = torch.tensor([[1e30], [1e9], [1e6], [1e3], [4.5], [-4.5], [-1e3], [-1e9], [-1e30]])
    z = scaled(normals(), at=x)[:, 0]
    assert (z.diff() < 0).all()
    assert z.abs().max() < 9.0


def test_order_halves_and_zeros_change_nothing():
    x, w = normals(columns=2), 0.5 + torch.rand(N, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    found = scaled(x, w)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(4))
    split = torch.cat([x, x]), torch.cat([0.5 * w, 0.5 * w])
    padding = torch.cat([x, torch.full((500, 2), 77.0)]), torch.cat([w, torch.zeros(500)])
    for same in ((x[order], w[order]), split, padding):
        torch.testing.assert_close(scaled(*same, at=x), found, rtol=0, atol=1e-5)


@pytest.mark.parametrize("share", [0.01, 0.3])
@pytest.mark.parametrize("declared", [True, False])
def test_an_atom_has_an_input_of_its_own_and_the_others_their_order(share, declared):
    x = normals(columns=2)
    atom = torch.rand(N, generator=torch.Generator().manual_seed(5)) < share
    x[atom, 1] = -999.0
    z = scaled(x, atoms=[(), (-999.0,)] if declared else ())
    assert z.shape == (N, 3)
    assert torch.equal(z[:, 2] == 1.0, atom)
    assert set(z[:, 2].tolist()) == {0.0, 1.0}
    held = float(atom.double().mean())
    np.testing.assert_allclose(z[atom, 1], norm.ppf(0.5 * held), atol=1e-4)
    ranks = (rankdata(x[~atom, 1].numpy()) - 0.5) / int((~atom).sum())
    np.testing.assert_allclose(z[~atom, 1], norm.ppf(held + (1 - held) * ranks), atol=0.06)


def test_integers_have_their_middle_rank_and_no_input_of_their_own():
    x = torch.poisson(torch.full((N, 1), 6.0), generator=torch.Generator().manual_seed(6))
    z = scaled(x)
    assert z.shape == (N, 1)
    # All but the rarest, which stand for a handful of events.
    common = (x == x.mode(0).values) | ((x > 2) & (x < 11))
    expected = norm.ppf((rankdata(x.numpy()) - 0.5) / N)
    np.testing.assert_allclose(z[common], expected[common[:, 0].numpy()], atol=1e-4)
    assert scaled(normals() + 1e6).shape == (N, 1), "values rounded to single precision are no spikes"


def test_missing_values_have_an_input_where_they_are_allowed():
    x = normals(columns=2)
    gone = torch.rand(N, generator=torch.Generator().manual_seed(7)) < 0.2
    x[gone, 1] = torch.nan
    scaling = RankScaling(2, missing=True).fit((x, None))
    z = scaling(x)
    assert scaling.inputs == z.shape[1] == 3
    assert torch.equal(z[:, 2] == 1.0, gone)
    assert (z[gone, 1] == 0.0).all()
    torch.testing.assert_close(z[~gone, 1:2], scaled(x[~gone, 1:2]), rtol=0, atol=1e-6)
    unseen = x[:1].clone()
    unseen[0, 0] = torch.nan
    with pytest.raises(InputError, match="1 of 2 values are not finite"):
        scaling(unseen)


def test_two_samples_count_alike_whatever_their_yields():
    one, two = normals(), normals(400, seed=8) + 3.0
    z = RankScaling(1).fit((one, torch.full((N,), 1e-6)), (two, torch.full((400,), 1e3)))
    even = RankScaling(1).fit((one, torch.ones(N)), (two, torch.full((400,), 10.0)))
    torch.testing.assert_close(z(one), even(one), rtol=0, atol=1e-5)


def test_leading_dimensions_and_a_saved_state():
    x = normals(columns=2)
    x[:100, 0] = 0.25
    scaling = RankScaling(2).fit((x, None))
    z = scaling(x)
    torch.testing.assert_close(scaling(x.reshape(40, 100, 2)), z.reshape(40, 100, 3))
    again = RankScaling.of_arrays({n: t.numpy() for n, t in scaling.state_dict().items()})
    assert torch.equal(again(x), z)
    assert classifier_of(again, width=8, depth=1)(z).shape == (N,)


def test_a_constant_column_says_nothing_and_stays_finite():
    x = torch.full((10, 2), 1e4)
    x[:, 0] = torch.arange(10.0)
    scaling = RankScaling(2).fit((x, None))
    assert torch.equal(scaling(x)[:, 1:], torch.zeros(10, 1))
    assert torch.isfinite(scaling(x + 1.0)).all()


@pytest.mark.parametrize(
    ("bad", "message"),
    [(torch.tensor([[1.0, 2.0, float("nan")]] * 3), "3 events, 3 values not finite"), (torch.ones(0, 3), "0 events")],
)
def test_refusals(bad, message):
    with pytest.raises(InputError, match=message):
        RankScaling(3).fit((bad, None))
    with pytest.raises(InputError, match="1 lists of atoms"):
        RankScaling(2, atoms=[(0.0,)])
    with pytest.raises(InputError, match="1 of 2 values are not finite"):
        RankScaling(2).fit((normals(columns=2), None))(torch.tensor([[1.0, torch.inf]]))
