"""Rate of the simulation stage against that of Pythia alone, on the samples of the default study.

Both make the same events: the stage a chunk of one block, from the start of Pythia to the ROOT file; Pythia alone
starts with the same settings and the same seed, and returns the same batches by `nextBatch`, which nobody reads. They
take turns in one process. Ratio: rate of the stage over rate of Pythia alone, which is CPU time of Pythia alone over
CPU time of the stage; its range is over blocks of different seeds.

The parts of the stage are timed in the same runs. Each part is without the parts that it calls.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from statistics import median
from typing import Any

import _common as common
import awkward as ak
import numpy as np
import pythia8mc
import yaml

from truthward.physics import detector, observables, particles
from truthward.physics.generators import pythia as generator
from truthward.run.provenance import Record
from truthward.simulate import stage
from truthward.study.seeds import seed_for

SEEDS = 3
EVENTS = 150 if common.QUICK else 1000
SAMPLES = ("simulation",) if common.QUICK else ("simulation", "pseudodata", "hadronisation")
PARTS: list[tuple[str, Any, str]] = [
    ("Pythia: start", generator, "started"),
    ("Pythia: events", pythia8mc.Pythia, "nextBatch"),
    ("visible particles", generator, "last_pt"),
    ("visible particles", generator, "visible"),
    ("decays in flight", detector, "decay_in_flight"),
    ("detector", detector.Detector, "reconstruct"),
    ("anti-kT jets", generator, "leading_jet"),
    ("soft drop", observables, "soft_drop"),
    ("N-subjettiness", observables, "n_subjettiness"),
    ("other observables", generator, "level"),
    ("other", generator.Pythia, "block"),
    ("tables and files", stage, "simulate"),
]
"""What is timed, by its name in the module that calls it."""


class Clock:
    """CPU seconds of parts, each without the parts that it calls."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            self._inner.append(0.0)
            started = time.process_time()
            try:
                return function(*args, **options)
            finally:
                spent = time.process_time() - started
                self.seconds[part] += spent - self._inner.pop()
                self._inner[-1] += spent

        return call


class Noted(generator.Pythia):
    """Keeps which rows of each batch were accepted: with them Pythia alone makes the same batches."""

    def block(self, events: int, *, total: int, seed: int) -> dict[str, Any]:
        self.rows: list[np.ndarray] = []
        return super().block(events, total=total, seed=seed)

    def _accept(
        self, pythia: pythia8mc.Pythia, record: ak.Array, rng: np.random.Generator
    ) -> tuple[dict[str, Any], np.ndarray]:
        columns, rows = super()._accept(pythia, record, rng)
        self.rows.append(rows)
        return columns, rows

    def alone(self, events: int, *, seed: int) -> None:
        """The batches of the last block, by Pythia alone."""
        rows = iter(self.rows)
        hook = generator._SoftZ(self.z_pt_min - self.z_pt_margin)
        pythia = particles.started(self.settings, seed, hook=hook, keep=self.chosen)
        particles.accepted(pythia, self.settings, events, lambda record: ({"nothing": np.zeros(0)}, next(rows)))
        if next(rows, None) is not None:
            raise AssertionError("Pythia alone made fewer batches than the stage")


def sample(name: str, entry: dict[str, Any], clock: Clock, path: Path) -> dict[str, Any]:
    """CPU milliseconds an event of the stage and of Pythia alone, by block, and of the parts of the stage."""
    made = Noted(**{key: value for key, value in entry.items() if key != "kind"})
    made.block(10, total=10, seed=0)
    clock.seconds.clear()
    parts: list[dict[str, float]] = []
    seconds: dict[str, list[float]] = {"stage": [], "pythia": []}
    record = Record.for_tests()
    for seed in range(SEEDS):
        start = time.process_time()
        stage.simulate(made, path=path, events=EVENTS, seed=seed, sample=name, chunk=0, chunks=1, record=record)
        middle = time.process_time()
        parts.append(dict(clock.seconds))
        made.alone(EVENTS, seed=seed_for(seed, "simulate", name, 0))
        end = time.process_time()
        clock.seconds.clear()
        seconds["stage"].append(middle - start)
        seconds["pythia"].append(end - middle)
    ratios = [bare / whole for bare, whole in zip(seconds["pythia"], seconds["stage"], strict=True)]
    return {
        "ratio": round(median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in sorted(ratios)],
        **{who: round(median(spent) / EVENTS * 1000, 2) for who, spent in seconds.items()},
        "parts": {name: round(median(p[name] for p in parts) / EVENTS * 1000, 3) for name in parts[0]},
    }


def main() -> dict[str, Any]:
    """Rates of the samples of the default study that Pythia makes."""
    clock = Clock()
    for part, owner, name in PARTS:
        setattr(owner, name, clock.timed(part, getattr(owner, name)))
    entries = yaml.safe_load((common.HERE.parent / "config.yaml").read_text(encoding="utf-8"))["samples"]
    figures: dict[str, Any] = {"events": EVENTS, "seeds": SEEDS, "samples": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in SAMPLES:
            found = sample(name, entries[name]["generate"], clock, Path(folder) / "chunk.root")
            figures["samples"][name] = found
            print(f"{name}: ratio {found['ratio']} {found['ratios']}, ms an event: {found}", flush=True)
    return figures


if __name__ == "__main__":
    common.report("simulation_rate", main())
