"""Why LightGBM: libraries of boosted trees on the density ratio of one reco step, and OmniFold with plain trees.

The step is data against the matched simulation, of Z+jets and of a Gaussian in six dimensions. Half of the events
train. The others judge: area under the ROC curve, and triangular discriminator of the re-weighted simulation against
the data, mean over observables. All libraries grow the same number of trees with the same number of leaves and rate,
on one thread. Leaves have the same smallest curvature; scikit-learn limits their number of events instead.

- bins, training: CPU seconds of the bins, and of a training. Trainings with other weights follow one another, as those
  of iterations and bootstraps do; where a library cannot keep its bins, each makes them anew.
- signed: background is in the data, and events of a negative weight take it off.
- start: the trees are added to logits that are given.

LightGBM is used as everywhere here, through `BinnedEvents`: it gets gradients of our loss. XGBoost gets weights, and
gradients where it refuses those. 255 bins are the most that scikit-learn has; 1,023 are our default.

The peer is OmniFold of Z+jets with `GradientBoostingClassifier` of scikit-learn, 100 trees of depth 3 in each step.
Ours has the default trees, and is timed until it is as good. The environment is built on the first full run, in
benchmarks/.cache.
"""

from __future__ import annotations

import importlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import _common as common
import _peer as peer
import numpy as np
import torch
from _speed_samples import Case, gaussian, zjets
from omnifold_speed import rounded, time_to_quality

from truthward.ratio.boosted_trees import CURVATURE, BinnedEvents, TreeOptions
from truthward.validate import metrics

EVENTS = 4_000 if common.QUICK else 200_000
TRAININGS = 1 if common.QUICK else 4
BACKGROUND = 0.1
"""Events of background over those of the data."""
PEER_EVENTS = 80_000
"""Of Z+jets: plain trees sort the values anew in each node, and take five CPU minutes over these."""
PEER: dict[str, Any] = {"trees": 100, "depth": 3, "iterations": 5}
ROWS = {
    "LightGBM": ("LightGBM", 1023),
    "LightGBM, 255 bins": ("LightGBM", 255),
    "XGBoost": ("XGBoost", 1023),
    "XGBoost, 255 bins": ("XGBoost", 255),
    "scikit-learn, 255 bins": ("scikit-learn", 255),
}
Arrays = dict[str, np.ndarray]


def step(case: Case, *, signed: bool = False, start: bool = False) -> tuple[Arrays, Arrays]:
    """Events that train, and those that judge: x (N, D), numerator (N,), weights (N, K) of unit mean, start (N,)."""
    inputs, rng = case.inputs, np.random.default_rng(7)
    x = np.concatenate([inputs.data_reco, inputs.reco[inputs.pass_reco]])
    weights = np.concatenate([inputs.data_weight, inputs.weight[inputs.pass_reco]])
    numerator = np.arange(len(x)) < len(inputs.data_reco)
    trains = rng.random(len(x)) < 0.5
    train, judge = (
        {"x": x[chosen], "numerator": numerator[chosen], "weights": weights[chosen]} for chosen in (trains, ~trains)
    )
    if signed:
        # Background has the simulation's inputs in another order, so that it is a density of its own.
        other = train["x"][~train["numerator"]]
        other = np.stack([rng.permutation(column) for column in other.T], axis=1)
        size = int(BACKGROUND * train["numerator"].sum())
        train["x"] = np.concatenate([train["x"], other[: 2 * size]])
        train["numerator"] = np.concatenate([train["numerator"], np.ones(2 * size, dtype=bool)])
        train["weights"] = np.concatenate([train["weights"], np.repeat([1.0, -1.0], size)])
    boots = [np.ones(len(train["x"])), *(rng.poisson(1.0, len(train["x"])) for _ in range(0 if signed else TRAININGS))]
    train["weights"] = np.stack([train["weights"] * b for b in boots], axis=1)
    for each in (train["numerator"], ~train["numerator"]):
        train["weights"][each] *= 0.5 * len(train["x"]) / train["weights"][each].sum(axis=0)
    spread = x[:, 0].std()
    for events in (train, judge):
        events["start"] = (0.5 if start else 0.0) * (events["x"][:, 0] - x[:, 0].mean()) / spread
    return train, judge


def lightgbm(train: Arrays, test: np.ndarray, options: TreeOptions) -> dict[str, Any]:
    """Sums of the trees at the test events (M, K), and CPU seconds."""
    began, found, seconds = time.process_time(), [], []
    bins = BinnedEvents(train["x"], options)
    binned = time.process_time() - began
    for weights in train["weights"].T:
        began = time.process_time()
        trees, _, _ = bins.grow(weights, weights * train["numerator"], options.trees, start=train["start"])
        seconds.append(time.process_time() - began)
        found.append(trees(test))
    return {"logits": np.stack(found, axis=1), "seconds": np.array(seconds), "binned": binned}


def trained(
    library: str, python: Path | None, train: Arrays, test: np.ndarray, options: TreeOptions, *, gradients: bool = False
) -> dict[str, Any] | None:
    """What a library finds, or what it says where it refuses; None where it is not there."""
    if library == "LightGBM":
        return lightgbm(train, test, options)
    if python is None:
        return None
    settings = {
        "library": library,
        "threads": 1,
        "gradients": gradients,
        "trees": options.trees,
        "leaves": options.leaves,
        "learning_rate": options.learning_rate,
        "smallest_leaf": options.smallest_leaf,
        "smallest_curvature": CURVATURE * options.smallest_leaf,
        "bins": options.bins,
    }
    return peer.call(python, "run_boosters.py", {**train, "test": test}, settings)


def quality(case: Case, judge: Arrays, logits: np.ndarray) -> dict[str, float]:
    """How well exp(logits) (M,) re-weights the simulation to the data, among events that did not train."""
    data = judge["numerator"]
    weights, found = judge["weights"][~data] * np.exp(logits[~data]), []
    for d, o in enumerate(case.inputs.observables):
        edges = np.asarray(o.edges)
        p = np.histogram(judge["x"][~data, d], edges, weights=weights)[0]
        q = np.histogram(judge["x"][data, d], edges, weights=judge["weights"][data])[0]
        found.append(metrics.triangular_discriminator(p, q, edges))
    area = metrics.auc(logits[data], logits[~data], judge["weights"][data], judge["weights"][~data])
    return {"triangular": float(np.mean(found)), "auc": area}


def compared(case: Case, python: Path | None) -> dict[str, Any]:
    """Row of `ROWS` -> figures."""
    samples = {name: step(case, **{name: True} if name else {}) for name in ("", "signed", "start")}
    train, judge = samples[""]
    zero = quality(case, judge, np.zeros(len(judge["x"])))["triangular"]
    rows: dict[str, Any] = {"before": {"triangular": float(f"{zero:.4g}")}}
    for name, (library, bins) in ROWS.items():
        options = replace(TreeOptions(), bins=bins)
        found = trained(library, python, train, judge["x"], options)
        if found is None:
            continue
        row: dict[str, Any] = rounded(
            {
                **quality(case, judge, found["logits"][:, 0]),
                "bins": float(found["binned"]),
                "training": float(np.median(found["seconds"])),
            }
        )
        for kind in ("signed", "start"):
            own, held = samples[kind]
            found = trained(library, python, own, held["x"], options)
            if "refused" in found:
                row[kind] = {"refused": str(found["refused"])}
                if library != "XGBoost":
                    continue
                found = trained(library, python, own, held["x"], options, gradients=True)
            reached = rounded(quality(case, held, found["logits"][:, 0] + held["start"]))
            row[kind] = row.get(kind, {}) | reached
        rows[name] = row
        print(f"{case.name}, {name}: {row}", flush=True)
    return rows


def unfolded(case: Case, python: Path | None) -> dict[str, Any]:
    """OmniFold with plain trees, and time of our trees until they are as good."""
    figures: dict[str, Any] = {"events": len(case.inputs.data_reco), "prior": case.quality(case.prior)}
    target = None
    if python:
        found = peer.unfold(python, case, seed=1, script="run_trees_omnifold.py", **PEER)
        target = case.quality(found.weights)
        figures["peer"] = rounded({"cpu": found.cpu, "wall": found.wall, "quality": target})
    figures["ours"] = time_to_quality(case, {"kind": "omnifold", "classifier": "boosted_trees"}, target)
    print(f"{case.name}: {figures}", flush=True)
    return rounded(figures)


def main() -> dict[str, Any]:
    """All libraries on all samples, and the peer."""
    torch.set_num_threads(1)
    importlib.import_module("lightgbm")  # Its second is no part of the first row.
    python = peer.environment("boosters", alone="")
    figures: dict[str, Any] = {"events": EVENTS, "steps": {}}
    for make in (gaussian, zjets):
        case = make(EVENTS)
        if case is None:
            print("../shared/data/zjets is not there: Gaussian only")
            continue
        figures["steps"][case.name] = compared(case, python)
    if case := zjets(min(EVENTS, PEER_EVENTS)):
        figures["unfolding"] = unfolded(case, python)
    return figures | {"peer": PEER, "trainings": 1 + TRAININGS}


if __name__ == "__main__":
    common.report("boosters", main())
