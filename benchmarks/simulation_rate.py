"""Rate of the simulation stage against that of Pythia alone, on the samples of the default study.

Both make the same events: the stage a chunk of one block, from the start of Pythia to the ROOT file; Pythia alone
starts with the same settings and the same seed, and returns the same batches by `nextBatch`, which nobody reads. They
take turns in one process, batch by batch. Ratio: rate of the stage over rate of Pythia alone, which is CPU time of
Pythia alone over CPU time of the stage; its range is over blocks of different seeds.

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
ALONE = "Pythia alone"


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


class Twinned(generator.Pythia):
    """Beside it runs a twin, Pythia alone, which makes the same batches."""

    def __init__(self, clock: Clock, **options: Any) -> None:
        super().__init__(**options)
        # As they are without the clock.
        self.start = clock.timed(ALONE, particles.started)
        self.batch = clock.timed(ALONE, pythia8mc.Pythia.nextBatch)

    def block(self, events: int, *, total: int, seed: int) -> dict[str, Any]:
        hook = generator._SoftZ(self.z_pt_min - self.z_pt_margin)
        self.twin = self.start(self.settings, seed, hook=hook, keep=self.chosen)
        return super().block(events, total=total, seed=seed)

    def _accept(
        self, pythia: pythia8mc.Pythia, record: ak.Array, rng: np.random.Generator
    ) -> tuple[dict[str, Any], np.ndarray]:
        found = super()._accept(pythia, record, rng)
        twin = self.batch(self.twin, len(record)).prt
        if ak.num(twin, axis=1).tolist() != ak.num(record, axis=1).tolist():
            raise AssertionError("Pythia alone made other events than the stage")
        return found


def sample(made: Twinned, name: str, clock: Clock, path: Path) -> dict[str, Any]:
    """CPU milliseconds an event of the stage and of Pythia alone, and of the parts of the stage."""
    made.block(10, total=10, seed=0)
    blocks = []
    for seed in range(SEEDS):
        clock.seconds.clear()
        record = Record.for_tests()
        stage.simulate(made, path=path, events=EVENTS, seed=seed, sample=name, chunk=0, chunks=1, record=record)
        blocks.append({part: seconds / EVENTS * 1000 for part, seconds in clock.seconds.items()})
    bare = [block.pop(ALONE) for block in blocks]
    whole = [sum(block.values()) for block in blocks]
    ratios = sorted(one / other for one, other in zip(bare, whole, strict=True))
    return {
        "ratio": round(median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "stage": round(median(whole), 2),
        "pythia": round(median(bare), 2),
        "parts": {part: round(median(block[part] for block in blocks), 3) for part in blocks[0]},
    }


def main() -> dict[str, Any]:
    """Rates of the samples of the default study that Pythia makes."""
    clock = Clock()
    entries = yaml.safe_load((common.HERE.parent / "config.yaml").read_text(encoding="utf-8"))["samples"]
    options = {name: {k: v for k, v in entries[name]["generate"].items() if k != "kind"} for name in SAMPLES}
    generators = {name: Twinned(clock, **given) for name, given in options.items()}
    for part, owner, name in PARTS:
        setattr(owner, name, clock.timed(part, getattr(owner, name)))
    figures: dict[str, Any] = {"events": EVENTS, "seeds": SEEDS, "samples": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name, made in generators.items():
            found = sample(made, name, clock, Path(folder) / "chunk.root")
            figures["samples"][name] = found
            print(f"{name}: ratio {found['ratio']} {found['ratios']}, ms an event: {found}", flush=True)
    return figures


if __name__ == "__main__":
    common.report("simulation_rate", main())
