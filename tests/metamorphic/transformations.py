"""What must not change a result: maps of a toy's samples, used by the tests and by `benchmarks/metamorphic.py` alike.

A toy is two event tables and the declared observables. Each transformation changes the first observable, x0, or the
events as a whole, and the bins along with it. Whoever compares looks at the histogram in the declared bins, which are
the same bins before and after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from truthward.physics.generators.gaussian import Gaussian
from truthward.study.observable import Observable
from truthward.unfold.inputs.arrays import Inputs

Columns = Mapping[str, np.ndarray]
LOW, HIGH, BINS = -4.0 - 2.0**-5, 4.0 - 2.0**-5, 8
"""After a shift by 1e6 single precision leaves sixteenths: with edges between these, bins hold the events they held."""

MEAN, WIDTH, RESOLUTION = 0.5, 1.0, 0.4
EVENTS, SIMULATED = 2700, 6000
ATOM = -999.0
COPY = 10**12
"""What is added to the id of an event's copy, or to others again."""


@dataclass(frozen=True)
class Toy:
    """Columns of both samples as `Inputs.from_columns` takes them."""

    simulation: Columns
    data: Columns
    observables: tuple[Observable, ...]

    def inputs(self) -> Inputs:
        """Arrays for an unfolding; those of a table."""
        return Inputs.from_columns(dict(self.simulation), dict(self.data), list(self.observables), seed=1)

    @property
    def edges(self) -> np.ndarray:
        """Bins of x0, (B + 1,)."""
        return np.asarray(next(o for o in self.observables if o.name == "x0").edges)


def toy(*, events: int = EVENTS, simulated: int = SIMULATED, seed: int = 1) -> Toy:
    """Normal truth in two dimensions, smeared, with misses; the data are shifted by half a width in x0."""
    rng, options = np.random.default_rng(seed), {"dimensions": 2, "resolution": RESOLUTION, "fakes": [0.0, 0.0]}
    nature, other = Gaussian(mean=[MEAN, 0.0], width=WIDTH, **options), Gaussian(**options)
    # Fiducial events as many as there would be in accepted ones: misses are among them.
    samples = [other.draw(simulated, rng), nature.draw(events, rng)]
    for first, sample in zip((0, 10**9), samples, strict=True):
        sample["event_id"] = np.arange(first, first + len(sample["weight"]), dtype=np.uint64)
        sample["process"] = np.full(len(sample["weight"]), "signal")
    samples[0]["weight"] = samples[0]["weight"] * events / simulated
    observables = (Observable(name="x0", range=(LOW, HIGH), bins=BINS), Observable(name="x1", range=(LOW, HIGH)))
    return Toy(samples[0], {n: v for n, v in samples[1].items() if "truth" not in n}, observables)


def mapped(function: Callable[[np.ndarray], np.ndarray], scale: str = "linear") -> Callable[[Toy], Toy]:
    """x0 -> function(x0) at both levels, and its bins."""

    def columns(sample: Columns) -> Columns:
        new = dict(sample)
        for level in ("truth", "reco"):
            if (name := f"{level}_x0") in sample:
                passed = sample[f"pass_{level}"]
                values = np.where(passed, sample[name], 0.0).astype(np.float64)
                new[name] = np.where(passed, function(values), np.nan).astype(np.float32)
        return new

    def change(t: Toy) -> Toy:
        low, high = function(np.array([LOW, HIGH]))
        first = t.observables[0].model_copy(update={"range": (float(low), float(high)), "scale": scale})
        return replace(
            t, simulation=columns(t.simulation), data=columns(t.data), observables=(first, *t.observables[1:])
        )

    return change


def moved(value: float, where: str) -> Callable[[Toy], Toy]:
    """One event that passes at both levels gets this value of x0."""

    def change(t: Toy) -> Toy:
        sample = dict(t.data if where == "data" else t.simulation)
        passed = sample["pass_reco"] if where == "data" else sample["pass_reco"] & sample["pass_truth"]
        name = "truth_x0" if where == "truth" else "reco_x0"
        sample[name] = sample[name].copy()
        sample[name][np.flatnonzero(passed)[3]] = value
        return replace(t, **{"data" if where == "data" else "simulation": sample})

    return change


def chosen_of(sample: Columns, share: float) -> np.ndarray:
    """So many of the events, by chance, (N,) bool."""
    return np.random.default_rng(17).random(len(sample["weight"])) < share


def thinned(share: float) -> Callable[[Toy], Toy]:
    """Without the events that `atoms` makes an atom of: what the others are to agree with."""
    return both(lambda sample, rng: {n: v[~chosen_of(sample, share)] for n, v in sample.items()})


def atoms(share: float) -> Callable[[Toy], Toy]:
    """So many of the events have x0 = ATOM at both levels, and the atom is declared."""

    def change(t: Toy) -> Toy:
        samples = {}
        for name in ("simulation", "data"):
            sample = dict(getattr(t, name))
            chosen = chosen_of(sample, share)
            for column in ("truth_x0", "reco_x0"):
                if column in sample:
                    sample[column] = np.where(chosen, np.float32(ATOM), sample[column])
            samples[name] = sample
        first = t.observables[0].model_copy(update={"atoms": (ATOM,)})
        return replace(t, **samples, observables=(first, *t.observables[1:]))

    return change


def both(function: Callable[[dict, np.random.Generator], dict]) -> Callable[[Toy], Toy]:
    """The same done to the events of each sample."""

    def change(t: Toy) -> Toy:
        rng = np.random.default_rng(23)
        return replace(t, simulation=function(dict(t.simulation), rng), data=function(dict(t.data), rng))

    return change


def _shuffled(sample: dict, rng: np.random.Generator) -> dict:
    order = rng.permutation(len(sample["weight"]))
    return {n: v[order] for n, v in sample.items()}


def _halved(sample: dict, rng: np.random.Generator) -> dict:
    twice = {n: np.concatenate([v, v]) for n, v in sample.items()}
    twice["weight"] = 0.5 * twice["weight"]
    twice["event_id"] = np.concatenate([sample["event_id"], sample["event_id"] + np.uint64(COPY)])
    return twice


def _padded(sample: dict, rng: np.random.Generator) -> dict:
    """A fifth of the events once more, elsewhere and without weight."""
    chosen = rng.permutation(len(sample["weight"]))[: len(sample["weight"]) // 5]
    more = {n: v[chosen].copy() for n, v in sample.items()}
    more["weight"] = np.zeros(len(chosen))
    more["event_id"] = more["event_id"] + np.uint64(2 * COPY)
    for name in ("truth_x0", "reco_x0"):
        if name in more:
            more[name] = more[name] + np.float32(3.0)
    return {n: np.concatenate([v, more[n]]) for n, v in sample.items()}


def _swapped(t: Toy) -> Toy:
    return replace(t, observables=t.observables[::-1])


TRANSFORMATIONS: dict[str, Callable[[Toy], Toy]] = {
    **{f"unit {unit:g}": mapped(lambda x, u=unit: x * u) for unit in (1e-12, 1e-3, 1e6, 1e12)},
    "shift by 1e6 widths": mapped(lambda x: x + 1e6),
    "exponential": mapped(np.exp, "log"),
    "power law, six decades": mapped(lambda x: 10.0 ** (0.75 * x), "log"),
    **{
        f"one event at {value:g}, {where}": moved(value, where)
        for where in ("data", "simulation", "truth")
        for value in (1e3, 1e6, 1e9)
    },
    **{f"{share:.0%} at {ATOM:g}": atoms(share) for share in (0.01, 0.3)},
    "order of events": both(_shuffled),
    "order of observables": _swapped,
    "halves of events": both(_halved),
    "events of weight zero": both(_padded),
}
"""Name -> what is done to a toy."""

REFERENCES = {f"{share:.0%} at {ATOM:g}": thinned(share) for share in (0.01, 0.3)}
"""What the result is compared with, where that is not the toy as it is."""

FEW = ("unit 1e-12", "unit 1e+12", "one event at 1e+09, data", "one event at 1e+09, truth", "power law, six decades")
"""Those that ruin a scaling by moments."""
