"""Do replicas of boosted trees by the response of leaves spread as those that are trained?

Samples, bins and figures are those of `replica_spread`, of other seeds. A training with other events chooses its splits
anew. This noise is in the trained replicas of each bootstrap family, so the sum of both variances counts it twice. It
is in no response of leaves, and the family `initialisation` states it. What a result needs is the variance if data and
simulation are drawn anew at once: trained replicas of `combined`. Three sums of variances are held against it: of both
bootstrap families by response, of both with `initialisation`, and of both by training.

The mean of `initialisation` differs from the nominal, whose splits were chosen with the weights that fill its leaves.
This shift is given too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import _common as common
import numpy as np
import replica_spread as spread
import torch

from truthward.study.plugins import build
from truthward.unfold.contract import Unfolder
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica

REPLICAS, INITIALISATIONS = (10, 3) if common.QUICK else (16, 8)
SETS = {"gaussian": 1} if common.QUICK else {"gaussian": 3, "zjets": 3}
FIRST = 3
"""The sets of `replica_spread` come before this one."""


@dataclass(frozen=True)
class Found:
    """Bin contents of one data set: of the nominal (B,), and of replicas (R, B).

    pairs: bootstrap family -> its replicas by response, and by training.
    """

    nominal: np.ndarray
    pairs: dict[str, tuple[np.ndarray, np.ndarray]]
    initialisation: np.ndarray
    combined: np.ndarray

    def sums(self) -> dict[str, float]:
        """Sums of variances over the variance of `combined`, mean over bins."""
        response, training = (sum(_variance(pair[way]) for pair in self.pairs.values()) for way in range(2))
        sums = {
            "response": response,
            "response_with_initialisation": response + _variance(self.initialisation),
            "training": training,
        }
        return {name: float((v / _variance(self.combined)).mean()) for name, v in sums.items()}

    def shift(self) -> float:
        """Mean of `initialisation` minus the nominal over the spread of `combined`, root mean square of the bins."""
        away = self.initialisation.mean(axis=0) - self.nominal
        return float(np.sqrt((away**2 / _variance(self.combined)).mean()))


def _variance(contents: np.ndarray) -> np.ndarray:
    return contents.var(axis=0, ddof=1)


def method(by: str) -> Unfolder:
    """OmniFold with boosted trees whose replicas are computed that way."""
    return build("unfold", {"kind": "omnifold", "classifier": "boosted_trees", "replicas": {"by": by}})


def unfolded(inputs: Inputs) -> Found:
    """All replicas of one data set; bootstraps are made in both ways."""
    first = method("response").unfold(inputs, [NOMINAL], seed=1)

    def made(family: str, by: str = "response", replicas: int = REPLICAS) -> np.ndarray:
        members = [Replica(family, k) for k in range(replicas)]
        result = method(by).unfold(inputs, members, seed=1, nominal=first.trained)
        return spread.contents(inputs, spread.weights_of(result, members))

    return Found(
        nominal=spread.contents(inputs, spread.weights_of(first, [NOMINAL]))[0],
        pairs={family: (made(family), made(family, "training")) for family in spread.FAMILIES},
        initialisation=made("initialisation", replicas=INITIALISATIONS),
        combined=made("combined"),
    )


def main() -> dict[str, Any]:
    """Print one line a sample and family; return the figures."""
    torch.set_num_threads(1)
    figures: dict[str, Any] = {"spread": {}, "summed": {}, "shift": {}}
    for sample, sets in SETS.items():
        make = {"gaussian": spread.gaussian, "zjets": spread.zjets}[sample]
        found = [unfolded(make(FIRST + k)) for k in range(sets)]
        own = {family: spread.figures_of([f.pairs[family] for f in found]) for family in spread.FAMILIES}
        sums = [f.sums() for f in found]
        figures["spread"][sample] = own
        figures["summed"][sample] = {
            name: {"mean": round(float(np.mean(each)), 3), "by_set": [round(v, 3) for v in each]}
            for name, each in ((name, [s[name] for s in sums]) for name in sums[0])
        }
        figures["shift"][sample] = [round(f.shift(), 2) for f in found]
        for family, f in own.items():
            print(f"{sample:9} {family:15} {f['variance_ratio']:6.3f} {f['interval']}", flush=True)
        for name, f in figures["summed"][sample].items():
            print(f"{sample:9} summed, {name:28} {f['mean']:6.3f} {f['by_set']}", flush=True)
        print(f"{sample:9} shift of initialisation {figures['shift'][sample]}", flush=True)
    return figures | {"replicas": REPLICAS, "initialisations": INITIALISATIONS, "sets": SETS}


if __name__ == "__main__":
    common.report("tree_spread", main())
