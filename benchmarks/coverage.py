"""Coverage: do 68% and 95% intervals hold the truth in 68% and 95% of all experiments?

Toys of the Gaussian generator with misses and fakes, in two blocks: the truth differs from the simulation by 0.3 sigma
in mean and 15% in width; or it is the simulation's, where a method that keeps too much of its prior looks best. Data
and simulation are drawn anew for each toy, the rule that ends the iterations is applied in each, the truth is
analytic. The bins are wide compared to the resolution, so that the binned method is at its best: its intervals are the
yardstick.

An interval is the nominal content of a bin plus or minus 1 and 1.96 standard deviations of all families of replicas
(bootstraps of data and of simulation, initialisation): what a reader of the published covariance draws. It is not
widened for the finite number of replicas: by Student's t of their 80 degrees of freedom 68% intervals would be 0.6%
longer and 95% intervals 1.5%, which is worth less than half a point of coverage. Bootstraps of networks and of trees
are responses.

Asked for: the mean over the bins within 4 points of nominal, no bin off by more than 3 binomial errors, and no interval
longer than 1.5 times that of the binned method. A toy depends on its own seed alone: PROCESSES=2 changes nothing. Each
is kept in .cache under the digest of the code and the options that it ran with: an interrupted run goes on.
`METHODS="boosted trees;generative"` runs these and IBU, and keeps the rows of the other methods, each with its commit.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import _common as common
import _quality as quality
import numpy as np
import torch

from truthward.run.digests import code
from truthward.study.plugins import build

LEVELS = {"68": (0.6827, 1.0), "95": (0.95, 1.96)}
BLOCKS = {"shifted": (0.3, 1.15), "prior": (0.0, 1.0)}
"""Mean and width of the truth; those of the simulation are 0 and 1."""

PIECES = common.HERE / ".cache" / "coverage"
FIRST_SEED = {"shifted": 700_000, "prior": 750_000}
EVENTS, SIMULATED, RESOLUTION = 2_500, 10_000, 0.25
EDGES = np.linspace(-2.4, 3.0, 10)
BOOTSTRAPS, INITIALISATION = (8, 2) if common.QUICK else (40, 3)

METHODS: dict[str, dict[str, Any]] = {
    "ibu": {"kind": "ibu", "fakes": "share", "events": 20.0},
    "omnifold": {
        "kind": "omnifold",
        "fakes": "share",
        "iterations": 8,
        # At 0.3 too much of the prior is left: seen in toys of other seeds.
        "stop": {"rule": "change", "tolerance": 0.1},
        "network": {"width": 32, "depth": 2, "activation": "silu"},
        "training": {"epochs": 10, "later_epochs": 5, "batch_size": 512, "learning_rate": 0.01, "annealing": 0.8},
        "replicas": {"by": "response", "stack": 50},
    },
    # The default trees. In toys of other seeds smaller leaves changed little, and 8 or 15 leaves in smaller steps
    # covered too little.
    "boosted trees": {
        "kind": "omnifold",
        "classifier": "boosted_trees",
        "fakes": "share",
        "iterations": 8,
        "stop": {"rule": "change", "tolerance": 0.1},
        # At 300, the default, the leaves are too wide for so few events: seen in toys of other seeds.
        "trees": {"smallest_leaf": 100},
        "replicas": {"by": "response", "stack": 80},
    },
    "generative": {
        "kind": "generative",
        "model": {"kind": "flow_matching", "width": 32, "depth": 2, "activation": "silu", "steps": 4},
        "fakes": "share",
        "iterations": 4,
        "stop": {"rule": "change", "tolerance": 0.3},
        "draws": {"nominal": 8, "replicas": 4, "ratio": 2},
        "training": {
            "epochs": 20,
            "later_epochs": 4,
            "batch_size": 512,
            "learning_rate": 0.01,
            "later_learning_rate": 2e-3,
        },
        "classifiers": {
            "ratio_epochs": 4,
            "side_epochs": 8,
            "batch_size": 512,
            "learning_rate": 4e-3,
            "width": 24,
        },
        "replicas": {"by": "response", "stack": 50},
    },
}
STATISTICAL = {"data_bootstrap": BOOTSTRAPS, "mc_bootstrap": BOOTSTRAPS}
FAMILIES: dict[str, dict[str, int]] = {
    "ibu": STATISTICAL,
    "omnifold": STATISTICAL | {"initialisation": INITIALISATION},
    "boosted trees": STATISTICAL | {"initialisation": INITIALISATION},
    "generative": STATISTICAL | {"initialisation": INITIALISATION},
}
TOYS = {
    "shifted": {"ibu": 200, "omnifold": 200, "boosted trees": 100, "generative": 100},
    "prior": {"ibu": 200, "omnifold": 60, "boosted trees": 100, "generative": 100},
}
CHOSEN = [m for m in METHODS if m == "ibu" or m in common.chosen(METHODS)]
"""The yardstick, and what METHODS asks for."""
if common.QUICK:
    TOYS = {block: dict.fromkeys(METHODS, 1) for block in BLOCKS}


def content(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Contents of the bins; the outer ones are open, as those of the binned method."""
    return np.bincount(np.searchsorted(EDGES[1:-1], x, side="right"), weights, minlength=len(EDGES) - 1)


def experiment(block: str, seed: int, method: str) -> dict[str, Any]:
    """One toy by one method: pulls and standard deviations (bins,), iterations and CPU seconds."""
    torch.set_num_threads(1)
    mean, width = BLOCKS[block]
    simulation = common.Gaussian(mean=0.0, width=1.0, resolution=RESOLUTION, expected=float(EVENTS))
    nature = common.Gaussian(mean=mean, width=width, resolution=RESOLUTION)
    truth = nature.fiducial_yield(EVENTS) * nature.truth_probability(np.array([-np.inf, *EDGES[1:-1], np.inf]))
    observable = common.Observable(name="x0", range=(EDGES[0], EDGES[-1]), bins=len(EDGES) - 1)
    inputs = common.toy(
        simulation,
        nature,
        simulated=SIMULATED,
        events=EVENTS,
        rng=np.random.default_rng(seed),
        observables=[observable],
        seed=seed,
    )
    started = time.process_time()
    histograms = common.Histograms(build("unfold", METHODS[method]), inputs, FAMILIES[method], seed=seed)
    nominal, sigma = histograms.measure("x0", content)
    return {
        "pull": ((nominal - truth) / sigma).tolist(),
        "sigma": sigma.tolist(),
        "iterations": histograms.result.iterations,
        "seconds": time.process_time() - started,
    }


@cache
def digest(method: str) -> str:
    """Of the code that a method reaches, and of its options and replicas."""
    entry = METHODS[method]
    kinds = [("unfold", entry["kind"]), *([("models", entry["model"]["kind"])] if "model" in entry else [])]
    toys = [BLOCKS, EVENTS, SIMULATED, RESOLUTION, EDGES.tolist()]
    text = json.dumps([code(Path(__file__), kinds)["digest"], entry, FAMILIES[method], toys], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def piece(block: str, seed: int, method: str) -> dict[str, Any]:
    """`experiment`, or what it has found before."""
    path = PIECES / quality.named(block, seed, method, digest(method))
    return quality.kept(path, lambda: experiment(block, seed, method))


def tasks() -> list[tuple[str, int, str]]:
    """Block, seed and method of all toys, the longest ones first."""
    return [
        (block, FIRST_SEED[block] + number, method)
        for method in reversed(CHOSEN)
        for block in BLOCKS
        for number in range(TOYS[block][method])
    ]


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
    earlier = common.earlier("coverage")
    found = quality.dealt(piece, tasks())
    figures: dict[str, dict[str, dict]] = {}
    for block in BLOCKS:
        each = {
            method: {
                key: np.array([found[block, FIRST_SEED[block] + number, method][key] for number in range(toys)])
                for key in ("pull", "sigma", "iterations", "seconds")
            }
            for method, toys in TOYS[block].items()
            if method in CHOSEN
        }
        yardstick = each["ibu"]["sigma"].mean(axis=0)
        made = {method: figures_of(values, yardstick) for method, values in each.items()}
        for method, f in made.items():
            show(block, method, f)
        kept = earlier.get("blocks", {}).get(block, {})
        figures[block] = common.beside("coverage", made, kept, METHODS)
    return figures


if __name__ == "__main__":
    figures = main()
    common.report(
        "coverage",
        {
            "blocks": figures,
            "replicas": FAMILIES,
            "options": common.options("coverage", METHODS),
            "events": EVENTS,
            "simulated": SIMULATED,
            "mean_shift": BLOCKS["shifted"][0],
            "width_ratio": BLOCKS["shifted"][1],
            "resolution": RESOLUTION,
        },
    )
