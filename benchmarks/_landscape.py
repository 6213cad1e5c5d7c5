"""The runs of the landscape: one unfolding of one method, with time, triangular discriminators and classifier tests."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import _common as common
import _quality as quality
import numpy as np
import torch

from truthward.events.table import EventTable
from truthward.study.plugins import build, option
from truthward.study.seeds import seed_for
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica
from truthward.validate.two_sample import floor_test, two_sample_test

FIRST_DRAWS = 4
"""Draws of each event, at most, of what the first training gives: its prior's bias is far above their noise."""


def run(entry: dict[str, Any], seed: int, bootstrap: int, share: float, tested: int, epochs: int) -> dict[str, Any]:
    """One unfolding, and of a generative method also the one that its first training gives.

    Args:
        entry: of the config, on that share of the events.
        bootstrap: of the data; 0 takes them as they are.
        tested, epochs: events of either sample in the classifier test, and epochs of its trainings.
    """
    torch.set_num_threads(1)
    paths, observables = quality.study("zjets")
    tables = (EventTable(paths["data"]), EventTable(paths["simulation"]))
    inputs = quality.some(Inputs.load(*tables, observables, seed=seed), share)
    if bootstrap:
        inputs = inputs.varied(Replica("data_bootstrap", bootstrap))
    steps: dict[str, dict[str, Any]] = {"": {}}
    if entry["kind"] == "generative":
        steps = {
            "prior left": {"iterations": 1, "draws": {"nominal": min(entry["draws"]["nominal"], FIRST_DRAWS)}},
            "prior removed": {},
        }
    found: dict[str, Any] = {"results": {}, "seconds": 0.0}
    trained = {"cpu": 0.0, "wall": 0.0}
    with tempfile.TemporaryDirectory() as state:
        for what, change in steps.items():
            changed = common.merged(entry, change)
            unfolder = build("unfold", changed)
            cpu, wall = time.process_time(), time.perf_counter()
            result = unfolder.unfold(inputs, [NOMINAL], seed=seed, state=Path(state), key="landscape")
            spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
            trained = {clock: before + spent[clock] for clock, before in trained.items()}
            cpu, rows = time.process_time(), list(result.rows)
            drawing = time.process_time() - cpu
            found["seconds"] = trained["cpu"]
            columns = {n: np.concatenate([r[n] for r in rows]) for n in rows[0]}
            draws = option("unfold", changed, "draws.nominal") or 1
            found["results"][what] = {
                "train": trained,
                "events_per_second": len(columns["event_id"]) / drawing if "draws" in entry else None,
                "iterations": result.iterations,
                "triangular": {
                    o.name: quality.against_truth(
                        paths["truth"], o, columns[f"truth_{o.name}"], weights_of(columns, o.name), draws
                    )
                    for o in observables
                },
                "test": test(paths["truth"], [o.name for o in observables], columns, seed, tested, epochs)
                if unfolder.joint
                else None,
            }
    return found


def weights_of(columns: dict[str, np.ndarray], name: str) -> np.ndarray:
    """The nominal weights of one observable, which has its own where they are not joint."""
    return columns.get(NOMINAL.column(), columns.get(NOMINAL.column(name)))


def test(
    path: Path, names: list[str], columns: dict[str, np.ndarray], seed: int, tested: int, epochs: int
) -> dict[str, float]:
    """Classifiers of the truth against one draw of each event, in as many events of either."""
    truth = truth_values(path, names)
    unfolded = np.stack([columns[f"truth_{n}"] for n in names], axis=1)
    weight = columns[NOMINAL.column()]
    _, first = np.unique(columns["event_id"], return_index=True)
    random = np.random.default_rng(seed_for(seed, "tested"))
    chosen = random.permutation(first)[:tested]
    reference = random.permutation(len(truth))[:tested]
    found = two_sample_test(
        truth[reference],
        np.ones(len(reference)),
        unfolded[chosen],
        weight[chosen],
        seeds=1,
        epochs=epochs,
        seed=seed,
        label="unfolded and truth",
    )
    return {"auc": found["auc"]["mean"], "jsd": found["jsd"]["mean"]}


def truth_values(path: Path, names: list[str]) -> np.ndarray:
    """The truth that is set apart, (N, D)."""
    table = EventTable(path).read([*(f"truth_{n}" for n in names), "pass_truth"])
    return np.stack([table[f"truth_{n}"][table["pass_truth"]] for n in names], axis=1)


def truth_against_truth(seed: int, tested: int, epochs: int) -> dict[str, Any]:
    """The classifier test of two parts of the truth of the sizes tested."""
    torch.set_num_threads(1)
    paths, observables = quality.study("zjets")
    started = time.process_time()
    truth = truth_values(paths["truth"], [o.name for o in observables])
    some = np.random.default_rng(seed_for(seed, "tested")).permutation(len(truth))[: 2 * tested]
    found = floor_test(truth[some], np.ones(len(some)), seeds=1, epochs=epochs, seed=seed, label="truth")
    figures = {"auc": found["auc"]["mean"], "jsd": found["jsd"]["mean"]}
    return {"test": figures, "seconds": time.process_time() - started}
