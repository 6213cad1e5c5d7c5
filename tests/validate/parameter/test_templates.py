"""The template fit: unbiased, with pulls of unit width at few replicas, on templates and covariances that are known."""

from __future__ import annotations

import numpy as np
import pytest

from truthward.errors import InputError
from truthward.events.families import Histogram, family
from truthward.validate.parameter.templates import Templates, _minimum, fit_parameter

EDGES = np.linspace(0.0, 6.0, 7)
SHAPE = np.array([0.1, 0.2, 0.3, 0.2, 0.15, 0.05])
TILT = np.array([0.02, 0.03, 0.01, -0.02, -0.03, -0.01])
LINEAR = Templates(10.0, np.stack([SHAPE, TILT]))
YIELD = 5000.0


def covariance() -> np.ndarray:
    """Poisson errors with correlations between neighbours, and of the yield."""
    sigma = np.sqrt(YIELD * SHAPE)
    near = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    return 0.5**near * np.outer(sigma, sigma) + 0.03**2 * YIELD**2 * np.outer(SHAPE, SHAPE)


def histogram(truth: float, rng: np.random.Generator, **counts: int) -> Histogram:
    """Of a true value; data replicas have the whole covariance, the others a hundredth of it."""
    factor = np.linalg.cholesky(covariance())
    nominal = YIELD * LINEAR.at(truth) + factor @ rng.standard_normal(6)
    families = {name: family(name, count) for name, count in counts.items()}
    replicas = {
        name: nominal + (1.0 if name == "data_bootstrap" else 0.1) * rng.standard_normal((f.count, 6)) @ factor.T
        for name, f in families.items()
    }
    return Histogram(EDGES, nominal, replicas, families)


@pytest.mark.parametrize("replicas", [20, 60])
def test_the_fit_is_unbiased_and_its_pulls_have_unit_width(replicas: int) -> None:
    rng = np.random.default_rng(replicas)
    fits = [fit_parameter(histogram(10.7, rng, data_bootstrap=replicas), LINEAR) for _ in range(500)]
    pulls = np.array([(f.value - 10.7) / f.sigma for f in fits])
    assert abs(pulls.mean()) < 4.0 / np.sqrt(500)
    # Student's tails: the width of the pulls is that of the core.
    assert np.subtract(*np.quantile(pulls, [0.84, 0.16])) / 2 == pytest.approx(1.0, abs=0.12)
    assert np.mean([f.chi2 for f in fits]) == pytest.approx(fits[0].ndf, rel=0.12)
    assert np.mean([f.probability < 0.1 for f in fits]) == pytest.approx(0.1, abs=0.055)
    # Negative control: without the correction for few replicas the error would be too small.
    naive = np.array([np.std(f.replicas["data_bootstrap"], ddof=1) for f in fits])
    ratio = {20: 1.2, 60: 1.05}[replicas]
    assert np.mean([f.sigma for f in fits]) > ratio * naive.mean()
    jacobian = np.stack([YIELD * TILT, LINEAR.at(10.7)], axis=1)
    best = np.sqrt(np.linalg.inv(jacobian.T @ np.linalg.inv(covariance()) @ jacobian)[0, 0])
    assert 0.95 * best < np.std([f.value for f in fits]) < {20: 1.4, 60: 1.2}[replicas] * best


def test_families_have_their_own_part() -> None:
    rng = np.random.default_rng(1)
    fits = [fit_parameter(histogram(10.0, rng, data_bootstrap=80, initialisation=40), LINEAR) for _ in range(20)]
    ratio = np.mean([f.parts["initialisation"] / f.parts["data_bootstrap"] for f in fits])
    assert ratio == pytest.approx(0.1, rel=0.15)
    f = fits[0]
    assert f.sigma == pytest.approx(np.hypot(*f.parts.values()))
    assert f.to_json()["sigma"] == f.sigma


def test_templates_that_vary_add_their_error() -> None:
    rng = np.random.default_rng(2)
    h = histogram(10.0, rng, data_bootstrap=80, mc_bootstrap=30)
    plain = fit_parameter(h, LINEAR)
    moved = [Templates(10.0 + d, LINEAR.coefficients) for d in rng.normal(0, 0.5, 30)]
    found = fit_parameter(h, LINEAR, varied={"mc_bootstrap": moved})
    assert found.value == plain.value
    assert found.parts["mc_bootstrap"] > 0.4 > 2 * plain.parts["mc_bootstrap"]
    assert found.parts["data_bootstrap"] == plain.parts["data_bootstrap"]


def test_templates_follow_the_parameter_between_the_points() -> None:
    """Events of a normal distribution whose mean is the parameter; weights with a sign."""
    rng = np.random.default_rng(3)
    parameter = np.repeat([2.6, 2.8, 3.0, 3.2, 3.4], 40_000)
    values = parameter + rng.standard_normal(len(parameter))
    weights = np.where(rng.random(len(parameter)) < 0.1, -1.0, 1.0)
    found = Templates.of(parameter, values, weights, EDGES)
    assert found.at(2.8).sum() == pytest.approx(1.0)
    assert found.slope(2.8).sum() == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(found.slope(2.8), (found.at(2.801) - found.at(2.799)) / 0.002, atol=1e-9)
    inside = rng.normal(2.7, 1.0, 400_000)
    expected = np.histogram(inside, EDGES)[0] / np.histogram(inside, EDGES)[0].sum()
    np.testing.assert_allclose(found.at(2.7), expected, atol=0.006)
    assert abs(found.at(3.0) - expected).max() > 0.05


def test_curved_templates_far_from_the_data_have_their_minimum() -> None:
    """Full steps go to and fro where the curvature counts; the minimum is that of a scan."""
    curved = Templates(10.0, np.stack([SHAPE, TILT, -1.5 * TILT[::-1]]))
    metric = np.diag(1.0 / (YIELD * SHAPE))
    rng = np.random.default_rng(5)
    for _ in range(300):
        h = YIELD * SHAPE + 5.0 * np.sqrt(YIELD * SHAPE) * rng.standard_normal(6)
        value, chi2 = _minimum(h, curved, metric, 10.0)
        near = np.linspace(value - 0.05, value + 0.05, 11)
        scan = [
            (h - n * curved.at(p)) @ metric @ (h - n * curved.at(p))
            for p in near
            for n in [(h @ metric @ curved.at(p)) / (curved.at(p) @ metric @ curved.at(p))]
        ]
        assert chi2 <= min(scan) + 1e-3


def test_what_cannot_be_fitted_is_refused() -> None:
    rng = np.random.default_rng(4)
    with pytest.raises(InputError, match="merge bins"):
        fit_parameter(histogram(10.0, rng, data_bootstrap=8), LINEAR)
    with pytest.raises(InputError, match="no replicas"):
        fit_parameter(histogram(10.0, rng), LINEAR)
    with pytest.raises(InputError, match="degree 2 needs 3"):
        Templates.of(np.repeat([1.0, 2.0], 5), np.ones(10), np.ones(10), EDGES)
    with pytest.raises(InputError, match="no positive sum"):
        Templates.of(np.repeat([1.0, 2.0, 3.0], 5), np.full(15, 9.0), np.ones(15), EDGES)


@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_the_unit_of_the_parameter_changes_nothing(unit: float) -> None:
    """Templates are made, and fitted, from simulations of three values in either unit."""
    rng = np.random.default_rng(3)
    parameter = np.repeat([9.0, 10.0, 11.0], 4000)
    values = rng.normal(parameter - 7.0, 1.0)
    found = histogram(10.7, rng, data_bootstrap=60)
    fits = [fit_parameter(found, Templates.of(u * parameter, values, np.ones(12_000), EDGES)) for u in (1.0, unit)]
    assert fits[1].value / unit == pytest.approx(fits[0].value, rel=1e-6)
    assert fits[1].sigma / unit == pytest.approx(fits[0].sigma, rel=1e-4)
