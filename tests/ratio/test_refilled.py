"""Leaves that are filled anew: the same trees for the same weights, and Newton steps of any others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from truthward.errors import DivergedError
from truthward.ratio.boosted_trees import BinnedEvents, TreeOptions
from truthward.ratio.refilled import refilled

OPTIONS = TreeOptions(trees=6, learning_rate=0.5, leaves=8, smallest_leaf=50)
RATE = OPTIONS.learning_rate


@pytest.fixture(scope="module")
def events():
    """x, total and positive of a mean ratio with signed weights; a start, and events that are held out."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(4000, 2)).astype(np.float32)
    ratio = np.exp(0.4 * x[:, 0] + 0.3 * rng.normal(size=len(x)))
    weights = np.where(rng.random(len(x)) < 0.05, -1.0, 1.0)
    weights /= weights.mean()
    return x, weights * (1 + ratio), weights * ratio, 0.2 * x[:, 1].astype(np.float64), rng.random(len(x)) < 0.2


def test_own_weights_give_the_same_trees(events):
    x, total, positive, start, held = events
    given = {"start": start, "held_out": held}
    trees, scores, losses = BinnedEvents(x, OPTIONS).grow(total, positive, OPTIONS.trees, **given)
    again, same, found = refilled(trees, torch.from_numpy(x), total, positive, RATE, **given)
    np.testing.assert_allclose(again.values, trees.values, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(same, scores, rtol=1e-4, atol=1e-6)
    assert found.trees == losses.trees
    assert (found.train, found.held_out) == pytest.approx((losses.train, losses.held_out), abs=1e-6)


def test_each_leaf_holds_the_newton_step_of_the_weights_that_are_given(events):
    x, total, positive, start, held = events
    counts = np.random.default_rng(1).poisson(1.0, len(x))
    grown, _, _ = BinnedEvents(x, OPTIONS).grow(total * counts, positive * counts, OPTIONS.trees, start=start)
    trees, scores, losses = refilled(grown, torch.from_numpy(x), total, positive, RATE, start=start, held_out=held)
    np.testing.assert_array_equal(trees.places(x), grown.places(x))
    assert not np.allclose(trees.values, grown.values, rtol=1e-2)
    logit, values = start.copy(), trees.values
    for place in trees.places(x).T:
        chance = 1 / (1 + np.exp(-logit))
        for leaf in np.unique(place):
            inside = (place == leaf) & ~held
            g, h = ((total * chance - positive)[inside].sum(), (total * chance * (1 - chance))[inside].sum())
            assert values[leaf] == pytest.approx(-RATE * g / h, rel=1e-9)
        logit += values[place]
    np.testing.assert_allclose(scores, logit - start, atol=1e-12)
    np.testing.assert_allclose(trees(x), scores, atol=1e-12)
    each = total * np.logaddexp(0.0, logit) - positive * logit
    assert (losses.train, losses.held_out) == pytest.approx((each[~held].mean(), each[held].mean()))


def test_a_leaf_without_a_positive_sum_is_refused(events):
    x, total, positive, *_ = events
    trees, _, _ = BinnedEvents(x, OPTIONS).grow(total, positive, OPTIONS.trees)
    factor = np.where(trees.places(x)[:, 0] == 0, -1.0, 1.0)
    with pytest.raises(DivergedError, match=r"1 of \d leaves have no positive sum of weights; raise `smallest_leaf`"):
        refilled(trees, torch.from_numpy(x), factor * total, factor * positive, RATE)
