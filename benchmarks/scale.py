"""The chain on 1e5, 1e6 and 1e7 Gaussian events: time and peak memory of each stage, in a process of its own.

Simulation and pseudo-data of as many events are made first and not timed. Unfolding: two iterations, networks of one
epoch, and four replicas (two bootstraps of data, two of simulation). OmniFold is streamed through a buffer that 1e6 and
1e7 exceed; trees hold the inputs of all events, and the generative method holds all events, so it has no more than 1e6.
Validation is that of the network, and takes as many events of each sample as the buffer for what is not binned. Time
must go with the events, and memory of OmniFold with a network must not.

`METHODS="boosted trees;generative"` runs the unfolding of these alone, and keeps the other rows, each with its commit;
`LARGEST=1e6` makes no larger samples.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import _common as common
from _scale_stages import EPOCHS, FAMILIES, ITERATIONS, METHODS, MOST, chunks_of

SIZES = (20_000, 50_000) if common.QUICK else (100_000, 1_000_000, 10_000_000)
BUFFER = 10_000 if common.QUICK else 500_000
UNFOLDINGS = {
    m: [f"unfold {what}" + ("" if m == "network" else f", {m}") for what in ("nominal", "4 replicas")] for m in METHODS
}
INGEST, AFTER = ("ingest simulation", "ingest pseudo-data"), ("gather", "validate")
ORDER = (*INGEST, *(stage for stages in UNFOLDINGS.values() for stage in stages), *AFTER)
BYTES_AN_EVENT = 600
"""Of disk, at most, of all that is there at a time."""


def stages(events: int) -> list[str]:
    """What is run with that number of events: gather and validate are those of the network."""
    chosen = common.chosen(METHODS)
    unfoldings = [
        stage
        for m in chosen
        if events <= (SIZES[0] if common.QUICK and m != "network" else MOST[m])
        for stage in UNFOLDINGS[m]
    ]
    return [*INGEST, *unfoldings, *(AFTER if "network" in chosen else ())]


def run(stage: str, folder: Path, events: int) -> dict[str, Any]:
    """One stage on one thread; what it printed."""
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    script = Path(__file__).with_name("_scale_stages.py")
    words = [sys.executable, str(script), stage, str(folder), str(events), str(BUFFER)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{stage}, {events} events: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def chain(events: int) -> dict[str, dict[str, Any]]:
    """All stages on samples of `events` events, in a folder that is removed."""
    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        folder, free = Path(name), shutil.disk_usage(name).free
        if free < BYTES_AN_EVENT * events:
            sys.exit(f"{name}: {free / 1e9:.0f} GB free, {BYTES_AN_EVENT * events / 1e9:.0f} GB needed; set TMPDIR")
        todo = [f"simulate {sample} {c}" for sample in ("simulation", "pseudodata") for c in range(chunks_of(events))]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda stage: run(stage, folder, events), todo))
        found = {}
        for stage in stages(events):
            f = found[stage] = run(stage, folder, events)
            figures = f"{f['seconds']:8.1f} s {f['cpu'] / events * 1e6:8.2f} us CPU/event {f['peak_mb']:7.0f} MB"
            print(f"{events:>10,} {stage:20}{figures}  {f['said'] if f['said'] is not None else ''}", flush=True)
        return found


def main() -> dict[str, Any]:
    """Print a line a stage, then the ratios of the two largest samples; return the figures."""
    earlier = common.earlier("scale").get("sizes", {})
    sizes = {}
    for events in SIZES:
        made = chain(events) if events <= float(os.environ.get("LARGEST", SIZES[-1])) else {}
        if "network" not in common.chosen(METHODS):
            # Their rows belong to those of the network: one machine and one commit for all that is compared.
            made = {stage: f for stage, f in made.items() if stage not in INGEST}
        sizes[str(events)] = common.beside("scale", made, earlier.get(str(events), {}), ORDER)
    small, large = (sizes[str(events)] for events in SIZES[-2:])
    for stage in [stage for stage in ORDER if stage in small and stage in large]:
        time, memory = (large[stage][key] / small[stage][key] for key in ("cpu", "peak_mb"))
        print(
            f"{stage:20} {SIZES[-1] // SIZES[-2]} times the events: {time:.2f} times the CPU, {memory:.2f} the memory"
        )
    return {
        "buffer": BUFFER,
        "replicas": FAMILIES,
        "iterations": ITERATIONS,
        **EPOCHS,
        "sizes": sizes,
    }


if __name__ == "__main__":
    common.report("scale", main())
