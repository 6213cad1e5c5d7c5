"""Quality of unfolding Z+jets: triangular discriminators of all methods beside their floor, with spread over seeds.

Two problems. `zjets`: the sample of `workflow/studies/own_data.yaml`, 200,000 events each of simulation and data, with
one shower model and one detector on both sides. `hard`: `workflow/studies/hard.yaml`, in which methods separate: a
detector of calorimeters alone, data with alpha_s = 0.16 where the simulation has 0.127. OmniFold on constituents is
compared on half of the latter's events, 50,000 of each sample, beside MultiFold on the same events.

Every method is run as configured here, which was settled before these seeds were looked at. Seeds are those of initial
weights and batches. IBU and boosted trees have none: what stands for their spread is that of Poisson bootstraps of the
data; IBU chooses bins and iterations anew by its rules each time. Values are of the nominal result against the truth
that is set apart; the floor is that of two samples of that truth, of the sizes of the truth and of the effective size
unfolded.

`METHODS="MultiFold;MultiFold with trees"` and `CASES=zjets` run these alone, and keep the rows of the other methods and
cases, each with its commit.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import _common as common
import _quality as quality
import numpy as np
import torch

from truthward.events.table import EventTable
from truthward.run.digests import code
from truthward.study.plugins import build
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica

PIECES = common.HERE / ".cache" / "omnifold_quality"
SEEDS, SET_SEEDS = (1, 1) if common.QUICK else (8, 3)
SHARES = {"zjets": ("zjets", 1.0), "hard": ("hard", 1.0), "hard, half": ("hard", 0.5)}
"""Case -> its study, and the share of the events of both samples that is unfolded."""
MULTIFOLD: dict[str, Any] = {"kind": "omnifold"}
SETS: dict[str, Any] = {"kind": "omnifold", "inputs": "constituents"}
DEEP = {
    "classifier": "deep_sets",
    "network": {"width": 64, "activation": "relu"},
    "training": {"batch_size": 512, "learning_rate": 3e-3},
}
ATTENTION = {
    "iterations": 4,
    "classifier": "attention",
    "network": {"width": 32},
    "training": {"epochs": 4, "later_epochs": 2, "batch_size": 512, "learning_rate": 2e-3},
}
METHODS: dict[str, dict[str, Any]] = {
    "MultiFold": MULTIFOLD,
    "MultiFold with trees": MULTIFOLD | {"classifier": "boosted_trees"},
    "UniFold": MULTIFOLD | {"each": True},
    "feature fit": {"kind": "feature_fit"},
    "IBU": {"kind": "ibu"},
    "OmniFold, deep sets": SETS | DEEP,
    "OmniFold, attention": SETS | ATTENTION,
}
ALONE = ("MultiFold", "MultiFold with trees", "UniFold", "feature fit", "IBU")
"""Methods that unfold observables."""
PLAN = {
    "zjets": dict.fromkeys(ALONE, SEEDS),
    "hard": dict.fromkeys(ALONE, SEEDS),
    "hard, half": {
        "MultiFold": SET_SEEDS,
        "MultiFold with trees": SET_SEEDS,
        "IBU": SET_SEEDS,
        "OmniFold, deep sets": SET_SEEDS,
        "OmniFold, attention": SET_SEEDS,
    },
}
if common.QUICK:
    # A checkout does not hold the files of zjets; a few events of hard are soon made.
    del PLAN["zjets"]
    short = {"iterations": 2, "training": {"epochs": 1, "later_epochs": 1}}
    METHODS = {m: common.merged(e, short) if e["kind"] == "omnifold" else e for m, e in METHODS.items()}
CASES = [case for case in PLAN if case in os.environ.get("CASES", ";".join(PLAN)).split(";")]


def steady(method: str) -> bool:
    """Whether a method has no random number."""
    return METHODS[method]["kind"] == "ibu" or METHODS[method].get("classifier") == "boosted_trees"


def run(case: str, method: str, seed: int) -> dict[str, Any]:
    """One method, once: observable -> triangular discriminator, with time and iterations."""
    torch.set_num_threads(1)
    paths, observables = quality.study(SHARES[case][0])
    share = SHARES[case][1]
    entry = dict(METHODS[method])
    each = entry.pop("each", False)
    choices = [[o.name] for o in observables] if each else [[]]
    found: dict[str, Any] = {"triangular": {}, "iterations": [], "seconds": 0.0}
    for names in choices:
        unfolder = build("unfold", entry | ({"observables": names} if names else {}))
        chosen = [o for o in observables if o.name in (names or [o.name for o in observables])]
        tables = (EventTable(paths["data"]), EventTable(paths["simulation"]))
        inputs = quality.some(Inputs.load(*tables, chosen, seed=seed, constituents=unfolder.constituents), share)
        if steady(method) and seed:
            inputs = inputs.varied(Replica("data_bootstrap", seed))
        started = time.process_time()
        result = unfolder.unfold(inputs, [NOMINAL], seed=seed)
        rows = list(result.rows)
        found["seconds"] += time.process_time() - started
        found["iterations"].append(result.iterations)
        for o in chosen:
            column = NOMINAL.column(None if unfolder.joint else o.name)
            x, w = (np.concatenate([r[c] for r in rows]) for c in (f"truth_{o.name}", column))
            found["triangular"][o.name] = quality.against_truth(paths["truth"], o, x, w)
    return found


def piece(case: str, method: str, seed: int) -> dict[str, Any]:
    """`run`, kept under the digest of the code and options it ran with."""
    digest = code(Path(__file__), [("unfold", METHODS[method]["kind"])])["digest"]
    return quality.kept(PIECES / quality.named(case, method, seed, digest), lambda: run(case, method, seed))


def table(case: str, pieces: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Print the table of one case; return its figures."""
    start = quality.before(SHARES[case][0])
    names = list(start)
    print(f"\n{case}: triangular discriminator x 10^3, mean over seeds +- spread (excess over the floor)")
    print(f"{'':22}" + "".join(f"{n:>22}" for n in names))
    methods: dict[str, Any] = {}
    for method, found in pieces.items():
        values = {
            k: np.array([[f["triangular"][n][k] for n in names] for f in found]) for k in ("value", "floor", "excess")
        }
        # Where there is no random number, the first run is that of the data themselves, the others state the spread.
        own = slice(0, 1) if steady(method) else slice(None)
        mean, excess = values["value"][own].mean(axis=0), values["excess"][own].mean(axis=0)
        spread = values["value"].std(axis=0, ddof=1) if len(found) > 1 else np.zeros(len(names))
        methods[method] = {
            "seeds": len(found),
            **{
                k: dict(zip(names, v.round(3).tolist(), strict=True))
                for k, v in (
                    ("mean", mean),
                    ("spread", spread),
                    ("excess", excess),
                    ("floor", values["floor"][own].mean(axis=0)),
                )
            },
            "seconds": round(float(np.mean([f["seconds"] for f in found])), 1),
            "iterations": [f["iterations"] for f in found],
        }
        cells = "".join(f"{m:9.2f} ±{s:5.2f} ({e:+5.2f})" for m, s, e in zip(mean, spread, excess, strict=True))
        print(f"{method:22}{cells}  {methods[method]['seconds']:.0f} s")
    for what in ("data", "simulation", "floor"):
        print(f"{what + ' before' if what != 'floor' else what:22}" + "".join(f"{start[n][what]:22.2f}" for n in names))
    return {"methods": methods, "before": start}


def main() -> dict[str, Any]:
    """All cases, their runs dealt to as many processes as there are cores."""
    plan = {case: {m: PLAN[case][m] for m in common.chosen(METHODS) if m in PLAN[case]} for case in CASES}
    earlier = common.earlier("omnifold_quality").get("cases", {})
    todo = [(case, m, s) for case, methods in plan.items() for m, count in methods.items() for s in range(count)]
    for case in plan:
        quality.study(SHARES[case][0])
    done = quality.dealt(piece, todo)
    cases = dict(earlier)
    for case, methods in plan.items():
        cases[case] = table(case, {m: [done[case, m, s] for s in range(count)] for m, count in methods.items()})
    for case, found in cases.items():
        made = found["methods"] if case in plan else {}
        kept = earlier.get(case, {}).get("methods", {})
        cases[case] = found | {"methods": common.beside("omnifold_quality", made, kept, METHODS)}
    return cases


if __name__ == "__main__":
    common.report("omnifold_quality", {"cases": main(), "options": common.options("omnifold_quality", METHODS)})
