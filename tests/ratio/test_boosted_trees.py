"""Boosted trees: the ratio they learn, of weights of any sign, and what inputs they take."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from truthward.errors import DivergedError, InputError
from truthward.ratio.boosted_trees import BinnedEvents, TreeOptions, Trees
from truthward.ratio.classifier import density_ratio, two_sample_scores
from truthward.ratio.reweight import auc

OPTIONS = TreeOptions(trees=40, learning_rate=0.2, leaves=15, smallest_leaf=100)
SHIFT = 0.5


def samples(events=20_000, seed=1):
    """Two inputs of which the first is shifted in the numerator: log ratio = SHIFT x - SHIFT^2 / 2."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2 * events, 2))
    numerator = np.arange(2 * events) < events
    x[numerator, 0] += SHIFT
    return x.astype(np.float32), numerator


def grown(x, numerator, weights=None, options=OPTIONS, **given):
    total = np.ones(len(x)) if weights is None else weights
    return BinnedEvents(x, options).grow(total, total * numerator, options.trees, **given)


def test_learns_the_log_of_a_known_ratio():
    x, numerator = samples()
    trees, values, losses = grown(x, numerator)
    inner = np.abs(x[:, 0]) < 1.5
    expected = SHIFT * x[inner, 0] - SHIFT**2 / 2
    assert np.sqrt(np.mean((values[inner] - expected) ** 2)) < 0.15
    assert losses.train < np.log(2) - 0.02
    np.testing.assert_allclose(trees(x), values, atol=1e-12)


def test_weights_of_any_sign_describe_the_density_that_they_sum_to():
    x, numerator = samples()
    # A third of the unshifted events is taken off again by negative weights at the same places.
    more = x[~numerator][::3]
    joined = np.concatenate([x, more, more])
    both = np.concatenate([numerator, np.zeros(2 * len(more), dtype=bool)])
    weights = np.concatenate([np.ones(len(x) + len(more)), -np.ones(len(more))])
    inner = np.abs(x[:, 0]) < 1.5
    expected = SHIFT * x[inner, 0] - SHIFT**2 / 2
    signed, moduli = (grown(joined, both, w)[0](x)[inner] for w in (weights, np.abs(weights)))
    assert np.sqrt(np.mean((signed - expected) ** 2)) < 0.2
    assert np.mean(signed - expected) == pytest.approx(0.0, abs=0.03)
    assert np.mean(moduli - expected) < -0.3


def test_a_mean_ratio_is_learned_in_one_pass():
    rng = np.random.default_rng(2)
    x = rng.integers(0, 4, size=(20_000, 1)).astype(np.float32)
    ratio = rng.exponential(np.array([0.5, 1.0, 2.0, 0.8])[x[:, 0].astype(int)])
    total, positive = 1.0 + ratio, ratio
    options = replace(OPTIONS, learning_rate=0.5)
    trees, _, _ = BinnedEvents(x, options).grow(total, positive, options.trees)
    for value in range(4):
        expected = ratio[x[:, 0] == value].mean()
        assert np.exp(trees(np.full((1, 1), value, dtype=np.float32)))[0] == pytest.approx(expected, rel=1e-3)


def test_a_missing_value_is_a_value_of_its_own():
    x, numerator = samples()
    rng = np.random.default_rng(3)
    # Missing three times as often in the numerator: the ratio is 3 there.
    x[rng.random(len(x)) < np.where(numerator, 0.3, 0.1), 0] = np.nan
    trees, _, _ = grown(x, numerator)
    at = np.array([[np.nan, 0.0]], dtype=np.float32)
    assert np.exp(trees(at))[0] == pytest.approx(3.0, rel=0.1)


def test_the_same_trees_for_any_number_of_threads_and_from_their_text():
    x, numerator = samples(4000)
    first, _, _ = grown(x, numerator)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        second, _, _ = grown(x, numerator)
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(first(x), second(x))
    again = Trees.from_array(first.array())
    np.testing.assert_array_equal(again(x), first(x))
    np.testing.assert_allclose(again.values[again.places(x)].sum(axis=1), first(x), atol=1e-12)


def test_continued_trees_add_to_those_before():
    x, numerator = samples(5000)
    binned, total = BinnedEvents(x, OPTIONS), np.ones(len(x))
    first, values, before = binned.grow(total, total * numerator, 5)
    second, more, after = binned.grow(total, total * numerator, 5, start=values)
    whole, every, _ = binned.grow(total, total * numerator, 10)
    np.testing.assert_allclose(values + more, every, atol=1e-5)
    assert after.train < before.train
    assert first.count == second.count == 5
    assert whole.count == 10


def test_held_out_events_end_the_training_and_do_not_train():
    x, numerator = samples(3000)
    held = np.arange(len(x)) % 4 == 0
    many = replace(OPTIONS, trees=200, smallest_leaf=5)
    trees, _, losses = grown(x, numerator, options=many, held_out=held, patience=4)
    assert trees.count < 100
    assert losses.held_out < np.log(2)
    # Labels of held-out events that are all wrong leave the first tree as it is.
    wrong = np.where(held, ~numerator, numerator)
    one = replace(many, trees=1)
    a, b = (grown(x, n, options=one, held_out=held, patience=1)[0] for n in (numerator, wrong))
    assert b.count == 0
    assert a.count == 1
    np.testing.assert_array_equal(b(x), np.zeros(len(x)))


def test_a_sample_too_small_for_two_leaves_gives_a_ratio_of_one():
    x, numerator = samples(20)
    trees, _, _ = grown(x, numerator)
    np.testing.assert_array_equal(trees(x), np.zeros(len(x)))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda x, w: x.__setitem__((3, 1), np.inf), InputError, "1 inputs are infinite"),
        (lambda x, w: w.__setitem__(slice(None, 400), -1.0), DivergedError, "weights of the numerator sum to -400"),
        (lambda x, w: w.__setitem__(5, np.nan), DivergedError, "sum to nan"),
    ],
)
def test_what_would_give_a_wrong_ratio_is_refused(change, error, words):
    x, numerator = samples(400)
    weights = np.ones(len(x))
    change(x, weights)
    with pytest.raises(error, match=words):
        grown(x, numerator, weights)


def test_a_density_ratio_of_trees_has_the_yields():
    x, numerator = samples()
    p, q = x[numerator], x[~numerator]
    ratio = density_ratio(p, np.full(len(p), 2.0), q, np.ones(len(q)), seed=1, classifier="boosted_trees")
    inner = np.abs(q[:, 0]) < 1.5
    expected = SHIFT * q[inner, 0] - SHIFT**2 / 2 + np.log(2.0)
    assert np.sqrt(np.mean((ratio.log_ratio(q)[inner] - expected) ** 2)) < 0.3


@pytest.mark.parametrize(("shift", "low", "high"), [(0.0, 0.48, 0.52), (SHIFT, 0.60, 0.65)])
def test_a_two_sample_test_with_trees_sees_what_is_there(shift, low, high):
    """The AUC of an ideal classifier of two normal distributions is Phi(shift / sqrt 2), here 0.638."""
    x, numerator = samples(6000)
    x[numerator, 0] += shift - SHIFT
    p, q = x[numerator], x[~numerator]
    scores = two_sample_scores(p, np.ones(len(p)), q, np.ones(len(q)), seed=2, classifier="boosted_trees")
    found = auc(np.log(np.concatenate(scores)), numerator, np.ones(len(x)))
    assert low < found < high
