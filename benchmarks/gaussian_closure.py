"""Closure on the Gaussian generator: yield, mean and width with misses and fakes against their analytic values.

Many seeds, data and simulation drawn anew for each; the uncertainties are those of the replicas (bootstraps of data and
of simulation, initialisation). Pulls must be centred (|mean| < 0.6), of unit width (0.7 to 1.3), the yield right to 1%
each time, while the simulation's own are off by more than 5 sigma. The uncertainties come from few replicas each: their
own error, 1 / sqrt(2 R), widens the pulls.
"""

from __future__ import annotations

import time

import _common as common
import numpy as np
import torch

from truthward.unfold.omnifold import Omnifold

SEEDS = 3 if common.QUICK else 20
EVENTS, SIMULATED = (10_000, 20_000) if common.QUICK else (100_000, 200_000)
FAMILIES = {"data_bootstrap": 4, "mc_bootstrap": 4, "initialisation": 2} if common.QUICK else {
    "data_bootstrap": 20, "mc_bootstrap": 20, "initialisation": 5}  # fmt: skip
MEAN, WIDTH, RESOLUTION = 0.15, 1.08, 0.4
FIRST_SEED = 800_000
NAMES = ("yield", "mean", "width")


def method() -> Omnifold:
    """Batches are large, for so are the samples: what counts is the number of steps."""
    return Omnifold(fakes="share", iterations=8, epochs=4, later_epochs=2, batch_size=512 if common.QUICK else 2048,
                    learning_rate=0.01, annealing=0.8, width=24, depth=2, activation="silu", stack=20)  # fmt: skip


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
        inputs = common.toy(simulation, nature, simulated=SIMULATED, events=EVENTS, rng=np.random.default_rng(seed),
                            observables=[observable], seed=seed)  # fmt: skip
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


if __name__ == "__main__":
    figures = main()
    common.report("gaussian_closure", figures | {"events": EVENTS, "simulated": SIMULATED, "replicas": FAMILIES})
