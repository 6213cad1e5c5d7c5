"""The response of p(t | x) against densities that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from truthward.learn.fit import Settings
from truthward.unfold.generative import tilt
from truthward.unfold.generative.tilt import Tilt

EVENTS, DRAWS = 20000, 4
LONG, SHORT = (Settings(epochs=n, batch_size=256, learning_rate=1e-2) for n in (100, 1))
SIGMA = 0.6


@pytest.fixture
def sample() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pairs with p(t | x) = N(0.8 x, 0.6), and draws of the same density."""
    random = torch.Generator().manual_seed(1)
    x = torch.randn(EVENTS, 1, generator=random)
    t, *draws = (0.8 * x + SIGMA * torch.randn(EVENTS, 1, generator=random) for _ in range(1 + DRAWS))
    return t, x, torch.cat(draws)


def weights(t: torch.Tensor, x: torch.Tensor, share: float) -> np.ndarray:
    """The nominal weights; those of a density moved by `share` sigma; those of another p(x) and the same p(t | x)."""
    pull = (t - 0.8 * x) / SIGMA
    return (
        torch.cat([torch.ones_like(t), torch.exp(share * pull - share**2 / 2), torch.exp(0.3 * x)], 1).double().numpy()
    )


def test_follows_a_density_that_moves_and_not_the_events_that_are_there(sample) -> None:
    t, x, draws = sample
    found = Tilt(1, 1, 3)
    found.learn(t, x, weights(t, x, 0.1), draws, LONG)
    logs = found(draws, x.repeat(DRAWS, 1))
    assert not logs[:, 0].any()
    moved = (0.1 * (draws - 0.8 * x.repeat(DRAWS, 1)) / SIGMA)[:, 0].numpy()
    assert np.polyfit(moved, logs[:, 1], 1)[0] == pytest.approx(1.0, abs=0.1)
    assert np.sqrt(np.mean((logs[:, 1] - moved) ** 2)) < 0.04
    assert logs[:, 2].std() < 0.04
    # Normalised at each x.
    for low in (-1.5, -0.5, 0.5):
        here = ((x > low) & (x < low + 1.0)).repeat(DRAWS, 1)[:, 0].numpy()
        assert np.exp(logs[here]).mean(axis=0) == pytest.approx(1.0, abs=0.02)


def test_a_short_training_follows_less_and_a_later_one_goes_on(sample) -> None:
    t, x, draws = sample
    sizes = []
    found = Tilt(1, 1, 3)
    for settings in (SHORT, SHORT, LONG):
        found.learn(t, x, weights(t, x, 0.1), draws, settings)
        sizes.append(found(draws, x.repeat(DRAWS, 1)).std(axis=0)[1])
    assert 0.0 < sizes[0] < sizes[1] < sizes[2]
    found.learn(t, x, np.ones((EVENTS, 3)), draws, LONG)
    assert found(draws, x.repeat(DRAWS, 1)).std(axis=0)[1] < 0.5 * sizes[2], "what was learned is given up again"


def test_the_size_of_the_pieces_changes_nothing(sample, monkeypatch) -> None:
    t, x, draws = sample
    found = []
    for rows in (16384, 3000):
        monkeypatch.setattr(tilt, "ROWS", rows)
        one = Tilt(1, 1, 3)
        one.learn(t, x, weights(t, x, 0.1), draws, LONG)
        found.append(one(t, x))
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)


def test_negative_weights_have_a_response(sample) -> None:
    t, x, draws = sample
    signed = weights(t, x, 0.1) * np.where(np.random.default_rng(1).random(EVENTS) < 0.1, -1.0, 1.0)[:, None]
    found = Tilt(1, 1, 3)
    found.learn(t, x, signed, draws, LONG)
    logs = found(draws, x.repeat(DRAWS, 1))
    moved = (0.1 * (draws - 0.8 * x.repeat(DRAWS, 1)) / SIGMA)[:, 0].numpy()
    assert np.polyfit(moved, logs[:, 1], 1)[0] == pytest.approx(1.0, abs=0.2)
