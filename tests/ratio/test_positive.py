"""Positive weights from signed ones, on normal samples whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from truthward.errors import DivergedError, InputError
from truthward.learn import fit as fit_module
from truthward.learn.fit import Settings
from truthward.ratio.positive import positive_weights
from truthward.ratio.probability import Probability

SETTINGS = Settings(epochs=10, batch_size=512, learning_rate=8e-3)
NETWORK = {"width": 16, "depth": 2, "activation": "silu"}


@pytest.fixture
def subtraction():
    """x, weights and base of 5,000 data events, 4,000 of them signal N(0.8, 0.7), and of simulated background.

    Two members: the sample as it is, and with a background of half the size.
    """
    rng = np.random.default_rng(11)
    data = np.concatenate([rng.normal(0.8, 0.7, 4000), rng.normal(-0.5, 1.2, 1000)])
    simulated = rng.normal(-0.5, 1.2, 4000)
    scale = np.array([0.25, 0.125])
    weights = np.concatenate([np.ones((5000, 2)), np.broadcast_to(-scale, (4000, 2))])
    base = np.concatenate([np.ones((5000, 2)), np.zeros((4000, 2))])
    return torch.from_numpy(np.concatenate([data, simulated])[:, None].astype(np.float32)), weights, base


def trained(x, weights, base, seeds=(1, 1), **options):
    return positive_weights(Probability(1, list(seeds), **NETWORK), x, weights, base, SETTINGS, seed=2, **options)


def test_data_stand_for_data_less_background(subtraction):
    x, weights, _ = subtraction
    found, checks = trained(*subtraction)
    assert (found >= 0).all()
    assert (found[:5000] > 0).all()
    assert (found[5000:] == 0).all()
    np.testing.assert_allclose(found.sum(axis=0), weights.sum(axis=0), rtol=1e-9)
    values = x[:5000, 0].double().numpy()
    mean = np.average(values, weights=found[:, 0][:5000])
    width = np.sqrt(np.average((values - mean) ** 2, weights=found[:, 0][:5000]))
    # Errors of a subtraction of 1,000 from 5,000 events, and of the training.
    assert mean == pytest.approx(0.8, abs=0.04)
    assert width == pytest.approx(0.7, abs=0.04)
    assert abs(values.mean() - 0.8) > 0.2, "without subtraction the mean must be visibly wrong"
    edges = np.linspace(-3.0, 3.0, 9)
    signed = np.histogram(x[:, 0], edges, weights=weights[:, 0])[0]
    error = np.sqrt(np.histogram(x[:, 0], edges, weights=weights[:, 0] ** 2)[0])
    assert (np.abs(np.histogram(values, edges, weights=found[:5000, 0])[0] - signed) < 4 * error + 1).all()
    assert (checks["vanishing"] < 50).all()
    assert (checks["smallest"] > 0).all()
    assert (checks["effective_share"] < 1).all()


def test_less_background_leaves_more_and_members_do_not_mix(subtraction):
    x, weights, base = subtraction
    both, _ = trained(*subtraction)
    alone, _ = trained(x, weights[:, 1:], base[:, 1:], seeds=(1,))
    np.testing.assert_allclose(both[:, 1:], alone, rtol=1e-4)
    low = x[:, 0].numpy()[:5000] < -1.0
    assert (both[:5000, 1][low] > both[:5000, 0][low]).all()


def test_signed_generator_weights_become_positive():
    rng = np.random.default_rng(12)
    # Negative weights are at home at positive x: their share is what the network has to find.
    x = rng.normal(size=(8000, 1))
    negative = rng.random(8000) < 0.4 / (1.0 + np.exp(-2.0 * x[:, 0]))
    weights = np.where(negative, -0.5, 0.5)[:, None]
    found, _ = trained(torch.from_numpy(x.astype(np.float32)), weights, np.abs(weights), seeds=(3,))
    assert (found > 0).all()
    assert found.sum() == pytest.approx(weights.sum(), rel=1e-9)
    expected = 1.0 - 0.8 / (1.0 + np.exp(-2.0 * x[:, 0]))
    np.testing.assert_allclose(found[:, 0] / 0.5, expected, atol=0.12)
    unsigned = np.average(x[:, 0])
    signed, learned = (np.average(x[:, 0], weights=w[:, 0]) for w in (weights, found))
    assert learned == pytest.approx(signed, abs=0.01)
    assert abs(unsigned - signed) > 0.15, "the control must show what forgetting the signs does"


def test_more_background_than_data_is_counted():
    rng = np.random.default_rng(13)
    x = np.concatenate([rng.normal(0.0, 0.3, 3000), rng.normal(3.0, 0.1, 20), rng.normal(3.0, 0.1, 2000)])[:, None]
    weights = np.concatenate([np.ones(3020), np.full(2000, -0.5)])[:, None]
    base = np.maximum(weights, 0.0)
    settings = Settings(epochs=20, batch_size=256, learning_rate=2e-2)
    found, checks = positive_weights(
        Probability(1, [1], **NETWORK), torch.from_numpy(x.astype(np.float32)), weights, base, settings, seed=1
    )
    # 20 data events where 1,000 of background are subtracted: what is missing is taken from the others.
    assert checks["vanishing"][0] >= 20
    kept = found[:3000, 0]
    assert kept.mean() == pytest.approx(2020.0 / 3000.0, rel=2e-3)
    assert kept.std() < 0.2
    assert found.sum() == pytest.approx(weights.sum(), rel=1e-6)


def test_without_background_nothing_changes():
    x = torch.randn(50, 1, generator=torch.Generator().manual_seed(1))
    weights = np.full((50, 1), 2.0)
    found, checks = trained(x, weights, weights, seeds=(1,))
    np.testing.assert_array_equal(found, weights)
    assert checks["vanishing"].tolist() == [0]


def test_goes_on_where_it_was_stopped(subtraction, tmp_path, monkeypatch):
    state = tmp_path / "positive.pt"
    first, _ = trained(*subtraction, state=state, key="k")
    monkeypatch.setattr(fit_module, "learning_rate", None)  # A second training would fail.
    again, _ = trained(*subtraction, state=state, key="k")
    np.testing.assert_array_equal(first, again)


def test_what_cannot_be_is_refused(subtraction):
    x, weights, base = subtraction
    with pytest.raises(InputError, match="base weights"):
        trained(x, weights, weights)
    with pytest.raises(DivergedError, match="both positive"):
        trained(x, 5.0 * np.minimum(weights, 0.0) + base, base)
