"""The package that is compared with, in an environment of its own."""

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

FOLDER = common.HERE / ".cache" / "omnifold_peer"
PINS = common.HERE / "peer" / "omnifold.txt"
PACKAGE = "omnifold==0.1.36"


@dataclass
class Found:
    """Weights (n,) of the fiducial events; CPU and wall seconds."""

    weights: np.ndarray
    cpu: float
    wall: float


def environment() -> Path | None:
    """The peer's Python, in an environment that is built where it is missing (1.8 GB); None in a quick run."""
    python, stamp = FOLDER / "bin" / "python", FOLDER / "installed"
    wanted = PINS.read_text(encoding="utf-8") + PACKAGE
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    if common.QUICK:
        return None
    print(f"building {FOLDER}: several minutes", flush=True)
    venv.create(FOLDER, with_pip=True, clear=True)
    for words in (["-r", str(PINS)], ["--no-deps", PACKAGE]):
        subprocess.run([python, "-m", "pip", "install", "--quiet", *words], check=True)
    stamp.write_text(wanted, encoding="utf-8")  # Last: a half-built environment is built again.
    return python


def unfold(python: Path, case: Case, *, seed: int, threads: int = 1, **options: object) -> Found:
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
    with tempfile.TemporaryDirectory() as folder:
        given, returned = (str(Path(folder) / f"{n}.npz") for n in ("in", "out"))
        np.savez(given, **arrays)
        words = [str(python), str(common.HERE / "peer" / "run_omnifold.py"), given, returned]
        words.append(json.dumps({"seed": seed, "threads": threads, **options}))
        environ = os.environ | {"OMP_NUM_THREADS": str(threads)}
        done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"the peer failed:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
        found = dict(np.load(returned))
    weights = found["weights"][inputs.fiducial].astype(np.float64)
    return Found(weights, float(found["cpu"]), float(found["wall"]))
