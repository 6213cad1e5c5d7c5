"""Packages that are compared with, in environments of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

import _common as common
import numpy as np
from _speed_samples import Case

SCRIPTS = common.HERE / "peer"
PACKAGE = "omnifold==0.1.36"


@dataclass
class Found:
    """Weights (n,) of the fiducial events; CPU and wall seconds."""

    weights: np.ndarray
    cpu: float
    wall: float


def environment(name: str = "omnifold", alone: str = PACKAGE) -> Path | None:
    """A Python with peer/<name>.txt and a package `alone`, without its requirements; None in a quick run without it.

    It is built where it is missing (omnifold: 1.8 GB).
    """
    folder, pins = common.HERE / ".cache" / f"{name}_peer", SCRIPTS / f"{name}.txt"
    python, stamp = folder / "bin" / "python", folder / "installed"
    wanted = pins.read_text(encoding="utf-8") + alone
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    if common.QUICK:
        return None
    print(f"building {folder}: it may take several minutes", flush=True)
    venv.create(folder, with_pip=True, clear=True)
    for words in (["-r", str(pins)], *([["--no-deps", alone]] if alone else [])):
        subprocess.run([python, "-m", "pip", "install", "--quiet", *words], check=True)
    stamp.write_text(wanted, encoding="utf-8")  # Last: a half-built environment is built again.
    return python


def call(python: Path, script: str, arrays: dict[str, np.ndarray], options: dict[str, object]) -> dict[str, np.ndarray]:
    """The arrays that a script of peer/ makes of `arrays`, by its own Python and as many threads as `options` say."""
    with tempfile.TemporaryDirectory() as folder:
        given, returned = (str(Path(folder) / f"{n}.npz") for n in ("in", "out"))
        np.savez(given, **arrays)
        words = [str(python), str(SCRIPTS / script), given, returned, json.dumps(options)]
        environ = os.environ | {"OMP_NUM_THREADS": str(options["threads"])}
        done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"the peer failed:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
        return dict(np.load(returned))


def unfold(
    python: Path, case: Case, *, seed: int, threads: int = 1, script: str = "run_omnifold.py", **options: object
) -> Found:
    """Unfold by the peer. Its inputs are scaled as ours are; what a level did not see is zero there, as it asks for."""
    inputs, arrays = case.inputs, {}
    for level, passed in (("truth", inputs.pass_truth), ("reco", inputs.pass_reco)):
        x = getattr(inputs, level)
        mean, sigma = x[passed].mean(axis=0), x[passed].std(axis=0)
        arrays[level] = np.where(passed[:, None], (x - mean) / sigma, 0.0).astype(np.float32)
        arrays[f"pass_{level}"] = passed
        if level == "reco":
            arrays["data_reco"] = ((inputs.data_reco - mean) / sigma).astype(np.float32)
    arrays["weight"] = inputs.weight.astype(np.float32)
    arrays["data_weight"] = inputs.data_weight.astype(np.float32)
    found = call(python, script, arrays, {"seed": seed, "threads": threads, **options})
    weights = found["weights"][inputs.fiducial].astype(np.float64)
    return Found(weights, float(found["cpu"]), float(found["wall"]))
