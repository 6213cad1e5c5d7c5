"""Make pseudo-data with known truth that agree with the data in all reco columns: the data-driven closure test."""

from __future__ import annotations

from typing import Any

import numpy as np

from truthward.errors import InputError
from truthward.events.effective_size import effective_size, largest_over_mean
from truthward.ratio.two_step import conditional_mean, two_step
from truthward.records.systematics import Varied
from truthward.study.seeds import seed_for
from truthward.systematics.density import weights_like
from truthward.systematics.sample import Measured, Simulated, shared_columns

ITERATIONS = 8
"""Iterations of the unfolding that finds the truth of the pseudo-data. A remaining difference would be taken for
another response, so there are more iterations than for a regularised result."""


def truth_weights(simulation: Simulated, data: Measured, names: list[str], *, seed: int) -> np.ndarray:
    """nu (n,) at the truth of the fiducial events: a few iterations in the unfolded observables, by their `names`.

    Fakes and background keep their weights, as an absolute part of the expected data.
    """
    matched, fixed = simulation.masks["matched"], simulation.masks["fakes"] | simulation.masks["background"]
    return two_step(
        data.values(names, "observables"),
        data.weight,
        simulation.reco[matched],
        simulation.truth[matched],
        simulation.weight[matched],
        simulation.reco[fixed],
        simulation.weight[fixed],
        simulation.truth[simulation.fiducial],
        iterations=ITERATIONS,
        seed=seed,
        label="truth of the pseudo-data",
    )


def pseudo_data(
    simulation: Simulated, data: Measured, nu: np.ndarray, *, name: str, seed: int, **options: Any
) -> tuple[np.ndarray, Varied]:
    """Weights (N,) that make the simulated events pseudo-data at reco level, and their truth at truth level.

    The weight is w nu(t) c(r) for matched events, w c(r) for fakes, w nu(t) E[c | t] for misses, and w for background.
    nu alone would not change the response. c is the ratio of the data, minus the simulated background, to the signal
    re-weighted by nu, in *all* reco columns that both samples have. With nu = 1 another prior would become another
    response.

    So p(r | t) of the pseudo-data is p(r | t) of the simulation times c(r) / E[c | t]. The efficiency at each t is the
    simulated one, since data do not show the missed events.

    Args:
        nu: factors (n,) of the fiducial events, see `truth_weights`.
        options: options of the classifiers.

    Returns:
        The weights, and facts for the summary: columns used, AUC of data against the simulation before and with nu and
        c (by cross-fitted classifiers), effective size, largest weight over the mean, whether it closes, warnings.

    Raises:
        InputError: more background than data.
        DivergedError: see `density.weights_like`.
    """
    key, matched, fakes, background = (
        f"systematics.{name}",
        *(simulation.masks[c] for c in ("matched", "fakes", "background")),
    )
    columns, signal = shared_columns(simulation.table, data.table), matched | fakes
    with_nu = simulation.reweighted(nu)
    # The pseudo-data keep the simulated background: here it is subtracted from the data, with negative weights.
    target = np.concatenate([data.weight, -simulation.weight[background]])
    if not target.sum() > 0:
        raise InputError(
            f"{data.table.path}: {key}: the data are {data.weight.sum():.4g} events, but the simulated background is "
            f"{simulation.weight[background].sum():.4g}; compare the yields of the samples"
        )
    x = simulation.values("reco", columns, signal, key)
    y = np.concatenate([data.values(columns, key), simulation.values("reco", columns, background, key)])
    new, found = weights_like(x, with_nu[signal], y, target, seed=seed, label=f"{name}, reco level", **options)
    weight = with_nu.copy()
    weight[signal] = new
    ratio = np.divide(weight, with_nu, out=np.ones_like(weight), where=with_nu != 0)
    misses = simulation.masks["misses"]
    if misses.any():
        expected = conditional_mean(
            simulation.truth[matched],
            ratio[matched],
            with_nu[matched],
            simulation.truth[misses],
            seed=seed_for(seed, "misses"),
            label=f"{name}, misses",
        )
        weight[misses] *= expected
    warnings = []
    if not found["closes"]:
        warnings.append(
            "a classifier separates the pseudo-data from the data at reco level with an AUC of "
            f"{found['auc_after']:.4f} +- {found['auc_error']:.4f} ({found['auc_before']:.4f} before the ratio), and "
            "this uncertainty does not cover that difference; simulate more events, or look for data where the "
            "simulation has no events"
        )
    used = simulation.fiducial | fakes
    return weight, {
        "columns": columns,
        **found,
        "effective_size_before": float(effective_size(simulation.weight[used])),
        "effective_size": float(effective_size(weight[used])),
        "largest_over_mean": float(largest_over_mean(weight[used])),
        "warnings": warnings,
    }
