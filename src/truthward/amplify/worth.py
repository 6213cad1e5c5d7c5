"""The worth of estimated region probabilities, in numbers of events. Pure functions of arrays."""

from __future__ import annotations

import numpy as np

from truthward.records.amplify import WithInterval, Worth

REPEATS = 2000
"""Number of bootstraps over training sets for the uncertainties."""


def multinomial(p: np.ndarray) -> float:
    """Variance of one event, summed over regions: sum p (1 - p) for probabilities (Q,). It is n_ref Var_ref."""
    return float((p * (1.0 - p)).sum())


def predicted_mse(fractions: np.ndarray, drawn: int) -> np.ndarray:
    """Mean squared error of the mean of the members, summed over regions, as predicted by their spread.

    Each member was trained on a bootstrap of the one training set. So the variance s^2 between members, minus the
    binomial noise of their finite samples, estimates the variance of a repeated training on new data. The mean of E
    members has this variance (they share the data), s^2 / E from the bootstraps, and the noise of all drawn events.

    Args:
        fractions: (..., E, Q), regions estimated by each member.
        drawn: number of events drawn from each member.

    Returns:
        (...). The estimate is unbiased, so single values may be negative if there is only noise.
    """
    members = fractions.shape[-2]
    centre = fractions.mean(-2)
    noise = (centre * (1.0 - centre)).sum(-1) / drawn
    spread = fractions.var(-2, ddof=1).sum(-1)
    return (spread - noise) * (1.0 + 1.0 / members) + noise / members


def worth(fractions: np.ndarray, p: np.ndarray, *, trained: int, drawn: int, seed: int) -> Worth:
    """n_equivalent and G of the estimated integrals of regions, and whether the spread of the members is right.

    n_equivalent = n_ref Var_ref / MSE, with the bias in the MSE, and G = n_equivalent / n_train (2008.06545,
    2202.07352, 2509.08048). The calibration compares the MSE with the spread of the members (2408.00838).

    Args:
        fractions: (T, E, Q): T independent training sets, E members each.
        p: (Q,) exact probabilities.
        trained: number of events in a training set.
        drawn: number of events drawn from each member.
        seed: seed of the bootstrap over sets.

    Returns:
        n_equivalent, G and the calibration. The calibration is true over predicted MSE: 1 is right, and above 1 the
        spread is too small. G and calibration have a standard deviation and a 68% interval from a bootstrap over the T
        sets. Also the share of the squared bias in the MSE.
    """
    sets = fractions.shape[0]
    centre = fractions.mean(1)
    true = np.square(centre - p).sum(1)
    predicted = predicted_mse(fractions, drawn)
    picks = np.random.default_rng(seed).integers(0, sets, (REPEATS, sets))
    # First the mean over sets, then the lower limit from the noise of the finite samples.
    least = multinomial(p) / (drawn * fractions.shape[1])
    resampled, foreseen = true[picks].mean(1), np.maximum(predicted[picks].mean(1), least)
    stated = max(float(predicted.mean()), least)
    equivalent = multinomial(p) / true.mean()
    # The mean over T sets of an unbiased estimator still fluctuates by Var / T, which is subtracted.
    bias = (
        max(float(np.square(centre.mean(0) - p).sum() - centre.var(0, ddof=1).sum() / sets), 0.0) if sets > 1 else None
    )
    return {
        "drawn": drawn * fractions.shape[1],
        "n_equivalent": float(equivalent),
        "G": _with_error(equivalent / trained, multinomial(p) / resampled / trained),
        "mse": float(true.mean()),
        "mse_predicted": stated,
        "calibration": _with_error(true.mean() / stated, resampled / foreseen),
        "bias_share": None if bias is None else bias / float(true.mean()),
    }


def _with_error(value: float, resampled: np.ndarray) -> WithInterval:
    low, high = np.quantile(resampled, [0.16, 0.84])
    return {"value": float(value), "sigma": float(resampled.std(ddof=1)), "low": float(low), "high": float(high)}
