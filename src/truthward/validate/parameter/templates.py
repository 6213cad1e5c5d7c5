"""Fit a parameter of the simulation to an unfolded histogram: templates, a chi2 with the covariance, and errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import f as f_of

from truthward.errors import DivergedError, InputError
from truthward.events.bins import binned
from truthward.events.families import Histogram
from truthward.records.validate.parameter import FittedParameter

STEPS = 500
SETTLED = 1e-4
"""The fit has settled if a step is smaller than this number of standard deviations of the parameter."""

FITTED = 2
"""Number of fitted quantities: the parameter and the normalisation."""


@dataclass(frozen=True)
class Templates:
    """Normalised contents of bins as polynomials of a parameter.

    centre: the value about which the polynomials are expanded; coefficients: (degree + 1, B), the constant first.
    """

    centre: float
    coefficients: np.ndarray

    @classmethod
    def of(
        cls, parameter: np.ndarray, values: np.ndarray, weights: np.ndarray, edges: np.ndarray, *, degree: int = 2
    ) -> Templates:
        """Fit the polynomials to simulated events with several values of the parameter, by least squares.

        The weight of each value in the fit is the effective size of its sample.

        Args:
            parameter, values, weights: (N,), of the truth-level events; edges: (B + 1,).

        Raises:
            InputError: there are too few values of the parameter for the degree, or the weights of one value have no
                positive sum.
        """
        points, group = np.unique(parameter, return_inverse=True)
        if len(points) <= degree or not np.isfinite(points).all():
            raise InputError(
                f"templates: {len(points)} values of the parameter given; a polynomial of degree {degree} needs "
                f"{degree + 1} finite ones"
            )
        shares, sizes = np.empty((len(points), len(edges) - 1)), np.empty(len(points))
        for k in range(len(points)):
            found = binned(values[group == k], edges, weights[group == k])
            if not found.sum() > 0.0:
                raise InputError(
                    f"templates: the weights of the events with parameter {points[k]:g} have no positive sum within "
                    "the bins; simulate more events, or widen the bins"
                )
            shares[k] = found / found.sum()
            sizes[k] = found.sum() ** 2 / (weights[group == k] ** 2).sum()
        centre = float(points.mean())
        # All bins have the same weights in the fit, so that the polynomials sum to one.
        root = np.sqrt(sizes)[:, None]
        # In units of the range: a least-squares fit drops columns that are small compared with the others.
        span = float(np.ptp(points)) or 1.0
        design = np.vander((points - centre) / span, degree + 1, increasing=True)
        found = np.linalg.lstsq(root * design, root * shares, rcond=None)[0]
        return cls(centre, found / span ** np.arange(degree + 1)[:, None])

    def at(self, parameter: float) -> np.ndarray:
        """Contents of the bins (B,); their sum is one."""
        return (parameter - self.centre) ** np.arange(len(self.coefficients)) @ self.coefficients

    def slope(self, parameter: float) -> np.ndarray:
        """Derivative of the contents with respect to the parameter, (B,)."""
        power = np.arange(1, len(self.coefficients))
        return (power * (parameter - self.centre) ** (power - 1)) @ self.coefficients[1:]


@dataclass(frozen=True)
class Fitted:
    """The result of the fit.

    value: the fitted parameter; parts: family -> its standard deviation from this family. probability: of a larger chi2
    with ndf degrees of freedom. replicas: family -> the fitted value for each replica, (R,).
    """

    value: float
    parts: dict[str, float]
    chi2: float
    ndf: int
    probability: float
    replicas: dict[str, list[float]]

    @property
    def sigma(self) -> float:
        """Total standard deviation."""
        return float(np.sqrt(sum(s**2 for s in self.parts.values())))

    def to_json(self) -> FittedParameter:
        """The fields, and the total standard deviation."""
        return {
            "value": self.value,
            "parts": self.parts,
            "sigma": self.sigma,
            "chi2": self.chi2,
            "ndf": self.ndf,
            "probability": self.probability,
            "replicas": self.replicas,
        }


def fit_parameter(
    histogram: Histogram, templates: Templates, *, varied: Mapping[str, Sequence[Templates]] | None = None
) -> Fitted:
    """Minimise chi2 = (h - n T(theta))^T V^-1 (h - n T(theta)) over the parameter theta and the yield n.

    V is the sum of the families' covariances. Each replica is fitted as well, with the same V. The spread of the
    replicas is the error of theta for each family. This holds for any V. But V is estimated from few replicas, and this
    has three effects. The inverse of V is too large on average (Hartlap et al. astro-ph/0608064, eq. 17). The estimate
    of theta is not the best one. And the replicas that make V seem to fluctuate less than they do (Dodelson and
    Schneider 1304.2593).

    Let nu be the degrees of freedom of V, and d = B - 2 the degrees of freedom of the fit. chi2 is multiplied by (nu -
    d - 1) / nu, and its probability follows from Hotelling's T^2. The variances are multiplied by nu (nu - 1) / ((nu -
    d) (nu - d - 1)). For a sum of variances nu = (sum tr V_f)^2 / sum((tr V_f)^2 / nu_f).

    Args:
        histogram: (B,) contents of the unfolded observable, with its replicas.
        templates: for the bins of `histogram`.
        varied: family -> templates for each of its replicas, if the templates vary too. For example, templates with the
            weights of an `mc_bootstrap` replica have the statistical error of the templates together with the error of
            the training.

    Raises:
        InputError: there are too few replicas for the number of bins. DivergedError: no minimum is found.
    """
    h, bins = histogram.nominal, histogram.nominal.size
    if bins <= FITTED:
        raise InputError(f"fit: {bins} bins for {FITTED} fitted numbers; give more bins")
    covariances = {n: histogram.families[n].covariance(histogram.replicas[n], h) for n in histogram.parts}
    traces = {n: np.trace(c) for n, c in covariances.items()}
    freedom = {n: histogram.families[n].count - histogram.families[n].ddof for n in covariances}
    if not sum(traces.values()) > 0.0:
        raise InputError("fit: the histogram has no replicas that vary, so it has no covariance; set `unfold.replicas`")
    nu = sum(traces.values()) ** 2 / sum(t**2 / freedom[n] for n, t in traces.items())
    if nu < bins + 3:
        raise InputError(
            f"fit: a covariance of {nu:.1f} effective degrees of freedom for {bins} bins; merge bins, or make more "
            "replicas of the family that dominates"
        )
    metric = np.linalg.inv(sum(covariances.values()))
    value, distance = _minimum(h, templates, metric, templates.centre)
    ndf = bins - FITTED
    parts, replicas, variance = {}, {}, nu * (nu - 1.0) / ((nu - ndf) * (nu - ndf - 1.0))
    for name in covariances:
        own = (varied or {}).get(name, [templates] * histogram.families[name].count)
        found = [_minimum(r, t, metric, value)[0] for r, t in zip(histogram.replicas[name], own, strict=True)]
        replicas[name] = found
        spread = histogram.families[name].variance(np.array(found)[:, None], np.array([value]))[0]
        parts[name] = float(np.sqrt(variance * spread))
    probability = float(f_of.sf(distance * (nu - ndf + 1.0) / (ndf * nu), ndf, nu - ndf + 1.0))
    return Fitted(value, parts, distance * (nu - ndf - 1.0) / nu, ndf, probability, replicas)


def _minimum(h: np.ndarray, templates: Templates, metric: np.ndarray, start: float) -> tuple[float, float]:
    """The parameter at the minimum and the chi2 there, by Gauss-Newton steps. A step is halved until chi2 falls."""

    def distance(at: np.ndarray) -> float:
        left = h - at[1] * templates.at(at[0])
        return float(left @ metric @ left)

    at = np.array([start, h.sum()])
    now = distance(at)
    for _ in range(STEPS):
        shape = templates.at(at[0])
        jacobian = np.stack([at[1] * templates.slope(at[0]), shape], axis=1)
        covariance = np.linalg.inv(jacobian.T @ metric @ jacobian)
        step = covariance @ (jacobian.T @ metric @ (h - at[1] * shape))
        small = SETTLED * np.sqrt(covariance[0, 0])
        while abs(step[0]) > small and distance(at + step) > now:
            step = 0.5 * step
        at, before, now = at + step, now, distance(at + step)
        # With curved templates, the steps become small slowly, long after chi2 has settled.
        if abs(step[0]) <= small or 0.0 <= before - now < 1e-9 * (1.0 + now):
            return float(at[0]), now
    raise DivergedError(
        f"fit: no minimum after {STEPS} steps, last at {at[0]:.4g}; check that the bins depend on the parameter"
    )
