"""Do replicas of boosted trees by the response of leaves spread as those that are trained?

Samples, bins and figures are those of `replica_spread`, of other seeds. A training chooses its splits anew, and this
noise is in the trained replicas of each family. So the sum of the variances of both families counts it twice. What a
result needs is the variance if data and simulation are drawn anew at once: trained replicas of `combined`. There is
also the ratio of the summed variances of both families to that variance, by response and by training.
"""

from __future__ import annotations

from typing import Any

import _common as common
import numpy as np
import replica_spread as spread
import torch

from truthward.study.plugins import build
from truthward.unfold.contract import Unfolder
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica

FAMILIES = ("data_bootstrap", "mc_bootstrap", "combined")
REPLICAS = 4 if common.QUICK else 16
SETS = {"gaussian": 1} if common.QUICK else {"gaussian": 3, "zjets": 3}
FIRST = 3
"""The sets of `replica_spread` come before this one."""

Pair = tuple[np.ndarray, np.ndarray]
"""Bin contents (R, B) of replicas by response, and by training."""


def method(by: str) -> Unfolder:
    """OmniFold with boosted trees whose replicas are computed that way."""
    return build("unfold", {"kind": "omnifold", "classifier": "boosted_trees", "replicas": {"by": by}})


def pairs(inputs: Inputs) -> dict[str, Pair]:
    """Family -> its replicas, made in both ways."""
    nominal, found = method("response").unfold(inputs, [NOMINAL], seed=1).trained, {}
    for family in FAMILIES:
        replicas = [Replica(family, k) for k in range(REPLICAS)]
        results = [method(by).unfold(inputs, replicas, seed=1, nominal=nominal) for by in ("response", "training")]
        first, second = (spread.contents(inputs, spread.weights_of(r, replicas)) for r in results)
        found[family] = first, second
    return found


def summed(found: list[dict[str, Pair]]) -> dict[str, float]:
    """Sum of the variances of data and simulation over that of trained `combined` replicas, mean over bins and sets."""
    figures = {}
    for way, name in enumerate(("response", "training")):
        each = [
            sum(f[family][way].var(axis=0, ddof=1) for family in FAMILIES[:2]) / f["combined"][1].var(axis=0, ddof=1)
            for f in found
        ]
        figures[name] = round(float(np.mean([e.mean() for e in each])), 3)
    return figures


def main() -> dict[str, Any]:
    """Print one line a sample and family; return the figures."""
    torch.set_num_threads(1)
    figures: dict[str, Any] = {"spread": {}, "summed": {}}
    for sample, sets in SETS.items():
        made = {"gaussian": spread.gaussian, "zjets": spread.zjets}[sample]
        found = [pairs(made(FIRST + k)) for k in range(sets)]
        own = {family: spread.figures_of([f[family] for f in found]) for family in FAMILIES}
        figures["spread"][sample], figures["summed"][sample] = own, summed(found)
        for family, f in own.items():
            print(f"{sample:9} {family:15} {f['variance_ratio']:6.3f} {f['interval']}", flush=True)
        print(f"{sample:9} summed {figures['summed'][sample]}", flush=True)
    return figures | {"replicas": REPLICAS, "sets": SETS}


if __name__ == "__main__":
    common.report("tree_spread", main())
