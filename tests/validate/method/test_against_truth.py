"""Chi2, pulls and yields against toys: honest errors pass, halved ones do not."""

from __future__ import annotations

import numpy as np
import pytest

from truthward.events.families import Histogram, family
from truthward.validate.distances import Counts
from truthward.validate.method import against_truth

EDGES = np.linspace(-3.0, 3.0, 21)
N = 2000


def counts(seed: int) -> Counts:
    return Counts.of(np.random.default_rng(seed).normal(size=N), np.ones(N), EDGES)


def unfolded(seed: int, *, replicas: int = 60, shrink: float = 1.0, shift: float = 0.0) -> Histogram:
    """An independent sample of the truth; bootstrapped, the covariance of its replicas times `shrink`."""
    random = np.random.default_rng([seed, 1])
    nominal = np.histogram(random.normal(shift, 1, N), EDGES)[0].astype(float)
    spread = random.poisson(nominal, (replicas, nominal.size)) - nominal
    families = {"data_bootstrap": family("data_bootstrap", replicas)}
    return Histogram(EDGES, nominal, {"data_bootstrap": nominal + np.sqrt(shrink) * spread}, families)


def without_error(truth: Counts) -> Counts:
    """The truth as an exact expectation would be: the error is the unfolded histogram's alone."""
    return Counts(truth.edges, truth.contents, np.zeros_like(truth.variance))


@pytest.fixture(scope="module")
def expected() -> Counts:
    x = np.random.default_rng(0).normal(size=200 * N)
    return without_error(Counts.of(x, np.full(x.size, 1 / 200), EDGES))


def test_p_is_uniform_for_honest_errors_and_small_for_a_halved_covariance(expected):
    honest = [against_truth.chi2_closure(unfolded(s), expected) for s in range(150)]
    halved = [against_truth.chi2_closure(unfolded(s, shrink=0.5), expected) for s in range(150)]
    assert {h["ndf"] for h in honest} == {max(h["ndf"] for h in honest)}
    assert honest[0]["ndf"] <= 20
    assert np.mean([h["value"] / h["ndf"] for h in honest]) == pytest.approx(1, abs=0.12)
    assert np.mean([h["value"] / h["ndf"] for h in halved]) == pytest.approx(2, abs=0.25)
    p = np.array([h["p"] for h in honest])
    assert p.mean() == pytest.approx(0.5, abs=0.09)
    assert np.mean(p < 0.05) < 0.11
    assert np.mean([h["p"] < 0.05 for h in halved]) > 0.3


def test_combined_replicas_change_nothing(expected):
    alone = unfolded(1)
    replicas = alone.replicas | {"combined": 3.0 * alone.replicas["data_bootstrap"]}
    families = alone.families | {"combined": family("combined", 60)}
    both = Histogram(EDGES, alone.nominal, replicas, families)
    assert against_truth.chi2_closure(both, expected) == against_truth.chi2_closure(alone, expected)
    assert against_truth.pulls(both, expected) == against_truth.pulls(alone, expected)
    assert against_truth.yields(both, None) == against_truth.yields(alone, None)


def test_the_halved_covariance_shows_in_the_width_of_the_pulls_too(expected):
    widths = {
        shrink: np.mean(
            [against_truth.pulls(unfolded(s, shrink=shrink), expected)["summary"]["width"] for s in range(60)]
        )
        for shrink in (1.0, 0.5)
    }
    assert widths[1.0] == pytest.approx(1, abs=0.08)
    assert widths[0.5] == pytest.approx(np.sqrt(2), abs=0.12)


def test_truth_that_is_a_sample_adds_its_own_variance():
    values = [against_truth.chi2_closure(unfolded(s), counts(1000 + s)) for s in range(100)]
    # The covariance's exact half makes the Hartlap factor too strong: conservative, never the other way.
    assert 0.7 < np.mean([v["value"] / v["ndf"] for v in values]) < 1.1


def test_a_shift_is_seen(expected):
    assert against_truth.chi2_closure(unfolded(1, shift=0.2), expected)["p"] < 1e-4


@pytest.mark.parametrize("replicas", [2, 3])
def test_too_few_replicas_are_no_covariance(expected, replicas):
    found = against_truth.chi2_closure(unfolded(1, replicas=replicas), expected)
    assert found["p"] is None
    assert "replicas" in found["reason"]


def test_a_family_of_few_that_dominates_limits_the_bins(expected):
    histogram = unfolded(1)
    random = np.random.default_rng(3)
    histogram.families["initialisation"] = family("initialisation", 13)
    histogram.replicas["initialisation"] = histogram.nominal + 60 * random.normal(size=(13, 20))
    found = against_truth.chi2_closure(histogram, expected)
    assert found["replicas"] < 20
    assert found["ndf"] <= found["replicas"] / 3


def test_pulls_have_the_errors_of_both_by_hand():
    histogram, truth = unfolded(1), counts(7)
    found = [np.nan if pull is None else pull for pull in against_truth.pulls(histogram, truth)["bins"]]
    by_hand = (histogram.nominal - truth.inner) / np.sqrt(histogram.sigma**2 + truth.inner_variance)
    np.testing.assert_allclose(found, by_hand)
    assert np.nanmax(truth.inner_variance / histogram.sigma**2) > 0.5


def test_empty_bins_have_no_pull(expected):
    histogram = unfolded(1)
    histogram.nominal[0] = 0
    histogram.replicas["data_bootstrap"][:, 0] = 0
    assert against_truth.pulls(histogram, expected)["bins"][0] is None


def test_yield_of_families():
    histogram = unfolded(5, replicas=400)
    found = against_truth.yields(histogram, (float(N), 0.0))
    assert found["sigma"] == pytest.approx(np.sqrt(N), rel=0.12)
    assert found["pull"] == pytest.approx((histogram.nominal.sum() - N) / found["sigma"])
    assert "truth" not in against_truth.yields(histogram, None)


def test_two_samples_of_one_truth_agree_and_of_two_do_not():
    p = [against_truth.chi2_samples(counts(s), counts(500 + s))["p"] for s in range(100)]
    assert np.mean(p) == pytest.approx(0.5, abs=0.1)
    other = Counts.of(np.random.default_rng(1).normal(0.2, 1, N), np.ones(N), EDGES)
    assert against_truth.chi2_samples(other, counts(1))["p"] < 1e-3
