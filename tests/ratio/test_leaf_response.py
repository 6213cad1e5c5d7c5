"""The response of trees: their own values for their own weights, and a refit of each leaf for any others."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from truthward.errors import DivergedError
from truthward.ratio.boosted_trees import BinnedEvents, TreeOptions
from truthward.ratio.leaf_response import leaf_response

OPTIONS = TreeOptions(trees=6, learning_rate=0.5, leaves=8, smallest_leaf=50)


@pytest.fixture(scope="module")
def training():
    """x, total and positive of a mean ratio with signed weights, and two trainings, one after the other."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(4000, 2)).astype(np.float32)
    ratio = np.exp(0.4 * x[:, 0] + 0.3 * rng.normal(size=len(x)))
    weights = np.where(rng.random(len(x)) < 0.05, -1.0, 1.0)
    weights /= weights.mean()
    total, positive = weights * (1 + ratio), weights * ratio
    binned = BinnedEvents(x, OPTIONS)
    first, start, _ = binned.grow(total, positive, OPTIONS.trees)
    second, _, _ = binned.grow(total, positive, OPTIONS.trees, start=start)
    return torch.from_numpy(x), total, positive, (first, second)


def responses(training, factors):
    """Logits (N, 1 + R) of both trainings, for factors (N, R) on the weights of the events."""
    x, total, positive, trees = training
    every = np.concatenate([np.ones((len(x), 1)), factors], axis=1)
    given = x, *((v[:, None] * every).astype(np.float32) for v in (total, positive))
    start = None
    first = leaf_response(trees[0], lambda: [(*given, start)], len(x), OPTIONS.learning_rate)
    second = leaf_response(trees[1], lambda: [(*given, first(x))], len(x), OPTIONS.learning_rate, before=first)
    return first(x), second(x)


def refitted(training, factor):
    """Logits (N,) of both trainings with the same splits, each leaf refitted to the weights."""
    x, total, positive, trees = training
    logit, found = np.zeros(len(x)), []
    for grown in trees:
        for place in grown.places(x).T:
            chance = 1 / (1 + np.exp(-logit))
            g, h = (np.bincount(place, factor * v) for v in (total * chance - positive, total * chance * (1 - chance)))
            logit = logit - OPTIONS.learning_rate * np.divide(g, h, out=np.zeros_like(g), where=h != 0)[place]
        found.append(logit)
    return found


def test_equal_weights_give_the_nominal_trees(training):
    x, *_, trees = training
    first, second = responses(training, np.ones((len(x), 3)))
    for e in range(1, 4):
        np.testing.assert_array_equal(first[:, e], first[:, 0])
        np.testing.assert_array_equal(second[:, e], second[:, 0])
    np.testing.assert_allclose(second[:, 0], trees[0](x) + trees[1](x), atol=2e-5)


@pytest.mark.parametrize(("size", "limit"), [(1.0, 0.06), (0.1, 0.025)])
def test_it_is_nearly_a_refit_of_each_leaf(training, size, limit):
    """The remainder, as a share of the change: of second order, and the curvature that does not move."""
    rng = np.random.default_rng(6)
    factors = 1 + size * (rng.poisson(1.0, size=(len(training[0]), 5)) - 1.0)
    for k, found in enumerate(responses(training, factors)):
        exact = np.stack([refitted(training, f)[k] for f in factors.T], axis=1)
        change, rest = exact - found[:, :1], found[:, 1:] - exact
        assert np.abs(change).max() > 0.1 * size
        assert np.std(rest) / np.std(change) < limit


def test_pieces_are_summed(training):
    x, total, positive, trees = training
    counts = np.random.default_rng(7).poisson(1.0, size=(len(x), 2)).astype(np.float32)
    every = np.concatenate([np.ones((len(x), 1), np.float32), counts], axis=1)

    def pieces(count):
        for rows in np.array_split(np.arange(len(x)), count):
            given = (v[rows, None].astype(np.float32) * every[rows] for v in (total, positive))
            yield x[torch.from_numpy(rows)], *given, np.zeros((len(rows), 1), np.float32)

    one, three = (leaf_response(trees[0], partial(pieces, n), len(x), OPTIONS.learning_rate)(x) for n in (1, 3))
    np.testing.assert_allclose(one, three, atol=2e-5)


def test_a_training_that_kept_no_tree_has_a_ratio_of_one_in_all_members(training):
    x, total, positive, _ = training
    held = np.arange(len(x)) % 2 == 0
    wrong = np.where(held, total - positive, positive)
    none, _, _ = BinnedEvents(x, OPTIONS).grow(total, wrong, 1, held_out=held, patience=1)
    assert none.count == 0
    given = (np.repeat(v[:, None], 3, axis=1).astype(np.float32) for v in (total, positive))
    piece = (x, *given, None)
    np.testing.assert_array_equal(leaf_response(none, lambda: [piece], len(x), 0.5)(x), np.zeros((len(x), 3)))


def test_a_leaf_that_a_replica_empties_is_an_error(training):
    x, *_, trees = training
    gone = (trees[0].places(x)[:, 0] != trees[0].places(x)[0, 0]).astype(float)
    with pytest.raises(DivergedError, match="leaves have no positive sum"):
        responses(training, gone[:, None])
