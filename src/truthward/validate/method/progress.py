"""Bias and variance of an unfolding over its iterations, in the coarse bins that the method watched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from truthward.events.bins import cell_of
from truthward.events.contract import SIGNAL
from truthward.events.families import Family
from truthward.events.table import EventTable
from truthward.records.unfold import HistoryEntry
from truthward.records.validate.method import ProgressCurves

Bins = Mapping[str, Sequence[float]]
"""Observable -> inner edges. The outer bins are open."""


def progress(
    metadata: Mapping[str, Any], families: Mapping[str, Family], simulation: EventTable, truth: EventTable | None
) -> dict[str, Any] | None:
    """Bias and variance after each iteration. None if the history has no `contents`.

    All numbers are a root mean square over bins of relative deviations, weighted by content. For x and n with reference
    contents t it is sqrt(sum (x - n)^2 / t / sum t). t is the truth. Without a truth it is the last iteration.

    Args:
        metadata: of the unfolded sample, with "watched" and "history".

    Returns:
        iterations: 0 for the simulation before unfolding, then from 1. chosen: the last one. names: of the observables.
        "all" and each observable: `records.validate.method.ProgressCurves`. The distance from the truth is the bias
        with the fluctuation of these data. The uncertainties are 0 before unfolding.
    """
    bins: Bins | None = metadata.get("watched")
    tracks = _tracks(metadata["history"], 0 if bins is None else len(bins))
    if not bins or "nominal:0" not in tracks:
        return None
    nominal = tracks["nominal:0"]
    size = nominal.shape[-1]
    prior, _ = _filled(simulation, bins, size)
    reference, squares = (nominal[-1], None) if truth is None else _filled(truth, bins, size)
    distance = None if truth is None else np.stack([prior, *nominal]) - reference
    sigma = {"total": np.zeros((1 + len(nominal), *reference.shape))}
    for name, family in families.items():
        found = [tracks.get(f"{name}:{index}") for index in range(family.count)]
        replicas = [r for r in found if r is not None and len(r) == len(nominal)]
        if family.adds and len(replicas) == family.count:
            variance = family.variance(np.stack(replicas).reshape(family.count, -1), nominal.reshape(-1))
            sigma[name] = np.concatenate([np.zeros_like(sigma["total"][:1]), np.sqrt(variance.reshape(nominal.shape))])
            sigma["total"] = np.hypot(sigma["total"], sigma[name])
    result: dict[str, Any] = {"iterations": list(range(1 + len(nominal))), "chosen": len(nominal), "names": list(bins)}
    for place, name in enumerate(["all", *bins]):
        part = slice(None) if name == "all" else slice(place - 1, place)

        def relative(deviation: np.ndarray, part: slice = part) -> list[float]:
            t = reference[part]
            squares = np.divide(deviation[:, part] ** 2, t, out=np.zeros_like(deviation[:, part]), where=t > 0)
            return np.sqrt(squares.sum(axis=(1, 2)) / t.sum()).tolist()

        curves: ProgressCurves = {
            "distance": None if distance is None else relative(distance),
            "sigma": {family: relative(s) for family, s in sigma.items()},
            "counting": None if squares is None else relative(np.sqrt(squares)[None])[0],
        }
        result[name] = curves
    return result


def _tracks(history: Sequence[HistoryEntry], observables: int) -> dict[str, np.ndarray]:
    """Contents (iterations, D, B) of each replica. If there are several folds, it is their mean."""
    found: dict[str, dict[int, list[np.ndarray]]] = defaultdict(lambda: defaultdict(list))
    for entry in history:
        if "contents" in entry:
            found[entry["replica"]][entry["iteration"]].append(np.reshape(entry["contents"], (observables, -1)))
    return {r: np.stack([np.mean(each[i], axis=0) for i in sorted(each)]) for r, each in found.items()}


def _filled(table: EventTable, bins: Bins, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums (D, B) of weights and of their squares over the fiducial events."""
    contents, squares = np.zeros((len(bins), size)), np.zeros((len(bins), size))
    columns = [f"truth_{name}" for name in bins]
    for batch in table.batches([*columns, "pass_truth", "weight", "process"]):
        inside = batch["pass_truth"] & (batch["process"] == SIGNAL)
        weight = batch["weight"][inside]
        for d, (column, inner) in enumerate(zip(columns, bins.values(), strict=True)):
            place = cell_of(batch[column][inside], inner)
            contents[d] += np.bincount(place, weight, minlength=size)
            squares[d] += np.bincount(place, weight**2, minlength=size)
    return contents, squares
