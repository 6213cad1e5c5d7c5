"""Publications of known truth, unfolded by a method in closed form: fast, unbiased, with replicas of all kinds.

The truth is a correlated Gaussian in two observables, and the detector is perfect. The simulation has another mean and
width. It is re-weighted by the ratio of two Gaussians, one fitted to the data and one to the simulation: OmniFold with
an ideal classifier of this form. One systematic shifts the data along one direction, by a Gaussian random number of
standard deviations in each toy, as nature would; its family has both shifts. `omnifold` is the method itself, on the
same events behind a detector that smears them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from truthward.compare.prediction import Sample
from truthward.events.unfolded import family, weight_columns, write_unfolded
from truthward.publish.stage import publish
from truthward.run.provenance import Record
from truthward.study.observable import Observable
from truthward.study.plugins import build
from truthward.unfold.inputs.arrays import Inputs, Replica
from truthward.unfold.stage import unfold_all

NAMES = ("x", "y")
MEAN, COVARIANCE = np.array([0.2, -0.1]), np.array([[1.1, 0.3], [0.3, 0.9]])
SHIFT = np.array([0.03, 0.02])
"""One standard deviation of the systematic."""
SMEARING = 0.3
EDGES = (-5.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 5.0)
OBSERVABLES = [
    Observable(name=n, label=f"${n}$", unit="GeV", range=(-5.0, 5.0), bins=20, published=EDGES) for n in NAMES
]
VERDICT = {"verdict": "good", "reasons": [], "without_truth": False}


def truth(events: int, random: np.random.Generator, mean: np.ndarray = MEAN) -> np.ndarray:
    """Events (N, 2) of the truth."""
    return random.multivariate_normal(mean, COVARIANCE, events)


def simulated(events: int, random: np.random.Generator) -> np.ndarray:
    """Events (N, 2) of the simulation."""
    return random.normal(size=(events, 2)) * 1.1


def prediction(label: str, events: np.ndarray, scale: float = 1.0) -> Sample:
    """Events as a prediction whose weights sum to `scale` times their number."""
    values = {n: events[:, i].astype(np.float32) for i, n in enumerate(NAMES)}
    return Sample(label, label, values, np.full(len(events), scale))


def publication(
    folder: Path,
    seed: int,
    *,
    data: int = 2000,
    simulation: int = 5000,
    replicas: int = 30,
    events: np.ndarray | None = None,
) -> Path:
    """A publication of a toy. events: the data; drawn from the truth by default."""
    random = np.random.default_rng(seed)
    measured = truth(random.poisson(data), random) + SHIFT * random.normal() if events is None else events
    made = simulated(simulation, random)
    families = {n: family(n, replicas) for n in ("data_bootstrap", "mc_bootstrap")}
    families["systematic:shift"] = family("systematic:shift", 2)
    names = weight_columns(families)
    ones, every = np.ones(len(measured)), np.ones(len(made))
    columns = {"weight": _unfolded(measured, ones, made, every)}
    for name in names[1:]:
        _, which, *rest = name.split(":")
        if which == "data_bootstrap":
            columns[name] = _unfolded(measured, random.poisson(1.0, len(measured)), made, every)
        elif which == "mc_bootstrap":
            columns[name] = _unfolded(measured, ones, made, random.poisson(1.0, len(made)))
        else:
            columns[name] = _unfolded(measured + SHIFT * (1, -1)[int(rest[-1])], ones, made, every)
    rows = {f"truth_{n}": made[:, i] for i, n in enumerate(NAMES)} | {"event_id": np.arange(len(made))} | columns
    return _published(folder, [rows], families)


def omnifold(folder: Path, seed: int, *, data: int, simulation: int, replicas: int) -> Path:
    """A publication of OmniFold, each replica trained."""
    random = np.random.default_rng(seed)
    found = {"truth": simulated(simulation, random), "data": truth(random.poisson(data), random)}
    reco = {n: x + SMEARING * random.normal(size=x.shape) for n, x in found.items()}
    made = {
        f"{level}_{n}": x[:, i]
        for i, n in enumerate(NAMES)
        for level, x in (("truth", found["truth"]), ("reco", reco["truth"]))
    }
    made |= {"pass_truth": np.ones(simulation, bool), "process": np.full(simulation, "signal")}
    made |= {"weight": np.full(simulation, data / simulation)}
    measured = {f"reco_{n}": reco["data"][:, i] for i, n in enumerate(NAMES)} | {"weight": np.ones(len(reco["data"]))}
    for columns in (made, measured):
        columns["pass_reco"] = np.ones(len(columns["weight"]), bool)
        columns["event_id"] = random.integers(0, 2**63, len(columns["weight"])).astype(np.uint64)
    inputs = Inputs.from_columns(made, measured, OBSERVABLES, seed=seed)
    families = {n: family(n, replicas) for n in ("data_bootstrap", "mc_bootstrap")}
    method = build(
        "unfold", {"kind": "omnifold", "replicas": {"by": "training"}, "network": {"width": 32}, "iterations": 3}
    )
    wanted = [Replica(n, i) for n, f in families.items() for i in range(f.count)]
    return _published(folder, list(unfold_all(method, inputs, wanted, seed=seed).rows), families)


def _published(folder: Path, rows: list, families: dict) -> Path:
    path = folder / "unfolded.parquet"
    folder.mkdir(parents=True, exist_ok=True)
    common = {"method": "toy", "kind": "toy", "history": [], "iterations": None, "record": Record.for_tests()}
    write_unfolded(path, rows, observables=list(NAMES), joint=True, families=families, **common)
    said = {"study": "toy", "licence": "CC0-1.0", "fiducial": "all", "verdict": VERDICT, "example": None}
    publish(path, directory=folder / "publication", observables=OBSERVABLES, record=Record.for_tests(), **said)
    return folder / "publication"


def _unfolded(data: np.ndarray, v: np.ndarray, made: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Weights (N,) of simulated events: w times the ratio of the fitted Gaussians, at the yield of the data."""
    weights = w * np.exp(_logarithm(made, *_fit(data, v)) - _logarithm(made, *_fit(made, w)))
    return weights * v.sum() / weights.sum()


def _fit(x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.average(x, axis=0, weights=w), np.cov(x.T, aweights=w)


def _logarithm(x: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    away = x - mean
    return (
        -0.5 * np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away) - 0.5 * np.linalg.slogdet(covariance)[1]
    )
