"""Another simulation as a variation: weights give the nominal simulation the density of the alternative one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from truthward.errors import InputError
from truthward.events.effective_size import effective_size, largest_over_mean
from truthward.records.systematics import Category, Sizes, Varied
from truthward.study.seeds import seed_for
from truthward.systematics.density import weights_like
from truthward.systematics.sample import CATEGORIES, Simulated

FEWEST = 200
"""If a category has fewer events in one of the samples, only its yield is changed: the shape is not learned."""


def as_alternative(
    nominal: Simulated,
    other: Simulated,
    *,
    name: str,
    seed: int,
    features: Mapping[str, Sequence[str]] | None = None,
    **options: Any,
) -> tuple[np.ndarray, Varied]:
    """The new weights (N,) of all events, and their entry in the summary.

    In each category the weight is w p(x) / q(x), with the nominal density q and the alternative density p of x. For
    matched events x is truth and reco of the unfolded observables; for other events it is their one level. x also has
    the `features` of these levels, which the networks of an unfolding see. The yield of each category is exactly the
    yield of the alternative. If the alternative has no background, the background keeps its weights. A hidden quantity
    keeps its distribution at given x.

    Raises:
        InputError: a category that one of the samples lacks.
        DivergedError: see `density.weights_like`.
    """
    weight, table = nominal.weight.copy(), other.table
    categories: dict[str, Category] = {}
    warnings: list[str] = []
    for category, levels in CATEGORIES.items():
        ours, theirs = nominal.masks[category], other.masks[category]
        w, v = weight[ours], other.weight[theirs]
        entry: Sizes = {
            "events": int(ours.sum()),
            "events_alternative": int(theirs.sum()),
            "yield": float(w.sum()),
            "yield_alternative": float(v.sum()),
        }
        if not ours.any() and not theirs.any():
            continue
        if category == "background" and not theirs.any():
            categories[category] = {**entry, "taken": "nothing"}
            continue
        if w.sum() <= 0 or v.sum() <= 0:
            raise InputError(
                f"{table.path}: systematics.{name}: {category}: the weights of {len(v)} events sum to {v.sum():.4g} "
                f"here, and the weights of {len(w)} events of the simulation to {w.sum():.4g}; both must be positive: "
                "give the alternative the selection and the processes of the simulation"
            )
        if min(len(w), len(v)) < FEWEST:
            weight[ours] = w * (v.sum() / w.sum())
            categories[category] = {**entry, "taken": "yield"}
            continue
        x, y = (
            np.concatenate([_seen(s, level, mask, features or {}, f"systematics.{name}") for level in levels], axis=1)
            for s, mask in ((nominal, ours), (other, theirs))
        )
        weight[ours], found = weights_like(
            x, w, y, v, seed=seed_for(seed, category), label=f"{name}, {category}", **options
        )
        categories[category] = {**entry, "taken": "density", **found}
        if not found["closes"]:
            warnings.append(
                f"{category}: a classifier separates the re-weighted simulation from {table.path.stem} with an AUC of "
                f"{found['auc_after']:.4f} +- {found['auc_error']:.4f} ({found['auc_before']:.4f} before), so the "
                "variation is only a part of the difference; simulate more events, or look for events that one sample "
                "lacks"
            )
    used = np.any([nominal.masks[category] for category in CATEGORIES], axis=0)
    return weight, {
        "sample": table.path.stem,
        "categories": categories,
        "effective_size_before": float(effective_size(nominal.weight[used])),
        "effective_size": float(effective_size(weight[used])),
        "largest_over_mean": float(largest_over_mean(weight[used])),
        "closes": not warnings,
        "warnings": warnings,
    }


def _seen(
    sample: Simulated, level: str, where: np.ndarray, features: Mapping[str, Sequence[str]], key: str
) -> np.ndarray:
    """Observables and features (n, D + F) of a level in the events of a mask."""
    values, more = getattr(sample, level)[where], features.get(level)
    return np.concatenate([values, sample.values(level, more, where, key)], axis=1) if more else values
