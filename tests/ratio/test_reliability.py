"""Reliability of a ratio, and its monotone correction, on logits whose truth is known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from truthward.errors import DivergedError, InputError
from truthward.ratio.reliability import Isotonic, class_reliability, reliability
from truthward.ratio.reweight import normalise


def classes(seed, size=20000, signed=0.0):
    """True logits, labels and weights of two balanced samples, N(0.6, 1) and N(-0.6, 1)."""
    rng = np.random.default_rng(seed)
    label = rng.random(size) < 0.5
    x = rng.normal(np.where(label, 0.6, -0.6), 1.0)
    weights = np.where(rng.random(size) < signed, -1.0, 1.0)
    return 1.2 * x, label, weights


def as_kinds(label, weights):
    """Weights of an event as numerator and denominator, (N, 1) each."""
    return (weights * label)[:, None], (weights * ~label)[:, None]


@pytest.mark.parametrize("signed", [0.0, 0.15])
def test_right_logits_are_reliable_and_wrong_ones_are_not(signed):
    chi2 = []
    for seed in range(5):
        logits, label, weights = classes(seed, signed=signed)
        found = class_reliability(logits, label, weights)
        assert found["ndf"] == 20
        assert found["dropped"] == 0
        chi2.append(found["chi2"])
    assert 0.6 < np.mean(chi2) / 20 < 1.5
    for wrong in (2.0 * logits, 0.5 * logits, logits + 0.5):
        bad = class_reliability(wrong, label, weights)
        assert bad["chi2"] > 200
        assert bad["ece"] > 3 * found["ece"]
    json.dumps(found, allow_nan=False)
    assert len(found["predicted"]) == len(found["observed"]) == len(found["error"]) == 20


def test_errors_grow_with_the_negative_weights():
    plain, signed = (class_reliability(*classes(1, signed=s)) for s in (0.0, 0.15))
    # A mean of weights of one sign and the other: sum w^2 / (sum w)^2 grows by 1 / 0.7^2.
    assert np.mean(signed["error"]) / np.mean(plain["error"]) == pytest.approx(1.0 / 0.7, rel=0.04)


def test_scale_of_the_weights_and_yield_of_the_classes_change_nothing():
    logits, label, weights = classes(2)
    found = class_reliability(logits, label, weights)
    other = class_reliability(logits, label, weights * np.where(label, 7.0, 0.01))
    np.testing.assert_allclose(found["observed"], other["observed"], atol=0.02)


def test_mean_ratio_in_bins():
    rng = np.random.default_rng(3)
    x = rng.normal(size=20000)
    target = np.exp(0.5 * x) * rng.choice([0.2, 1.8], size=20000)
    weights = np.ones(20000)
    right = reliability(np.exp(0.5 * x), target, weights, bins=10)
    assert right["chi2"] / right["ndf"] < 2.0
    assert reliability(np.exp(0.8 * x), target, weights, bins=10)["chi2"] > 300


def test_equal_predictions_share_a_bin():
    found = reliability(np.full(100, 0.5), np.arange(100) % 2.0, np.ones(100), bins=5)
    assert found["ndf"] == 1
    assert found["observed"] == [0.5]


def test_bins_of_negative_weight_are_counted():
    predicted = np.repeat([0.2, 0.8], 50)
    weights = np.where(np.arange(100) < 50, -0.1, 1.0)
    found = reliability(predicted, predicted + 0.1, weights, bins=2)
    assert found["ndf"] + found["dropped"] == 2
    assert found["dropped"] == 1


def test_nothing_to_be_learned():
    one = np.ones(50)
    found = reliability(one, one, one)
    assert (found["ece"], found["chi2"], found["ndf"]) == (0.0, 0.0, 0)


def test_what_is_not_finite_is_refused():
    one = np.ones(3)
    with pytest.raises(InputError, match="1 of them not finite"):
        reliability(np.array([1.0, np.nan, 1.0]), one, one)
    with pytest.raises(DivergedError, match="positive sum"):
        reliability(one, one, -one)


@pytest.mark.parametrize("signed", [0.0, 0.15])
def test_isotonic_corrects_events_that_it_never_saw(signed):
    def bend(logits):
        return 1.8 * logits + 0.6 * np.tanh(logits) - 0.4

    true, label, weights = classes(5, signed=signed)
    fitted = Isotonic.fit(bend(true)[:, None], *as_kinds(label, weights))
    new, label, weights = classes(6, signed=signed)
    before = class_reliability(bend(new), label, weights)
    after = class_reliability(fitted(bend(new)[:, None])[:, 0], label, weights)
    assert before["chi2"] > 500
    # The map has the error of the events it was fitted with, as large as that of those it is judged with.
    assert after["chi2"] / after["ndf"] < 3.5
    assert after["ece"] < 0.25 * before["ece"]


def test_isotonic_of_known_gaussians_has_the_yield_and_the_ratio():
    """N(0.8, 1) against N(0, 1), of which the ratio is exp(0.8 x - 0.32); the networks say half of it and more."""
    rng = np.random.default_rng(11)
    label = np.arange(40_000) % 2 == 0
    x = rng.normal(0.8 * label, 1.0)
    true = 0.8 * x - 0.32
    corrected = Isotonic.fit((0.5 * true + 0.7)[:, None], *as_kinds(label, np.ones(40_000)))
    new = rng.normal(size=40_000)
    ratio = np.exp(corrected((0.5 * (0.8 * new - 0.32) + 0.7)[:, None])[:, 0])
    # The error of the mean of exp(0.8 x - 0.32) over 40,000 events, and that of the map: 0.006 each.
    assert ratio.mean() == pytest.approx(1.0, abs=0.04)
    assert np.average(new, weights=ratio) == pytest.approx(0.8, abs=0.05)


def test_isotonic_leaves_right_logits_nearly_alone():
    logits, label, weights = classes(7)
    fitted = Isotonic.fit(logits[:, None], *as_kinds(label, weights))
    grid = np.linspace(-2.0, 2.0, 21)[:, None]
    np.testing.assert_allclose(fitted(grid), grid, atol=0.2)


def test_isotonic_of_a_mean_ratio_and_exact_yield_afterwards():
    rng = np.random.default_rng(8)
    x = rng.normal(size=20000)
    target, weights = np.exp(0.5 * x) * rng.choice([-0.2, 2.2], size=20000), np.ones(20000)
    wrong = 0.8 * x + 0.1
    half = np.arange(20000) < 10000
    fitted = Isotonic.fit(wrong[half, None], (weights * target)[half, None], weights[half, None])
    corrected = fitted(wrong[~half, None])
    total = (weights * target)[~half].sum(keepdims=True)
    ratio, off = normalise(corrected, weights[~half, None], total)
    assert ratio.sum() == pytest.approx(total[0])
    assert abs(off[0]) < 0.05
    found = reliability(ratio[:, 0], target[~half], weights[~half])
    assert found["chi2"] / found["ndf"] < 3.0
    assert reliability(np.exp(wrong[~half]), target[~half], weights[~half])["chi2"] > 300


def test_map_rises_and_has_no_jump_or_infinity():
    rng = np.random.default_rng(9)
    logits, label = rng.normal(size=(300, 1)), rng.random(300) < 0.5
    fitted = Isotonic.fit(logits, *as_kinds(label, np.ones(300)), bins=30)
    grid = np.linspace(-60.0, 60.0, 24001)[:, None]
    found = fitted(grid)
    assert np.isfinite(found).all()
    assert (np.diff(found[:, 0]) > 0).all()
    separated = Isotonic.fit(np.linspace(-3, 3, 300)[:, None], *as_kinds(np.arange(300) >= 150, np.ones(300)))
    assert np.isfinite(separated(grid)).all()


def test_members_are_independent_and_one_map_serves_all():
    logits, label, weights = classes(10, size=4000)
    above, below = (np.repeat(v, 2, axis=1) for v in as_kinds(label, weights))
    pair = np.stack([logits, 2.0 * logits], axis=1)
    both = Isotonic.fit(pair, above, below)
    single = Isotonic.fit(pair[:, 1:], above[:, 1:], below[:, 1:])
    np.testing.assert_array_equal(both(pair)[:, 1:], single(pair[:, 1:]))
    np.testing.assert_array_equal(single(pair)[:, 1], both(pair)[:, 1])
    again = Isotonic.from_arrays(both.arrays())
    np.testing.assert_array_equal(again(pair), both(pair))


def test_training_events_show_nothing():
    """A network that learned its events by heart: on these its logits pass, on others they do not."""
    rng = np.random.default_rng(14)
    label = rng.random(4000) < 0.5
    logits = np.where(label, 4.0, -4.0) + rng.normal(0.0, 0.5, 4000)  # Of samples that are the same.
    blind = Isotonic.fit(logits[:, None], *as_kinds(label, np.ones(4000)))(logits[:, None])[:, 0]
    assert np.abs(blind).mean() > 3.0
    fresh = rng.random(4000) < 0.5
    seeing = Isotonic.fit(logits[:, None], *as_kinds(fresh, np.ones(4000)))(logits[:, None])[:, 0]
    assert np.abs(seeing).mean() < 0.5


def test_isotonic_without_events_of_a_class_is_refused():
    logits = np.zeros((10, 1))
    with pytest.raises(DivergedError, match="numerator"):
        Isotonic.fit(logits, np.zeros((10, 1)), np.ones((10, 1)))
    with pytest.raises(InputError, match="1 log ratios"):
        Isotonic.fit(np.where(np.arange(10) == 0, np.nan, 0.0)[:, None], np.ones((10, 1)), np.ones((10, 1)))
