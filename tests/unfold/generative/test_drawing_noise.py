"""The noise of sampling as it is stated against what repeated drawing shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from truthward.unfold.generative.drawing_noise import DrawSums
from truthward.unfold.generative.draws import Scaled
from truthward.unfold.stop.rules import Bins

EVENTS, COUNT, REPEATED = 800, 8, 300


@pytest.fixture
def scaled(toy) -> Scaled:
    return Scaled(toy(events=200, simulated=500, dimensions=2)[0], seed=1)


def contents(scaled: Scaled, *, even: bool, offset: int) -> tuple[np.ndarray, dict]:
    """Contents (20,) of the bins, and what is stated, where events are measured with a resolution of 0.6."""
    rng = np.random.default_rng(5)
    measured, weight = rng.normal(0.0, 0.8, (EVENTS, 2)), rng.uniform(0.5, 1.5, EVENTS)
    bins, ids = Bins(rng.normal(0.0, 1.0, (5000, 2))), np.arange(EVENTS, dtype=np.uint64) + offset * EVENTS
    draws = [measured + 0.6 * scaled.noise(ids, k, even=even).numpy() for k in range(COUNT)]
    truth, weights = np.concatenate(draws), np.tile(weight / COUNT, COUNT)
    sums, half = DrawSums(bins, COUNT), COUNT * 300
    rows = np.arange(COUNT * EVENTS).reshape(COUNT, EVENTS)
    for part in (rows[:, :300].ravel(), rows[:, 300:].ravel()):
        assert len(part) in (half, COUNT * 500)
        sums.add(truth[part], weights[part])
    return bins.filled(truth, weights[:, None])[:, 0], sums.entry()


@pytest.mark.parametrize("even", [False, True])
def test_the_stated_variance_is_that_of_drawing_again(scaled: Scaled, even: bool) -> None:
    found = [contents(scaled, even=even, offset=i) for i in range(REPEATED)]
    seen = np.var([c for c, _ in found], axis=0, ddof=1).sum()
    stated = np.mean([e["sampling_variance"] for _, e in found], axis=0).sum()
    assert seen == pytest.approx(stated, rel=0.06)
    # Where the events would be counted: each with its whole weight in one bin.
    counted = np.mean([e["counting_variance"] for _, e in found], axis=0).sum()
    weights = np.random.default_rng(5)
    weights.normal(0.0, 0.8, (EVENTS, 2))
    assert counted == pytest.approx(2 * (weights.uniform(0.5, 1.5, EVENTS) ** 2).sum())
    assert found[0][1]["sampling_share"] == pytest.approx(stated / counted, rel=0.1)


def test_draws_that_are_spread_evenly_have_less_noise(scaled: Scaled) -> None:
    independent, even = (contents(scaled, even=e, offset=1)[1]["sampling_share"] for e in (False, True))
    assert independent > 1.8 * even


def test_each_even_draw_is_standard_normal(scaled: Scaled) -> None:
    ids = np.arange(20000, dtype=np.uint64)
    for k in (0, 1, 7):
        z = scaled.noise(ids, k, even=True)
        assert z.mean(dim=0).abs().max() < 0.03
        assert (torch.corrcoef(z.T) - torch.eye(2)).abs().max() < 0.03
        assert (z.std(dim=0) - 1.0).abs().max() < 0.03


def test_an_odd_number_of_draws_states_nothing() -> None:
    sums = DrawSums(Bins(np.random.default_rng(1).normal(size=(100, 1))), 3)
    sums.add(np.zeros((6, 1)), np.full(6, 0.5))
    assert sums.entry() == {
        "events_drawn": 6,
        "yield_unfolded": 3.0,
        "effective_size_unfolded": 6.0,
        "largest_over_mean_unfolded": 1.0,
    }


@pytest.mark.parametrize("even", [False, True])
def test_noise_is_independent_between_observables_draws_and_events(scaled: Scaled, even: bool) -> None:
    """20,000 events: a correlation of independent numbers is 0.007, and none is above five times that."""
    ids, limit = np.arange(20000, dtype=np.uint64), 5 / np.sqrt(20000)
    first, second = (scaled.noise(ids, k, even=even).numpy() for k in (0, 1))
    columns = np.concatenate([first, second, first[1:].tolist() + first[:1].tolist()], axis=1)
    correlation = np.corrcoef(columns.T) - np.eye(6)
    assert np.abs(correlation).max() < limit
    # Nor do they go together otherwise: of squares and of ranks beyond a sigma.
    assert np.abs(np.corrcoef((columns**2).T) - np.eye(6)).max() < limit
    found = np.quantile(columns, [0.16, 0.5, 0.84], axis=0)
    np.testing.assert_allclose(found, np.outer([-0.99446, 0.0, 0.99446], np.ones(6)), atol=5 * 1.6 / np.sqrt(20000))
