"""How well a density model reproduces the simulation it was trained on, and what remedies change in that.

There is no prior in it: p(t | r) is drawn for the simulation's own reco values and held against the simulation's truth.
What is off here is the model's own, and stays in an unfolding whatever is done about the prior.
"""

from __future__ import annotations

import time
from typing import Any

import _quality as quality
import numpy as np
import torch
from torch import Tensor

from truthward.events.table import EventTable
from truthward.learn.fit import Settings, fit
from truthward.learn.nets import seeded
from truthward.learn.quantile import QuantileTransform
from truthward.learn.residual import Residual
from truthward.ratio.classifier import density_ratio
from truthward.study.plugins import build, option
from truthward.unfold.generative.draws import Scaled
from truthward.unfold.inputs.arrays import Inputs
from truthward.validate.distances import Counts, discriminator

DRAWS = 2
GAP, WIDTH = 1.25, 0.25
"""Where an atom at an end is set apart: that far beyond its border, in a normal distribution of that width."""
REMEDIES = ("closure as configured", "linear residual", "atoms set apart", "classifier correction")


def closure(remedy: str, entry: dict[str, Any], share: float, seed: int) -> dict[str, Any]:
    """Triangular discriminators of draws for the simulation against its truth, one remedy of REMEDIES applied."""
    torch.set_num_threads(1)
    paths, observables = quality.study("zjets")
    tables = (EventTable(paths["data"]), EventTable(paths["simulation"]))
    inputs = quality.some(Inputs.load(*tables, observables, seed=seed), share)
    scaled, started = Scaled(inputs, seed), time.process_time()
    given = scaled.reco[torch.from_numpy(scaled.matched_reco)]
    target = scaled.target(given)
    residual = Residual(scaled.given, scaled.size)
    if remedy == "linear residual":
        residual.fit(given, target)
    random = torch.Generator().manual_seed(seed)
    if remedy == "atoms set apart":
        target = apart(target, scaled.target_map, WIDTH * torch.randn(target.shape, generator=random))
    size = {"dimensions": scaled.size, "conditions": scaled.given}
    model = seeded(seed, lambda: build("models", entry["model"], **size))
    names = ("epochs", "batch_size", "learning_rate", "precision")
    settings = Settings(**{n: option("unfold", entry, f"training.{n}") for n in names})
    weight = torch.from_numpy(inputs.weight[inputs.matched])
    fit(model, model.loss, (residual(given, target), given), weight, settings, seed=seed, label=f"closure, {remedy}")
    model.eval()
    noise = [torch.randn(target.shape, generator=random) for _ in range(DRAWS)]
    z = torch.cat([residual.inverse(given, model.sample(given, n)) for n in noise])
    if remedy == "atoms set apart":
        z = together(z, scaled.target_map)
    drawn, truth = scaled.target_map.inverse(z).numpy(), inputs.truth[inputs.matched]
    weights, total = inputs.weight[inputs.matched], np.tile(inputs.weight[inputs.matched], DRAWS) / DRAWS
    if remedy == "classifier correction":
        # Of truth and reco jointly, as 2305.16774 has it.
        events = np.concatenate([drawn, np.tile(given.numpy(), (DRAWS, 1))], axis=1)
        matched, options = np.concatenate([truth, given.numpy()], axis=1), {"epochs": 6, "width": 64, "depth": 2}
        ratio = density_ratio(matched, weights, events, total, seed=seed, learning_rate=4e-3, **options)
        total = total * np.exp(ratio.log_ratio(events))
    found = {}
    for c, o in enumerate(observables):
        edges = np.asarray(o.edges)
        tested, reference = Counts.of(drawn[:, c], total, edges), Counts.of(truth[:, c], weights, edges)
        stated = discriminator(tested.inner, tested.size / DRAWS, reference, seed=1)
        found[o.name] = {"value": stated["value"], "floor": stated["floor"]["mean"], "excess": stated["excess"]}
    return {"triangular": found, "seconds": time.process_time() - started}


def apart(z: Tensor, transform: QuantileTransform, noise: Tensor) -> Tensor:
    """Scaled values (N, D) with the atoms at the ends of continuous columns moved away from these, with `noise`."""
    z = z.clone()
    for c, side, border in borders(transform):
        atom = side * (z[:, c] - border) > 0
        z[:, c] = torch.where(atom, border + side * GAP + noise[:, c], z[:, c])
    return z


def together(z: Tensor, transform: QuantileTransform) -> Tensor:
    """What fell between an atom and the other values, back to the nearer of the two, (N, D)."""
    z = z.clone()
    for c, side, border in borders(transform):
        beyond = side * (z[:, c] - border)
        z[:, c] = torch.where((beyond > 0) & (beyond < GAP / 2), border - side * beyond, z[:, c])
    return z


def borders(transform: QuantileTransform) -> list[tuple[int, float, float]]:
    """Column, side (-1 the lower, 1 the upper) and border of each atom that ends a continuous column."""
    found = []
    for c in range(transform.columns):
        x, z, slopes = transform.x_knots[c], transform.z_knots[c], transform.slopes[c]
        if not transform.integer[c]:
            found += [(c, -1.0, float(z[x == x[0]][-1]))] if slopes[0] == 0 else []
            found += [(c, 1.0, float(z[x == x[-1]][0]))] if slopes[1] == 0 else []
    return found
