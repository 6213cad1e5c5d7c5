"""Speed of OmniFold: against the package `omnifold` 0.1.36 (TensorFlow), and against what the processor could do.

- same work: same network (3 layers of 100, GELU), iterations, epochs, batches, first rate, fp32, one thread; CPU time
  and quality. What differs is how each goes about it: the peer trains on 80% of the events and we on all; its second
  step takes the simulation twice, once a class, where ours takes it once, with soft targets; our rate falls within
  each training, its own is constant.
- time to quality: wall time of the defaults, with a network and with boosted trees, until they are as good as the peer
  was in the end.
- replicas: fifty bootstraps and the nominal unfolding, against the nominal one by itself and fifty runs of the peer. A
  replica of `initialisation` costs as much as a nominal unfolding, so it is not among them.
- training: its rate against that of the bare matrix products of the same shapes: forward, and backward to weights and
  inputs (but the first layer's, which nobody needs).
- scaling: time and peak memory of the nominal unfolding with the number of events, each in a process of its own.

Quality is the triangular discriminator against the truth, mean over observables. Peer and own runs alternate. The
environment of the peer is built on the first full run, in benchmarks/.cache.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import _common as common
import _peer as peer
import numpy as np
import torch
from _speed_samples import Case, gaussian, nominal_of, zjets

from truthward.learn.fit import Settings
from truthward.ratio.classifier import stack_of, train_ratio
from truthward.study.plugins import build, option
from truthward.unfold.inputs.arrays import NOMINAL, Replica
from truthward.unfold.stage import unfold_all

EVENTS = 15_000 if common.QUICK else 200_000
SIZES = (10_000, 30_000) if common.QUICK else (100_000, 300_000, 1_000_000)
SEEDS = 1 if common.QUICK else 2
FAMILIES = {"data_bootstrap": 4, "mc_bootstrap": 4} if common.QUICK else {"data_bootstrap": 25, "mc_bootstrap": 25}
ITERATIONS, EPOCHS = (2, 2) if common.QUICK else (5, 4)
WORK: dict[str, Any] = {
    "iterations": ITERATIONS,
    "epochs": EPOCHS,
    "batch_size": 1024,
    "learning_rate": 1e-3,
    "width": 100,
    "depth": 3,
    "activation": "gelu",
}
"""Work that is the same for both."""
SAME: dict[str, Any] = {
    "kind": "omnifold",
    "iterations": ITERATIONS,
    "network": {n: WORK[n] for n in ("width", "depth", "activation")},
    "training": {n: WORK[n] for n in ("epochs", "batch_size", "learning_rate")}
    | {"later_epochs": EPOCHS, "annealing": 1.0},
}
RECOMMENDED: dict[str, Any] = {"kind": "omnifold"}
"""The defaults."""
CLASSIFIERS: dict[str, dict[str, Any]] = {
    "network": RECOMMENDED,
    "boosted trees": RECOMMENDED | {"classifier": "boosted_trees"},
}
SHAPES = {
    "recommended": RECOMMENDED,
    "3x100": RECOMMENDED | {"network": {"width": 100, "depth": 3}},
    "3x256": RECOMMENDED | {"network": {"width": 256, "depth": 3}},
}
"""Networks whose training is held against bare products: narrow ones leave a processor little to multiply."""


def timed(case: Case, entry: dict[str, Any], seed: int) -> peer.Found:
    """One nominal unfolding of ours."""
    cpu, wall = time.process_time(), time.perf_counter()
    weights = nominal_of(build("unfold", entry).unfold(case.inputs, [NOMINAL], seed=seed))
    return peer.Found(weights, time.process_time() - cpu, time.perf_counter() - wall)


def same_work(case: Case, python: Path | None) -> dict[str, Any]:
    """Both with the same work, in turn: medians of times, quality with its spread over seeds."""
    runs: dict[str, list[peer.Found]] = {"truthward": [], "omnifold": []}
    for seed in range(SEEDS):
        runs["truthward"].append(timed(case, SAME, seed))
        if python:
            runs["omnifold"].append(peer.unfold(python, case, seed=seed, **WORK))
    figures: dict[str, Any] = {
        name: {
            "cpu": median([f.cpu for f in found]),
            "wall": median([f.wall for f in found]),
            "quality": [round(case.quality(f.weights), 4) for f in found],
        }
        for name, found in runs.items()
        if found
    }
    if python:
        figures |= {f"{t}_ratio": round(figures["omnifold"][t] / figures["truthward"][t], 2) for t in ("cpu", "wall")}
    return figures


def time_to_quality(case: Case, entry: dict[str, Any], target: float | None) -> dict[str, Any]:
    """Time of the fewest iterations of a recipe that reach `target`, and of all of them."""
    whole = timed(case, entry, 0)
    figures = {
        "cpu": whole.cpu,
        "wall": whole.wall,
        "quality": case.quality(whole.weights),
        "floor": case.floor(whole.weights),
    }
    if target is None:
        return rounded(figures)
    for iterations in range(1, option("unfold", entry, "iterations") + 1):
        found = timed(case, entry | {"iterations": iterations}, 0)
        if case.quality(found.weights) <= target:
            reached = {"iterations": iterations, "cpu": found.cpu, "wall": found.wall}
            return rounded(figures) | {"target": target, "reached": rounded(reached)}
    return rounded(figures) | {"target": target, "reached": None}


def replicas(case: Case, entry: dict[str, Any]) -> dict[str, Any]:
    """CPU time of all replicas with the nominal unfolding, and of the latter by itself."""
    one = timed(case, entry, 0)
    started, wall = time.process_time(), time.perf_counter()
    chosen = [Replica(name, i) for name, count in FAMILIES.items() for i in range(count)]
    list(unfold_all(build("unfold", entry), case.inputs, chosen, seed=0).rows)
    cpu, wall = time.process_time() - started, time.perf_counter() - wall
    figures = {"one": one.cpu, "one_wall": one.wall, "all": cpu, "all_wall": wall, "over_one": cpu / one.cpu}
    return rounded(figures) | {"replicas": FAMILIES}


def bare(sizes: list[int], batch: int, steps: int, dtype: torch.dtype, clock: Callable[[], float]) -> float:
    """Seconds a step of the matrix products alone."""
    x = [torch.randn(batch, s).to(dtype) for s in sizes]
    gradient = [torch.randn(batch, s).to(dtype) for s in sizes]
    w = [torch.randn(o, i).to(dtype) for i, o in pairwise(sizes)]
    started = 0.0
    for step in range(-2, steps):  # Two to warm up.
        if step == 0:
            started = clock()
        for i, weight in enumerate(w):
            torch.mm(x[i], weight.T)
        for i in reversed(range(len(w))):
            torch.mm(gradient[i + 1].T, x[i])
            if i:
                torch.mm(gradient[i + 1], w[i])
    return (clock() - started) / steps


def step_of_training(
    sizes: list[int], activation: str, batch: int, steps: int, precision: str, clock: Callable[[], float]
) -> float:
    """Seconds a step of a classifier's training, all included."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch * steps, sizes[0], generator=generator)
    numerator, weights = np.arange(len(x)) % 2 == 0, np.ones((len(x), 1))
    stack = stack_of(sizes[0], [1], width=sizes[1], depth=len(sizes) - 2, activation=activation)
    started = clock()
    train_ratio(stack, x, numerator, weights, Settings(epochs=1, batch_size=batch, precision=precision), seed=1)
    return (clock() - started) / steps


def training() -> list[dict[str, Any]]:
    """Share of the rate of bare matrix products that training reaches, with the recommended batch."""
    rows, steps = [], 20 if common.QUICK else 50
    for shape, entry in SHAPES.items():
        recipe = build("unfold", entry).recipe
        width, depth, activation = (recipe.network[n] for n in ("width", "depth", "activation"))
        sizes, batch = [6, *[width] * depth, 1], recipe.training.batch_size
        products = sum(i * o for i, o in pairwise(sizes)) * 6 - 2 * sizes[0] * sizes[1]
        for threads, precision in ((1, "fp32"), (1, "bf16"), (2, "fp32"), (2, "bf16")):
            dtype = torch.float32 if precision == "fp32" else torch.bfloat16
            torch.set_num_threads(threads)
            # One thread by CPU time, two by wall time. In turn, and medians: neither gets the quieter machine.
            clock = time.process_time if threads == 1 else time.perf_counter
            pairs = []
            for _ in range(3 if common.QUICK else 9):
                alone = bare(sizes, batch, steps, dtype, clock)
                pairs.append((alone, step_of_training(sizes, activation, batch, steps, precision, clock)))
            products_alone, all_of_it = (median(column) for column in zip(*pairs, strict=True))
            rows.append(
                {
                    "shape": shape,
                    "threads": threads,
                    "precision": precision,
                    "share": round(products_alone / all_of_it, 3),
                    "bare_gflops": round(products * batch / products_alone / 1e9, 1),
                    "training_gflops": round(products * batch / all_of_it / 1e9, 1),
                }
            )
    torch.set_num_threads(1)
    return rows


def scaled(events: int) -> dict[str, float]:
    """The nominal unfolding of `events` simulated and data events in this process; the table is what `Inputs` holds."""
    case = gaussian(events)
    arrays = [v for v in vars(case.inputs).values() if isinstance(v, np.ndarray)]
    table = sum(a.nbytes for a in [*arrays, *case.inputs.carried.values(), *case.truth.values()])
    before = peak_mb()
    found = timed(case, RECOMMENDED, 0)
    return {
        "events": events,
        "cpu": found.cpu,
        "wall": found.wall,
        "peak_mb": peak_mb(),
        "before_mb": before,
        "table_mb": table / 2**20,
    }


def peak_mb() -> float:
    """Peak memory of this process; unlike `ru_maxrss` it does not begin with that of the process it was forked from."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


def scaling() -> list[dict[str, Any]]:
    """`scaled` for all sizes, each in a process of its own."""
    rows = []
    for events in SIZES:
        done = subprocess.run(
            [sys.executable, __file__, "--scale", str(events)], capture_output=True, text=True, check=True
        )
        rows.append(rounded(json.loads(done.stdout.splitlines()[-1])))
    return rows


def median(values: Any) -> float:
    """Median as a float."""
    return round(float(np.median(values)), 6)


def rounded(figures: dict[str, Any]) -> dict[str, Any]:
    """To four significant digits."""
    return {n: float(f"{v:.4g}") if isinstance(v, float) else v for n, v in figures.items()}


def main() -> dict[str, Any]:
    """All rows; each is printed as soon as it is known."""
    torch.set_num_threads(1)
    python = peer.environment()
    if python is None:
        print("the peer's environment is not there: no comparison; a full run builds it")
    cases = [c for c in (gaussian(EVENTS), zjets(EVENTS)) if c is not None]
    if len(cases) == 1:
        print("../shared/data/zjets is not there: Gaussian only")
    figures: dict[str, Any] = {"work": WORK, "recommended": asdict(build("unfold", RECOMMENDED).recipe), "cases": {}}
    for case in cases:
        prior = round(case.quality(case.prior), 3)
        # A quick run compares on the first sample alone.
        work = same_work(case, None if common.QUICK and case is not cases[0] else python)
        found = {"events": EVENTS, "prior": prior, "same_work": work}
        target = float(np.mean(work["omnifold"]["quality"])) if "omnifold" in work else None
        found["time_to_quality"] = {}
        for classifier, entry in CLASSIFIERS.items():
            quality = time_to_quality(case, entry, target)
            if quality.get("reached"):
                quality["peer_over_reached"] = round(work["omnifold"]["wall"] / quality["reached"]["wall"], 1)
            found["time_to_quality"][classifier] = quality
        figures["cases"][case.name] = found
        print(f"{case.name}: {json.dumps(found)}", flush=True)
    figures["replicas"] = {}
    first = figures["cases"][cases[0].name]["same_work"]
    for classifier, entry in CLASSIFIERS.items():
        figures["replicas"][classifier] = found = replicas(cases[0], entry)
        if "omnifold" in first:
            fifty = sum(FAMILIES.values()) * first["omnifold"]["cpu"]
            found["peer_over_all"] = round(fifty / found["all"], 1)
        print(f"replicas, {classifier}: {json.dumps(found)}", flush=True)
    for name, rows in (("training", training()), ("scaling", scaling())):
        figures[name] = rows
        print(f"{name}:", *map(json.dumps, rows), sep="\n  ", flush=True)
    return figures


if __name__ == "__main__":
    if "--scale" in sys.argv:
        torch.set_num_threads(1)
        print(json.dumps(scaled(int(sys.argv[-1]))))
    else:
        common.report("omnifold_speed", main())
