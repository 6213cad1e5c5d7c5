"""The randomised probability integral transform: normal there, exact back, atoms with their probability."""

from __future__ import annotations

import pytest
import torch

from truthward.errors import InputError
from truthward.learn import checkpoint
from truthward.learn.quantile import LIMIT, QuantileTransform


def uniforms(like: torch.Tensor, seed: int = 7) -> torch.Tensor:
    return torch.rand(like.shape, generator=torch.Generator().manual_seed(seed))


def events(n: int = 20000, seed: int = 1) -> torch.Tensor:
    """Columns: exponential; integers; an atom at 0 below a stretch from 0.1; an atom in the middle of a normal."""
    g = torch.Generator().manual_seed(seed)
    exponential = -torch.log1p(-torch.rand(n, generator=g))
    integer = torch.poisson(torch.full((n,), 6.0), generator=g)
    groomed = 0.1 + 0.4 * torch.rand(n, generator=g) ** 2
    groomed[torch.rand(n, generator=g) < 0.15] = 0.0
    middle = torch.randn(n, generator=g)
    middle[torch.rand(n, generator=g) < 0.3] = 0.25
    return torch.stack([exponential, integer, groomed, middle], 1)


@pytest.fixture
def fitted() -> QuantileTransform:
    transform = QuantileTransform(4, atoms=[[], [], [0.0], [0.25]], integer=[False, True, False, False])
    return transform.fit(events())


def test_columns_become_standard_normal_on_other_events_too(fitted):
    for seed in (1, 2):
        z = fitted(events(seed=seed), uniforms(events(seed=seed)))
        ranks = torch.special.ndtr(z.double()).sort(0).values
        distance = (ranks - torch.linspace(0, 1, len(z), dtype=torch.float64)[:, None]).abs().amax(0)
        assert (distance * len(z) ** 0.5 < 2.2).all(), distance  # Kolmogorov's 1e-4 point.


def test_a_column_without_randomisation_would_not_be_normal(fitted):
    """Negative control: u = 1/2 throughout leaves steps where atoms and integers are."""
    z = fitted(events(), torch.full_like(events(), 0.5))
    ranks = torch.special.ndtr(z.double()).sort(0).values
    distance = (ranks - torch.linspace(0, 1, len(z), dtype=torch.float64)[:, None]).abs().amax(0)
    assert (distance[1:] * len(z) ** 0.5 > 5).all()


def test_round_trip_is_exact_for_atoms_and_integers_whatever_u(fitted):
    x = events(seed=3)
    x[:, 1].clamp_(max=float(events()[:, 1].max()))
    for u in (uniforms(x), torch.zeros_like(x), torch.full_like(x, 1.0 - 1e-7)):
        back = fitted.inverse(fitted(x, u))
        assert torch.equal(back[:, 1], x[:, 1])
        for column, atom in ((2, 0.0), (3, 0.25)):
            assert torch.equal(back[:, column] == atom, x[:, column] == atom)
        torch.testing.assert_close(back, x, rtol=1e-5, atol=1e-4)


def test_normal_noise_comes_back_with_the_probabilities_of_the_sample(fitted):
    x, g = events(), torch.Generator().manual_seed(5)
    drawn = fitted.inverse(torch.randn(100000, 4, generator=g))
    assert abs(float((drawn[:, 2] == 0).float().mean() - (x[:, 2] == 0).float().mean())) < 0.005
    assert abs(float((drawn[:, 3] == 0.25).float().mean() - (x[:, 3] == 0.25).float().mean())) < 0.007
    assert not ((drawn[:, 2] != 0) & (drawn[:, 2] < 0.1)).any(), "a value in the gap between the atom and the stretch"
    assert torch.equal(drawn[:, 1], drawn[:, 1].round())
    for k in range(3, 10):
        assert abs(float((drawn[:, 1] == k).float().mean() - (x[:, 1] == k).float().mean())) < 0.007
    assert abs(float(drawn[:, 0].mean() - x[:, 0].mean())) < 0.02


def test_values_out_of_the_fitted_range_follow_the_stated_rule():
    x = torch.linspace(1.0, 3.0, 1001)[:, None].repeat(1, 2)
    x[:200, 1] = 1.0
    transform = QuantileTransform(2, atoms=[[], [1.0]]).fit(x)
    odd = torch.tensor([[0.99, -5.0], [3.01, 3.01]])
    z = transform(odd, torch.full((2, 2), 0.5))
    inside = transform(x, torch.full_like(x, 0.5))
    assert z[0, 0] < inside[:, 0].min()
    assert (z[1] > inside.amax(0)).all()
    back = transform.inverse(z)
    torch.testing.assert_close(back[:, 0], odd[:, 0], rtol=0, atol=1e-4)
    assert back[0, 1] == 1.0, "below an end that is an atom a value counts as that atom"
    assert transform(torch.tensor([[1e6, 1e6]]), torch.rand(1, 2)).abs().max() <= LIMIT


def test_integers_never_seen_come_back_as_an_end_of_their_gap():
    transform = QuantileTransform(1, integer=[True]).fit(torch.tensor([1.0, 1, 2, 2, 9, 9])[:, None])
    back = transform.inverse(transform(torch.tensor([[0.0], [5.0], [30.0]]), torch.full((3, 1), 0.5)))
    assert back[:, 0].tolist() in ([1, 2, 9], [1, 9, 9])


def test_undeclared_limits_and_ties_are_found():
    g = torch.Generator().manual_seed(4)
    x = torch.rand(20000, 1, generator=g)
    x[:5] = 0.0
    x[5:405] = 0.5
    drawn = QuantileTransform(1).fit(x).inverse(torch.randn(200000, 1, generator=g))
    assert drawn.min() == 0.0, "a limit was passed"
    assert abs(float((drawn == 0.5).float().mean()) - 0.02) < 0.003


def test_weights_count_by_magnitude_and_zeros_are_not_seen():
    x = torch.rand(4000, 1, generator=torch.Generator().manual_seed(3)) * 3
    x[::4] += 100.0
    w = torch.tensor([0.0, 1.0, -1.0, 3.0]).repeat(1000)
    signed, positive = QuantileTransform(1).fit(x, w), QuantileTransform(1).fit(x, w.abs())
    assert torch.equal(signed.x_knots, positive.x_knots)
    assert float(signed.x_knots.max()) < 4
    repeated = QuantileTransform(1).fit(torch.cat([x[w.abs() == 1], x[w == 3].repeat(3, 1)]))
    z = torch.linspace(-1.5, 1.5, 7)[:, None]
    torch.testing.assert_close(signed.inverse(z), repeated.inverse(z), rtol=0, atol=0.02)


def test_a_column_absent_in_some_events_is_fitted_to_the_others():
    x, weights = events(), torch.ones(20000, 4)
    weights[::2, 0] = 0.0
    holed = x.clone()
    holed[::2, 0] = torch.nan
    options = {"atoms": [[], [], [0.0], [0.25]], "integer": [False, True, False, False]}
    found = QuantileTransform(4, **options).fit(holed, weights)
    z = torch.randn(100, 4)
    assert torch.equal(found.inverse(z)[:, 1:], QuantileTransform(4, **options).fit(x).inverse(z)[:, 1:])
    assert torch.equal(found.inverse(z)[:, 0], QuantileTransform(1).fit(x[1::2, :1]).inverse(z[:, :1])[:, 0])


def test_a_constant_column_and_a_single_event_are_legal():
    for x in (torch.full((50, 1), 3.0), torch.full((1, 1), -2.0)):
        transform = QuantileTransform(1).fit(x)
        assert torch.equal(transform.inverse(torch.linspace(-9, 9, 5)[:, None]), x[:1].expand(5, 1))


def test_a_checkpoint_gives_the_same_transform(fitted, tmp_path):
    recipe = {
        "class": "truthward.learn.quantile:QuantileTransform",
        "arguments": {"columns": 4, "atoms": [[], [], [0.0], [0.25]], "integer": [False, True, False, False]},
    }
    checkpoint.save(tmp_path / "q.safetensors", {"q": fitted}, recipe=recipe, provenance={})
    loaded = checkpoint.load(tmp_path / "q.safetensors")[0]["q"]
    z = torch.randn(1000, 4)
    assert torch.equal(loaded.inverse(z), fitted.inverse(z))
    assert torch.equal(loaded(events(), uniforms(events())), fitted(events(), uniforms(events())))


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (torch.tensor([[1.0], [torch.nan]]), {}, "1 values are not finite"),
        (torch.empty(0, 1), {}, "0 events"),
        (torch.tensor([[1.5]]), {"integer": [True]}, "column 0 is declared integer, but has the value 1.5"),
    ],
)
def test_bad_samples_are_refused(x, options, message):
    with pytest.raises(InputError, match=message):
        QuantileTransform(1, **options).fit(x)


def test_bad_options_and_values_are_refused(fitted):
    with pytest.raises(InputError, match="1 lists of atoms"):
        QuantileTransform(2, atoms=[[0.0]])
    with pytest.raises(InputError, match="1 of 4 values are not finite"):
        fitted(torch.tensor([[0.0, 1.0, torch.inf, 0.0]]), torch.zeros(1, 4))


def test_the_slope_is_that_of_the_map_where_there_is_a_density(fitted):
    x = torch.tensor([[0.7, 3.0, 0.3, 1.2], [9.9, 3.0, 0.2, -6.0]])
    keep = [0, 2, 3]
    one = QuantileTransform(3, atoms=[[], [0.0], [0.25]]).fit(events()[:, keep])
    h, u = 1e-3, torch.zeros(2, 3)
    by_steps = (one(x[:, keep] + h, u) - one(x[:, keep] - h, u)) / (2 * h)
    torch.testing.assert_close(one.log_slope(x[:, keep]).exp(), by_steps, rtol=2e-2, atol=1e-4)
    # Within the gap between atom and stretch nothing ever comes.
    assert float(one.log_slope(torch.tensor([[0.7, 0.05, 1.2]]))[0, 1]) == -torch.inf
    with pytest.raises(InputError, match="column 1: 2 of 2 values are integers or atoms"):
        fitted.log_slope(x)
    with pytest.raises(InputError, match="column 2: 1 of 1"):
        one.log_slope(torch.tensor([[0.7, 0.3, 0.25]]))
