"""OmniFold with a network against OmniFold with boosted trees, on the same events.

The samples are those of `omnifold_speed`: a Gaussian of six dimensions and Z+jets, with all events and with a tenth of
them. Both classifiers unfold the data, and bootstraps of the data, by their default options. For each observable: the
triangular discriminator against the truth of the data themselves, with the spread over the bootstraps; and CPU time.
"""

from __future__ import annotations

import time
from typing import Any

import _common as common
import numpy as np
import torch
from _speed_samples import Case, gaussian, nominal_of, zjets

from truthward.study.plugins import build
from truthward.unfold.inputs.arrays import NOMINAL, Replica
from truthward.validate import metrics

SIZES = (3_000,) if common.QUICK else (200_000, 20_000)
BOOTSTRAPS = 1 if common.QUICK else 6
CLASSIFIERS: dict[str, dict[str, Any]] = {
    "network": {"kind": "omnifold"},
    "boosted trees": {"kind": "omnifold", "classifier": "boosted_trees"},
}


def discriminators(case: Case, weights: np.ndarray) -> dict[str, float]:
    """Observable -> triangular discriminator of the fiducial events with `weights` (n,) against the truth."""
    values, found = case.inputs.truth[case.inputs.fiducial], {}
    for d, o in enumerate(case.inputs.observables):
        edges = np.asarray(o.edges)
        p, q = (np.histogram(x, edges, weights=w)[0] for x, w in ((values[:, d], weights), (case.truth[o.name], None)))
        found[o.name] = metrics.triangular_discriminator(p, q, edges)
    return found


def judged(case: Case) -> dict[str, Any]:
    """Classifier -> figures of one sample; the classifiers alternate."""
    replicas = [NOMINAL, *(Replica("data_bootstrap", k) for k in range(BOOTSTRAPS))]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in CLASSIFIERS}
    seconds: dict[str, list[float]] = {name: [] for name in CLASSIFIERS}
    for replica in replicas:
        varied = case.inputs if replica == NOMINAL else case.inputs.varied(replica)
        for name, entry in CLASSIFIERS.items():
            started = time.process_time()
            weights = nominal_of(build("unfold", entry).unfold(varied, [NOMINAL], seed=1))
            seconds[name].append(time.process_time() - started)
            runs[name].append(discriminators(case, weights))
    names = list(case.truth)
    return {
        name: {
            "value": {n: round(found[0][n], 4) for n in names},
            "spread": {n: round(float(np.std([f[n] for f in found[1:]])), 4) for n in names},
            "mean": round(float(np.mean(list(found[0].values()))), 4),
            "mean_spread": round(float(np.std([np.mean(list(f.values())) for f in found[1:]])), 4),
            "seconds": round(float(np.median(seconds[name])), 2),
        }
        for name, found in runs.items()
    }


def main() -> dict[str, Any]:
    """Print and return the figures of all samples."""
    torch.set_num_threads(1)
    figures: dict[str, Any] = {}
    for events in SIZES:
        for case in (gaussian(events, seed=2), zjets(events)):
            if case is None:
                print("../shared/data/zjets is not there: Gaussian only")
                continue
            figures[f"{case.name}, {events:,}"] = found = judged(case)
            for name, f in found.items():
                values = "  ".join(f"{n} {v:.3f} ± {f['spread'][n]:.3f}" for n, v in f["value"].items())
                print(f"{case.name:9} {events:7,} {name:14} {values}  {f['seconds']:.1f} s", flush=True)
    return {"samples": figures, "bootstraps": BOOTSTRAPS}


if __name__ == "__main__":
    common.report("classifiers", main())
