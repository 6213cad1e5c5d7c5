"""Samples of the speed benchmark, and how well an unfolding of them did."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import _common as common
import numpy as np
import uproot

from truthward.unfold.contract import Result
from truthward.unfold.inputs.arrays import NOMINAL, Inputs
from truthward.validate import metrics

ZJETS = common.HERE.parents[1] / "shared" / "data" / "zjets"
RANGES = {
    "m": (0, 75, 50),
    "M": (0, 80, 80),
    "w": (0, 0.6, 50),
    "ln_rho": (-14, 0, 50),
    "tau21": (0, 1.2, 50),
    "zg": (0, 0.5, 50),
}


@dataclass
class Case:
    """Inputs of an unfolding, and the truth it is judged by: observable -> (M,)."""

    name: str
    inputs: Inputs
    truth: dict[str, np.ndarray]

    def quality(self, weights: np.ndarray) -> float:
        """Triangular discriminator (2503.09720) of the fiducial events with `weights` (n,), mean over observables."""
        values = self.inputs.truth[self.inputs.fiducial]
        found = []
        for d, o in enumerate(self.inputs.observables):
            edges = np.asarray(o.edges)
            p = np.histogram(values[:, d], edges, weights=weights)[0]
            found.append(metrics.triangular_discriminator(p, np.histogram(self.truth[o.name], edges)[0], edges))
        return float(np.mean(found))

    def floor(self, weights: np.ndarray) -> float:
        """What `quality` is for samples of the truth itself, of the sizes that are compared here."""
        sizes = (metrics.effective_sample_size(weights), len(next(iter(self.truth.values()))))
        floors = [
            metrics.floor(self.truth[o.name], None, np.asarray(o.edges), sizes=sizes, seed=1, repeats=50)
            for o in self.inputs.observables
        ]
        return float(np.mean([f["mean"] for f in floors]))

    @property
    def prior(self) -> np.ndarray:
        """Weights (n,) of the fiducial events before unfolding."""
        return self.inputs.weight[self.inputs.fiducial]


def nominal_of(result: Result) -> np.ndarray:
    """Nominal weights (n,) of the fiducial events."""
    return np.concatenate([rows[NOMINAL.column()] for rows in result.rows])


def gaussian(events: int, *, seed: int = 1) -> Case:
    """Six dimensions, simulation and data of `events` each; mean and width of the data are off by 0.2 and 5%."""
    simulation = common.Gaussian(dimensions=6, resolution=0.4, efficiency=[1.0, 1.0], fakes=[0.0, 0.0])
    nature = common.Gaussian(dimensions=6, mean=0.2, width=1.05, resolution=0.4, efficiency=[1, 1], fakes=[0, 0])
    rng = np.random.default_rng(seed)
    columns = [g.draw(events, rng) for g in (simulation, nature)]
    for first, sample in zip((0, 10**9), columns, strict=True):
        sample["event_id"] = np.arange(first, first + events, dtype=np.uint64)
        sample["process"] = np.full(events, "signal")
    observables = [common.Observable(name=n, range=(-4.0, 4.0), bins=32) for n in simulation.observables]
    truth = {n: columns[1].pop(f"truth_{n}") for n in simulation.observables}
    return Case("Gaussian", Inputs.from_columns(*columns, observables, seed=seed), truth)


def zjets(events: int, folder: Path = ZJETS) -> Case | None:
    """The first `events` simulated and data events of the Z+jets sample beside the checkout; None where it is not."""
    if not folder.is_dir():
        return None
    with uproot.open(folder / "simulation.root") as file:
        simulation = file["events"].arrays(entry_stop=events, library="np")
    share = len(simulation["weight"])
    with uproot.open(folder / "pseudodata.root") as file:
        share /= 200_000
        data = file["events"].arrays(entry_stop=round(share * file["events"].num_entries), library="np")
    with uproot.open(folder / "pseudodata_truth.root") as file:
        truth = file["events"].arrays([f"truth_{n}" for n in RANGES], library="np")
    size = len(data["event_id"])
    simulation = {n: v.astype(bool) if n.startswith("pass") else v for n, v in simulation.items()}
    simulation["weight"] = simulation["weight"].astype(np.float64) * share
    for columns, first in ((simulation, 0), (data, 10**9)):
        columns["event_id"] = np.arange(first, first + len(columns["event_id"]), dtype=np.uint64)
    data |= {"pass_reco": np.ones(size, dtype=bool), "weight": np.ones(size)}
    observables = [common.Observable(name=n, range=r[:2], bins=r[2]) for n, r in RANGES.items()]
    inputs = Inputs.from_columns(simulation, data, observables, seed=1)
    return Case("Z+jets", inputs, {n: truth[f"truth_{n}"] for n in RANGES})
