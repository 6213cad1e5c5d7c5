"""A parameter of the simulation fitted from an unfolded histogram: templates, chi2 with its covariance, and errors."""

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
"""Step in standard deviations of the parameter below which the fit has settled."""

FITTED = 2
"""The parameter and the normalisation."""


@dataclass(frozen=True)
class Templates:
    """Normalised contents of bins as polynomials of a parameter.

    centre: where the polynomials are expanded; coefficients: (degree + 1, B), constant first.
    """

    centre: float
    coefficients: np.ndarray

    @classmethod
    def of(
        cls, parameter: np.ndarray, values: np.ndarray, weights: np.ndarray, edges: np.ndarray, *, degree: int = 2
    ) -> Templates:
        """Fitted to simulated events of several values of the parameter, by least squares with the effective size of
        each value's sample as its weight.

        Args:
            parameter, values, weights: (N,), of the truth-level events; edges: (B + 1,).

        Raises:
            InputError: too few values of the parameter for the degree, or a value whose weights have no positive sum.
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
        # All bins have the same weights, so that the polynomials sum to one.
        root = np.sqrt(sizes)[:, None]
        # In units of their range: a least-squares fit drops what is small beside the rest, whatever its unit.
        span = float(np.ptp(points)) or 1.0
        design = np.vander((points - centre) / span, degree + 1, increasing=True)
        found = np.linalg.lstsq(root * design, root * shares, rcond=None)[0]
        return cls(centre, found / span ** np.arange(degree + 1)[:, None])

    def at(self, parameter: float) -> np.ndarray:
        """Contents of the bins (B,), of sum one."""
        return (parameter - self.centre) ** np.arange(len(self.coefficients)) @ self.coefficients

    def slope(self, parameter: float) -> np.ndarray:
        """Their derivative by the parameter, (B,)."""
        power = np.arange(1, len(self.coefficients))
        return (power * (parameter - self.centre) ** (power - 1)) @ self.coefficients[1:]


@dataclass(frozen=True)
class Fitted:
    """value: of the parameter; parts: its standard deviation by family; chi2 with ndf degrees of freedom and the
    probability of a larger one; replicas: what was fitted to each replica, family -> (R,)."""

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
        """The fields and the total."""
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

    V is the sum of the families' covariances. Each replica is fitted as well, with the V of all: their spread is the
    error of theta by family, whatever V is. V being estimated from few replicas, its inverse is too large on average
    (Hartlap et al. astro-ph/0608064, eq. 17), the estimate is not the best one, and the replicas that made V seem to
    fluctuate less than they do (Dodelson and Schneider 1304.2593). With nu degrees of freedom of V and d = B - 2 of the
    fit, chi2 is multiplied with (nu - d - 1) / nu, its probability is that of Hotelling's T^2, and the variances are
    multiplied with nu (nu - 1) / ((nu - d) (nu - d - 1)). nu is that of a sum of variances,
    (sum tr V_f)^2 / sum((tr V_f)^2 / nu_f).

    Args:
        histogram: of the unfolded observable, (B,) contents, with its replicas.
        templates: of the bins of `histogram`.
        varied: family -> templates for each of its replicas, where what makes them varies too: `mc_bootstrap` with the
            weights of the replica states the statistics of the templates along with those of the training.

    Raises:
        InputError: too few replicas for the number of bins. DivergedError: no minimum is found.
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
    """The parameter at the minimum and chi2 there, by Gauss and Newton's steps, halved until they lead down."""

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
        # Where the templates are curved the steps become small slowly, long after chi2 has settled.
        if abs(step[0]) <= small or 0.0 <= before - now < 1e-9 * (1.0 + now):
            return float(at[0]), now
    raise DivergedError(
        f"fit: no minimum after {STEPS} steps, last at {at[0]:.4g}; check that the bins depend on the parameter"
    )
