"""The stress suite where the truth is analytic: how often does each method pass, and what would refolding have said?

Toys of the Gaussian generator in two dimensions, of which the first is unfolded; the second, hidden one shifts its
response. Each toy is a simulation drawn anew, which the suite divides into the half that unfolds and the half that
becomes pseudo-data. Results are held against the expected contents by quadrature, not against the toy's own events: the
shares of bins within one sigma are coverages. The first scenario and the last two must pass in nearly all toys; a
hidden variable that matters, and a detector that is not as simulated, must fail, while refolding passes.

`METHODS="boosted trees"` runs these alone, and keeps the rows of the other methods, each with its commit.
"""

from __future__ import annotations

import time
from itertools import pairwise

import _common as common
import numpy as np
import torch

from truthward.study.plugins import build
from truthward.validate.section import Stress
from truthward.validate.stress.scenarios import QUESTIONS, STARVED, Scenario
from truthward.validate.stress.stage import run

TOYS = 1 if common.QUICK else 15
EVENTS = 16_000
REPLICAS = (
    {"data_bootstrap": 10, "mc_bootstrap": 10}
    if common.QUICK
    else {"data_bootstrap": 15, "mc_bootstrap": 15, "initialisation": 2}
)
RESOLUTION, SLOPE = 0.4, 0.3
OPTIONS = Stress(scale=1.03).model_dump(exclude={"replicas", "events"})
OBSERVABLE = common.Observable(name="x0", range=(6.0, 14.0), bins=40)
FIRST_SEED = 900_000
METHODS = {
    "ibu": build("unfold", {"kind": "ibu"}),
    "omnifold": build(
        "unfold",
        {
            "kind": "omnifold",
            "iterations": 5,
            "network": {"width": 32, "depth": 2, "activation": "silu"},
            "training": {"epochs": 10, "later_epochs": 5, "batch_size": 512, "learning_rate": 0.01, "annealing": 0.8},
            "replicas": {"stack": 50},
        },
    ),
    "boosted trees": build("unfold", {"kind": "omnifold", "classifier": "boosted_trees"}),
}


def draw(nature: common.Gaussian, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Poisson(EVENTS) events of unit weight; the hidden dimension shifts reco x0 by SLOPE of its value."""
    columns = nature.draw(int(rng.poisson(EVENTS)), rng)
    both = columns["pass_truth"] & columns["pass_reco"]
    columns["reco_x0"] = columns["reco_x0"] + np.where(both, SLOPE * columns["truth_x1"], 0).astype(np.float32)
    columns["process"] = np.where(columns["process"] == 0, "signal", "background")
    columns["event_id"] = rng.integers(0, 2**63, len(both)).astype(np.uint64)
    return columns


class Expected:
    """Expected contents of the bins of a scenario's truth, (B + 2,), by quadrature over both dimensions."""

    def __init__(self, nature: common.Gaussian, share: float) -> None:
        inner = np.asarray(OBSERVABLE.edges)
        edges = np.concatenate([[inner[0] - 6.0], inner, [inner[-1] + 6.0]])
        fine = np.concatenate([np.linspace(a, b, 20, endpoint=False) for a, b in pairwise(edges)])
        fine = np.append(fine, edges[-1])
        self.bins = len(edges) - 1
        hidden, weights = np.polynomial.hermite_e.hermegauss(15)
        centres, mass = 0.5 * (fine[1:] + fine[:-1]), nature.truth_probability(fine)
        self.points = {"x0": np.repeat(centres, len(hidden)), "x1": np.tile(hidden, len(centres))}
        self.mass = np.outer(mass, weights / weights.sum()).ravel() * nature.fiducial_yield(EVENTS) / 2
        self.share = share

    def __call__(self, scenario: Scenario, observable: common.Observable) -> np.ndarray:
        """Contents (B + 2,)."""
        factor = 1.0 if scenario.factor is None else scenario.factor(self.points)
        contents = (self.mass * factor).reshape(self.bins, -1).sum(axis=1)
        return contents * (self.share if scenario.name == STARVED else 1.0)


def main(toys: int = TOYS, first_seed: int = FIRST_SEED) -> dict[str, dict[str, list]]:
    """Verdicts of all toys: scenario -> method -> verdicts, each with the seconds that a whole suite took."""
    torch.set_num_threads(1)
    chosen = common.chosen(METHODS)
    nature = common.Gaussian(dimensions=2, mean=[10.0, 0.0], width=1.0, resolution=RESOLUTION)
    real = common.Gaussian(dimensions=2, mean=[10.2, 0.0], width=[1.1, 1.0], resolution=RESOLUTION)
    expected = Expected(nature, OPTIONS["share"])
    found: dict[str, dict[str, list]] = {name: {m: [] for m in chosen} for name in QUESTIONS}
    for toy in range(toys):
        seed = first_seed + toy
        rng = np.random.default_rng(seed)
        simulation, data = draw(nature, rng), draw(real, rng)
        for method in chosen:
            started = time.perf_counter()
            entries = run(
                METHODS[method],
                simulation,
                data,
                [OBSERVABLE],
                replicas=REPLICAS,
                seeds=1,
                epochs=5,
                seed=seed,
                expected=expected,
                **OPTIONS,
            )
            seconds = time.perf_counter() - started
            for entry in entries:
                found[entry["name"]][method].append(entry["verdict"] | {"seconds": seconds})
            marks = "  ".join(f"{e['name']} {e['verdict']['truth']['sigma']:.1f}" for e in entries)
            print(f"toy {toy + 1}, {method}: {marks}; {seconds:.0f} s", flush=True)
    return found


def table(found: dict[str, dict[str, list]]) -> dict[str, dict]:
    """Print one line a scenario and method; return the figures."""
    figures: dict[str, dict] = {}
    print(
        "scenario           method     passes  refolding  missed  off by (median)  within 1 sigma  growth  triangular"
    )
    for scenario, methods in found.items():
        for method, verdicts in methods.items():
            each = {
                "toys": len(verdicts),
                "passes": sum(bool(v["passes"]) for v in verdicts),
                "refolding_passes": sum(bool(v["refold_passes"]) for v in verdicts),
                "missed": sum(v["missed"] for v in verdicts),
                "sigma": round(float(np.median([v["truth"]["sigma"] for v in verdicts])), 2),
                "inside": round(float(np.mean([v["inside"] for v in verdicts])), 3),
                "growth": round(float(np.mean([v["growth"] for v in verdicts])), 2) if scenario == STARVED else None,
                "triangular": [
                    round(float(np.mean([v["triangular"][k] for v in verdicts])), 2) for k in ("before", "after")
                ],
                "seconds_a_suite": round(float(np.mean([v["seconds"] for v in verdicts])), 1),
            }
            figures.setdefault(scenario, {})[method] = each
            print(
                f"{scenario:18} {method:10} {each['passes']:6d}  {each['refolding_passes']:9d}  {each['missed']:6d}"
                f"  {each['sigma']:15.1f}  {each['inside']:14.2f}  {each['growth'] or 0:6.2f}"
                f"  {each['triangular'][0]:.2f} -> {each['triangular'][1]:.2f}"
            )
    earlier = common.earlier("stress").get("scenarios", {})
    return {s: common.beside("stress", made, earlier.get(s, {}), METHODS) for s, made in figures.items()}


if __name__ == "__main__":
    figures = table(main())
    common.report(
        "stress",
        {
            "scenarios": figures,
            "replicas": REPLICAS,
            "events": EVENTS,
            "resolution": RESOLUTION,
            "slope": SLOPE,
            "scale": OPTIONS["scale"],
            "strength": OPTIONS["strength"],
            "share": OPTIONS["share"],
        },
    )
