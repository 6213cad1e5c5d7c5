"""Coverage: do 68% and 95% intervals hold the truth in 68% and 95% of all experiments?

Toys of the Gaussian generator with misses and fakes, in two blocks: the truth differs from the simulation by 0.3 sigma
in mean and 15% in width; or it is the simulation's, where a method that keeps too much of its prior looks best. Data
and simulation are drawn anew for each toy, the rule that ends the iterations is applied in each, the truth is
analytic. The bins are wide compared to the resolution, so that the binned method is at its best: its intervals are the
yardstick.

An interval is the nominal content of a bin plus or minus 1 and 1.96 standard deviations of all families of replicas
(bootstraps of data and of simulation, initialisation): what a reader of the published covariance draws. It is not
widened for the finite number of replicas: by Student's t of their 80 degrees of freedom 68% intervals would be 0.6%
longer and 95% intervals 1.5%, which is worth less than half a point of coverage.

Asked for: the mean over the bins within 4 points of nominal, no bin off by more than 3 binomial errors, and no interval
longer than 1.5 times that of the binned method. A toy depends on its own seed alone: PROCESSES=2 changes nothing.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context

import _common as common
import numpy as np
import torch

from truthward.unfold.ibu import Ibu
from truthward.unfold.omnifold import Omnifold

LEVELS = {"68": (0.6827, 1.0), "95": (0.95, 1.96)}
BLOCKS = {"shifted": (0.3, 1.15), "prior": (0.0, 1.0)}
"""Mean and width of the truth; those of the simulation are 0 and 1."""

TOYS = {"shifted": 3, "prior": 1} if common.QUICK else {"shifted": 200, "prior": 60}
FIRST_SEED = {"shifted": 700_000, "prior": 750_000}
BOOTSTRAPS = 8 if common.QUICK else 40
FAMILIES = {"data_bootstrap": BOOTSTRAPS, "mc_bootstrap": BOOTSTRAPS}
INITIALISATION = 2 if common.QUICK else 3
EVENTS, SIMULATED, RESOLUTION = 2_500, 10_000, 0.25
EDGES = np.linspace(-2.4, 3.0, 10)
METHODS = {
    "ibu": (Ibu(fakes="share", events=20.0), {}),
    "omnifold": (
        Omnifold(
            fakes="share",
            iterations=8,
            stop="change",
            # At 0.3 too much of the prior is left: seen in toys of other seeds.
            tolerance=0.1,
            epochs=10,
            later_epochs=5,
            batch_size=512,
            learning_rate=0.01,
            annealing=0.8,
            width=32,
            depth=2,
            activation="silu",
            replicas="response",
            stack=50,
        ),
        {"initialisation": INITIALISATION},
    ),
}


def content(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Contents of the bins; the outer ones are open, as those of the binned method."""
    return np.bincount(np.searchsorted(EDGES[1:-1], x, side="right"), weights, minlength=len(EDGES) - 1)


def experiment(block: str, seed: int) -> dict[str, dict]:
    """One toy: pulls and standard deviations (bins,), iterations and seconds of each method."""
    torch.set_num_threads(1)
    mean, width = BLOCKS[block]
    simulation = common.Gaussian(mean=0.0, width=1.0, resolution=RESOLUTION, expected=float(EVENTS))
    nature = common.Gaussian(mean=mean, width=width, resolution=RESOLUTION)
    truth = nature.fiducial_yield(EVENTS) * nature.truth_probability(np.array([-np.inf, *EDGES[1:-1], np.inf]))
    observable = common.Observable(name="x0", range=(EDGES[0], EDGES[-1]), bins=len(EDGES) - 1)
    inputs = common.toy(simulation, nature, simulated=SIMULATED, events=EVENTS, rng=np.random.default_rng(seed),
                        observables=[observable], seed=seed)  # fmt: skip
    found = {}
    for name, (unfolder, more) in METHODS.items():
        started = time.perf_counter()
        histograms = common.Histograms(unfolder, inputs, FAMILIES | more, seed=seed)
        nominal, sigma = histograms.measure("x0", content)
        found[name] = {
            "pull": (nominal - truth) / sigma,
            "sigma": sigma,
            "iterations": histograms.result.iterations,
            "seconds": time.perf_counter() - started,
        }
    return found


def experiments(block: str) -> Iterator[dict[str, dict]]:
    """All toys of a block in the order of their seeds, over PROCESSES processes."""
    seeds = range(FIRST_SEED[block], FIRST_SEED[block] + TOYS[block])
    processes = int(os.environ.get("PROCESSES", "1"))
    if processes == 1:
        yield from (experiment(block, seed) for seed in seeds)
        return
    # A forked process would share the state of torch's threads.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(experiment, [block] * len(seeds), seeds)


def run(block: str) -> dict[str, dict[str, np.ndarray]]:
    """Arrays over the toys of a block, for each method."""
    toys = []
    for number, toy in enumerate(experiments(block), start=1):
        toys.append(toy)
        if number % 20 == 0:
            inside = {name: np.mean([np.abs(t[name]["pull"]) < 1.0 for t in toys]) for name in METHODS}
            print(f"{block}, {number} toys: {'  '.join(f'{n} {v:.3f}' for n, v in inside.items())}", flush=True)
    return {name: {key: np.array([t[name][key] for t in toys]) for key in toys[0][name]} for name in METHODS}


def figures_of(values: dict[str, np.ndarray], yardstick: np.ndarray) -> dict:
    """Coverage at both levels, pulls and lengths of one method in one block."""
    pull, length = values["pull"], values["sigma"].mean(axis=0) / yardstick
    figures = {
        "toys": len(pull),
        "mean_pull": pull.mean(axis=0).round(3).tolist(),
        "width_of_pull": pull.std(axis=0).round(3).tolist(),
        "length_over_ibu": length.round(3).tolist(),
        "longest_over_ibu": round(float(length.max()), 3),
        "iterations": {str(n): count for n, count in sorted(Counter(values["iterations"].tolist()).items())},
        "seconds_a_toy": round(float(values["seconds"].mean()), 2),
    }
    for name, (level, factor) in LEVELS.items():
        inside = np.abs(pull) < factor
        by_bin = inside.mean(axis=0)
        binomial = np.sqrt(level * (1.0 - level) / len(pull))
        figures[name] = {
            "nominal": level,
            "covered": round(float(inside.mean()), 4),
            # Bins of one toy are correlated: the error comes from the scatter of the toys.
            "covered_error": round(float(inside.mean(axis=1).std() / np.sqrt(len(pull))), 4),
            "covered_by_bin": by_bin.round(3).tolist(),
            "furthest_bin": round(float(np.abs(by_bin - level).max() / binomial), 2),
        }
    return figures


def show(block: str, name: str, figures: dict) -> None:
    """Print one line a bin."""
    took = f"{figures['seconds_a_toy']:.2f} s each, iterations {figures['iterations']}"
    print(f"\n{block}, {name}: {figures['toys']} toys, {took}")
    print("  from      to     68%     95%  mean pull  width  length / ibu")
    for b, (low, high) in enumerate(pairwise(EDGES)):
        inside = "  ".join(f"{figures[level]['covered_by_bin'][b]:6.2f}" for level in LEVELS)
        pull = f"{figures['mean_pull'][b]:9.2f}  {figures['width_of_pull'][b]:5.2f}"
        print(f"{low:6.2f}  {high:6.2f}  {inside}  {pull}  {figures['length_over_ibu'][b]:12.2f}")
    for level in LEVELS:
        f = figures[level]
        print(f"{level}%: {f['covered']:.3f} +- {f['covered_error']:.3f}, furthest bin {f['furthest_bin']:.1f} errors")


def main() -> dict[str, dict[str, dict]]:
    """Figures by block and method."""
    figures: dict[str, dict[str, dict]] = {}
    for block in BLOCKS:
        found = run(block)
        yardstick = found["ibu"]["sigma"].mean(axis=0)
        figures[block] = {name: figures_of(values, yardstick) for name, values in found.items()}
        for name, f in figures[block].items():
            show(block, name, f)
    return figures


if __name__ == "__main__":
    figures = main()
    common.report(
        "coverage",
        {
            "blocks": figures,
            "replicas": FAMILIES | {"initialisation": INITIALISATION},
            "events": EVENTS,
            "simulated": SIMULATED,
            "mean_shift": BLOCKS["shifted"][0],
            "width_ratio": BLOCKS["shifted"][1],
            "resolution": RESOLUTION,
        },
    )
