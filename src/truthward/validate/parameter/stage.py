"""Fit a parameter of the simulation to an unfolded observable, and compare it with its true value if this is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from truthward.errors import InputError
from truthward.events.bootstrap import poisson_weights
from truthward.events.contract import SIGNAL
from truthward.events.table import EventTable
from truthward.events.unfolded import Unfolded
from truthward.records.validate.parameter import ValidatedParameter
from truthward.run.artefact import write_json
from truthward.run.provenance import Record
from truthward.validate.flags import LARGE_PULL, SMALL_P, flag
from truthward.validate.parameter.templates import Templates, fit_parameter

SIMULATED = "mc_bootstrap"
"""For this family the templates vary too: the method is trained with the same simulation that makes the templates."""


def validate_fit(
    unfolded: str | Path,
    *,
    simulation: str | Path,
    closure_truth: str | Path | None,
    parameter: str,
    observable: str,
    edges: Sequence[float],
    degree: int,
    seed: int,
    record: Record,
    output: str | Path,
) -> ValidatedParameter:
    """Fit a parameter to the result of a method, with templates from the truth of the simulation.

    `templates.fit_parameter` describes the fit.

    Args:
        unfolded: the result of the method; simulation: the table that was used to unfold it.
        closure_truth: the truth behind pseudo-data. If it is None, the true value is null.
        parameter: the simulation has it in the column truth_<parameter>.
        observable: the unfolded observable of the fit; edges: (B + 1,), of its bins.
        degree: of the polynomials in the templates; seed: of the study; it determines the bootstraps.
        output: JSON artefact.

    Returns:
        What was written: method, parameter, observable, edges; value, parts, sigma, chi2, ndf, probability and replicas
            of the fit; truth and pull (null if the true value is not known, or is not a single value); simulated: the
            values of the parameter; contents: unfolded, its sigma and fitted, (B,) each, and templates: (B,) for the
            smallest and the largest simulated value, with the yield of the fit; flags; provenance.

    Raises:
        InputError: the simulation has no such column or too few values in it, or the method does not unfold the
            observable.
    """
    result, table = Unfolded(unfolded), EventTable(simulation)
    column, bins = f"truth_{parameter}", np.asarray(edges, dtype=float)
    if column not in table.columns:
        have = ", ".join(c for c in table.columns if c.startswith("truth_"))
        raise InputError(f"{simulation}: no column {column}, but validate.fit needs it; there are {have}")
    if observable not in result.observables:
        raise InputError(f"{unfolded}: {observable} was not unfolded; unfolded: {', '.join(result.observables)}")
    events = table.read([column, f"truth_{observable}", "pass_truth", "weight", "process", "event_id"])
    inside = events["pass_truth"] & (events["process"] == SIGNAL)
    values, x, weight, ids = (events[c][inside] for c in (column, f"truth_{observable}", "weight", "event_id"))

    def templates(counts: np.ndarray | float = 1.0) -> Templates:
        return Templates.of(values, x.astype(np.float64), weight * counts, bins, degree=degree)

    count = result.families[SIMULATED].count if SIMULATED in result.families else 0
    varied = [templates(poisson_weights(ids, seed=seed, family=SIMULATED, index=i)) for i in range(count)]
    histogram, shape = result.histogram(observable, bins), templates()
    fit = fit_parameter(histogram, shape, varied={SIMULATED: varied})
    truth, yields = _true(closure_truth, column), float(histogram.nominal.sum())
    ends = [float(values.min()), float(values.max())]
    pull = None if truth is None else (fit.value - truth) / fit.sigma
    flags = []
    if pull is not None and abs(pull) > LARGE_PULL:
        flags.append(
            flag("fit", observable, f"{parameter} {fit.value:.5g} +- {fit.sigma:.2g}, the true value is {truth:.5g}")
        )
    if fit.probability < SMALL_P:
        flags.append(
            flag("fit", observable, f"chi2 {fit.chi2:.1f} for {fit.ndf} degrees of freedom, p = {fit.probability:.1g}")
        )
    if not ends[0] <= fit.value <= ends[1]:
        flags.append(flag("fit", observable, f"{parameter} {fit.value:.5g} is outside of the simulated values"))
    content: ValidatedParameter = {
        "method": result.metadata["method"],
        "parameter": parameter,
        "observable": observable,
        "edges": bins.tolist(),
        **fit.to_json(),
        "truth": truth,
        "pull": pull,
        "simulated": np.unique(values).tolist(),
        "contents": {
            "unfolded": histogram.nominal.tolist(),
            "sigma": histogram.sigma.tolist(),
            "fitted": (yields * shape.at(fit.value)).tolist(),
            "templates": [(yields * shape.at(end)).tolist() for end in ends],
        },
        "flags": flags,
        "provenance": record.finish(events_in=result.num_rows + len(values), events_out=1),
    }
    write_json(output, content)
    return content


def _true(path: str | Path | None, column: str) -> float | None:
    """The true value of the parameter in pseudo-data; None if it is not known, or if there are several values."""
    if path is None or column not in EventTable(path).columns:
        return None
    events = EventTable(path).read([column, "pass_truth"])
    found = np.unique(events[column][events["pass_truth"]])
    return float(found[0]) if len(found) == 1 else None
