"""One stage of the benchmark `scale`, in a process of its own: `_scale_stages.py <stage> <folder> <events> <buffer>`.

Prints what it took as JSON. Nothing is imported but what the stage's adapter imports, for its memory is measured.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from truthward.run.provenance import Record
from truthward.study.observable import Observable
from truthward.study.plugins import build

OBSERVABLES = [Observable(name=f"x{d}", range=(-5.0, 5.0), bins=50) for d in range(3)]
GAUSSIANS: dict[str, dict[str, Any]] = {
    "simulation": {"kind": "gaussian", "dimensions": 3, "resolution": 0.5, "background": 0.05},
    "pseudodata": {
        "kind": "gaussian",
        "dimensions": 3,
        "resolution": 0.5,
        "background": 0.05,
        "mean": 0.2,
        "width": 1.1,
    },
}
FAMILIES = {"data_bootstrap": 2, "mc_bootstrap": 2}
ITERATIONS, EPOCHS = 2, {"epochs": 1, "later_epochs": 1}
TRAINING = {**EPOCHS, "batch_size": 4096}
METHODS: dict[str, dict[str, Any]] = {
    "network": {"kind": "omnifold", "network": {"width": 32}, "training": TRAINING},
    "boosted trees": {"kind": "omnifold", "classifier": "boosted_trees"},
    "generative": {
        "kind": "generative",
        "model": {"kind": "flow_matching", "width": 32, "depth": 2, "steps": 4},
        "draws": {"nominal": 2, "replicas": 1, "ratio": 1},
        "training": TRAINING,
        "classifiers": {"ratio_epochs": 1, "side_epochs": 1, "batch_size": 4096, "width": 32},
    },
}
MOST = {"network": 10_000_000, "boosted trees": 10_000_000, "generative": 1_000_000}
"""Events of each sample. The generative method holds all of them in memory."""
CHUNK = 500_000
"""Events of a ROOT file, at most."""


def chunks_of(events: int) -> int:
    """ROOT files of a sample."""
    return -(-events // CHUNK)


def simulate(folder: Path, events: int, chunk: int, sample: str) -> None:
    """One chunk of a sample; not a stage that is measured."""
    from truthward.simulate.stage import simulate as run

    run(
        build("physics.generators", GAUSSIANS[sample]),
        path=folder / sample / f"{chunk:04d}.root",
        events=events,
        seed=1,
        sample=sample,
        chunk=chunk,
        chunks=chunks_of(events),
        record=_record("simulate"),
    )


def ingest(folder: Path, sample: str) -> int:
    """ROOT files into an event table; of pseudo-data the truth into another."""
    from truthward.ingest.stage import ingest as run

    data = sample == "pseudodata"
    done = run(
        build("events.readers", {"kind": "flat_tree", "same_names": True, "files": [str(folder / sample / "*.root")]}),
        output=folder / f"{sample}.parquet",
        closure_output=folder / "truth.parquet" if data else None,
        observables=OBSERVABLES,
        role="data" if data else "simulation",
        record=_record("ingest"),
    )
    return sum(table["events_read"] for table in done.values())


def unfold(folder: Path, buffer: int, method: str, *, nominal: bool) -> None:
    """The nominal unfolding, or its replicas in one job."""
    from truthward.unfold.stage import unfold_nominal, unfold_part

    entry = METHODS[method] | {"iterations": ITERATIONS, "fakes": "share"}
    if entry["kind"] == "omnifold":
        entry["buffer"] = buffer
    task: dict[str, Any] = {
        "entry": entry,
        "method": method,
        "data": folder / "pseudodata.parquet",
        "simulation": folder / "simulation.parquet",
        "observables": OBSERVABLES,
        "families": FAMILIES,
        "seed": 1,
        "state": folder / f"{method}.state",
        "key": "scale",
        "record": _record("unfold"),
    }
    trained = folder / f"{method}.safetensors"
    if nominal:
        unfold_nominal(output=folder / f"{method}.parquet", trained=trained, **task)
    else:
        unfold_part(output=folder / f"{method}.0.parquet", nominal=trained, job=0, jobs=1, **task)


def gather(folder: Path) -> None:
    """Nominal and replicas into one sample."""
    from truthward.events.unfolded import gather as run

    run(
        [folder / "network.parquet", folder / "network.0.parquet"],
        folder / "unfolded.parquet",
        record=_record("gather"),
    )


def validate(folder: Path, buffer: int) -> dict[str, Any]:
    """The result against truth, data and prior; classifiers see `buffer` events of each sample at most."""
    from truthward.validate.method.stage import validate_method

    content = validate_method(
        folder / "unfolded.parquet",
        simulation=folder / "simulation.parquet",
        data=folder / "pseudodata.parquet",
        closure_truth=folder / "truth.parquet",
        observables=OBSERVABLES,
        seeds=2,
        epochs=1,
        events=buffer,
        seed=1,
        record=_record("validate"),
        output=folder / "validate.json",
    )
    x0 = content["observables"]["x0"]["triangular"]
    return {
        "triangular": {what: x0[what]["value"] for what in ("prior", "unfolded")},
        "yield": content["yield"]["ratio"],
    }


def _record(stage: str) -> Record:
    return Record(stage, {}, "", 1)


def _peak() -> float:
    """Largest resident memory of this process so far, MB. (getrusage would count the process that started it.)"""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def main(stage: str, folder: str, events: int, buffer: int) -> None:
    """Run one stage and print seconds, CPU seconds, peak memory, and what it says of its result."""
    place = Path(folder)
    stages = {
        "ingest simulation": lambda: ingest(place, "simulation"),
        "ingest pseudo-data": lambda: ingest(place, "pseudodata"),
        "gather": lambda: gather(place),
        "validate": lambda: validate(place, buffer),
    }
    said = None
    if stage.startswith("simulate"):
        _, sample, chunk = stage.split()
        simulate(place, events, int(chunk), sample)
    elif stage.startswith("unfold"):
        what, _, method = stage.partition(", ")
        unfold(place, buffer, method or "network", nominal=what == "unfold nominal")
    else:
        said = stages[stage]()
    found = {"seconds": time.perf_counter() - STARTED, "cpu": time.process_time(), "peak_mb": _peak(), "said": said}
    print(json.dumps(found))


if __name__ == "__main__":
    STARTED = time.perf_counter()
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
