"""Re-weight hidden quantities, which are not unfolded but change the response, to the data, or tilt them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from truthward.errors import InputError
from truthward.events.effective_size import effective_size, largest_over_mean
from truthward.ratio.two_step import conditional_mean, two_step
from truthward.records.systematics import Varied, WeightFigures
from truthward.study.seeds import seed_for
from truthward.systematics.sample import Measured, Simulated

log = logging.getLogger(__name__)

ITERATIONS = 5
"""Iterations of the joint re-weighting. Hidden quantities that the detector measures need only the first few."""

FUNCTION = 0.02
"""Smallest share of the variance of a hidden quantity that the observables must not explain, for a tilt."""


def as_in_data(
    simulation: Simulated,
    data: Measured,
    nu: np.ndarray,
    columns: Sequence[str],
    names: Sequence[str],
    *,
    name: str,
    seed: int,
) -> tuple[np.ndarray, Varied]:
    """Weights (N,) that give hidden quantities h the distribution of the data, at each truth t of the observables.

    An unfolding in (t, h) jointly, starting from nu(t), gives nu(t, h); the weight is w nu(t, h) / E[nu|t]. With h
    alone, a part of the re-weighting would come from another spectrum of t. With the full nu(t, h) the prior would
    change as well, which the iterations cover. Here the spectra of t stay as simulated, and only the response changes.
    Fakes and background keep their weights.

    Args:
        nu: factors (n,) of the fiducial events, see `closure.truth_weights`. columns: names of the hidden quantities;
            names: names of the unfolded observables.

    Returns:
        The weights; and for the summary the shift of each quantity's mean at fixed truth, in its standard deviations,
        the effective sizes, and the largest weight over the mean.

    Raises:
        InputError: all quantities are functions of the observables, or do not vary. If only some are, this is logged.
    """
    key = f"systematics.{name}"
    matched, fiducial = simulation.masks["matched"], simulation.fiducial
    fixed, inside = simulation.masks["fakes"] | simulation.masks["background"], matched[fiducial]
    hidden = simulation.values("truth", columns, fiducial, key)
    latent = np.concatenate([simulation.truth[fiducial], hidden], axis=1)

    scores = _scores(hidden, simulation.weight[fiducial])
    explained = [_explained(simulation, score) for score in scores.T]
    given = zip(columns, scores.T, explained, strict=True)
    if fixed_by := [column for column, score, (_, sigma) in given if not _is_free(simulation, score, sigma)]:
        text = (
            f"{simulation.table.path}: {key}: {', '.join(f'truth_{c}' for c in fixed_by)}: a function of the unfolded "
            "observables, or a single value, so nothing is hidden; remove it from `columns`"
        )
        if len(fixed_by) == len(columns):
            raise InputError(text)
        log.warning(text)

    def seen(where: np.ndarray) -> np.ndarray:
        return np.concatenate([simulation.reco[where], simulation.values("reco", columns, where, key)], axis=1)

    joint = two_step(
        data.values([*names, *columns], key),
        data.weight,
        seen(matched),
        latent[inside],
        simulation.weight[matched],
        seen(fixed),
        simulation.weight[fixed],
        latent,
        iterations=ITERATIONS,
        seed=seed,
        start=nu[inside],
        label=name,
    )
    factor = _at_fixed_truth(simulation, joint, seed_for(seed, "prior"), f"{name}, prior")
    weight = simulation.reweighted(factor)
    moved = {}
    for column, score, (centre, sigma) in zip(columns, scores.T, explained, strict=True):
        w = simulation.weight[fiducial]
        residual = score - centre
        # A quantity that the observables determine cannot change.
        shift = np.average(residual, weights=w * factor) - np.average(residual, weights=w)
        moved[column] = float(shift / sigma) if sigma > 0 else 0.0
    return weight, {"columns": list(columns), "moved": moved, **_sizes(simulation, weight)}


def tilted(
    simulation: Simulated, column: str, *, name: str, size: float | None, other: Simulated | None, seed: int
) -> tuple[list[np.ndarray], Varied]:
    """Weights (N,) that tilt a quantity of the truth level up, and down, at each truth t of the observables.

    With z its normal score and u = (z - E[z|t]) / sigma(z|t), the weights are w exp(+-size u) / E[exp(+-size u) | t].
    The mean of z at fixed t moves by about +-size of its standard deviations, the spectra of t stay as they are.

    Args:
        column: `truth_<name>`. size: size of the tilt. With None it comes from another sample, `other`: the difference
            of the mean of z at fixed t, from a fit of both samples with a common quadratic E[z | t].

    Raises:
        InputError: a quantity that is a function of the observables, or that does not vary.
    """
    hidden, key, fiducial = column.removeprefix("truth_"), f"systematics.{name}", simulation.fiducial
    values = simulation.values("truth", [hidden], fiducial, key)
    score = _scores(values, simulation.weight[fiducial])[:, 0]
    centre, sigma = _explained(simulation, score)
    if not _is_free(simulation, score, sigma):
        raise InputError(
            f"{simulation.table.path}: {key}: {column} is a function of the unfolded observables, or has a single "
            "value, so nothing is hidden; remove it from `columns`"
        )
    if other is not None:
        size = _difference(simulation, other, hidden, values[:, 0], score, key) / sigma
    elif size is None:
        raise InputError(f"{key}: {column} is tilted, so `size` or `sample` is needed; give one of them")
    u = (score - centre) / sigma
    weights, moved = [], []
    for sign in (1.0, -1.0):
        factor = _at_fixed_truth(simulation, np.exp(sign * size * u), seed_for(seed, "tilt", sign), f"{name}, tilt")
        weights.append(simulation.reweighted(factor))
        moved.append(float(np.average(u, weights=weights[-1][fiducial])))
    return weights, {"column": column, "size": float(size), "moved": moved, **_sizes(simulation, weights[0])}


def _is_free(simulation: Simulated, score: np.ndarray, sigma: float) -> bool:
    """Whether a score (n,) still varies at fixed observables, with standard deviation sigma."""
    weight = np.abs(simulation.weight[simulation.fiducial])
    return bool(sigma**2 > FUNCTION * np.average(score**2, weights=weight))


def _at_fixed_truth(simulation: Simulated, factor: np.ndarray, seed: int, label: str) -> np.ndarray:
    """Factors (n,) of fiducial events, divided by their mean at the same truth.

    So the spectra of the observables keep their shape, and the yield stays exactly the same.
    """
    truth, w = simulation.truth[simulation.fiducial], simulation.weight[simulation.fiducial]
    found = factor / conditional_mean(truth, factor, w, truth, seed=seed, label=label)
    return found * (w.sum() / (w * found).sum())


def _scores(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Standard normal scores of the columns (n, D) from weighted ranks; equal values share their mean rank."""
    found = np.empty(values.shape)
    for d, column in enumerate(values.T):
        levels, place = np.unique(column, return_inverse=True)
        mass = np.bincount(place, np.abs(weight), minlength=len(levels))
        found[:, d] = ndtri((np.cumsum(mass) - 0.5 * mass) / mass.sum())[place]
    return found


def _quadratic(simulation: Simulated, reference: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Terms of a quadratic fit, (n, P): one, the scores of the truth observables by a reference, and their products."""
    truth = simulation.truth[simulation.fiducial]
    scores = np.stack([_like(x, r, weight) for x, r in zip(truth.T, reference.T, strict=True)], axis=1)
    i, j = np.triu_indices(scores.shape[1])
    return np.concatenate([np.ones((len(scores), 1)), scores, scores[:, i] * scores[:, j]], axis=1)


def _like(values: np.ndarray, reference: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Scores of values in the ranks of a reference sample with weights."""
    levels, first = np.unique(reference, return_index=True)
    return np.interp(values, levels, _scores(reference[:, None], weight)[first, 0])


def _explained(simulation: Simulated, score: np.ndarray) -> tuple[np.ndarray, float]:
    """E[z | t] by a quadratic fit, (n,), and the standard deviation of the residual."""
    w = np.abs(simulation.weight[simulation.fiducial])
    design = _quadratic(simulation, simulation.truth[simulation.fiducial], simulation.weight[simulation.fiducial])
    root = np.sqrt(w)[:, None]
    centre = design @ np.linalg.lstsq(root * design, root[:, 0] * score, rcond=None)[0]
    return centre, float(np.sqrt(np.average((score - centre) ** 2, weights=w)))


def _difference(
    simulation: Simulated, other: Simulated, hidden: str, values: np.ndarray, score: np.ndarray, key: str
) -> float:
    """Size of the difference of the mean score in another sample at the same truth."""
    inside, weight = simulation.fiducial, simulation.weight[simulation.fiducial]
    z = np.concatenate([score, _like(other.values("truth", [hidden], other.fiducial, key)[:, 0], values, weight)])
    design = np.concatenate([_quadratic(s, simulation.truth[inside], weight) for s in (simulation, other)])
    flag = (np.arange(len(z)) >= len(score)).astype(float)
    w = np.concatenate([np.abs(s.weight[s.fiducial]) / np.abs(s.weight[s.fiducial]).sum() for s in (simulation, other)])
    root = np.sqrt(w)[:, None]
    found = np.linalg.lstsq(root * np.column_stack([design, flag]), root[:, 0] * z, rcond=None)[0]
    return float(abs(found[-1]))


def _sizes(simulation: Simulated, weight: np.ndarray) -> WeightFigures:
    used = simulation.fiducial
    return {
        "effective_size_before": float(effective_size(simulation.weight[used])),
        "effective_size": float(effective_size(weight[used])),
        "largest_over_mean": float(largest_over_mean(weight[used])),
        "warnings": [],
    }
