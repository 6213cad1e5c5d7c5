"""Prior removal of the generative method: bias and variance before it, after each iteration, where the rule ends it.

Two problems in which the simulation's truth is far from that of the data. `gaussian`: two observables of analytic
truth, smeared by 0.8 of the simulation's width, with misses. `zjets`: slices of the sample of
`workflow/studies/own_data.yaml`, whose simulation is re-weighted away from the data, by exp(strength tanh u) along the
difference of the two in all six observables (the prior swap of `validate.scenarios`, the wrong way round).

Toys are independent samples of data and simulation, each with initial weights of its own. Bias and spread are those of
the coarse bins that joint methods watch and keep of each iteration (`unfold.stopping`), of contents t in truth: root
mean squares over the bins of the mean deviation over toys and of their standard deviation, in units of sqrt(t), what
counting the true events would give; the bias' own error from the finite number of toys is taken off. Iteration 1 is the
first inversion, with the simulation's prior. Options and rules are the methods' own, settled on other toys.
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
from truthward.study.plugins import build
from truthward.unfold.inputs.arrays import NOMINAL, Inputs
from truthward.unfold.stop.rules import COARSE, Bins, StopRule
from truthward.validate.distances import Counts
from truthward.validate.metrics import triangular_discriminator

TOYS = 2 if common.QUICK else 4
ITERATIONS = 3 if common.QUICK else 6
FIRST_TOY = 500
SHORT = (
    {"training": {"epochs": 3, "later_epochs": 2}, "classifiers": {"ratio_epochs": 2, "side_epochs": 2}}
    if common.QUICK
    else {}
)
METHODS: dict[str, dict[str, Any]] = {
    "generative": {"kind": "generative", "iterations": ITERATIONS, "stop": {"rule": "change", "tolerance": 0.5}}
    | SHORT,
    "MultiFold": {"kind": "omnifold", "iterations": ITERATIONS, "stop": {"rule": "change", "tolerance": 0.1}},
    "IBU": {"kind": "ibu"},
}
EVENTS = (4_000, 4_000) if common.QUICK else (15_000, 30_000)
"""Of data and simulation in a Gaussian toy."""
FAR = {"mean": [0.8, 0.4], "width": [0.8, 1.2]}
DETECTOR = {"dimensions": 2, "resolution": 0.8, "efficiency": [0.6, 0.95], "fakes": [0.0, 0.0]}
SLICES, STRENGTH = (100 if common.QUICK else 6), 0.7


@dataclass(frozen=True)
class Toy:
    """One pair of samples; bins: the coarse ones; coarse: the true contents of these, (D B,); by observable truth:
    those of the fine bins (B,), and moments: mean and width."""

    inputs: Inputs
    bins: Bins
    coarse: np.ndarray
    truth: dict[str, np.ndarray]
    moments: dict[str, tuple[float, float]]


def gaussian(toy: int) -> Toy:
    """The Gaussian problem, drawn anew."""
    data, simulated = EVENTS
    nature = common.Gaussian(**DETECTOR, **FAR)
    simulation = common.Gaussian(**DETECTOR, expected=data)
    observables = [common.Observable(name=f"x{d}", range=(-4.0, 4.0), bins=80) for d in range(2)]
    inputs = common.toy(
        simulation,
        nature,
        simulated=simulated,
        events=data,
        rng=np.random.default_rng(toy),
        observables=observables,
        seed=toy,
    )
    total, bins = nature.fiducial_yield(data), bins_of(inputs)
    truth = {
        o.name: total * nature.truth_probability(np.asarray(o.edges), dimension=d) for d, o in enumerate(observables)
    }
    parts = np.zeros((2, COARSE))
    for d, inner in enumerate(bins.inner):
        parts[d, : len(inner) + 1] = total * nature.truth_probability(np.array([-np.inf, *inner, np.inf]), dimension=d)
    moments = {o.name: (FAR["mean"][d], FAR["width"][d]) for d, o in enumerate(observables)}
    return Toy(inputs, bins, parts.ravel(), truth, moments)


def bins_of(inputs: Inputs) -> Bins:
    """The bins that methods watch."""
    return Bins(inputs.truth[inputs.fiducial])


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
    truth = {o.name: Counts.of(wanted[:, d], weight, np.asarray(o.edges)).inner for d, o in enumerate(observables)}
    moments = {n: (float(c.mean()), float(c.std())) for n, c in zip(inputs.names, wanted.T.astype(float), strict=True)}
    bins = bins_of(inputs)
    return Toy(inputs, bins, bins.filled(wanted, weight[:, None])[:, 0], truth, moments)


@dataclass(frozen=True)
class Run:
    """One method on one toy. contents: coarse ones after each iteration, (I, D B); changes: what the rule looks at, of
    a joint method, (I,); chosen: its choice; first, ruled: `measured` after the first iteration, and at the end."""

    contents: np.ndarray
    changes: list[float]
    chosen: int
    first: dict[str, Any]
    ruled: dict[str, Any]


def run(entry: dict[str, Any], toy: Toy, seed: int) -> Run:
    """The iterations of a method. What one unfolding has trained the next takes up: all are parts of the same chain."""
    with tempfile.TemporaryDirectory() as folder:

        def unfold(**options: Any) -> tuple[Any, dict[str, Any]]:
            unfolder = build("unfold", common.merged(entry, options))
            result = unfolder.unfold(toy.inputs, [NOMINAL], seed=seed, state=Path(folder))
            return result, measured(toy, unfolder, list(result.rows))

        if entry["kind"] == "ibu":
            cut = [unfold(max_iterations=n, tolerance=1e-9)[1] for n in range(1, ITERATIONS + 1)]
            result, ruled = unfold()
            contents = np.stack([c["contents"] for c in cut])
            return Run(contents, [], result.iterations, cut[0], ruled)
        fixed = {"rule": "fixed"}
        result, last = unfold(stop=fixed)
        kept = [h for h in result.history if "contents" in h]
        changes = [h["change"] for h in kept]
        rule = StopRule(ITERATIONS, "change", entry["stop"]["tolerance"])
        chosen = next(i + 1 for i, change in enumerate(changes) if rule.ends(i, change))
        ruled = last if chosen == ITERATIONS else unfold(stop=fixed, iterations=chosen)[1]
        return Run(np.array([h["contents"] for h in kept]), changes, chosen, unfold(stop=fixed, iterations=1)[1], ruled)


def measured(toy: Toy, unfolder: Any, rows: list) -> dict[str, Any]:
    """Contents of the coarse bins (D B,), and of each observable yield, mean, width and triangular discriminator."""
    found, contents = {}, []
    for d, o in enumerate(toy.inputs.observables):
        column = NOMINAL.column(None if unfolder.joint else o.name)
        x, w = (np.concatenate([r[c] for r in rows]) for c in (f"truth_{o.name}", column))
        contents.append(np.bincount(np.searchsorted(toy.bins.inner[d], x, side="right"), w, minlength=COARSE))
        x, edges = x.astype(float), np.asarray(o.edges)
        mean = np.average(x, weights=w)
        width = np.sqrt(np.average((x - mean) ** 2, weights=w))
        triangular = triangular_discriminator(Counts.of(x, w, edges).inner, toy.truth[o.name], edges)
        found[o.name] = {"mean": mean, "width": width, "yield": w.sum(), "triangular": triangular}
    return {"contents": np.concatenate(contents), "observables": found}


def prior_of(toy: Toy) -> dict[str, Any]:
    """What `measured` says of the simulation before any unfolding."""
    inputs = toy.inputs
    rows = list(inputs.rows({NOMINAL.column(): inputs.weight[inputs.fiducial]}))
    return measured(toy, build("unfold", {"kind": "generative"}), rows)


def coarse(toys: list[Toy], contents: list[np.ndarray]) -> dict[str, Any]:
    """Bias and spread over toys of coarse contents (D B,) each; of all observables, and of each."""
    names = toys[0].inputs.names
    t = np.stack([toy.coarse for toy in toys])
    pulls = np.divide(np.stack(contents) - t, np.sqrt(t), out=np.zeros_like(t), where=t > 0)
    filled, variance = (t > 0).all(axis=0), pulls.var(axis=0, ddof=1)
    bias = pulls.mean(axis=0) ** 2 - variance / len(toys)

    def root(squares: np.ndarray, chosen: np.ndarray) -> float:
        # Where their expected noise is larger than the squares, there is nothing to be seen.
        return round(float(np.sqrt(max(squares[chosen].mean(), 0.0))), 4)

    place = np.arange(filled.size) // COARSE
    totals = np.stack(contents)[:, :COARSE].sum(axis=1) / t[:, :COARSE].sum(axis=1)
    return {
        "bias": root(bias, filled),
        "spread": root(variance, filled),
        "yield": round(float(totals.mean()), 4),
        "yield_spread": round(float(totals.std(ddof=1)), 4),
        "observables": {
            n: {"bias": root(bias, filled & (place == d)), "spread": root(variance, filled & (place == d))}
            for d, n in enumerate(names)
        },
    }


def summary(toys: list[Toy], found: list[dict[str, Any]]) -> dict[str, Any]:
    """`coarse` of results, with their pulls of mean and width, and triangular discriminators."""
    result = coarse(toys, [f["contents"] for f in found])
    for name, own in result["observables"].items():
        mean, width = toys[0].moments[name]
        events = toys[0].truth[name].sum()
        seen = {w: np.array([f["observables"][name][w] for f in found]) for w in ("mean", "width", "triangular")}
        for what, true, error in (("mean", mean, 1.0), ("width", width, 0.5**0.5)):
            pulls = (seen[what] - true) / (error * width / np.sqrt(events))
            own |= {what: round(float(pulls.mean()), 3), f"{what}_spread": round(float(pulls.std(ddof=1)), 3)}
        own |= {
            "triangular": round(float(seen["triangular"].mean()), 3),
            "triangular_spread": round(float(seen["triangular"].std(ddof=1)), 3),
        }
        # Counting the true events: (p - q)^2 of variance p / (width N) in each filled bin, against p + q = 2 p.
        own["floor"] = round(float(250.0 * (toys[0].truth[name] > 0).sum() / events), 3)
    return result


def exact() -> list[dict[str, float]]:
    """Bias of the Gaussian problem after 0, 1, ... inversions by Bayes' theorem, of infinite samples, on a fine grid.

    Both observables are independent of each other in all that enters, so that each is inverted by itself.
    """
    x = np.linspace(-7.0, 7.0, 701)
    step, toy, totals, parts = x[1] - x[0], gaussian(FIRST_TOY), [], []
    for d, inner in enumerate(toy.bins.inner):
        efficiency = common.Gaussian(**DETECTOR).efficiency_at(x) if d == 0 else np.ones_like(x)
        response = _normal(x[:, None], x, DETECTOR["resolution"]) * step
        data = response @ (efficiency * _normal(x, FAR["mean"][d], FAR["width"][d]))
        matched = [efficiency * _normal(x, 0.0, 1.0)]
        for _ in range(ITERATIONS):
            matched.append(matched[-1] * (response * (data / (response @ matched[-1]))[:, None]).sum(axis=0))
        found = np.array(matched) / efficiency * step
        below = np.pad(found.cumsum(axis=1), ((0, 0), (1, 0)))
        edges = np.array([-7.1, *inner, 7.1])
        parts.append(np.diff([np.interp(edges, np.append(x, x[-1] + step) - step / 2, b) for b in below], axis=1))
        totals.append(found.sum(axis=1))
    t = toy.coarse
    both = [part * other[:, None] for part, other in zip(parts, totals[::-1], strict=True)]
    deviations = (np.concatenate(both, axis=1) * t[:COARSE].sum() - t) / np.sqrt(t)
    biases, yields = np.sqrt((deviations**2).mean(axis=1)), np.prod(totals, axis=0)
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
        runs = [run(entry, toy, first + k) for k, toy in enumerate(samples)]
        seconds = round((time.process_time() - started) / toys, 1)
        each = [coarse(samples, list(c)) for c in zip(*(r.contents for r in runs), strict=True)]
        own = {
            "iterations": each,
            "first": summary(samples, [r.first for r in runs]),
            "ruled": summary(samples, [r.ruled for r in runs]),
            "chosen": [r.chosen for r in runs],
            "changes": [np.round(r.changes, 4).tolist() for r in runs],
            "seconds": seconds,
        }
        result["methods"][method] = own
        for number, line in enumerate(each, 1):
            _line(method, number, line)
        _line(f"{method}, by the rule", own["chosen"], own["ruled"])
        print(f"{'':24} changes {own['changes']}; {seconds} s a toy", flush=True)
    return result


def _line(what: str, number: Any, line: dict[str, Any]) -> None:
    each = "  ".join(f"{n} {v['triangular']:.2f}" for n, v in line["observables"].items() if "triangular" in v)
    print(
        f"{what:24} {number!s:18} bias {line['bias']:6.2f}  spread {line['spread']:5.2f}  yield {line['yield']:.4f}"
        + f"  triangular: {each}" * bool(each),
        flush=True,
    )


def main() -> dict[str, Any]:
    """Both problems."""
    torch.set_num_threads(1)
    # That fixed numbers of iterations have not converged is the point.
    logging.getLogger("truthward.unfold").setLevel(logging.ERROR)
    ideal = exact()
    print("Bayes' theorem on infinite Gaussian samples: bias", " ".join(f"{i['bias']:.2f}" for i in ideal))
    problems = {"gaussian": problem("gaussian", gaussian), "zjets": problem("zjets", zjets)}
    settings = {
        "toys": TOYS,
        "events": EVENTS,
        "far": FAR,
        "detector": DETECTOR,
        "slices": SLICES,
        "strength": STRENGTH,
        "options": METHODS,
    }
    return {"problems": problems, "exact": ideal} | settings


if __name__ == "__main__":
    common.report("prior_removal", main())
