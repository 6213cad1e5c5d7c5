"""What is measured before and after a transformation: unfolded bins, the judge's AUC, a calibrator's response."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.stats import norm

from tests.metamorphic.transformations import ATOM, BINS, COPY, REFERENCES, TRANSFORMATIONS, Columns, Toy, toy
from truthward.study import plugins
from truthward.unfold.inputs.arrays import NOMINAL
from truthward.validate.two_sample import two_sample_test

GENERATIVE = {
    "iterations": 2,
    "stop": {"rule": "fixed"},
    "draws": {"nominal": 4, "ratio": 1},
    "training": {"epochs": 10, "later_epochs": 2, "batch_size": 256},
    "classifiers": {"ratio_epochs": 2, "side_epochs": 3, "width": 16, "depth": 1},
}
METHODS: dict[str, dict[str, Any]] = {
    "omnifold": {
        "iterations": 3,
        "network": {"width": 16, "depth": 2, "activation": "silu"},
        "training": {"epochs": 6, "later_epochs": 3, "learning_rate": 1e-2},
    },
    "feature_fit": {"epochs": 10, "width": 32, "depth": 2},
    "generative": {"model": {"kind": "flow_matching", "width": 16, "depth": 2}, **GENERATIVE},
}
"""As small as each method can be that leaves its prior; a new one is run with its defaults."""

MODELS = {
    "autoregressive": {"width": 16, "depth": 1},
    "bridge": {"width": 16, "depth": 2},
    "coupling_flow": {"width": 16, "depth": 1, "transforms": 2},
    "diffusion": {"width": 16, "depth": 2},
    "flow_matching": {"width": 16, "depth": 2},
    "transformer_flow_matching": {"width": 16, "depth": 1},
}
"""Likewise of the generative models."""

NATS = norm.cdf(2**-0.5)
"""AUC of two normal samples one width apart: 0.7602."""


def generative(model: str) -> dict[str, Any]:
    """Options of the generative unfolding with this model."""
    known = plugins.schema("models", model).options
    return GENERATIVE | {"model": {"kind": model, **{n: v for n, v in MODELS.get(model, {}).items() if n in known}}}


def unfolded(kind: str, options: dict[str, Any], toy: Toy, seed: int) -> np.ndarray:
    """Unfolded truth in the bins of x0, (BINS,)."""
    method = plugins.build("unfold", {"kind": kind, **options})
    contents = np.zeros(BINS)
    for rows in method.unfold(toy.inputs(), [NOMINAL], seed=seed).rows:
        weight = rows["weight"] if "weight" in rows else rows["weight:x0"]
        contents += np.histogram(rows["truth_x0"], toy.edges, weights=weight)[0]
    return contents


def distance(found: np.ndarray, reference: np.ndarray) -> float:
    """Root mean square over the bins in statistical errors of the reference; one event is the least error."""
    return float(np.sqrt(np.mean((found - reference) ** 2 / np.maximum(reference, 1.0))))


def prior(toy: Toy) -> np.ndarray:
    """What the simulation has in these bins: the answer of a method that sees nothing, (BINS,)."""
    inputs = toy.inputs()
    x0 = inputs.truth[inputs.fiducial, inputs.names.index("x0")]
    return np.histogram(x0, toy.edges, weights=inputs.weight[inputs.fiducial])[0]


def judged(events: int = 2700, seed: int = 5) -> Toy:
    """Two normal samples one width apart in x0 and alike in x1, for the judge to tell apart."""
    rng = np.random.default_rng(seed)
    samples = []
    for mean in (0.0, 1.0):
        x = rng.normal(size=(events, 2)) + [mean, 0.0]
        sample = {f"{level}_x{d}": x[:, d].astype(np.float32) for level in ("truth", "reco") for d in range(2)}
        flags = {n: np.ones(events, dtype=bool) for n in ("pass_truth", "pass_reco")}
        samples.append({**sample, **flags, "weight": np.ones(events), "event_id": np.arange(events, dtype=np.uint64)})
    return Toy(*samples, toy(events=10, simulated=10).observables)


def area(toy: Toy, seed: int, *, epochs: int = 12) -> float:
    """AUC of the two-sample test between both samples at reco level."""
    names = [f"reco_{o.name}" for o in toy.observables]
    p, q = (np.stack([s[n] for n in names], axis=1) for s in (toy.data, toy.simulation))
    found = two_sample_test(
        p, toy.data["weight"], q, toy.simulation["weight"], seeds=1, epochs=epochs, seed=seed, label="metamorphic"
    )
    return found["auc"]["mean"]


def right_area(share: float = 0.0) -> float:
    """The AUC where so many events of both samples are the same atom, whose ratio is one: ties count half."""
    above = norm.cdf(0.5)  # A ratio above one where it is right, on either side.
    return float((1 - share) ** 2 * NATS + 2 * share * (1 - share) * above + 0.5 * share**2)


def measured_response(events: int = 4000) -> Toy:
    """For a calibrator: the simulation's truth_x0 is the response, whose mean is a function of x0 and x1; the data are
    the places where it is asked for."""
    rng = np.random.default_rng(9)
    samples = []
    for size in (events, 1000):
        x = rng.uniform(-1.0, 1.0, (size, 2))
        found = 0.9 + 0.05 * np.sin(2 * x[:, 0]) + 0.03 * x[:, 1] + 0.05 * rng.normal(size=size)
        columns = {"reco_x0": x[:, 0], "reco_x1": x[:, 1], "truth_x0": found}
        flags = {n: np.ones(size, dtype=bool) for n in ("pass_truth", "pass_reco")}
        samples.append(
            {n: v.astype(np.float32) for n, v in columns.items()}
            | flags
            | {"weight": np.ones(size), "event_id": np.arange(size, dtype=np.uint64)}
        )
    return Toy(*samples, toy(events=10, simulated=10).observables)


def calibrated(kind: str, name: str | None, original: Toy, seed: int) -> np.ndarray:
    """Mean response (n,) at the places of `original` after a transformation of its features, or for one of truth values
    of a response itself; places that became an atom are left out."""
    changed = original if name is None else TRANSFORMATIONS[name](original)
    names = [o.name for o in changed.observables]
    options = {
        "features": names,
        "log_features": [],
        "target": "x0",
        "scales": ["x0"],
        "members": 2,
        "epochs": 15,
        "width": 16,
        "depth": 2,
        "learning_rate": 1e-2,
        "patience": 0,
    }
    known = plugins.schema("calibrate", kind).options
    calibrator = plugins.build("calibrate", {"kind": kind, **{n: v for n, v in options.items() if n in known}})

    def features(sample: Columns) -> torch.Tensor:
        return torch.from_numpy(np.stack([sample[f"reco_{n}"] for n in names], axis=1))

    training, places = changed.simulation, changed.data
    number = (training["event_id"] % np.uint64(COPY)).astype(int)
    whole = name is not None and name.endswith("truth")
    ids = original.simulation["event_id"]
    order = np.argsort(ids)
    same = order[np.searchsorted(ids[order], number)]
    answer = training["truth_x0"] if whole else original.simulation["truth_x0"][same]
    held = torch.from_numpy(number % 4 == 0)
    calibrator.train_on(
        features(training), torch.from_numpy(answer), torch.from_numpy(training["weight"]), held, seed=seed
    )
    own = np.flatnonzero((places["event_id"] < COPY) & (places["reco_x0"] != ATOM))
    own = own[np.argsort(places["event_id"][own])]
    return calibrator.predict(features(places)[torch.from_numpy(own)])[0].numpy()


def without_atoms(name: str, original: Toy) -> Toy:
    """What a transformed toy is compared with."""
    return REFERENCES[name](original) if name in REFERENCES else original
