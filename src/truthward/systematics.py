"""Another simulation as a variation: weights that give the nominal simulation the density of the alternative one."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from truthward.artefact import write_json
from truthward.errors import InputError
from truthward.events.contract import SIGNAL, Batch
from truthward.events.table import EventTable, write_table
from truthward.observable import Observable
from truthward.provenance import Record
from truthward.ratio.classifier import two_sample_scores
from truthward.ratio.reweight import auc, normalise
from truthward.seeds import seed_for
from truthward.unfold.arrays import effective_size, largest_over_mean

log = logging.getLogger("truthward.systematics")

CATEGORIES: dict[str, tuple[str, ...]] = {
    "matched": ("truth", "reco"),
    "misses": ("truth",),
    "fakes": ("reco",),
    "background": ("reco",),
}
"""Every event that counts is in one of these; levels at which it has values, the inputs of its classifier."""

FEWEST = 200
"""Events of a category in either sample below which its yield alone is taken over: no shape is learned from fewer."""
SIGMAS, SHARE = 4.0, 0.2
"""A category closes where |AUC - 1/2| is within so many standard deviations of zero, or this share of what it was."""


def reweight(
    simulation: EventTable,
    alternatives: Mapping[str, EventTable],
    *,
    output: str | Path,
    summary_out: str | Path,
    observables: Sequence[Observable],
    seed: int,
    record: Record,
    epochs: int = 30,
    batch_size: int = 512,
) -> dict[str, Any]:
    """Write the simulation with a column `weight:<systematic>:0` for each alternative.

    In each of the categories the weight is w p(x) / q(x), with q the nominal and p the alternative density of x: truth
    and reco of the unfolded observables for matched events, one of them for others. The ratio comes from classifiers
    (two folds, so that no event is weighted by a network that saw it), and the yield of each category is that of the
    alternative, exactly. Where the alternative has no background at all, it says nothing of it: that keeps its weights.
    What the unfolded observables do not show is not changed: a hidden quantity keeps its distribution given them.

    Args:
        simulation: event table; alternatives: systematic -> event table of the other simulation, both calibrated alike.
        output: event table to write. summary_out: JSON to write, after it.
        seed: of the study. epochs, batch_size: of the classifiers.

    Returns:
        For each systematic: per category events, yields and AUC before and after (by new classifiers, cross-fitted),
        effective size and largest weight over the mean of all, whether it closes, and warnings in words.

    Raises:
        InputError: a category that one of the samples lacks, or a column that is not there.
        DivergedError: a training, or weights that are not finite or of no positive sum.
    """
    nominal = _read(simulation, observables)
    weights, summary = {}, {}
    for name, table in alternatives.items():
        weight, entry = _weigh(nominal, _read(table, observables), name, table, seed_for(seed, "systematics", name),
                               {"epochs": epochs, "batch_size": batch_size})  # fmt: skip
        weights[f"weight:{name}:0"], summary[name] = weight, entry
        for text in entry["warnings"]:
            log.warning("%s: %s", name, text)
    write_table(
        output,
        _rows(simulation, weights),
        observables=simulation.metadata["observables"],
        role=simulation.role,
        selection=simulation.metadata["selection"],
        record=record,
        source=str(simulation.path),
        origin=simulation.metadata.get("origin"),
    )
    write_json(summary_out, {"systematics": summary, "provenance": record.finish(events_in=simulation.num_rows)})
    return summary


def _read(table: EventTable, observables: Sequence[Observable]) -> dict[str, Any]:
    """Weight (N,), values of each level (N, D), and the masks (N,) of the categories."""
    names = [o.name for o in observables]
    found: dict[str, Any] = table.read(["weight", "process"])
    signal = found["process"] == SIGNAL
    (passed, truth), (accepted, reco) = (table.level(level, names) for level in ("truth", "reco"))
    return {
        "weight": found["weight"],
        "truth": truth,
        "reco": reco,
        "matched": signal & passed & accepted,
        "misses": signal & passed & ~accepted,
        "fakes": signal & ~passed & accepted,
        "background": ~signal & accepted,
    }


def _weigh(
    nominal: dict[str, Any],
    other: dict[str, Any],
    name: str,
    table: EventTable,
    seed: int,
    options: dict[str, int],
) -> tuple[np.ndarray, dict[str, Any]]:
    """The new weights (N,) of all events, and what the summary says of them."""
    weight, categories, warnings = nominal["weight"].copy(), {}, []
    for category, levels in CATEGORIES.items():
        ours, theirs = nominal[category], other[category]
        w, v = weight[ours], other["weight"][theirs]
        entry: dict[str, Any] = {
            "events": int(ours.sum()),
            "events_alternative": int(theirs.sum()),
            "yield": float(w.sum()),
            "yield_alternative": float(v.sum()),
        }
        if not ours.any() and not theirs.any():
            continue
        if category == "background" and not theirs.any():
            categories[category] = entry | {"taken": "nothing"}
            continue
        if w.sum() <= 0 or v.sum() <= 0:
            raise InputError(
                f"{table.path}: systematics.{name}: {category}: weights of {len(v)} events sum to {v.sum():.4g} here, "
                f"those of the {len(w)} simulated ones to {w.sum():.4g}; both must be positive: give the alternative "
                "the selection and the processes of the simulation"
            )
        if min(len(w), len(v)) < FEWEST:
            weight[ours] = w * (v.sum() / w.sum())
            categories[category] = entry | {"taken": "yield"}
            continue
        x, y = (np.concatenate([s[level][mask] for level in levels], axis=1)
                for s, mask in ((nominal, ours), (other, theirs)))  # fmt: skip
        weight[ours], found = _learn(x, w, y, v, seed_for(seed, category), f"{name}, {category}", options)
        categories[category] = entry | {"taken": "density"} | found
        if not found["closes"]:
            warnings.append(
                f"{category}: the re-weighted simulation is told from {table.path.stem} with an AUC of "
                f"{found['auc_after']:.4f} +- {found['auc_error']:.4f} ({found['auc_before']:.4f} before): the "
                "variation is not all of the difference; simulate more events, or look for what one sample lacks"
            )
    used = np.any([nominal[category] for category in CATEGORIES], axis=0)
    return weight, {
        "sample": table.path.stem,
        "categories": categories,
        "effective_size_before": float(effective_size(nominal["weight"][used])),
        "effective_size": float(effective_size(weight[used])),
        "largest_over_mean": float(largest_over_mean(weight[used])),
        "closes": not warnings,
        "warnings": warnings,
    }


def _learn(
    x: np.ndarray, w: np.ndarray, y: np.ndarray, v: np.ndarray, seed: int, label: str, options: dict[str, int]
) -> tuple[np.ndarray, dict[str, Any]]:
    """Weights of x that give it the density of y with weights v, and how well they do."""

    def areas(weights: np.ndarray, step: str) -> tuple[np.ndarray, float]:
        of_y, of_x = two_sample_scores(y, v, x, weights, seed=seed_for(seed, step), label=f"{label}, {step}", **options)
        numerator = np.arange(len(y) + len(x)) < len(y)
        return of_x, auc(np.concatenate([of_y, of_x]), numerator, np.concatenate([v, weights]))

    scores, before = areas(w, "ratio")
    with np.errstate(divide="ignore"):
        # A score of one would be an infinite ratio, which is counted and refused next.
        log_ratio = np.log(scores) - np.log1p(-scores)
    ratio, _ = normalise(log_ratio[:, None], w[:, None], np.array([v.sum()]))
    new = w * ratio[:, 0]
    _, after = areas(new, "closure")
    # Of the rank statistic where both samples are alike. With the new weights it would grow without end, and excuse
    # all, where a few events carry them.
    n, m = float(effective_size(w)), float(effective_size(v))
    error = float(np.sqrt((n + m + 1) / (12 * n * m)))
    closes = bool(abs(after - 0.5) <= max(SIGMAS * error, SHARE * abs(before - 0.5)))
    return new, {"auc_before": before, "auc_after": after, "auc_error": error, "closes": closes}


def _rows(simulation: EventTable, weights: Mapping[str, np.ndarray]) -> Iterator[Batch]:
    first = 0
    for batch in simulation.batches():
        last = first + len(batch["weight"])
        yield batch.like({**batch, **{name: weight[first:last] for name, weight in weights.items()}})
        first = last
