"""Classifiers as density ratios, on normal samples whose ratio is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from truthward.errors import DivergedError, InputError
from truthward.learn.fit import Settings
from truthward.ratio.classifier import Classifier, balanced, density_ratio, logits, stack_of, two_sample_scores
from truthward.ratio.reweight import auc, normalise, train_mean

QUICK = {"epochs": 8, "width": 16, "depth": 2, "learning_rate": 5e-3, "batch_size": 512}


@pytest.fixture
def samples():
    """p: N(0.5, 1) in one dimension, twice the yield of q: N(0, 1)."""
    rng = np.random.default_rng(4)
    return rng.normal(0.5, 1.0, (8000, 1)), np.full(8000, 0.5), rng.normal(0.0, 1.0, (8000, 1)), np.full(8000, 0.25)


def test_ratio_has_the_shape_and_the_yield(samples):
    x = np.linspace(-1.5, 2.0, 15)[:, None]
    found = density_ratio(*samples, seed=1, **QUICK).log_ratio(x)
    # log N(x; 0.5) / N(x; 0) = 0.5 x - 0.125, and twice the yield.
    np.testing.assert_allclose(found, 0.5 * x[:, 0] - 0.125 + np.log(2.0), atol=0.15)


def test_signed_weights_give_the_same_ratio(samples):
    x_p, w_p, x_q, w_q = samples
    sign = np.where(np.random.default_rng(1).random(8000) < 0.15, -1.0, 1.0) / 0.7
    x = np.linspace(-1.0, 1.5, 9)[:, None]
    found = density_ratio(x_p, w_p * sign, x_q, w_q, seed=1, **QUICK).log_ratio(x)
    np.testing.assert_allclose(found, 0.5 * x[:, 0] - 0.125 + np.log(2.0), atol=0.15)


def test_scores_are_out_of_fold_and_symmetric(samples):
    x_p, w_p, x_q, w_q = samples
    d_p, d_q = two_sample_scores(x_p, w_p, x_q, w_q, seed=2, **QUICK)
    assert d_p.shape == (8000,)
    assert np.isfinite(d_p).all()
    label = np.arange(16000) < 8000
    # AUC of two unit normals 0.5 apart: Phi(0.5 / sqrt 2).
    assert auc(np.concatenate([d_p, d_q]), label, np.concatenate([w_p, w_q])) == pytest.approx(0.638, abs=0.015)


def test_equal_samples_cannot_be_told_apart_even_by_a_network_that_could_memorise():
    rng = np.random.default_rng(5)
    x_p, x_q = rng.normal(size=(400, 3)), rng.normal(size=(400, 3))
    w = np.ones(400)
    options = {"epochs": 60, "width": 64, "depth": 3, "learning_rate": 1e-2, "batch_size": 64}
    d_p, d_q = two_sample_scores(x_p, w, x_q, w, seed=1, **options)
    label = np.arange(800) < 400
    assert auc(np.concatenate([d_p, d_q]), label, np.ones(800)) == pytest.approx(0.5, abs=0.07)
    seen = density_ratio(x_p, w, x_q, w, seed=1, **options).log_ratio(np.concatenate([x_p, x_q]))
    assert auc(seen, label, np.ones(800)) > 0.6, "the control must show what judging its own training events does"


def test_soft_targets_give_the_conditional_mean():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(8000, 1))
    ratio = np.exp(0.6 * x) * rng.choice([-0.5, 2.5], size=(8000, 1))
    stack = stack_of(1, [3], width=16, depth=2)
    tensor = torch.from_numpy(x.astype(np.float32))
    settings = Settings(epochs=10, batch_size=512, learning_rate=5e-3)
    offset, _ = train_mean(stack, tensor, ratio, np.ones((8000, 1)), settings, seed=1)
    grid = torch.linspace(-1.0, 1.0, 9)[:, None]
    np.testing.assert_allclose(logits(stack, grid)[:, 0] + offset, 0.6 * grid[:, 0], atol=0.15)


def test_starts_at_one_and_stack_equals_its_member():
    stack = stack_of(2, [7, 8], width=8, depth=1)
    x = torch.randn(5, 2)
    assert (logits(stack, x) == 0.0).all()
    single = Classifier(2, width=8, depth=1)
    single.load_state_dict(stack.state_of(1))
    assert (single(x) == 0.0).all()


def test_balanced_equalises_both_parts():
    w = np.arange(1.0, 9.0)[:, None]
    numerator, held = np.arange(8) % 2 == 0, np.arange(8) >= 6
    found = balanced(w, numerator, held)
    for part in (held, ~held):
        assert found[part & numerator].sum() == pytest.approx(found[part & ~numerator].sum())
        assert found[part].sum() == pytest.approx(part.sum()), "weights of one in the mean"
    with pytest.raises(DivergedError, match="positive sum"):
        balanced(-w, numerator, held)


def test_normalise_is_exact_and_says_how_far_it_was_off():
    found, off = normalise(np.log([[1.0], [3.0]]), np.ones((2, 1)), np.array([8.0]))
    assert found.sum() == pytest.approx(8.0)
    assert off[0] == pytest.approx(np.log(0.5))
    with pytest.raises(DivergedError, match="1 of 2 ratios"):
        normalise(np.array([[0.0], [1e4]]), np.ones((2, 1)), np.array([1.0]))


def test_auc_counts_ties_half():
    assert auc(np.zeros(4), np.array([True, False, True, False]), np.ones(4)) == 0.5
    assert auc(np.array([1.0, 0.0]), np.array([True, False]), np.ones(2)) == 1.0


def test_inputs_that_are_not_finite_are_counted():
    x = np.zeros((5, 1))
    bad = x.copy()
    bad[2] = np.nan
    with pytest.raises(InputError, match="1 inputs of the numerator"):
        density_ratio(bad, np.ones(5), x, np.ones(5), seed=1)
    with pytest.raises(InputError, match="folds"):
        two_sample_scores(x, np.ones(5), x, np.ones(5), seed=1, folds=1)
