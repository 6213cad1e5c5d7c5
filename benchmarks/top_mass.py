"""The top mass from unfolded decays: pulled to the mass of the simulation, and not pulled by a model that is told.

Boosted top decays of the generator `top`, seen by calorimeters alone, as in `workflow/studies/top_mass.yaml`: m_jjj and
the three dijet masses are unfolded together, and the mass is fitted to the unfolded m_jjj with templates of five masses
(2501.12363). Every sample of data is independent of all others and of the simulation. Three trainings: on 172.5 GeV
alone, on five masses from 169.5 to 175.5 GeV, and on these with the median of the sample as a condition.

Errors, by family: `data_bootstrap`; `mc_bootstrap`, trained anew and fitted with templates of the same weights;
`initialisation`, trained with other initial weights and batches. Networks of one iteration do not depend on the data:
each is trained once and applied to all samples. Pulls are of experiments of a part of the data each. They share
simulation and training, so that their mean has but one number of that error.

The recipe was developed on events of another seed.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from typing import Any

import _common as common
import numpy as np
import torch

from truthward.events.families import Histogram, family
from truthward.physics.generators.top import Top
from truthward.run.artefact import atomic
from truthward.study.observable import Observable
from truthward.study.plugins import build
from truthward.study.seeds import seed_for
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica
from truthward.validate.parameter.templates import Templates, fit_parameter

MASSES = [169.5, 171.5, 172.5, 173.5, 175.5]
CENTRE = 172.5
BLOCKS = {"range": 2, "fixed": 1, "data": 1} if common.QUICK else {"range": 100, "fixed": 20, "data": 8}
EVENTS = 300 if common.QUICK else 1000
TESTED = [169.5, 175.5] if common.QUICK else MASSES
EXPERIMENTS = 1 if common.QUICK else 3
BOOTSTRAPS, SIMULATIONS, TRAININGS = (20, 10, 3) if common.QUICK else (40, 4, 3)
SEED = 2
OBSERVABLES = [
    Observable(name="m_jjj", range=(130.0, 215.0), bins=17),
    *(Observable(name=f"m_{pair}", range=(0.0, 200.0), bins=20) for pair in ("12", "13", "23")),
]
FINE = [130.0, 150.0, 162.0, 168.0, 172.0, 177.0, 187.0, 215.0]
EDGES = np.array([130.0, 162.0, 172.0, 182.0, 215.0] if common.QUICK else FINE)
ENTRY: dict[str, Any] = {
    "kind": "generative",
    "iterations": 1,
    "draws": {"nominal": 3, "replicas": 1},
    "training": {"epochs": 10 if common.QUICK else 30},
}
TOLD = {"condition": {"median": "m_jjj", "by": "top_mass"}}
CACHE = common.HERE / ".cache" / "top_mass"
SOURCES = ("generators/top.py", "particles.py", "jets.py", "detector.py")


def sample(name: str, masses: list[float], blocks: int) -> dict[str, np.ndarray]:
    """Events of so many blocks, kept from an earlier call with the same code."""
    physics = common.HERE.parent / "src" / "truthward" / "physics"
    key = hashlib.sha256(b"".join((physics / s).read_bytes() for s in SOURCES)).hexdigest()[:12]
    generator, pieces = Top(top_mass=masses, tracks=False, luminosity=0.0), []
    for index in range(blocks):
        path = CACHE / key / f"{name}_{index}_{EVENTS}.npz"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            made = generator.block(EVENTS, total=EVENTS, seed=seed_for(SEED, "simulate", name, index))
            with atomic(path) as temporary, open(temporary, "wb") as file:
                np.savez(file, **made)
        with np.load(path) as kept:
            pieces.append({n: kept[n] for n in kept.files})
    columns = {n: np.concatenate([p[n] for p in pieces]) for n in pieces[0]}
    size = len(columns["weight"])
    columns["process"] = np.full(size, "signal")
    columns["event_id"] = np.arange(size, dtype=np.uint64) + np.uint64(seed_for(0, name) >> 20)
    return columns


def joined(*samples: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Events of several samples."""
    return {n: np.concatenate([s[n] for s in samples]) for n in samples[0]}


def some(columns: dict[str, np.ndarray], chosen: np.ndarray) -> dict[str, np.ndarray]:
    """Those events."""
    return {n: values[chosen] for n, values in columns.items()}


def templates(simulation: dict[str, np.ndarray], weight: np.ndarray) -> Templates:
    """Of the simulation's truth, with these weights (N,)."""
    t = simulation["pass_truth"]
    return Templates.of(
        simulation["truth_top_mass"][t],
        simulation["truth_m_jjj"][t].astype(float),
        weight[t],
        EDGES,
        degree=1 if common.QUICK else 2,
    )


def contents(rows: list[dict[str, np.ndarray]], replica: Replica) -> np.ndarray:
    """Unfolded m_jjj of one replica, (B,)."""
    own = [r for r in rows if replica.column() in r]
    x, w = (np.concatenate([r[c] for r in own]) for c in ("truth_m_jjj", replica.column()))
    return np.histogram(x, EDGES, weights=w)[0]


class Trained:
    """A method with its networks, and with those of other simulations and trainings, made when first asked for."""

    def __init__(self, name: str, simulation: dict[str, np.ndarray], others: bool, **options: Any) -> None:
        self.name, self.method, self.simulation = name, build("unfold", ENTRY | options), simulation
        self.replicas = [NOMINAL]
        if others:
            self.replicas += [Replica("mc_bootstrap", i) for i in range(SIMULATIONS)]
            self.replicas += [Replica("initialisation", i) for i in range(TRAININGS)]
        self.networks: dict[Replica, dict[str, np.ndarray]] = {}

    def fit(self, data: dict[str, np.ndarray], shape: Templates, varied: dict[str, list[Templates]]) -> Any:
        """Unfold and fit one sample of data."""
        inputs, rows = Inputs.from_columns(self.simulation, data, OBSERVABLES, seed=SEED), {}
        for replica in self.replicas:
            these = replace(inputs, weight=inputs.varied(replica).weight)
            seed = seed_for(SEED, str(replica)) if replica.anew else SEED
            result = self.method.unfold(these, [NOMINAL], seed=seed, nominal=self.networks.get(replica))
            self.networks.setdefault(replica, result.trained)
            rows[replica] = contents(list(result.rows), NOMINAL)
        boots = [Replica("data_bootstrap", i) for i in range(BOOTSTRAPS)]
        found = list(self.method.unfold(inputs, boots, seed=SEED, nominal=self.networks[NOMINAL]).rows)
        rows |= {r: contents(found, r) for r in boots}
        names = dict.fromkeys(r.family for r in rows if r != NOMINAL)
        each = {n: np.stack([h for r, h in rows.items() if r.family == n]) for n in names}
        families = {n: family(n, len(h)) for n, h in each.items()}
        return fit_parameter(Histogram(EDGES, rows[NOMINAL], each, families), shape, varied=varied if varied else None)


def line(values: np.ndarray) -> np.ndarray:
    """Slope, and offset at the central mass, of fitted against true masses, (..., K) -> (2, ...)."""
    x = np.array(TESTED) - CENTRE
    return np.polyfit(x, (values - CENTRE).T, 1)


def main() -> None:
    """Run all of it."""
    torch.set_num_threads(1)
    started = time.process_time()
    simulation = sample("range", MASSES, BLOCKS["range"])
    central = simulation["truth_top_mass"] == CENTRE
    # A fake has no mass of its own: it is shared by all.
    fakes = ~simulation["pass_truth"] & (np.arange(len(central)) % len(MASSES) == 0)
    one = joined(sample("fixed", [CENTRE], BLOCKS["fixed"]), some(simulation, central | fakes))
    data = {m: sample(f"data_{m}", [m], BLOCKS["data"]) for m in TESTED}
    generated, started = time.process_time() - started, time.process_time()
    shape, families = templates(simulation, simulation["weight"]), {}
    whole = Inputs.from_columns(simulation, next(iter(data.values())), OBSERVABLES, seed=SEED)
    families["mc_bootstrap"] = [
        templates(simulation, whole.varied(Replica("mc_bootstrap", i)).weight) for i in range(SIMULATIONS)
    ]
    figures: dict[str, Any] = {"methods": {}}
    for method, varied in (
        (Trained("172.5 GeV alone", one, False), {}),
        (Trained("all masses", simulation, False), {}),
        (Trained("all masses, told the median", simulation, True, **TOLD), families),
    ):
        fits = {m: method.fit(data[m], shape, varied) for m in TESTED}
        values, sigma = (
            np.array([f.value for f in fits.values()]),
            np.array([f.parts["data_bootstrap"] for f in fits.values()]),
        )
        parts = {}
        for name in next(iter(fits.values())).parts:
            # Other data are independent; simulation and training are shared.
            if name == "data_bootstrap":
                jacobian = np.stack([line(CENTRE + e) for e in np.eye(len(TESTED))], axis=1)
                parts[name] = np.sqrt((jacobian**2 * sigma**2).sum(axis=1)).tolist()
            else:
                parts[name] = (
                    line(np.stack([f.replicas[name] for f in fits.values()], axis=1)).std(axis=1, ddof=1).tolist()
                )
        slope, offset = line(values)
        figures["methods"][method.name] = {
            "fits": {str(m): {**f.to_json(), "replicas": None} for m, f in fits.items()},
            "slope": float(slope),
            "offset": float(offset),
            "slope_error": float(np.sqrt(sum(p[0] ** 2 for p in parts.values()))),
            "offset_error": float(np.sqrt(sum(p[1] ** 2 for p in parts.values()))),
            "errors": parts,
        }
        print(
            f"{method.name}: slope {slope:.2f} +- {figures['methods'][method.name]['slope_error']:.2f}, offset "
            f"{offset:+.2f} +- {figures['methods'][method.name]['offset_error']:.2f} GeV",
            flush=True,
        )
        for m, f in fits.items():
            errors = ", ".join(f"{n} {s:.2f}" for n, s in f.parts.items())
            print(f"  {m}: {f.value:.2f} GeV ({errors}), chi2 {f.chi2:.1f} / {f.ndf}", flush=True)
    told = figures["methods"]["all masses, told the median"]["fits"]
    small, pulls = Trained("experiments", simulation, False, **TOLD), []
    for m in TESTED:
        common_error = sum(told[str(m)]["parts"][n] ** 2 for n in ("mc_bootstrap", "initialisation"))
        for part in range(EXPERIMENTS):
            f = small.fit(some(data[m], np.arange(len(data[m]["weight"])) % EXPERIMENTS == part), shape, {})
            pulls.append(
                {
                    "mass": m,
                    "fitted": f.value,
                    "statistical": f.sigma,
                    "pull": (f.value - m) / float(np.hypot(f.sigma, common_error**0.5)),
                }
            )
    all_pulls = np.array([p["pull"] for p in pulls])
    figures |= {
        "pulls": pulls,
        "pull_mean": float(all_pulls.mean()),
        "pull_width": float(all_pulls.std(ddof=1)),
        "experiments": len(pulls),
        "simulated": len(simulation["weight"]),
        "simulated_one": len(one["weight"]),
        "events": BLOCKS["data"] * EVENTS,
        "replicas": {"data_bootstrap": BOOTSTRAPS, "mc_bootstrap": SIMULATIONS, "initialisation": TRAININGS},
        "seconds_generation": generated,
        "seconds": time.process_time() - started,
    }
    print(f"{len(pulls)} experiments: pulls of mean {all_pulls.mean():+.2f} and width {all_pulls.std(ddof=1):.2f}")
    common.report("top_mass", figures)


if __name__ == "__main__":
    main()
