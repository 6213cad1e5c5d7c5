"""Coverage: do 68% intervals hold the truth in 68% of all experiments?

Toys of the Gaussian generator with misses and fakes; the truth differs from the simulation by 0.3 sigma in mean and 15%
in width. Data and simulation are drawn anew for each toy; the truth is analytic. An interval is the nominal content of
a bin plus or minus one standard deviation of all families of replicas (bootstraps of data and of simulation,
initialisation). The bins are wide compared to the resolution, so that the binned method is at its best: its intervals
are the yardstick.
"""

from __future__ import annotations

import time

import _common as common
import numpy as np
import torch

from truthward.unfold.ibu import Ibu
from truthward.unfold.omnifold import Omnifold

TOYS = 4 if common.QUICK else 100
BOOTSTRAPS = 8 if common.QUICK else 20
FAMILIES = {"data_bootstrap": BOOTSTRAPS, "mc_bootstrap": BOOTSTRAPS}
EVENTS, SIMULATED = 2_500, 10_000
MEAN, WIDTH, RESOLUTION = 0.3, 1.15, 0.25
EDGES = np.linspace(-2.4, 3.0, 10)
FIRST_SEED = 700_000
METHODS = {
    "ibu": (Ibu(fakes="share", events=20.0), {}),
    "omnifold": (
        Omnifold(
            fakes="share",
            iterations=4,
            epochs=10,
            later_epochs=5,
            batch_size=512,
            learning_rate=0.01,
            annealing=0.8,
            width=32,
            depth=2,
            activation="silu",
            stack=50,
        ),
        {"initialisation": 2 if common.QUICK else 3},
    ),
}


def content(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Contents of the bins; the outer ones are open, as those of the binned method."""
    return np.bincount(np.searchsorted(EDGES[1:-1], x, side="right"), weights, minlength=len(EDGES) - 1)


def main(
    toys: int = TOYS, first_seed: int = FIRST_SEED, methods: dict = METHODS, families: dict = FAMILIES
) -> dict[str, dict[str, np.ndarray]]:
    """Pulls and interval lengths, (toys, bins), of each method."""
    torch.set_num_threads(1)
    simulation = common.Gaussian(mean=0.0, width=1.0, resolution=RESOLUTION, expected=float(EVENTS))
    nature = common.Gaussian(mean=MEAN, width=WIDTH, resolution=RESOLUTION)
    limits = np.array([-np.inf, *EDGES[1:-1], np.inf])
    truth = nature.fiducial_yield(EVENTS) * nature.truth_probability(limits)
    observable = common.Observable(name="x0", range=(EDGES[0], EDGES[-1]), bins=len(EDGES) - 1)
    found: dict[str, dict[str, list]] = {name: {"pull": [], "sigma": [], "bins": [], "seconds": []} for name in methods}
    for toy in range(toys):
        seed = first_seed + toy
        inputs = common.toy(simulation, nature, simulated=SIMULATED, events=EVENTS, rng=np.random.default_rng(seed),
                            observables=[observable], seed=seed)  # fmt: skip
        for name, (unfolder, more) in methods.items():
            started = time.perf_counter()
            histograms = common.Histograms(unfolder, inputs, families | more, seed=seed)
            nominal, sigma = histograms.measure("x0", content)
            found[name]["pull"].append((nominal - truth) / sigma)
            found[name]["sigma"].append(sigma)
            found[name]["seconds"].append(time.perf_counter() - started)
            if not unfolder.joint:
                found[name]["bins"].append(len(histograms.result.extra["inner_edges"]["x0"]) + 1)
        if (toy + 1) % 10 == 0:
            so_far = "  ".join(f"{n} {(np.abs(v['pull']) < 1.0).mean():.3f}" for n, v in found.items())
            print(f"after {toy + 1} toys: {so_far}", flush=True)
    return {name: {k: np.array(v) for k, v in values.items()} for name, values in found.items()}


def table(found: dict[str, dict[str, np.ndarray]]) -> dict[str, dict]:
    """Print one line a bin and method; return the figures."""
    figures = {}
    yardstick = found["ibu"]["sigma"].mean(axis=0)
    for name, values in found.items():
        pull = values["pull"]
        inside = (np.abs(pull) < 1.0).mean(axis=0)
        length = values["sigma"].mean(axis=0) / yardstick
        print(f"{name}: {len(pull)} toys, {values['seconds'].mean():.2f} s each")
        print("  from      to  covered  mean pull  width  length / ibu")
        for b in range(len(inside)):
            place = f"{EDGES[b]:6.2f}  {EDGES[b + 1]:6.2f}  {inside[b]:7.2f}"
            print(f"{place}  {pull[:, b].mean():9.2f}  {pull[:, b].std():5.2f}  {length[b]:12.2f}")
        # Bins of one toy are correlated: the error comes from the scatter of the toys.
        error = (np.abs(pull) < 1.0).mean(axis=1).std() / np.sqrt(len(pull))
        print(f"  mean    {'':6}  {inside.mean():7.3f} +- {error:.3f}; longest interval {length.max():.2f} x ibu\n")
        figures[name] = {
            "toys": len(pull),
            "covered": round(float(inside.mean()), 4),
            "covered_error": round(float(error), 4),
            "covered_by_bin": inside.round(3).tolist(),
            "mean_pull": pull.mean(axis=0).round(3).tolist(),
            "width_of_pull": pull.std(axis=0).round(3).tolist(),
            "length_over_ibu": length.round(3).tolist(),
            "longest_over_ibu": round(float(length.max()), 3),
            "seconds_a_toy": round(float(values["seconds"].mean()), 2),
        }
    return figures


if __name__ == "__main__":
    figures = table(main())
    common.report(
        "coverage",
        {
            "methods": figures,
            "replicas": FAMILIES | METHODS["omnifold"][1],
            "events": EVENTS,
            "simulated": SIMULATED,
            "mean_shift": MEAN,
            "width_ratio": WIDTH,
            "resolution": RESOLUTION,
        },
    )
