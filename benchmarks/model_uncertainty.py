"""Do the bands cover the truth where the data come from another generator than the simulation?

Ordered pairs (simulation, data) of Z+jets samples of Pythia with other tunes, showers, hadronisation, colour
reconnection or multiparton interactions (`_model_samples.py`), each unfolded by the workflow with the default study's
methods, calibration and model uncertainties. In ten bins of equal true content of each of the six observables, a pull
is the distance of the result from the truth over the stated standard deviation; its root mean square over all bins is
stated

- with the families that know one simulation alone (bootstraps, initialisation, calibration: "statistical"),
- with each of the model families added to these, and with all of them, and with all but one.

The distance is that to the truth of infinitely many events, see `_model_study.measure`; that to the truth of the very
events that were unfolded (`known_rms`) holds their own fluctuation besides. Beside the pulls stands the median stated
error over the rms true error, which wide bands make large.

Options are chosen on `DEVELOPMENT` pairs; no sample of theirs is in a quoted pair. Goal, of the quoted pairs: rms pull
with all families 0.7 to 1.3 in the mean over pairs, none above 1.7, and the ratio of errors at most 2.

Of the quoted pair whose bands cover least, remedies are tried (`_model_study.REMEDIES`), each on top of the default
options; their sizes were chosen before they were run.

`PAIRS=development`, `PAIRS=quoted` or `PAIRS=remedies` runs these alone, `ONLY="monash>hadronisation"` one of them, and
`METHODS=omnifold,ibu` those. `STORED=1` makes the table of the pieces that are there, `KEEP=1` keeps the rows of the
result file that are not made anew, each with its commit. Samples are made first where they are missing:
`_model_samples.py` goes on where it was stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import _common as common
import _model_samples as samples
import _model_study as study
import numpy as np

from truthward.run.artefact import read_json, write_json

DEVELOPMENT = {
    ("tune4c", "gluon_move"): "soft_strings",
    ("gluon_move", "soft_strings"): "tune4c",
    ("soft_strings", "tune4c"): "gluon_move",
}
"""Pair (simulation, data): the alternative simulation that its study has."""
QUOTED = {
    ("tune26", "monash"): "tune26_strings",
    ("monash", "tune26"): "hadronisation",
    ("monash", "a14"): "hadronisation",
    ("a14", "monash"): "tune26_strings",
    ("monash", "hadronisation"): "no_reconnection",
    ("hadronisation", "a14"): "no_reconnection",
    ("monash", "no_reconnection"): "hadronisation",
    ("no_reconnection", "shower"): "hadronisation",
    ("shower", "hadronisation"): "tune26",
    ("monash", "vincia"): "hadronisation",
    ("vincia", "tune26"): "no_reconnection",
}
"""Likewise. No alternative lies between simulation and data, or has what sets the data apart; the first is the default
study's."""
UNCOVERED = ("monash", "no_reconnection", "hadronisation")
"""Simulation, data and alternative of the pair that remedies are tried on."""
METHODS = ("omnifold", "generative", "ibu")
PIECES = study.STUDIES / "pieces"
GAUSSIAN = {0.2: ("omnifold", "ibu"), 0.4: ("ibu",)}
"""Quick pairs, by how far the truth is off, and what unfolds them."""
if common.QUICK:
    METHODS = ("omnifold", "ibu")
Piece = dict[str, Any]


def piece(pair: tuple[Any, ...], method: str, *, stored: bool) -> Piece | None:
    """One method on one pair, kept under a digest of its config; None where it is only to be read and is not there."""
    content = study.gaussian(pair[0], method) if common.QUICK else study.z_jets(*pair[:3], method, *pair[3:])
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
    path = PIECES / f"{content['study']}-{method}-{digest}.json"
    if path.is_file() and not common.QUICK:
        return read_json(path)
    if stored:
        return None
    study.run(content, method)
    found = study.measure(content, method)
    write_json(path, found)
    return found


def pulls(found: Piece, families: list[str] | None = None) -> dict[str, float]:
    """Root mean square pull, worst observable, and median stated over rms true error; of all families, or of some."""
    distance, variance, relative, known, by = [], [], [], [], {}
    for name, o in found["observables"].items():
        truth = np.array(o["truth"])
        square = (np.array(o["nominal"]) - truth) ** 2 - np.array(o["excess"])
        of = [np.array(v) for family, v in o["variance"].items() if families is None or family in families]
        total = np.sum(of, axis=0)
        by[name] = root(square / total)
        known.append((np.array(o["nominal"]) - truth) ** 2 / total)
        distance.append(square / truth**2)
        variance.append(square / total)
        relative.append(np.sqrt(total) / truth)
    worst = max(by, key=by.get)
    error = root(np.concatenate(distance))
    return {
        "rms": root(np.concatenate(variance)),
        "known_rms": root(np.concatenate(known)),
        "within": float((np.concatenate(known) < 1.0).mean()),
        "worst": worst,
        "worst_rms": by[worst],
        "stated": float(np.median(np.concatenate(relative))),
        "true": error,
        "stated_over_true": float(np.median(np.concatenate(relative)) / error),
    }


def root(squares: np.ndarray) -> float:
    """Root of the mean; where that is below zero, by the noise of the excess taken off, the truth is met: 0.01."""
    return float(np.sqrt(max(squares.mean(), 1e-4)))


def figures(found: Piece) -> dict[str, Any]:
    """Pulls without model families, with each of them, without each of them, and with all."""
    families = list(next(iter(found["observables"].values()))["variance"])
    statistical = [f for f in families if f in study.STATISTICAL]
    model = [f for f in families if f not in statistical]
    return {
        "statistical": pulls(found, statistical),
        "with": {f: pulls(found, [*statistical, f]) for f in model},
        "without": {f: pulls(found, [g for g in families if g != f]) for f in model},
        "all": pulls(found) if model else None,
        "bins": sum(len(o["truth"]) for o in found["observables"].values()),
        "iterations": found["iterations"],
        "commit": found["commit"],
    }


def show(title: str, rows: dict[str, dict[str, Any]]) -> None:
    """Print one line a pair and method."""
    print(f"\n{title}: rms pull (share of bins within one sigma of the known truth, median stated over rms true error)")
    for name, f in rows.items():
        kinds = {"statistical": f["statistical"]}
        kinds |= {f"+ {family.removeprefix('systematic:')}": g for family, g in f["with"].items()}
        kinds |= {"all": f["all"]} if f["all"] else {}
        cells = "  ".join(
            f"{kind} {g['rms']:.2f} ({g['within']:.0%}, {g['stated_over_true']:.2f})" for kind, g in kinds.items()
        )
        print(f"{name:44}{cells}  worst {f['statistical']['worst']}", flush=True)


def verdict(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Whether the goal is met, for each method."""
    found = {}
    for method in METHODS:
        own = [f["all"] or f["statistical"] for name, f in rows.items() if name.endswith(f", {method}")]
        if own:
            rms, ratio = ([f[key] for f in own] for key in ("rms", "stated_over_true"))
            met = 0.7 <= np.mean(rms) <= 1.3 and max(rms) <= 1.7 and max(ratio) <= 2.0
            found[method] = {
                "pairs": len(own),
                "mean": float(np.mean(rms)),
                "largest": max(rms),
                "largest_ratio": max(ratio),
                "met": bool(met),
            }
    return found


def main() -> dict[str, Any]:
    """All pairs and methods that were asked for."""
    stored = bool(os.environ.get("STORED"))
    methods = os.environ.get("METHODS", ",".join(METHODS)).split(",")
    groups = {
        group: {(*p, a): "" for p, a in pairs.items()}
        for group, pairs in (("development", DEVELOPMENT), ("quoted", QUOTED))
    }
    groups["remedies"] = {(*UNCOVERED, remedy): f", {remedy}" for remedy in study.REMEDIES}
    chosen = os.environ.get("PAIRS", "quoted,remedies").split(",")
    earlier = read_json(common.HERE / "results" / "model_uncertainty.json")["figures"] if os.environ.get("KEEP") else {}
    found = dict(earlier)
    for group in ["gaussian"] if common.QUICK else chosen:
        rows = dict(earlier.get(group, {}).get("rows", {}))
        pairs = {(shift,): "" for shift in GAUSSIAN} if common.QUICK else groups[group]
        for pair, remedy in pairs.items():
            if os.environ.get("ONLY", "") not in ">".join(map(str, pair[:2])):
                continue
            if not common.QUICK and not stored:
                for sample in {*pair[:3], "tune26_strings"} if remedy else pair:
                    samples.make(sample)
            for method in GAUSSIAN[pair[0]] if common.QUICK else ["omnifold"] if remedy else methods:
                done = piece(pair, method, stored=stored)
                if done is not None:
                    rows[f"{', '.join(map(str, pair[:2]))}, {method}{remedy}"] = figures(done)
                    show(group, {name: rows[name] for name in [*rows][-1:]})
        show(group, rows)
        found[group] = {"rows": rows} | ({} if group == "remedies" else {"verdict": verdict(rows)})
        print(found[group].get("verdict", ""))
    return found


if __name__ == "__main__":
    common.report("model_uncertainty", main())
