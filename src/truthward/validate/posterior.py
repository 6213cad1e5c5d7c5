"""Test whether p(truth | reco) of a generative unfolding is the posterior: ranks of the truth among the draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from truthward.errors import InputError
from truthward.events.hashing import uniform
from truthward.learn.checkpoint import load_arrays
from truthward.records.shared import Flag
from truthward.records.validate.posterior import Uniformity, ValidatedPosterior
from truthward.run.artefact import write_json
from truthward.run.provenance import Record
from truthward.study.seeds import seed_for
from truthward.validate.flags import SMALL_P, flag

BINS = 20
"""Bins of a rank histogram. The number of draws of an event plus one is a multiple of it."""

SIMULATIONS = 9999
"""Number of uniform samples for p-values and bands: no p-value is below 1e-4."""

SHOWN = 50
"""Points of a coverage curve."""


def ranks(truth: np.ndarray, draws: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """Number of draws below the truth: (n,) and (n, K) -> (n,) from 0 to K.

    The ranks are uniform if the draws come from the posterior for the prior of the truth (simulation-based calibration,
    1804.06788, theorem 1).

    Args:
        ties: (n,) uniform on [0, 1): position of a truth among draws that are equal to it. Without it, the ranks of an
            integer or of an atom could not be uniform.
    """
    below, equal = (draws < truth[:, None]).sum(axis=1), (draws == truth[:, None]).sum(axis=1)
    return below + np.floor(ties * (equal + 1)).astype(int)


def distance_ranks(truth: np.ndarray, draws: np.ndarray, reference: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """Number of draws that are closer to the reference point than the truth: (n, D), (n, K, D), (n, D) -> (n,), 0 to K.

    This is the credibility of the smallest region about the reference that has the truth (TARP, 2302.03026, algorithm
    2).

    Args:
        reference: any point that does not depend on the event's own truth. All columns have comparable units.
        ties: see `ranks`.
    """
    # One computation for all: equal points then have equal distances to the last digit.
    every = np.concatenate([truth[:, None], draws], axis=1).astype(np.float64) - reference[:, None]
    distance = (every**2).sum(axis=2)
    return ranks(distance[:, 0], distance[:, 1:], ties)


def uniformity(found: np.ndarray, draws: int, weights: np.ndarray, *, seed: int) -> Uniformity:
    """Test whether weighted ranks are uniform.

    The sums of weights w for each rank are uniform, but their errors are not: w may depend on the truth, and so on the
    rank. So the null distributions of the tests are simulated, with a Gaussian of variance w^2 for each event about the
    uniform expectation (multiplier bootstrap). This is exact for many events, also with negative weights.

    Args:
        found: (n,) ranks from 0 to `draws`; weights: (n,), with a positive sum.

    Returns:
        fractions: (BINS,) of the weights, relative to uniform ranks; error: (BINS,); chi2: {value, ndf, p} (Pearson's,
            at the effective size); ks: {value, p} (Kolmogorov's distance); spread: {value, error}, the spread of the
            ranks relative to uniform ranks: above one if the draws are too narrow, below one if they are too wide;
            coverage: {credibility, value, sd, band} at `SHOWN` points. value: share of events with a rank below; sd:
            its expected standard deviation; band: half width of the band that has the whole curve with a probability of
            95%.

    Raises:
        InputError: the weights have no positive sum, or `draws` + 1 is no multiple of `BINS`.
    """
    levels, total = draws + 1, float(weights.sum())
    if not total > 0:
        raise InputError(f"posterior: {len(weights)} held-out weights sum to {total:g}; a positive sum is needed")
    if levels % BINS:
        raise InputError(f"posterior: {draws} draws per event given; {BINS} bins need a multiple of {BINS}, minus one")
    sums, squares = (np.bincount(found, weights=weights**p, minlength=levels) for p in (1, 2))
    expected = np.arange(1, levels + 1) / levels
    random = np.random.default_rng(seed).standard_normal((SIMULATIONS, levels)) * np.sqrt(squares)
    # The Gaussian of an event counts at its rank. The equal share that each rank expects is subtracted.
    null = np.cumsum(random, axis=1) - expected * random.sum(axis=1, keepdims=True)
    curves = np.concatenate([(np.cumsum(sums) - expected * total)[None], null]) / total
    binned = np.diff(curves[:, levels // BINS - 1 :: levels // BINS], axis=1, prepend=0.0)
    size = total**2 / squares.sum()
    chi2 = size * BINS * (binned**2).sum(axis=1)
    distance = np.abs(curves).max(axis=1)
    sd, chosen = curves[1:].std(axis=0), np.unique(np.linspace(0, levels - 2, SHOWN).round().astype(int))
    u = (found + 0.5) / levels - 0.5
    flat = (1 - levels**-2) / 12
    excess = float((weights * (u**2 - flat)).sum() / total / flat)
    error = float(np.sqrt((weights**2 * (u**2 - flat) ** 2).sum()) / total / flat)
    spread = max(1 + excess, 0.0) ** 0.5
    return {
        "fractions": (BINS * binned[0] + 1).tolist(),
        "error": (BINS * binned[1:].std(axis=0)).tolist(),
        "chi2": {"value": float(chi2[0]), "ndf": BINS - 1, "p": _p(chi2)},
        "ks": {"value": float(distance[0]), "p": _p(distance)},
        "spread": {"value": spread, "error": error / 2 / max(spread, 1e-9)},
        "coverage": {
            "credibility": expected[chosen].tolist(),
            "value": (curves[0] + expected)[chosen].tolist(),
            "sd": sd[chosen].tolist(),
            "band": float(np.quantile(distance[1:], 0.95)),
        },
    }


def validate_posterior(posterior: str | Path, *, seed: int, record: Record, output: str | Path) -> ValidatedPosterior:
    """Test the draws of a method for held-out simulated events, with the weights of the simulation.

    The tested posterior is from the first networks, before any removal of the prior: its prior is the simulation. If
    the posterior of one observable is correct, the others need not be. So ranks test each observable, and TARP tests
    all jointly, with the truth of another event as the reference.

    Args:
        posterior: what `unfold.stage.unfold_posterior` wrote.
        output: JSON artefact.

    Returns:
        What was written: {conditional, draws, ranks: {observable: `uniformity`}, tarp: `uniformity`, used: {events,
            used}, flags, provenance}. For a method that maps distributions, `conditional` is false. Such a method
            states no posterior, so there are no flags.
    """
    held = load_arrays(posterior)
    names = sorted(n.removeprefix("truth.") for n in held if n.startswith("truth."))
    ids, weights, conditional = held["event_id"], held["weight"], bool(held["conditional"].item())
    truth, draws = (np.stack([held[f"{what}.{n}"] for n in names], axis=-1) for what in ("truth", "draws"))
    count = draws.shape[1]

    def ties(name: str) -> np.ndarray:
        return uniform(ids, seed_for(seed, "posterior", "ties", name))

    each = {}
    for column, name in enumerate(names):
        found = ranks(truth[:, column], draws[:, :, column], ties(name))
        each[name] = uniformity(found, count, weights, seed=seed_for(seed, "posterior", name))
    # Half of the central 68%: otherwise one value far away would remove the influence of its observable.
    scale = 0.5 * np.diff(np.quantile(truth.astype(np.float64), [0.16, 0.84], axis=0), axis=0)[0]
    scale = np.where(scale > 0, scale, truth.std(axis=0, dtype=np.float64))
    scale[scale == 0] = 1.0
    order = np.argsort(uniform(ids, seed_for(seed, "posterior", "reference")))
    reference = np.empty_like(truth)
    reference[order] = truth[np.roll(order, 1)]
    found = distance_ranks(truth / scale, draws / scale, reference / scale, ties("all jointly"))
    jointly = uniformity(found, count, weights, seed=seed_for(seed, "posterior", "all jointly"))
    flags = [f for name, figures in each.items() for f in _flags("ranks", name, figures)]
    flags += _flags("tarp", None, jointly)
    content: ValidatedPosterior = {
        "conditional": conditional,
        "draws": count,
        "ranks": each,
        "tarp": jointly,
        "used": {"events": held["events"].item(), "used": len(ids)},
        "flags": flags if conditional else [],
        "provenance": record.finish(events_in=held["events"].item(), events_out=len(ids)),
    }
    write_json(output, content)
    return content


def _p(statistic: np.ndarray) -> float:
    """Share of all values that are at least as large as the first one, the first one included."""
    return float((statistic >= statistic[0]).mean())


def _flags(test: str, observable: str | None, figures: Uniformity) -> list[Flag]:
    if min(figures["chi2"]["p"], figures["ks"]["p"]) >= SMALL_P:
        return []
    message = (
        f"not uniform: p = {figures['chi2']['p']:.1g} (chi2), {figures['ks']['p']:.1g} (KS); spread "
        f"{figures['spread']['value']:.3f} +- {figures['spread']['error']:.3f} of uniform ranks"
    )
    return [flag(test, observable, message)]
