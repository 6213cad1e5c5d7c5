"""Do bootstraps that weight the nominal's draws spread as those that are trained and draw anew?

Bootstraps of generative unfolding by `replicas: {by: response}` (see `truthward.unfold.generative.response`) against
the same bootstraps by `by: training`, with the default options, on Gaussian toys of two observables and on slices of
Z+jets. The bins and the figures are those of `replica_spread`.

Trained bootstraps of the simulation also differ by the noise of their trainings, which the family `initialisation`
states. So these bootstraps are trained twice, with different initial weights and batches. What the two sets have in
common, their covariance, is what the bootstraps do:

- common share: this covariance over the variance of the trainings, summed over bins;
- variance over common: variance of the responses over this covariance;
- slope: of the mean of both trainings against the response, 1 if the response has no error of its own.

By default trained bootstraps have 8 draws of each event and the nominal has 16. So the trainings have more noise of
drawing, which lowers their paired correlation and the variance ratio.

The cost is the processor time of all bootstraps over that of one nominal unfolding. The size is that of the file of the
unfolded sample with these bootstraps.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import _common as common
import numpy as np
import replica_spread as spread
import torch

from truthward.events.unfolded import family
from truthward.run.provenance import Record
from truthward.study.plugins import build
from truthward.unfold.contract import Result
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica
from truthward.unfold.stage import unfold_all, write_part

EVENTS = 3_000 if common.QUICK else 10_000
REPLICAS = 8 if common.QUICK else 16
SETS = {"gaussian": 1} if common.QUICK else {"gaussian": 2, "zjets": 2}
SLICES = 16
WAYS = ("response", "training")


def replicas_of(family_name: str) -> list[Replica]:
    return [Replica(family_name, i) for i in range(REPLICAS)]


def filled(inputs: Inputs, rows: list[Any], replicas: list[Replica]) -> np.ndarray:
    """Contents of the bins (R, B) of replicas, with shared draws or draws of their own."""
    found = []
    for replica in replicas:
        own = [r for r in rows if replica.column() in r]
        x = np.concatenate([np.stack([r[f"truth_{n}"] for n in inputs.names], axis=1) for r in own])
        weights = np.concatenate([r[replica.column()] for r in own])
        found.append(spread.contents(inputs, weights[:, None], x)[0])
    return np.array(found)


def size_of(result: Result, unfolder: Any, inputs: Inputs) -> dict[str, float]:
    """Rows and megabytes of the sample with the nominal result and all bootstraps."""
    families = {name: family(name, REPLICAS) for name in spread.FAMILIES}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "unfolded.parquet"
        every = [NOMINAL, *(r for name in families for r in replicas_of(name))]
        write_part(
            path,
            result,
            every,
            unfolder=unfolder,
            method="generative",
            kind="generative",
            observables=inputs.names,
            families=families,
            record=Record.for_tests(),
        )
        return {
            "rows": sum(len(r["event_id"]) for r in result.rows),
            "megabytes": round(path.stat().st_size / 1e6, 1),
        }


def both(inputs: Inputs, seed: int) -> dict[str, Any]:
    """Contents by family and way, those of a second training, and costs."""
    boots = [r for name in spread.FAMILIES for r in replicas_of(name)]
    found: dict[str, Any] = {"contents": {}, "cost": {}}
    for way in WAYS:
        unfolder = build("unfold", {"kind": "generative", "replicas": {"by": way}})
        started = time.process_time()
        first = unfolder.unfold(inputs, [NOMINAL], seed=seed)
        first.rows = list(first.rows)
        middle = time.process_time()
        others = unfolder.unfold(inputs, boots, seed=seed, nominal=first.trained)
        others.rows = list(others.rows)
        seconds = [middle - started, time.process_time() - middle]
        result = unfold_all(_Given(first, others), inputs, boots, seed=seed)
        found["contents"][way] = {n: filled(inputs, list(result.rows), replicas_of(n)) for n in spread.FAMILIES}
        found["cost"][way] = dict(zip(("nominal", "replicas"), seconds, strict=True)) | size_of(
            result, unfolder, inputs
        )
    again = replicas_of("mc_bootstrap")
    first = unfolder.unfold(inputs, [NOMINAL], seed=seed + 1000)
    other = unfolder.unfold(inputs, again, seed=seed + 1000, nominal=first.trained)
    found["again"] = filled(inputs, list(other.rows), again)
    return found


class _Given:
    """Results that are there already, for `unfold_all`."""

    def __init__(self, *results: Result) -> None:
        self._results = iter(results)

    def unfold(self, *_: Any, **__: Any) -> Result:
        return next(self._results)


def common_of(found: list[dict[str, Any]]) -> dict[str, float]:
    """What two trainings of the same bootstraps have in common, and the response beside it; means over data sets."""
    figures: dict[str, list[float]] = {"common_share": [], "variance_over_common": [], "slope": []}
    for one in found:
        response, first = (one["contents"][way]["mc_bootstrap"] for way in WAYS)
        response, first, again = (x - x.mean(axis=0) for x in (response, first, one["again"]))
        shared = (first * again).sum()
        figures["common_share"].append(2 * shared / ((first**2).sum() + (again**2).sum()))
        figures["variance_over_common"].append((response**2).sum() / shared)
        figures["slope"].append((response * (first + again) / 2).sum() / (response**2).sum())
    return {name: round(float(np.mean(values)), 3) for name, values in figures.items()}


def main() -> dict[str, Any]:
    """Print one line a sample and family; return the figures."""
    torch.set_num_threads(1)
    figures: dict[str, Any] = {"spread": {}, "common": {}, "cost": {}}
    for sample, sets in SETS.items():
        found = []
        for k in range(sets):
            inputs = spread.gaussian(k, EVENTS) if sample == "gaussian" else spread.zjets(k, SLICES)
            found.append(both(inputs, spread.FIRST_SEED + k))
        pairs = {
            n: [(f["contents"]["response"][n], f["contents"]["training"][n]) for f in found] for n in spread.FAMILIES
        }
        figures["spread"][sample] = {n: spread.figures_of(p) for n, p in pairs.items()}
        figures["common"][sample] = common_of(found)
        costs = {way: [f["cost"][way] for f in found] for way in WAYS}
        figures["cost"][sample] = {
            way: {
                "over_nominal": round(sum(c["replicas"] for c in each) / sum(c["nominal"] for c in each), 2),
                "seconds": round(float(np.mean([c["replicas"] for c in each])), 1),
                "rows": int(np.mean([c["rows"] for c in each])),
                "megabytes": round(float(np.mean([c["megabytes"] for c in each])), 1),
            }
            for way, each in costs.items()
        }
        for name, f in figures["spread"][sample].items():
            print(
                f"{sample:9} {name:15} variance {f['variance_ratio']:.3f} [{f['interval'][0]:.3f}, "
                f"{f['interval'][1]:.3f}], paired {f['paired_correlation']:.3f}, correlations "
                f"{f['correlation_distance']:.3f} apart, {f['correlation_distance_of_trainings']:.3f} of trainings",
                flush=True,
            )
        print(f"{sample:9} {figures['common'][sample]} {figures['cost'][sample]}", flush=True)
    return figures | {"replicas": REPLICAS, "events": EVENTS, "sets": SETS}


if __name__ == "__main__":
    common.report("generative_spread", main())
