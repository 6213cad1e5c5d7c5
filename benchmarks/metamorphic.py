"""What must not change a result, for every unfolding method, generative model and calibrator, and for the judge.

Each is run on a small Gaussian toy (`tests/metamorphic`) as it is, with other seeds, and after each of the
transformations: other units, a shift, monotone maps, one event far away, atoms, orders, halves, events of weight zero.
Stated is how far the result moved: of unfoldings the root mean square over eight bins in statistical errors, of
calibrators that over places in units of the spread of the true response, of the judge the AUC less the right one.
Criterion, fixed beforehand: at most LIMIT times the noise of retraining (the largest of three pairs of seeds), and
FLOOR where that is smaller, as it is of IBU, which has none. `blind` is what a method would have that returns the
simulation, the mean response, or an AUC of one half.

`python benchmarks/metamorphic.py before CHECKOUT` runs the same with the code of another checkout, and keeps its table
beside the one that is stored.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BEFORE = sys.argv[1:2] == ["before"]
if BEFORE:
    sys.path.insert(0, f"{sys.argv[2]}/src")
    import truthward.study.config

    # Where an observable was declared at that time.
    sys.modules.setdefault("truthward.study.observable", truthward.study.config)
else:
    import _common as common
sys.path.append(str(HERE.parent))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from tests.metamorphic.measure import (  # noqa: E402
    METHODS,
    area,
    calibrated,
    distance,
    generative,
    judged,
    measured_response,
    prior,
    right_area,
    unfolded,
    without_atoms,
)
from tests.metamorphic.transformations import FEW, TRANSFORMATIONS, toy  # noqa: E402
from truthward.errors import TruthwardError  # noqa: E402
from truthward.study import plugins  # noqa: E402

QUICK = not BEFORE and common.QUICK
LIMIT, FLOOR = 3.0, {"unfolding": 0.1, "calibrator": 0.1, "judge": 0.02}
SEEDS = (1, 2, 3)
Cells = dict[str, float | str]


def compared(name: str, measure: Any) -> float | str:
    """A figure, or the error that came instead of it."""
    try:
        return round(float(measure()), 4)
    except (TruthwardError, RuntimeError, ValueError) as error:
        print(f"  {name}: {type(error).__name__}: {str(error)[:150]}", flush=True)
        return type(error).__name__


def column(kind: str, blind: float, noise: float, cells: Cells) -> dict[str, Any]:
    """One subject of the table."""
    tolerance = max(LIMIT * noise, FLOOR[kind])
    bad = [n for n, v in cells.items() if isinstance(v, str) or not v <= tolerance]
    return {
        "noise": round(noise, 4),
        "tolerance": round(tolerance, 4),
        "blind": round(blind, 4),
        "values": cells,
        "beyond": bad,
    }


def unfolding(kind: str, options: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """A method on the toy."""
    original = toy()
    known: dict[str, np.ndarray] = {"": unfolded(kind, options, original, SEEDS[0])}

    def moved(name: str) -> float:
        reference = without_atoms(name, original)
        key = "" if reference is original else name
        if key not in known:
            known[key] = unfolded(kind, options, reference, SEEDS[0])
        return distance(unfolded(kind, options, TRANSFORMATIONS[name](original), SEEDS[0]), known[key])

    again = [known[""], *(unfolded(kind, options, original, s) for s in SEEDS[1:])]
    noise = max(distance(a, b) for a, b in itertools.combinations(again, 2))
    cells = {n: compared(n, lambda n=n: moved(n)) for n in names}
    return column("unfolding", distance(prior(original), known[""]), noise, cells)


def calibrator(kind: str, names: list[str]) -> dict[str, Any]:
    """A calibrator, at places of its features."""
    original = measured_response()
    unit = float(original.data["truth_x0"].std())
    first = {"": calibrated(kind, None, original, SEEDS[0])}

    def apart(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.sqrt(np.mean((a - b) ** 2))) / unit

    def moved(name: str) -> float:
        reference = without_atoms(name, original)
        key = "" if reference is original else name
        if key not in first:
            first[key] = calibrated(kind, None, reference, SEEDS[0])
        return apart(calibrated(kind, name, original, SEEDS[0]), first[key])

    again = [first[""], *(calibrated(kind, None, original, s) for s in SEEDS[1:])]
    noise = max(apart(a, b) for a, b in itertools.combinations(again, 2))
    cells = {n: compared(n, lambda n=n: moved(n)) for n in names if not n.endswith("data")}
    return column("calibrator", float(np.std(first[""])) / unit, noise, cells)


def judge(names: list[str]) -> dict[str, Any]:
    """The two-sample test, held against the analytic AUC."""
    original = judged()

    def off(name: str) -> float:
        share = next((s for s in (0.01, 0.3) if name.startswith(f"{s:.0%}")), 0.0)
        return abs(area(TRANSFORMATIONS[name](original), SEEDS[0]) - right_area(share))

    noise = max(abs(area(original, s) - right_area()) for s in SEEDS)
    cells = {n: compared(n, lambda n=n: off(n)) for n in names if not n.endswith("truth")}
    return column("judge", right_area() - 0.5, noise, cells)


def main() -> dict[str, Any]:
    """Print a line a subject; return the figures."""
    torch.set_num_threads(1)
    every = list(TRANSFORMATIONS)
    few, many = (list(FEW[:2]), list(FEW)) if QUICK else (list(FEW), every)
    subjects: dict[str, tuple[Any, list[str]]] = {"two-sample test": (judge, many)}
    for kind in plugins.kinds("calibrate"):
        subjects[f"calibrator, {kind}"] = (lambda names, kind=kind: calibrator(kind, names), many)
    for kind in plugins.kinds("unfold"):
        options = METHODS.get(kind, {})
        subjects[kind] = (lambda names, kind=kind, options=options: unfolding(kind, options, names), many)
    for model in [] if QUICK else plugins.kinds("models"):
        if model != METHODS["generative"]["model"]["kind"]:
            options = generative(model)
            subjects[f"generative, {model}"] = (lambda names, o=options: unfolding("generative", o, names), few)
    figures = {}
    for name, (measure, names) in subjects.items():
        started = time.process_time()
        found = figures[name] = measure(names)
        values = [v for v in found["values"].values() if not isinstance(v, str)]
        print(
            f"{name}: noise {found['noise']}, allowed {found['tolerance']}, blind {found['blind']}; largest "
            f"{max(values, default=float('nan'))}; beyond: {', '.join(found['beyond']) or 'none'}; "
            f"{time.process_time() - started:.0f} s",
            flush=True,
        )
    return {"subjects": figures, "limit": LIMIT, "floor": FLOOR}


if __name__ == "__main__":
    path, found = HERE / "results" / "metamorphic.json", main()
    content = json.loads(path.read_text()) if path.is_file() else {"name": "metamorphic", "figures": {}}
    if BEFORE:
        commit = subprocess.run(
            ["git", "-C", sys.argv[2], "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        content["figures"]["before"] = found | {"commit": commit}
        path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    else:
        common.report("metamorphic", found | {n: v for n, v in content["figures"].items() if n == "before"})
