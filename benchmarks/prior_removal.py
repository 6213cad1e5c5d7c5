"""Prior removal of the generative method: bias and variance before it, after each iteration, where the rule ends it.

Two problems in which the simulation's truth is far from that of the data. `gaussian`: two observables of analytic
truth, smeared by 0.8 of the simulation's width, with misses. `zjets`: slices of the sample of
`workflow/studies/own_data.yaml`, whose simulation is re-weighted away from the data, by exp(-strength tanh u) along the
difference of the two in all six observables (the prior swap of `validate.scenarios`, the wrong way round).

Toys are independent samples of data and simulation, each with initial weights of its own. In ten bins of each
observable, of equal truth t, the bias is that of the mean over toys and the spread that of the toys, as root mean
squares over the bins in units of sqrt(t), what counting the true events would give; the bias' own error from the finite
number of toys is taken off. Iteration 1 is the first inversion, with the simulation's prior. The rule and all options
were settled on other toys.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _common as common
import numpy as np
import torch
from omnifold_quality import some, study

from truthward.events.table import EventTable
from truthward.plugins import build
from truthward.unfold.base import NOMINAL, Inputs
from truthward.validate.distances import Counts, discriminator

TOYS = 2 if common.QUICK else 5
ITERATIONS = 3 if common.QUICK else 8
BINS = 10
FIRST_TOY = 500
SHORT = {"epochs": 3, "later_epochs": 2, "ratio_epochs": 2, "side_epochs": 2} if common.QUICK else {}
METHODS: dict[str, dict[str, Any]] = {
    "generative": {"kind": "generative", "stop": "change"} | SHORT,
    "MultiFold": {"kind": "omnifold", "stop": "change"},
    "IBU": {"kind": "ibu"},
}
EVENTS = (4_000, 4_000) if common.QUICK else (20_000, 40_000)
"""Of data and simulation in a Gaussian toy."""
FAR = {"mean": [0.8, 0.4], "width": [0.8, 1.2]}
DETECTOR = {"dimensions": 2, "resolution": 0.8, "efficiency": [0.6, 0.95], "fakes": [0.0, 0.0]}
SLICES, STRENGTH = (100 if common.QUICK else 5), 0.7


@dataclass(frozen=True)
class Toy:
    """One pair of samples, and the true contents of the fine bins of each observable, with those of under- and overflow
    first and last, (B + 2,), and its mean and width."""

    inputs: Inputs
    truth: dict[str, np.ndarray]
    moments: dict[str, tuple[float, float]]


def gaussian(toy: int) -> Toy:
    """The Gaussian problem, drawn anew."""
    data, simulated = EVENTS
    nature = common.Gaussian(**DETECTOR, **FAR)
    simulation = common.Gaussian(**DETECTOR, expected=data)
    observables = [common.Observable(name=f"x{d}", range=(-4.0, 4.0), bins=80) for d in range(2)]
    inputs = common.toy(simulation, nature, simulated=simulated, events=data, rng=np.random.default_rng(toy),
                        observables=observables, seed=toy)  # fmt: skip
    total = nature.fiducial_yield(data)
    edges = [np.array([-np.inf, *o.edges, np.inf]) for o in observables]
    truth = {o.name: total * nature.truth_probability(e, dimension=d)
             for d, (o, e) in enumerate(zip(observables, edges, strict=True))}  # fmt: skip
    return Toy(inputs, truth, {o.name: (FAR["mean"][d], FAR["width"][d]) for d, o in enumerate(observables)})


def zjets(toy: int) -> Toy:
    """A slice of both samples of Z+jets, the simulation's yield as it was; the truth is that of the whole sample."""
    paths, observables = study("zjets")
    tables = (EventTable(paths["data"]), EventTable(paths["simulation"]))
    inputs = some(Inputs.load(*tables, observables, seed=toy), 1 / SLICES, (toy % SLICES) / SLICES)
    table = EventTable(paths["truth"]).read([*(f"truth_{n}" for n in inputs.names), "pass_truth", "weight"])
    inside = table["pass_truth"]
    wanted = np.stack([table[f"truth_{n}"][inside] for n in inputs.names], axis=1)
    weight, fiducial = table["weight"][inside] / SLICES, inputs.fiducial
    simulated = inputs.truth[fiducial]
    away = (simulated.mean(axis=0) - wanted.mean(axis=0)) / simulated.std(axis=0)
    along = (simulated - simulated.mean(axis=0)) / simulated.std(axis=0) @ away
    tilt = np.exp(STRENGTH * np.tanh(along / along.std()))
    before = inputs.weight[fiducial]
    inputs.weight[fiducial] = before * tilt * before.sum() / (before * tilt).sum()
    truth = {o.name: Counts.of(wanted[:, d], weight, np.asarray(o.edges)).contents for d, o in enumerate(observables)}
    moments = {n: (float(c.mean()), float(c.std())) for n, c in zip(inputs.names, wanted.T.astype(float), strict=True)}
    return Toy(inputs, truth, moments)


def iterations_of(entry: dict[str, Any], toy: Toy, seed: int) -> tuple[int, list[dict[str, Any]]]:
    """What the rule chooses, and `measured` after each iteration and at the end by the rule, the last.

    What one unfolding has trained the next takes up: all are parts of the same chain.
    """
    limit = "max_iterations" if entry["kind"] == "ibu" else "iterations"
    ruled = {} if limit == "max_iterations" else {limit: ITERATIONS}
    fixed = {"tolerance": 1e-9} if limit == "max_iterations" else {"stop": "fixed"}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for options in (*(fixed | {limit: n} for n in range(1, ITERATIONS + 1)), ruled):
            unfolder = build("unfold", entry | options)
            result = unfolder.unfold(toy.inputs, [NOMINAL], seed=seed, state=Path(folder))
            found.append(measured(toy, unfolder, list(result.rows)))
    return result.iterations, found


def measured(toy: Toy, unfolder: Any, rows: list) -> dict[str, Any]:
    """Contents of fine bins, yield, mean and width of each observable, by name."""
    found = {}
    for o in toy.inputs.observables:
        column = NOMINAL.column(None if unfolder.joint else o.name)
        x, w = (np.concatenate([r[c] for r in rows]) for c in (f"truth_{o.name}", column))
        x, edges = x.astype(float), np.asarray(o.edges)
        mean = np.average(x, weights=w)
        width = np.sqrt(np.average((x - mean) ** 2, weights=w))
        contents = Counts.of(x, w, edges).contents
        truth = Counts(edges, toy.truth[o.name], toy.truth[o.name])
        triangular = discriminator(contents[1:-1], 1.0, truth, seed=1)["value"]
        found[o.name] = {"contents": contents, "mean": mean, "width": width, "yield": w.sum(), "triangular": triangular}
    return found


def prior_of(toy: Toy) -> dict[str, Any]:
    """What `measured` says of the simulation before any unfolding."""
    inputs = toy.inputs
    rows = list(inputs.rows({NOMINAL.column(): inputs.weight[inputs.fiducial]}))
    return measured(toy, build("unfold", {"kind": "generative"}), rows)


def coarse(contents: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Contents (..., B + 2) of fine bins in at most BINS bins of nearly equal truth (B + 2,)."""
    place = np.minimum((truth.cumsum() - 0.5 * truth) / truth.sum() * BINS, BINS - 1).astype(int)
    return np.add.reduceat(contents, np.unique(place, return_index=True)[1], axis=-1)


def summary(toys: list[Toy], found: list[dict[str, Any]]) -> dict[str, Any]:
    """Bias and spread over toys of one method after one iteration."""
    biases, variances, per = [], [], {}
    for name, truth in toys[0].truth.items():
        t = coarse(truth, truth)
        runs = coarse(np.stack([f[name]["contents"] for f in found]), truth)
        variance = runs.var(axis=0, ddof=1)
        biases.append(((runs.mean(axis=0) - t) ** 2 - variance / len(runs)) / t)
        variances.append(variance / t)
        mean, width = toys[0].moments[name]
        means, widths = (np.array([f[name][what] for f in found]) for what in ("mean", "width"))
        counting = width / np.sqrt(truth.sum())
        per[name] = {
            "bias": _root(biases[-1]),
            "spread": _root(variances[-1]),
            "mean": (means.mean() - mean) / counting,
            "mean_spread": means.std(ddof=1) / counting,
            "width": (widths.mean() - width) / (counting / np.sqrt(2)),
            "width_spread": widths.std(ddof=1) / (counting / np.sqrt(2)),
            "triangular": np.mean([f[name]["triangular"] for f in found]),
            "triangular_spread": np.std([f[name]["triangular"] for f in found], ddof=1),
        }
    yields = np.array([f[name]["yield"] for f in found]) / truth.sum()
    bias, spread = _root(np.concatenate(biases)), _root(np.concatenate(variances))
    overall = {"bias": bias, "spread": spread, "both": np.hypot(bias, spread), "yield": yields.mean(),
               "yield_spread": yields.std(ddof=1)}  # fmt: skip
    rounded = {n: {k: round(float(v), 4) for k, v in values.items()} for n, values in per.items()}
    return {k: round(float(v), 4) for k, v in overall.items()} | {"observables": rounded}


def _root(squares: np.ndarray) -> float:
    """Root of the mean of squares from which their expected noise is taken off; none of it is left below zero."""
    return float(np.sqrt(max(squares.mean(), 0.0)))


def problem(name: str, make: Callable[[int], Toy], toys: int = TOYS, first: int = FIRST_TOY) -> dict[str, Any]:
    """Print a line for each method and iteration; return the figures."""
    samples = [make(first + k) for k in range(toys)]
    result: dict[str, Any] = {"prior": summary(samples, [prior_of(t) for t in samples]), "methods": {}}
    print(f"\n{name}: root mean square over bins, in units of sqrt(true events); yield over the true one", flush=True)
    _line("simulation", 0, result["prior"])
    for method, entry in METHODS.items():
        started = time.process_time()
        chosen, found = zip(*(iterations_of(entry, t, first + k) for k, t in enumerate(samples)), strict=True)
        *each, ended = (summary(samples, list(runs)) for runs in zip(*found, strict=True))
        seconds = round((time.process_time() - started) / toys, 1)
        result["methods"][method] = {"iterations": each, "ruled": ended, "chosen": chosen, "seconds": seconds}
        for number, line in enumerate(each, 1):
            _line(method, number, line)
        _line(f"{method}, by the rule", chosen, ended)
    return result


def _line(what: str, number: Any, line: dict[str, Any]) -> None:
    each = "  ".join(f"{n} {v['triangular']:.2f}" for n, v in line["observables"].items())
    print(f"{what:24} {number!s:18} bias {line['bias']:6.2f}  spread {line['spread']:5.2f}  yield {line['yield']:.4f}"
          f"  triangular: {each}", flush=True)  # fmt: skip


def main() -> dict[str, Any]:
    """Both problems."""
    torch.set_num_threads(1)
    # That fixed numbers of iterations have not converged is the point.
    logging.getLogger("truthward.unfold").setLevel(logging.ERROR)
    return {"problems": {"gaussian": problem("gaussian", gaussian), "zjets": problem("zjets", zjets)},
            "toys": TOYS, "events": EVENTS, "far": FAR, "detector": DETECTOR, "slices": SLICES, "strength": STRENGTH,
            "options": METHODS}  # fmt: skip


if __name__ == "__main__":
    common.report("prior_removal", main())
