"""Closure on the Gaussian generator: yield, mean and width with misses, fakes and background against their analytic
values, of OmniFold alone in large samples, and of OmniFold beside the generative unfolding.

Many seeds, data and simulation drawn anew for each; the uncertainties are those of the replicas (bootstraps of data and
of simulation, initialisation). Pulls must be centred (|mean| < 0.6), of unit width (0.7 to 1.3), the yield right to 1%
each time, while the simulation's own are off by more than 5 sigma. The uncertainties come from few replicas each: their
own error, 1 / sqrt(2 R), widens the pulls.

Beside each other the methods have smaller samples, with background: here the standard deviations are those of the
replicas of a few seeds, pooled, so that their own error is small. The criterion, fixed beforehand: pulls of the yield
centred and of unit width as above for both, and yields that differ by less than their own standard deviation.

`python benchmarks/gaussian_closure.py beside` makes this part alone and keeps the first as it was stored. What is
finished is kept in .cache, by commit.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import _common as common
import numpy as np
import torch

from truthward.run.artefact import read_json, write_json
from truthward.study.plugins import build
from truthward.unfold.contract import Unfolder
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica
from truthward.unfold.stage import unfold_all

SEEDS = 3 if common.QUICK else 20
EVENTS, SIMULATED = (10_000, 20_000) if common.QUICK else (100_000, 200_000)
FAMILIES = (
    {"data_bootstrap": 4, "mc_bootstrap": 4, "initialisation": 2}
    if common.QUICK
    else {"data_bootstrap": 20, "mc_bootstrap": 20, "initialisation": 5}
)
MEAN, WIDTH, RESOLUTION = 0.15, 1.08, 0.4
FIRST_SEED = 800_000
NAMES = ("yield", "mean", "width")


def method() -> Unfolder:
    """Batches are large, for so are the samples: what counts is the number of steps."""
    entry = {
        "kind": "omnifold",
        "fakes": "share",
        "iterations": 8,
        "network": {"width": 24, "depth": 2, "activation": "silu"},
        "training": {
            "epochs": 4,
            "later_epochs": 2,
            "batch_size": 512 if common.QUICK else 2048,
            "learning_rate": 0.01,
            "annealing": 0.8,
        },
        "replicas": {"stack": 20},
    }
    return build("unfold", entry)


def moments(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Yield, mean and standard deviation, (3,)."""
    mean = np.average(x, weights=weights)
    return np.array([weights.sum(), mean, np.sqrt(np.average((x - mean) ** 2, weights=weights))])


def main(seeds: int = SEEDS, first_seed: int = FIRST_SEED) -> dict:
    """Print a line a seed; return the figures."""
    torch.set_num_threads(1)
    simulation = common.Gaussian(mean=0.0, width=1.0, resolution=RESOLUTION, expected=0.9 * EVENTS)
    nature = common.Gaussian(mean=MEAN, width=WIDTH, resolution=RESOLUTION)
    truth = np.array([nature.fiducial_yield(EVENTS), MEAN, WIDTH])
    observable = common.Observable(name="x0", range=(-5.0, 5.0), bins=50)
    pulls, prior_pulls, off, seconds = [], [], [], []
    print(f"misses {nature.miss_fraction:.3f}, fakes {nature.fake_fraction:.3f}; pulls of {', '.join(NAMES)}")
    for number in range(seeds):
        seed, started = first_seed + number, time.perf_counter()
        inputs = common.toy(
            simulation,
            nature,
            simulated=SIMULATED,
            events=EVENTS,
            rng=np.random.default_rng(seed),
            observables=[observable],
            seed=seed,
        )
        nominal, sigma = common.Histograms(method(), inputs, FAMILIES, seed=seed).measure("x0", moments)
        fiducial = inputs.fiducial
        prior = moments(inputs.truth[fiducial, 0].astype(float), inputs.weight[fiducial])
        pulls.append((nominal - truth) / sigma)
        prior_pulls.append((prior - truth) / sigma)
        off.append(nominal[0] / truth[0] - 1.0)
        seconds.append(time.perf_counter() - started)
        each = zip(pulls[-1], prior_pulls[-1], sigma, strict=True)
        line = "  ".join(f"{p:6.2f} (prior {q:7.1f}, sigma {s:.4g})" for p, q, s in each)
        print(f"seed {seed}: {line}; yield off by {off[-1]:+.3%}; {seconds[-1]:.0f} s", flush=True)
    pulls, prior_pulls = np.array(pulls), np.array(prior_pulls)
    print(f"mean of pulls {pulls.mean(axis=0).round(2)}, width {pulls.std(axis=0, ddof=1).round(2)}")
    return {
        "seeds": seeds,
        "pull_mean": dict(zip(NAMES, pulls.mean(axis=0).round(3).tolist(), strict=True)),
        "pull_width": dict(zip(NAMES, pulls.std(axis=0, ddof=1).round(3).tolist(), strict=True)),
        "smallest_prior_pull": dict(zip(NAMES, np.abs(prior_pulls).min(axis=0).round(1).tolist(), strict=True)),
        "largest_yield_error": round(float(np.abs(off).max()), 5),
        "seconds_a_seed": round(float(np.mean(seconds)), 1),
    }


BESIDE_SEEDS, SPREAD_SEEDS, TREATED_SEEDS = (2, 1, 1) if common.QUICK else (20, 3, 6)
"""Seeds of the nominal results, of those with replicas, and of all treatments of the background."""
BESIDE_FAMILIES = (
    {"data_bootstrap": 4, "mc_bootstrap": 4}
    if common.QUICK
    else {"data_bootstrap": 40, "mc_bootstrap": 40, "initialisation": 5}
)
BESIDE_EVENTS, BESIDE_SIMULATED = (4_000, 8_000) if common.QUICK else (10_000, 20_000)
PIECES = common.HERE / ".cache" / "gaussian_closure"
BACKGROUND = 0.15
FIRST_BESIDE = 900_000
TREATMENTS = ("expected", "subtract", "positive")


def methods(background: str) -> dict[str, Unfolder]:
    """Small networks, for one observable; both remove the prior until little is left of it."""
    entries: dict[str, dict[str, Any]] = {
        "omnifold": {
            "iterations": 5,
            "network": {"width": 24, "activation": "silu"},
            "training": {"epochs": 6, "later_epochs": 3, "batch_size": 512, "learning_rate": 0.01},
        },
        "generative": {
            "model": {"kind": "flow_matching", "width": 32, "depth": 2, "activation": "silu"},
            "iterations": 4,
            "stop": {"rule": "fixed"},
            "training": {"epochs": 12, "later_epochs": 4, "learning_rate": 0.01, "later_learning_rate": 0.002},
            "classifiers": {"ratio_epochs": 4, "side_epochs": 8, "width": 24},
        },
    }
    same = {"fakes": "share", "background": background}
    return {kind: build("unfold", {"kind": kind} | entry | same) for kind, entry in entries.items()}


def with_background(seed: int) -> tuple[Inputs, np.ndarray]:
    """Data of Poisson(BESIDE_EVENTS) events, a simulation of which the signal is 10% too small, and the true moments.

    Fakes go with the signal of either sample; the simulated background is as large as that of the data.
    """
    options = {"resolution": RESOLUTION, "background": BACKGROUND, "background_mean": -1.0, "background_width": 1.0}
    simulation = common.Gaussian(mean=0.0, width=1.0, expected=0.9 * BESIDE_EVENTS, **options)
    nature = common.Gaussian(mean=MEAN, width=WIDTH, **options)
    observable = common.Observable(name="x0", range=(-5.0, 5.0), bins=50)
    inputs = common.toy(
        simulation,
        nature,
        simulated=BESIDE_SIMULATED,
        events=BESIDE_EVENTS,
        seed=seed,
        rng=np.random.default_rng(seed),
        observables=[observable],
    )
    inputs.weight = np.where(inputs.signal, inputs.weight, inputs.weight / 0.9)
    return inputs, np.array([nature.fiducial_yield(BESIDE_EVENTS), MEAN, WIDTH])


def unfolded(
    method: Unfolder, inputs: Inputs, families: dict[str, int], seed: int
) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """Moments of the nominal and their standard deviations (3,), and the history."""
    replicas = [Replica(name, i) for name, count in families.items() for i in range(count)]
    result = unfold_all(method, inputs, replicas, seed=seed)
    found: dict[Replica, list[tuple[np.ndarray, np.ndarray]]] = {r: [] for r in (NOMINAL, *replicas)}
    for rows in result.rows:
        for replica, parts in found.items():
            if replica.column() in rows:
                parts.append((rows["truth_x0"].astype(float), rows[replica.column()]))
    values = {r: moments(*(np.concatenate(part) for part in zip(*p, strict=True))) for r, p in found.items()}
    variance = np.zeros(3)
    for name, count in families.items():
        members = np.array([values[Replica(name, i)] for i in range(count)])
        variance += common.family(name, count).variance(members, values[NOMINAL])
    return values[NOMINAL], np.sqrt(variance), result.history


def piece(seed: int, treatment: str, families: dict[str, int]) -> dict[str, dict[str, Any]]:
    """Of each method nominal moments, their standard deviations from its replicas, share of sampling, CPU seconds."""
    path = PIECES / f"{common.GIT['commit'][:10]}.{seed}.{treatment}.{sum(families.values())}.json"
    if not common.QUICK and path.is_file():
        return read_json(path)
    inputs, _ = with_background(seed)
    found = {}
    for name, method in methods(treatment).items():
        started = time.process_time()
        nominal, sigma, history = unfolded(method, inputs, families, seed)
        found[name] = {
            "nominal": nominal.tolist(),
            "sigma": sigma.tolist(),
            "sampling": [h["sampling_share"] for h in history if h["replica"] == "nominal:0" and "sampling_share" in h],
            "seconds": time.process_time() - started,
        }
    write_json(path, found)
    shown = ", ".join(f"{n} {np.round(f['nominal'], 4)} +- {np.round(f['sigma'], 4)}" for n, f in found.items())
    print(f"seed {seed}, background {treatment}: {shown}", flush=True)
    return found


def beside(seeds: int = BESIDE_SEEDS, first_seed: int = FIRST_BESIDE) -> dict[str, Any]:
    """OmniFold and the generative unfolding of the same samples: pulls of each where the background is an absolute
    component, and their difference with each treatment of it."""
    truth, names, every = (
        with_background(first_seed)[1],
        list(methods("expected")),
        range(first_seed, first_seed + seeds),
    )
    nominal = {"expected": [piece(seed, "expected", {}) for seed in every]}
    spread = [piece(seed, "expected", BESIDE_FAMILIES) for seed in every[:SPREAD_SEEDS]]
    nominal |= {t: [piece(seed, t, {}) for seed in every[:TREATED_SEEDS]] for t in ("subtract", "positive")}

    def values(name: str, treatment: str = "expected") -> np.ndarray:
        return np.array([found[name]["nominal"] for found in nominal[treatment]])

    each = {}
    for name in names:
        sigma = np.sqrt(np.mean([np.square(found[name]["sigma"]) for found in spread], axis=0))
        pulls = (values(name) - truth) / sigma
        each[name] = {
            "pull_mean": dict(zip(NAMES, pulls.mean(axis=0).round(3).tolist(), strict=True)),
            "pull_width": dict(zip(NAMES, pulls.std(axis=0, ddof=1).round(3).tolist(), strict=True)),
            "yield_off": round(float(values(name)[:, 0].mean() / truth[0] - 1.0), 5),
            "yield_sigma": round(float(sigma[0] / truth[0]), 5),
            "seconds": round(float(np.mean([found[name]["seconds"] for found in nominal["expected"]])), 1),
        }
    apart = {t: (values("generative", t) - values("omnifold", t))[:, 0] / truth[0] for t in nominal}
    return {
        "seeds": seeds,
        "with_replicas": SPREAD_SEEDS,
        "events": BESIDE_EVENTS,
        "simulated": BESIDE_SIMULATED,
        "replicas": BESIDE_FAMILIES,
        "background": BACKGROUND,
        "sampling_share": round(float(np.mean([f["generative"]["sampling"] for f in nominal["expected"]])), 4),
        "methods": each,
        "apart": {
            t: {"seeds": len(d), "mean": round(float(d.mean()), 5), "largest": round(float(np.abs(d).max()), 5)}
            for t, d in apart.items()
        },
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:] == ["beside"]:
        stored = read_json(common.HERE / "results" / "gaussian_closure.json")
        figures = stored["figures"] | {"commit": stored["figures"].get("commit", stored["git"]["commit"])}
    else:
        figures = main() | {"events": EVENTS, "simulated": SIMULATED, "replicas": FAMILIES}
    common.report("gaussian_closure", figures | {"beside": beside()})
