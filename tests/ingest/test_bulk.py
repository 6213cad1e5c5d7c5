"""Ranks of a column against samples whose answer is known, and against those in which nothing is to be found."""

import numpy as np
import pytest

from truthward.ingest.bulk import edge_spikes, empty_regions, far_spikes, outliers, share_of_commonest, size_of

SHAPES = {
    "normal": lambda rng, n: rng.normal(50.0, 10.0, n),
    "exponential": lambda rng, n: rng.exponential(20.0, n),
    "log-normal": lambda rng, n: rng.lognormal(3.0, 1.0, n),
    "counts": lambda rng, n: rng.poisson(20.0, n).astype(float),
    "few counts": lambda rng, n: rng.poisson(1.0, n).astype(float),
    "a bit": lambda rng, n: rng.integers(0, 2, n).astype(float),
    "charge": lambda rng, n: rng.choice([-1.0, 1.0], n),
    "rounded": lambda rng, n: np.round(rng.normal(0.5, 0.1, n), 2),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_is_found_in_what_is_well(shape) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        for size in (200, 5000):
            x, y = SHAPES[shape](rng, size), SHAPES[shape](rng, size)
            assert far_spikes(x) == edge_spikes(x) == outliers(x, x.min(), x.max()) == []
            assert empty_regions(x, y) == []


@pytest.mark.parametrize("shape", ["normal", "exponential", "log-normal", "counts"])
@pytest.mark.parametrize("share", [0.002, 0.01, 0.3, 0.6])
def test_sentinels_are_counted_whatever_their_share_and_number(shape, share) -> None:
    rng = np.random.default_rng(1)
    x = SHAPES[shape](rng, 5000)
    n = int(share * 2500)
    x[:n], x[n : 2 * n] = -999.0, -9999.0
    assert sorted(far_spikes(x)) == [(-9999.0, n), (-999.0, n)]
    # Whatever else lies far out, alone.
    x[-1] = 1e9
    assert sorted(far_spikes(x)) == [(-9999.0, n), (-999.0, n)]


def test_a_spike_at_the_end_of_a_density_is_no_sentinel_but_is_seen() -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate([np.zeros(100), rng.uniform(0.0, 1.0, 5000)])
    assert far_spikes(x) == []
    assert edge_spikes(x) == [(0.0, 100)]
    # The only negative value among counts.
    assert edge_spikes(np.where(np.arange(5000) < 50, -1.0, rng.poisson(20.0, 5000))) == [(-1.0, 50)]


@pytest.mark.parametrize("value", [1e3, -1e6, 1e9])
def test_one_value_far_outside_is_an_outlier(value) -> None:
    x = np.random.default_rng(1).normal(size=2700)
    x[7] = value
    assert outliers(x, x.min(), x.max()) == [(value, 1)]
    assert far_spikes(x) == []


def test_empty_regions_are_those_of_numpy() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0.0, 10.0, 20_000), rng.uniform(0.0, 10.0, 20_000)
    y = y[((y < 2.0) | (y > 2.1)) & (y < 9.9)]
    hole, tail = empty_regions(x, y)
    for found, inside in ((hole, (x > y[y < 2.05].max()) & (x < y[y > 2.05].min())), (tail, x > y.max())):
        assert found.count == inside.sum()
        assert (found.low, found.high) == (x[inside].min(), x[inside].max())
    assert str(hole) == f"in [{hole.low:.5g}, {hole.high:.5g}]"
    assert str(tail).startswith("above 9.9")
    assert [r.count for r in empty_regions(x, np.empty(0))] == [20_000]


def test_empty_regions_of_slices_are_those_where_few_events_weigh_much() -> None:
    """Below 2 the simulation has a tenth of the events, of ten times the weight: gaps between them are chance."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x, y = rng.uniform(0.0, 10.0, 20_000), rng.uniform(0.0, 10.0, 20_000)
        y = y[(y > 2.0) | (rng.random(y.size) < 0.1)]
        assert empty_regions(x, y)
        assert empty_regions(x, y, np.where(y > 2.0, 1.0, 10.0)) == []
        y = y[(y < 6.0) | (y > 6.2)]
        assert len(empty_regions(x, y, np.where(y > 2.0, 1.0, 10.0))) == 1


def test_size_and_constant() -> None:
    assert size_of(np.array([-3.0, 1.0, 2.0]), np.array([1.0, 0.4, 0.4])) == 3.0
    assert size_of(np.array([-3.0, 1.0, 2.0]), np.array([1.0, -2.0, 0.4])) == 1.0
    assert share_of_commonest(np.array([2.0, 5.0, 2.0])) == (2.0, 2)
