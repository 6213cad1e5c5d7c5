"""Prior removal of the generative method: bias and variance before it, after each iteration, where the rule ends it.

Two problems in which the simulation's truth is far from that of the data. `gaussian`: two observables of analytic
truth, smeared by 0.8 of the simulation's width, with misses. `zjets`: slices of the sample of
`workflow/studies/own_data.yaml`, whose simulation is re-weighted away from the data, by exp(-strength tanh u) along the
difference of the two in all six observables (the prior swap of `validate.scenarios`, the wrong way round).

Toys are independent samples of data and simulation, each with initial weights of its own. In ten bins of each
observable, of equal truth t, the bias is that of the mean over toys and the spread that of the toys, as root mean
squares over the bins in units of sqrt(t), what counting the true events would give; the bias' own error from the finite
number of toys is taken off. Iteration 1 is the first inversion, with the simulation's prior. The rule and all options
were settled on other toys; it is the same for both joint methods, IBU has its own.
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
from _quality import some, study

from truthward.events.table import EventTable
from truthward.plugins import build
from truthward.unfold.base import NOMINAL, Inputs
from truthward.unfold.stopping import Rule
from truthward.validate.distances import Counts
from truthward.validate.metrics import triangular_discriminator

TOYS = 2 if common.QUICK else 4
ITERATIONS = (1, 2, 3) if common.QUICK else (1, 2, 3, 4, 6)
TOLERANCE = 0.1
BINS = 10
FIRST_TOY = 500
SHORT = {"epochs": 3, "later_epochs": 2, "ratio_epochs": 2, "side_epochs": 2} if common.QUICK else {}
METHODS: dict[str, dict[str, Any]] = {
    "generative": {"kind": "generative"} | SHORT,
    "MultiFold": {"kind": "omnifold"},
    "IBU": {"kind": "ibu"},
}
EVENTS = (4_000, 4_000) if common.QUICK else (15_000, 30_000)
"""Of data and simulation in a Gaussian toy."""
FAR = {"mean": [0.8, 0.4], "width": [0.8, 1.2]}
DETECTOR = {"dimensions": 2, "resolution": 0.8, "efficiency": [0.6, 0.95], "fakes": [0.0, 0.0]}
SLICES, STRENGTH = (100 if common.QUICK else 6), 0.7


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


def iterations_of(entry: dict[str, Any], toy: Toy, seed: int) -> tuple[int, list[float], list[dict[str, Any]]]:
    """What the rule chooses; the changes that it looks at, of a joint method; and `measured` after each of ITERATIONS
    and at the end by the rule, the last.

    What one unfolding has trained the next takes up: all are parts of the same chain, and the choice of a joint method
    is that of its changes.
    """
    binned = entry["kind"] == "ibu"
    found: dict[int, Any] = {}
    with tempfile.TemporaryDirectory() as folder:

        def unfold(options: dict[str, Any]) -> Any:
            unfolder = build("unfold", entry | options)
            result = unfolder.unfold(toy.inputs, [NOMINAL], seed=seed, state=Path(folder))
            found[result.iterations] = measured(toy, unfolder, list(result.rows))
            return result

        for number in ITERATIONS:
            cut = {"max_iterations": number, "tolerance": 1e-9} if binned else {"iterations": number, "stop": "fixed"}
            result = unfold(cut)
        changes = [h["change"] for h in result.history if "change" in h]
        each = [found[n] for n in ITERATIONS]
        if binned:
            chosen = unfold({}).iterations
        else:
            rule = Rule(ITERATIONS[-1], "change", TOLERANCE)
            chosen = next(i + 1 for i, change in enumerate(changes) if rule.ends(i, change))
            if chosen not in found:
                unfold({"iterations": chosen, "stop": "fixed"})
    return chosen, changes, [*each, found[chosen]]


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
        triangular = triangular_discriminator(contents[1:-1], toy.truth[o.name][1:-1], edges)
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
            # Counting the true events: (p - q)^2 of variance p / (width N) in each filled bin, against p + q = 2 p.
            "floor": 250.0 * (truth[1:-1] > 0).sum() / truth.sum(),
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


def exact() -> list[dict[str, float]]:
    """Bias of the Gaussian problem after 0, 1, ... inversions by Bayes' theorem, of infinite samples, on a fine grid.

    Both observables are independent of each other in all that enters, so that each is inverted by itself.
    """
    x = np.linspace(-7.0, 7.0, 701)
    step, toy, totals, parts = x[1] - x[0], gaussian(FIRST_TOY), [], []
    for d, o in enumerate(toy.inputs.observables):
        efficiency = common.Gaussian(**DETECTOR).efficiency_at(x) if d == 0 else np.ones_like(x)
        response = _normal(x[:, None], x, DETECTOR["resolution"]) * step
        data = response @ (efficiency * _normal(x, FAR["mean"][d], FAR["width"][d]))
        matched = [efficiency * _normal(x, 0.0, 1.0)]
        for _ in range(ITERATIONS[-1]):
            matched.append(matched[-1] * (response * (data / (response @ matched[-1]))[:, None]).sum(axis=0))
        found = np.array(matched) / efficiency * step
        below = np.pad(found.cumsum(axis=1), ((0, 0), (1, 0)))
        edges = np.array([-7.1, *o.edges, 7.1])
        parts.append(np.diff([np.interp(edges, np.append(x, x[-1] + step) - step / 2, b) for b in below], axis=1))
        totals.append(found.sum(axis=1))
    squares = []
    for part, other, truth in zip(parts, totals[::-1], toy.truth.values(), strict=True):
        t = coarse(truth, truth)
        squares.append((coarse(part * other[:, None] * truth.sum(), truth) - t) ** 2 / t)
    biases, yields = np.sqrt(np.concatenate(squares, axis=1).mean(axis=1)), np.prod(totals, axis=0)
    return [{"bias": round(float(b), 4), "yield": round(float(y), 4)} for b, y in zip(biases, yields, strict=True)]


def _normal(x: np.ndarray, mean: Any, width: float) -> np.ndarray:
    return np.exp(-0.5 * ((x - mean) / width) ** 2) / (width * np.sqrt(2 * np.pi))


def problem(name: str, make: Callable[[int], Toy], toys: int = TOYS, first: int = FIRST_TOY) -> dict[str, Any]:
    """Print a line for each method and iteration; return the figures."""
    samples = [make(first + k) for k in range(toys)]
    result: dict[str, Any] = {"prior": summary(samples, [prior_of(t) for t in samples]), "methods": {}}
    print(f"\n{name}: root mean square over bins, in units of sqrt(true events); yield over the true one", flush=True)
    _line("simulation", 0, result["prior"])
    for method, entry in METHODS.items():
        started = time.process_time()
        chosen, changes, found = zip(*(iterations_of(entry, t, first + k) for k, t in enumerate(samples)), strict=True)
        *each, ended = (summary(samples, list(runs)) for runs in zip(*found, strict=True))
        seconds = round((time.process_time() - started) / toys, 1)
        moved = np.mean(changes, axis=0).round(4).tolist()
        own = {"iterations": each, "ruled": ended, "chosen": chosen, "changes": moved, "seconds": seconds}
        result["methods"][method] = own
        for number, line in zip(ITERATIONS, each, strict=True):
            _line(method, number, line)
        _line(f"{method}, by the rule", chosen, ended)
        print(f"{'':24} mean change {' '.join(f'{c:.3f}' for c in moved)}; {seconds} s a toy", flush=True)
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
    ideal = exact()
    print("Bayes' theorem on infinite Gaussian samples: bias", " ".join(f"{i['bias']:.2f}" for i in ideal))
    problems = {"gaussian": problem("gaussian", gaussian), "zjets": problem("zjets", zjets)}
    settings = {"toys": TOYS, "numbers": ITERATIONS, "tolerance": TOLERANCE, "events": EVENTS, "far": FAR,
                "detector": DETECTOR, "slices": SLICES, "strength": STRENGTH, "options": METHODS}  # fmt: skip
    return {"problems": problems, "exact": ideal} | settings


if __name__ == "__main__":
    common.report("prior_removal", main())
