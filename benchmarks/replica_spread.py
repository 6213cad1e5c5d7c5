"""Do replicas that are not trained spread as those that are?

Bootstrap replicas of OmniFold as the response of the nominal's networks (`replicas: {by: response}`,
see `truthward.ratio.response`) against the same replicas trained in full with the nominal's initial weights and order
of batches (`by: training`), on Gaussian toys of two observables and on slices of the Z+jets sample of
`workflow/studies/own_data.yaml`. Per bin of the unfolded observables (those of at least half a per cent of the sample):

- variance ratio, response over training, mean over bins and data sets, with a 95% interval from resampling replicas;
- paired correlation of the deviations of one replica made in both ways;
- root mean square difference between the correlation matrices of two disjoint sets of replicas, one made in either
  way, beside that between two disjoint sets that are both trained.

The cost is that of 50 replicas over that of one nominal unfolding, on all events of Z+jets.
"""

from __future__ import annotations

import time
from typing import Any

import _common as common
import numpy as np
import torch
from _quality import study

from truthward.events.hashing import uniform
from truthward.events.table import EventTable
from truthward.study.plugins import build
from truthward.unfold.contract import Unfolder
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica

FAMILIES = ("data_bootstrap", "mc_bootstrap")
REPLICAS = 10 if common.QUICK else 20
EVENTS = 4_000 if common.QUICK else 20_000
SETS = {"gaussian": 1} if common.QUICK else {"gaussian": 3, "zjets": 3}
SLICES = 8
FIRST_SEED = 31
COSTED = 50
BINS = 20
RANGES = {"m": (0, 75), "M": (0, 80), "w": (0, 0.6), "ln_rho": (-14, 0), "tau21": (0, 1.2), "zg": (0, 0.5)}


def gaussian(number: int) -> Inputs:
    """Toy of two observables with misses and fakes; the truth is shifted by 0.3 and 15% wider than simulated."""
    options = {"dimensions": 2, "resolution": 0.4, "fakes": [0.3, 0.1]}
    simulation = common.Gaussian(**options, expected=float(EVENTS))
    nature = common.Gaussian(mean=0.3, width=1.15, **options)
    observables = [common.Observable(name=n, range=(-2.5, 3.1), bins=BINS) for n in simulation.observables]
    seed = FIRST_SEED + number
    return common.toy(
        simulation,
        nature,
        simulated=EVENTS,
        events=EVENTS,
        rng=np.random.default_rng(seed),
        observables=observables,
        seed=seed,
    )


def zjets(number: int, slices: int = SLICES) -> Inputs:
    """A slice of simulation and data, by a hash of the events' ids."""
    paths, observables = study("zjets")
    names = [o.name for o in observables]
    common_columns = [*(f"reco_{n}" for n in names), "pass_reco", "weight", "event_id"]

    def part(path: Any, columns: list[str]) -> dict[str, np.ndarray]:
        table = EventTable(path).read(columns)
        chosen = (uniform(table["event_id"], 1) * slices).astype(int) == number
        return {n: v[chosen] for n, v in table.items()}

    simulation = part(paths["simulation"], [*common_columns, *(f"truth_{n}" for n in names), "pass_truth", "process"])
    return Inputs.from_columns(simulation, part(paths["data"], common_columns), observables, seed=FIRST_SEED + number)


def contents(inputs: Inputs, weights: np.ndarray) -> np.ndarray:
    """Weights (n, R) of the fiducial events in the bins of all observables, (R, B)."""
    chosen, found = inputs.fiducial, []
    for d, o in enumerate(inputs.observables):
        low, high = RANGES.get(o.name, o.range)
        x = (inputs.truth[chosen][:, d].astype(np.float64) - low) / (high - low)
        place = np.where((x < 0) | (x >= 1), BINS, np.floor(x * BINS)).astype(int)
        prior = np.bincount(place, inputs.weight[chosen], minlength=BINS + 1)[:BINS]
        keep = prior > 0.005 * inputs.weight[chosen].sum()
        found.append(np.stack([np.bincount(place, w, minlength=BINS + 1)[:BINS][keep] for w in weights.T]))
    return np.concatenate(found, axis=1)


def weights_of(result: Any, replicas: list[Replica]) -> np.ndarray:
    """Weights (n, R) of the replicas of a result."""
    rows = list(result.rows)
    return np.stack([np.concatenate([r[replica.column()] for r in rows]) for replica in replicas], axis=1)


def method(by: str) -> Unfolder:
    """OmniFold whose replicas are computed that way."""
    return build("unfold", {"kind": "omnifold", "replicas": {"by": by}})


def both(inputs: Inputs, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Family -> bin contents (R, B) of the response, and of trainings."""
    respond, train = (method(by) for by in ("response", "training"))
    nominal = respond.unfold(inputs, [NOMINAL], seed=seed).trained
    found = {}
    for family in FAMILIES:
        replicas = [Replica(family, i) for i in range(REPLICAS)]
        found[family] = tuple(
            contents(inputs, weights_of(unfolder.unfold(inputs, replicas, seed=seed, nominal=nominal), replicas))
            for unfolder in (respond, train)
        )
    return found


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Root mean square difference of the correlations between bins in two sets of replicas (R, B)."""
    difference = np.corrcoef(a.T) - np.corrcoef(b.T)
    return float(np.sqrt((difference[np.triu_indices(len(difference), 1)] ** 2).mean()))


def figures_of(pairs: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """All figures of one family, from the bin contents of all data sets."""

    def ratio(rows: list[np.ndarray]) -> float:
        each = [
            (a[r].var(axis=0, ddof=1) / b[r].var(axis=0, ddof=1)).mean() for (a, b), r in zip(pairs, rows, strict=True)
        ]
        return float(np.mean(each))

    rng = np.random.default_rng(1)
    drawn = [ratio([rng.integers(0, len(a), len(a)) for a, _ in pairs]) for _ in range(400)]
    centre = ratio([np.arange(len(a)) for a, _ in pairs])
    # Resampling with replacement biases a ratio of variances; the spread about its own mean is what is wanted.
    low, high = centre + np.quantile(drawn, [0.025, 0.975]) - np.mean(drawn)
    half = len(pairs[0][0]) // 2
    paired = [np.mean([np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(a.shape[1])]) for a, b in pairs]
    own = [(distance(a[:half], b[half:]) + distance(a[half:], b[:half])) / 2 for a, b in pairs]
    return {
        "bins": [a.shape[1] for a, _ in pairs],
        "variance_ratio": round(centre, 3),
        "interval": [round(float(low), 3), round(float(high), 3)],
        "by_set": [round(float((a.var(axis=0) / b.var(axis=0)).mean()), 3) for a, b in pairs],
        "paired_correlation": round(float(np.mean(paired)), 3),
        "correlation_distance": round(float(np.mean(own)), 3),
        "correlation_distance_of_trainings": round(float(np.mean([distance(b[:half], b[half:]) for _, b in pairs])), 3),
        "correlation_distance_same_replicas": round(float(np.mean([distance(a, b) for a, b in pairs])), 3),
    }


def cost() -> dict[str, Any]:
    """Seconds of processor time of one nominal unfolding and of the replicas that respond."""
    inputs = gaussian(0) if common.QUICK else zjets(0, slices=1)
    unfolder = method("response")
    replicas = [Replica(FAMILIES[i % 2], i // 2) for i in range(COSTED)]
    started = time.process_time()
    trained = unfolder.unfold(inputs, [NOMINAL], seed=1).trained
    middle = time.process_time()
    unfolder.unfold(inputs, replicas, seed=1, nominal=trained)
    nominal, others = middle - started, time.process_time() - middle
    return {
        "events": len(inputs.weight) + len(inputs.data_weight),
        "replicas": COSTED,
        "nominal_seconds": round(nominal, 1),
        "replica_seconds": round(others, 1),
        "over_nominal": round(others / nominal, 2),
    }


def main() -> dict[str, Any]:
    """Print one line a sample and family; return the figures."""
    torch.set_num_threads(1)
    figures: dict[str, Any] = {}
    print(f"{REPLICAS} replicas a family and data set, made in both ways")
    print("sample    family          sets  variance ratio (95%)    paired  correlations: apart, of trainings")
    for sample, sets in SETS.items():
        found = [both({"gaussian": gaussian, "zjets": zjets}[sample](k), seed=FIRST_SEED + k) for k in range(sets)]
        figures[sample] = {family: figures_of([f[family] for f in found]) for family in FAMILIES}
        for family, f in figures[sample].items():
            print(
                f"{sample:9} {family:15} {sets:4}  {f['variance_ratio']:6.3f} [{f['interval'][0]:.3f}, "
                f"{f['interval'][1]:.3f}]  {f['paired_correlation']:6.3f}  {f['correlation_distance']:6.3f}, "
                f"{f['correlation_distance_of_trainings']:.3f}",
                flush=True,
            )
    spent = cost()
    print(
        f"{spent['replicas']} replicas cost {spent['over_nominal']} times one nominal unfolding "
        f"({spent['replica_seconds']} s over {spent['nominal_seconds']} s, {spent['events']} events)"
    )
    return {"spread": figures, "cost": spent, "replicas": REPLICAS, "events": EVENTS, "sets": SETS}


if __name__ == "__main__":
    common.report("replica_spread", main())
