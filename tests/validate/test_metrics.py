"""Measures against numbers worked out by hand, against scipy, and against samples that must be flagged."""

from __future__ import annotations

import warnings
from dataclasses import asdict

import numpy as np
import pytest
from scipy import stats

from truthward.errors import InputError
from truthward.events.families import Family, Histogram, family
from truthward.validate import metrics

RANDOM = 20260101
EDGES = np.linspace(-3.0, 3.0, 51)


def normal(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng([RANDOM, seed]).normal(shift, 1.0, n)


# ---- triangular discriminator


def test_triangular_discriminator_by_hand():
    # Densities p = (1/2, 1/4), q = (1/4, 3/8) on widths 1 and 2.
    # 0.5 * 1 * (1/4)^2 / (3/4) + 0.5 * 2 * (1/8)^2 / (5/8) = 1/24 + 1/40 = 1/15.
    edges = np.array([0.0, 1.0, 3.0])
    assert metrics.triangular_discriminator([2, 2], [1, 3], edges) == pytest.approx(1e3 / 15)
    assert metrics.triangular_discriminator([20, 20], [0.1, 0.3], edges) == pytest.approx(1e3 / 15)
    assert metrics.triangular_discriminator([1, 3], [2, 2], edges) == pytest.approx(1e3 / 15)
    assert metrics.triangular_discriminator([2, 2, 0], [2, 2, 0], np.arange(4.0)) == 0
    assert metrics.triangular_discriminator([1, 0, 0], [0, 1, 0], np.arange(4.0)) == pytest.approx(1000)


def test_triangular_discriminator_refuses_what_has_no_density():
    for p, message in (([1, -1, 3], "1 of 3 bins are negative"), ([0, 0, 0], "empty"), ([1, 2], "shape")):
        with pytest.raises(InputError, match=message):
            metrics.triangular_discriminator(p, [1, 1, 1], np.arange(4.0))


def test_floor_is_500_bins_over_n():
    truth = np.random.default_rng(RANDOM).random(50_000)
    found = metrics.floor(truth, None, np.linspace(0, 1, 51), sizes=(20_000, 20_000), seed=1)
    assert found["mean"] == pytest.approx(500 * 50 / 20_000, rel=0.05)
    assert 0.5 < found["sd"] / (found["mean"] * np.sqrt(2 / 50)) < 1.5
    assert found == metrics.floor(truth, None, np.linspace(0, 1, 51), sizes=(20_000, 20_000), seed=1)
    unequal = metrics.floor(truth, None, np.linspace(0, 1, 51), sizes=(20_000, 5_000), seed=1)
    assert unequal["mean"] == pytest.approx(found["mean"] * (1 + 4) / 2, rel=0.05)


def test_floor_is_what_two_real_samples_give_and_a_shifted_one_exceeds_it():
    n = 20_000
    found = metrics.floor(normal(100_000, 0), None, EDGES, sizes=(n, n), seed=2)
    counts = [np.histogram(normal(n, 1 + i, shift), EDGES)[0] for i, shift in enumerate([0, 0, 0.1])]
    assert abs(metrics.triangular_discriminator(counts[0], counts[1], EDGES) - found["mean"]) < 4 * found["sd"]
    assert metrics.triangular_discriminator(counts[0], counts[2], EDGES) > found["mean"] + 4 * found["sd"]


def test_floor_goes_by_the_weights():
    x = np.random.default_rng(RANDOM).random(20_000)
    edges = np.linspace(0, 1, 3)
    # All the weight in one bin leaves nothing to fluctuate.
    assert metrics.floor(x, (x < 0.5).astype(float), edges, sizes=(100, 100), seed=1)["mean"] == 0
    with pytest.raises(InputError, match="negative"):
        metrics.floor(x, np.where(x < 0.4, -1.0, 1.0), edges, sizes=(100, 100), seed=1)


# ---- Wasserstein


def test_wasserstein_agrees_with_scipy_and_by_hand():
    x, y = normal(500, 1), normal(700, 2, 0.3)
    u, v = np.random.default_rng(3).random(500), np.random.default_rng(4).random(700)
    assert metrics.wasserstein1(x, y, u, v) == pytest.approx(stats.wasserstein_distance(x, y, u, v))
    assert metrics.wasserstein1(np.array([0.0, 1]), np.array([0.0, 3])) == pytest.approx(1.0)
    assert metrics.wasserstein1(x, x) == 0


def test_wasserstein_with_signed_weights_cancels():
    x = np.array([0.0, 1.0, 5.0, 5.0])
    assert metrics.wasserstein1(x, np.array([0.0, 1.0]), np.array([1, 1, -1, 1.0])) == 0
    with pytest.raises(InputError, match="sum to -1"):
        metrics.wasserstein1(x, x, np.array([1, -1, -1, 0.0]))


# ---- chi2


def test_hartlap_by_hand():
    assert metrics.hartlap(100, 10) == pytest.approx(88 / 99)
    with pytest.raises(InputError, match="merge bins"):
        metrics.hartlap(12, 10)


def test_merge_bins_by_hand():
    edges = np.arange(7.0)
    assert metrics.merge_bins(edges, [1, 1, 1, 1, 1, 1], 3).tolist() == [0, 2, 4, 6]
    assert metrics.merge_bins(edges, [0, 0, 9, 1, 1, 1], 2).tolist() == [0, 3, 6]
    # One bin holds nearly everything: fewer bins than asked for, and none is empty.
    assert metrics.merge_bins(edges, [0, 0, 97, 3, 0, 0], 5).tolist() == [0, 3, 6]
    assert metrics.merge_bins(edges, [1, 1, 1, 1, 1, 1], 1).tolist() == [0, 6]
    with pytest.raises(InputError, match="merge"):
        metrics.merge_bins(edges, np.zeros(6), 3)


def test_chi2_by_hand():
    covariance = np.array([[4.0, 2.0], [2.0, 4.0]])
    # Inverse: [[1/3, -1/6], [-1/6, 1/3]]; d = (2, 0): 4/3.
    found = metrics.chi2(np.array([3.0, 1]), np.array([1.0, 1]), covariance)
    assert found.value == pytest.approx(4 / 3)
    assert found.bins == 2
    assert found.hartlap == 1
    assert found.p == pytest.approx(np.exp(-2 / 3))
    estimated = metrics.chi2(np.array([3.0, 1]), np.array([1.0, 1]), covariance, replicas=50)
    assert estimated.value == pytest.approx(4 / 3 * 46 / 49)
    assert set(asdict(found)) == {"value", "bins", "p", "hartlap", "replicas"}
    with pytest.raises(InputError, match="at most 1"):
        metrics.chi2(np.ones(2), np.ones(2), covariance, replicas=5)
    with pytest.raises(InputError, match="positive definite"):
        metrics.chi2(np.ones(2), np.ones(2), np.ones((2, 2)))


@pytest.mark.parametrize("replicas", [9, 30])
def test_p_values_by_hand(replicas):
    """For two bins the tails are elementary: exp(-x / 2), and (1 + T^2 / (R - 1))^(-(R - 2) / 2); for one it is t."""
    two = metrics.chi2(np.array([3.0, -1.0]), np.zeros(2), np.diag([4.0, 0.5]))
    raw = 9 / 4 + 1 / 0.5
    assert two.value == pytest.approx(raw)
    assert two.p == pytest.approx(np.exp(-raw / 2))
    few = metrics.chi2(np.array([3.0, -1.0]), np.zeros(2), np.diag([4.0, 0.5]), replicas=replicas)
    assert few.value == pytest.approx(raw * (replicas - 4) / (replicas - 1))
    assert few.p == pytest.approx((1 + raw / (replicas - 1)) ** (-(replicas - 2) / 2))
    one = metrics.chi2(np.array([3.0]), np.zeros(1), np.array([[4.0]]), replicas=replicas)
    assert one.p == pytest.approx(2 * stats.t.sf(1.5, replicas - 1))


def test_p_values_from_few_replicas_are_uniform_where_those_of_a_plain_chi2_are_not():
    random = np.random.default_rng(RANDOM)
    bins, replicas, toys = 10, 30, 600
    exact, naive = [], []
    for _ in range(toys):
        covariance = np.cov(random.normal(size=(replicas, bins)), rowvar=False)
        found = metrics.chi2(random.normal(size=bins), np.zeros(bins), covariance, replicas=replicas)
        exact.append(found)
        naive.append(stats.chi2.sf(found.value / found.hartlap, bins))
    assert stats.kstest([f.p for f in exact], "uniform").pvalue > 0.01
    assert stats.kstest(naive, "uniform").pvalue < 1e-6
    assert np.mean([f.value for f in exact]) == pytest.approx(bins, rel=0.1)


def toy(shift: float = 0.0, n: int = 5000, count: int = 60) -> tuple[Histogram, np.ndarray]:
    """A histogram with its Poisson bootstrap, and the expected contents of an unshifted unit Gaussian."""
    x = normal(n, 7, shift)
    boot = family("data_bootstrap", count)
    factors = np.random.default_rng(8).poisson(1, (count, n))
    replicas = np.stack([np.histogram(x, EDGES, weights=f)[0] for f in factors]).astype(float)
    nominal = np.histogram(x, EDGES)[0].astype(float)
    return Histogram(EDGES, nominal, {boot.name: replicas}, {boot.name: boot}), n * np.diff(stats.norm.cdf(EDGES))


def test_chi2_test_passes_the_truth_and_flags_a_shift():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        good = metrics.chi2_test(*toy())
        bad = metrics.chi2_test(*toy(shift=0.15))
    assert good.bins == 20
    assert good.p > 0.01
    assert bad.p < 1e-3


def test_chi2_test_counts_the_variance_of_the_reference():
    histogram, expected = toy()
    alone = metrics.chi2_test(histogram, expected)
    both = metrics.chi2_test(histogram, expected, reference_variance=expected)
    assert 0.2 < both.value / alone.value < 0.75


def test_replicas_behind_a_sum_of_families():
    """A family of 5 with a twentieth of the variance must not cost the bins that one of 30 pays for."""
    counts = {"data_bootstrap": 31, "initialisation": 5, "systematic:s": 1}
    families = {name: family(name, n) for name, n in counts.items()}

    def replicas(count: int, variance: float) -> np.ndarray:
        column = np.linspace(-1, 1, count)
        return np.repeat(column[:, None] * np.sqrt(variance / column.var(ddof=1)), 2, axis=1)

    contents = {"data_bootstrap": replicas(31, 19.0), "initialisation": replicas(5, 1.0)}
    histogram = Histogram(np.arange(3.0), np.ones(2), contents | {"systematic:s": np.ones((1, 2))}, families)
    zero = np.zeros(2)
    assert metrics.replicas_behind(histogram, ["data_bootstrap"], zero) == pytest.approx(31)
    both = metrics.replicas_behind(histogram, ["data_bootstrap", "initialisation"], zero)
    assert both == pytest.approx(1 + 1 / (0.95**2 / 30 + 0.05**2 / 4))
    assert metrics.replicas_behind(histogram, ["data_bootstrap", "systematic:s"], 1e6 + zero) == 31
    assert metrics.replicas_behind(histogram, ["systematic:s"], zero) is None


# ---- weights and pulls


def test_effective_sample_size_and_summary_by_hand():
    assert metrics.effective_sample_size(np.ones(7)) == 7
    sums = metrics.WeightSums()
    sums.add(np.array([3.0, 1.0, -1.0, 1.0]))
    assert sums.summary() == {
        "sum": 4.0,
        "effective_sample_size": pytest.approx(16 / 12),
        "largest_over_mean": 3.0,
        "negative_fraction": 0.25,
    }
    with pytest.raises(InputError, match="not finite"):
        metrics.effective_sample_size(np.array([1.0, np.inf]))


def test_pulls_by_hand_and_wrong_errors_show():
    assert metrics.pulls([3, 1], [1, 1], [2, 5]).tolist() == [1, 0]
    with pytest.raises(InputError, match="1 of 2 errors"):
        metrics.pulls([3, 1], [1, 1], [2, 0])
    found = metrics.pull_summary([1.0, -1.0, 1.0, -1.0])
    assert (found["mean"], found["count"]) == (0, 4)
    assert found["width"] == pytest.approx(np.sqrt(4 / 3))
    assert found["mean_error"] == pytest.approx(found["width"] / 2)
    x = normal(4000, 11)
    right = metrics.pull_summary(metrics.pulls(x, 0, np.ones(4000)))
    wrong = metrics.pull_summary(metrics.pulls(x, 0, np.full(4000, 0.7)))
    assert abs(right["width"] - 1) < 4 * right["width_error"]
    assert abs(right["mean"]) < 4 * right["mean_error"]
    assert abs(wrong["width"] - 1) > 10 * wrong["width_error"]


def test_pulls_of_a_family_read_wrongly_are_too_wide():
    """The spread of a member has unit pulls; the same replicas declared as an error of the mean must not pass."""
    boot, expected = toy(count=200)
    wrong = {"data_bootstrap": Family("data_bootstrap", 200, "error_of_mean", 1, "mean")}
    good = metrics.pull_summary(metrics.pulls(boot.nominal, expected, boot.sigma))
    bad = metrics.pulls(boot.nominal, expected, Histogram(EDGES, boot.nominal, boot.replicas, wrong).sigma)
    assert 0.7 < good["width"] < 1.3
    assert metrics.pull_summary(bad)["width"] > 5


# ---- classifier measures


def test_auc_by_hand_with_ties_and_weights():
    assert metrics.auc(np.array([1.0, 2]), np.array([0.0, 0.5])) == 1
    assert metrics.auc(np.array([1.0, 1]), np.array([1.0, 1])) == 0.5
    # Pairs (2 > 1), (2 > 0), (0 < 1), (0 = 0) with weights of p (3, 1): (3 + 3 + 0 + 0.5) / 8.
    p, q = np.array([2.0, 0.0]), np.array([1.0, 0.0])
    assert metrics.auc(p, q, np.array([3.0, 1.0])) == pytest.approx(6.5 / 8)
    x, y = normal(20_000, 1, 1.0), normal(20_000, 2)
    assert metrics.auc(x, y) == pytest.approx(stats.norm.cdf(1 / np.sqrt(2)), abs=0.01)


def test_signed_weights_in_auc_and_jsd_cancel():
    p, q = np.array([0.3, 9.0, 9.0]), np.array([0.0, 0.5])
    signed = np.array([1.0, 2.0, -2.0])
    assert metrics.auc(p, q, signed) == pytest.approx(metrics.auc(p[:1], q))
    assert metrics.jsd(p, q, signed) == pytest.approx(metrics.jsd(p[:1], q))


def test_jsd_in_bits():
    zeros = np.zeros(5)
    assert metrics.jsd(zeros, zeros) == pytest.approx(0)
    assert metrics.jsd(np.full(5, 800.0), np.full(5, -800.0)) == pytest.approx(1)
    assert metrics.jsd(np.full(5, -2.0), np.full(5, 2.0)) < 0, "an overconfident classifier shows"
    # p = (3/4, 1/4), q = (1/4, 3/4) with the optimal D: 1 - H(3/4) bits.
    logits, share = np.log([3.0, 1 / 3]), np.array([0.75, 0.25])
    entropy = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    assert metrics.jsd(logits, logits, share, share[::-1]) == pytest.approx(1 - entropy)


def test_ratio_histogram_loses_nothing():
    found = metrics.ratio_histogram(np.log(10.0) * np.array([-5.0, 0.05, 0.05, 7.0]), np.array([1.0, 2, 2, 5]))
    assert found["below"] == pytest.approx(0.1)
    assert found["above"] == pytest.approx(0.5)
    assert found["fractions"][40] == pytest.approx(0.4)
    assert sum(found["fractions"]) + found["below"] + found["above"] == pytest.approx(1)
