"""The iterations of OmniFold, for E replicas at once, however the logits of its steps are found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from truthward.ratio.reweight import auc, mean_ratio, normalise
from truthward.unfold.arrays import effective_size, largest_over_mean
from truthward.unfold.omnifold_sample import Sample, Watch
from truthward.unfold.omnifold_steps import Found, Steps


@dataclass(frozen=True)
class Rules:
    """How many iterations, and what else than the signal is in the data; see `omnifold.Omnifold`."""

    iterations: int
    tolerance: float
    fakes: Literal["absolute", "share"]
    background: Literal["expected", "subtract", "positive"]


@dataclass
class Chain:
    """What the iterations gave: nu (n, E) of all fiducial events, and for each iteration diagnostics name -> (E,)."""

    nu: np.ndarray
    history: list[dict[str, Any]]


def iterate(sample: Sample, steps: Steps, rules: Rules) -> Chain:
    """Iterate until a step moves the nominal, the first member, by less than `tolerance` (0: never), or to the end."""
    watch = Watch(sample)
    nu, fake_weight = np.ones((len(sample.weight), sample.members)), sample.fake_weight
    contents, history = watch.contents(sample.weight), []
    for iteration in range(rules.iterations):
        # The share of fakes is one of the signal: for the first ratio the background is taken from the data.
        subtract = rules.background == "subtract" or (rules.fakes == "share" and iteration == 0)
        expected = np.concatenate([sample.matched_weight * nu[sample.matched], fake_weight])
        omega, entry = _reco_step(sample, steps, iteration, expected, subtract)
        omega, omega_fakes = np.split(omega, [len(sample.matched_weight)])
        if rules.fakes == "share" and iteration == 0:
            fake_weight = fake_weight * omega_fakes
        before = sample.weight * nu
        nu, more = _truth_step(sample, steps, iteration, nu[sample.matched] * omega)
        unfolded = sample.weight * nu
        previous, contents = contents, watch.contents(unfolded)
        simulated = np.concatenate([sample.matched_weight * nu[sample.matched], fake_weight, sample.background_weight])
        chi2, terms = watch.refold(simulated, sample.data_weight)
        entry |= more | {
            "yield_before": before.sum(axis=0),
            "yield": unfolded.sum(axis=0),
            "effective_size": effective_size(unfolded),
            "largest_over_mean": largest_over_mean(unfolded),
            "change": watch.change(previous, contents, sample),
            "refold_chi2": chi2,
            "refold_ndf": np.full(len(chi2), terms),
        }
        history.append(entry)
        if iteration and entry["change"][0] < rules.tolerance:
            break
    return Chain(nu, history)


def _reco_step(
    sample: Sample, steps: Steps, iteration: int, expected: np.ndarray, subtract: bool
) -> tuple[np.ndarray, dict[str, Any]]:
    """omega at the matched events and fakes, whose weights are `expected` (rows, E), and diagnostics.

    The background stands in the denominator, or where `subtract` with negative weights in the numerator.
    """
    data = len(sample.data_weight)
    background = sample.background_weight * (-1.0 if subtract else 1.0)
    weights = np.concatenate([sample.data_weight, expected, background])
    rows = np.arange(len(weights))
    numerator = (rows < data) | ((rows >= data + len(expected)) & subtract)
    found = steps.reco(sample, iteration, numerator, weights)
    total, simulated = weights[numerator].sum(axis=0), weights[~numerator].sum(axis=0)
    log_ratio = found.logits[~numerator] + np.log(total / simulated)
    omega, off = normalise(log_ratio, weights[~numerator], total)
    judged = slice(None) if found.judged is None else found.judged
    areas = [auc(x[judged], numerator[judged], w[judged]) for x, w in zip(found.logits.T, weights.T, strict=True)]
    return omega[: len(expected)], found.diagnostics | {"auc_reco": np.array(areas), "normalisation_reco": off}


def _truth_step(sample: Sample, steps: Steps, iteration: int, ratio: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """nu of all fiducial events (n, E), and diagnostics."""
    weights = sample.matched_weight
    found: Found = steps.truth(sample, iteration, ratio)
    offset = np.log(mean_ratio(ratio, weights, f"iteration {iteration + 1}, truth"))
    _, off = normalise(found.logits[sample.matched] + offset, weights, (weights * ratio).sum(axis=0))
    return np.exp(found.logits + offset - off), found.diagnostics | {"normalisation_truth": off}
