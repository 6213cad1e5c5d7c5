"""Are the p-values of a comparison right for the truth itself, and small for the simulation?

Publications of toys of known truth (`tests/compare/toys.py`), with bootstraps, a systematic that shifts the data by a
random size in each toy, and 30 or 12 replicas of each bootstrap. Each is compared with independent events of the truth,
and with the simulation before it was unfolded. For the truth the p-values must be uniform (Kolmogorov-Smirnov). The
third block has OmniFold as the method, on toys with a detector: its regularisation may bias the result, so it shows
what a real method does to p-values.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import _common as common
import numpy as np
import torch
from scipy import stats

sys.path.append(str(Path(__file__).resolve().parents[1]))

from tests.compare import toys
from truthward.compare.published import Published
from truthward.compare.stage import compare
from truthward.run.provenance import Record

TOYS = 8 if common.QUICK else 50
DATA, SIMULATED, PREDICTED = 2000, 5000, 4000
REPLICAS = {"30 replicas": 30, "12 replicas": 12, "OmniFold": 12}
TESTS = ("x", "y", "joint", "unbinned")
PREDICTIONS = {"truth": toys.truth, "simulation": toys.simulated}


def p_values(block: str, seed: int) -> dict[str, dict[str, float | None]]:
    """Prediction -> test -> p-value, for one toy."""
    random = np.random.default_rng([seed, 1])
    make = toys.omnifold if block == "OmniFold" else toys.publication
    with tempfile.TemporaryDirectory() as name:
        folder = make(Path(name), seed, data=DATA, simulation=SIMULATED, replicas=REPLICAS[block])
        given = [toys.prediction(n, draw(PREDICTED, random)) for n, draw in PREDICTIONS.items()]
        found = compare(Published.open(folder), given, seed=seed, record=Record.for_tests())["predictions"]
    return {
        label: {n: o["chi2"]["p"] for n, o in entry["observables"].items()}
        | {"joint": entry["joint"]["chi2"]["p"], "unbinned": entry["unbinned"][0]["p"]}
        for label, entry in found.items()
    }


def figures_of(found: list[dict[str, dict[str, float | None]]], test: str) -> dict[str, Any] | None:
    """Of one test: Kolmogorov-Smirnov, and shares of small p-values; None if the replicas are too few for it."""
    each = {label: [toy[label][test] for toy in found if toy[label][test] is not None] for label in PREDICTIONS}
    if not each["truth"]:
        return None
    return {
        "toys": len(each["truth"]),
        "ks_p": round(float(stats.kstest(each["truth"], "uniform").pvalue), 3),
        "mean": round(float(np.mean(each["truth"])), 3),
        "below_10": round(float(np.mean(np.array(each["truth"]) < 0.1)), 3),
        "simulation_rejected": round(float(np.mean(np.array(each["simulation"]) < 0.05)), 3),
        "simulation_median": float(f"{np.median(each['simulation']):.1e}"),
    }


def main() -> dict[str, Any]:
    """Print one line a block and test; return the figures."""
    torch.set_num_threads(1)
    blocks: dict[str, Any] = {}
    print("block         test      toys  KS p   mean p  p < 0.1   simulation: p < 0.05, median p")
    for block in REPLICAS:
        found = [p_values(block, seed) for seed in range(2 if common.QUICK and block == "OmniFold" else TOYS)]
        blocks[block] = {test: figures for test in TESTS if (figures := figures_of(found, test))}
        for test, f in blocks[block].items():
            print(
                f"{block:13} {test:9} {f['toys']:4}  {f['ks_p']:.3f}  {f['mean']:.3f}  {f['below_10']:7.2f}   "
                f"{f['simulation_rejected']:.2f}, {f['simulation_median']:.1e}",
                flush=True,
            )
    return {"blocks": blocks, "toys": TOYS, "data": DATA, "simulated": SIMULATED, "predicted": PREDICTED}


if __name__ == "__main__":
    common.report("compare", main())
