"""ROOT files of a process in three slices, of two backgrounds and of data, with every cross section known.

The quantity x is exponential from 20 GeV on, with a scale of 20 GeV. The slices are ranges of x, each with generator
weights of its own. The detector measures x to 10% and finds 80% of the events. Files are skimmed at x = 22 GeV.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import uproot

CUT, SCALE, EFFICIENCY, RESOLUTION, LUMINOSITY = 25.0, 20.0, 0.8, 0.1, 500.0
"""GeV, GeV, 1, 1, per pb."""
EDGES = {"low": (20.0, 40.0), "middle": (40.0, 80.0), "high": (80.0, np.inf)}
SIGNAL = 100.0
"""Cross section of all slices, pb."""
BACKGROUNDS = {"ttbar": 8.0, "diboson": 3.0}
"""Cross sections, pb."""
FIDUCIAL = SIGNAL * np.exp(-(CUT - 20.0) / SCALE)
"""Cross section of x above the cut, pb."""
GENERATED = 20_000

BRANCHES = {
    "truth_x": "gen_x",
    "reco_x": "x",
    "pass_truth": f"gen_x > {CUT}",
    "pass_reco": f"found & (x > {CUT})",
    "weight": "genWeight",
    "run": "run",
    "lumi": "luminosityBlock",
    "event": "event",
}
RECO = {column: text for column, text in BRANCHES.items() if "truth" not in column}
MEASURED = {column: text for column, text in RECO.items() if column != "weight"}


def share(low: float, high: float) -> float:
    """Probability of x in a range."""
    return float(np.exp(-(low - 20.0) / SCALE) - np.exp(-(high - 20.0) / SCALE))


def accepted(process: str) -> float:
    """Cross section of a process at reco level, pb; by quadrature over the resolution."""
    g = np.linspace(-6, 6, 20_001)
    density = np.exp(-(g**2) / 2) / np.exp(-(g**2) / 2).sum()
    smeared = 1 + RESOLUTION * g
    if process == "signal":
        above = np.minimum(1.0, np.exp(-(CUT / smeared - 20.0) / SCALE))
        return SIGNAL * EFFICIENCY * float(density @ above)
    low, high = {"ttbar": (30.0, 150.0), "diboson": (20.0, 60.0)}[process]
    above = np.clip((high - CUT / smeared) / (high - low), 0, 1)
    return BACKGROUNDS[process] * EFFICIENCY * float(density @ above)


def draw(process: str, size: int, rng: np.random.Generator, low: float = 20.0, high: float = np.inf) -> np.ndarray:
    """x of events of a process."""
    if process == "signal":
        ends = np.exp(-(np.array([low, high]) - 20.0) / SCALE)
        return 20.0 - SCALE * np.log(rng.uniform(ends[1], ends[0], size))
    return rng.uniform(*{"ttbar": (30.0, 150.0), "diboson": (20.0, 60.0)}[process], size)


def events(x: np.ndarray, rng: np.random.Generator, weight: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Branches of events, numbered from 1: those of all samples have the same numbers."""
    size = x.size
    numbers = {"run": np.full(size, 7, np.uint32), "event": np.arange(1, size + 1, dtype=np.uint64)}
    numbers["luminosityBlock"] = np.uint32(1) + numbers["event"].astype(np.uint32) % 100
    seen = {"x": x * (1 + RESOLUTION * rng.standard_normal(size)), "found": rng.random(size) < EFFICIENCY}
    return numbers | seen | ({} if weight is None else {"gen_x": x, "genWeight": weight})


def write(path: Path, columns: dict[str, np.ndarray], **more: Any) -> None:
    """A file with the tree Events, a tree Runs for `sumw`, and a histogram for `bins`."""
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: values.dtype for name, values in columns.items()}).extend(columns)
        if "sumw" in more:
            file.mktree("Runs", {"genEventSumw": "float64"}).extend({"genEventSumw": np.array(more["sumw"])})
        if "bins" in more:
            file["sumw"] = (np.array(more["bins"]), np.arange(len(more["bins"]) + 1.0))


APART = {
    "kind": "flat_tree",
    "tree": "reco",
    "join": {"particle": {"tree": "particle", "by": "event"}, "up": {"tree": "up", "by": "event"}},
    "branches": {
        "truth_x": "particle.gen_x",
        "pass_truth": f"particle.gen_x > {CUT}",
        "reco_x": "x",
        "pass_reco": f"x > {CUT}",
        "reco_x:scale:0": "up.x",
        "pass_reco:scale:0": f"up.x > {CUT}",
        "weight": "particle.genWeight",
        "weight:hard:0": "where(particle.gen_x > 50, 1.02, 1) * particle.genWeight",
        "event": "event",
    },
}
"""Truth, reco and a shift of 1% of x in trees of their own; a weight that makes x harder."""


def write_apart(path: Path, columns: dict[str, np.ndarray], rng: np.random.Generator) -> None:
    """Add the trees of `APART` to a file: those of reco hold the events that were found, in an order of their own."""
    found = rng.permutation(np.flatnonzero(columns["found"]))
    truth = {name: columns[name] for name in ("event", "gen_x", "genWeight")}
    reco = {name: columns[name][found] for name in ("event", "x")}
    up = {"event": np.sort(reco["event"])}
    up["x"] = 1.01 * columns["x"][np.searchsorted(columns["event"], up["event"])]
    with uproot.update(path) as file:
        for name, tree in (("particle", truth), ("reco", reco), ("up", up)):
            file.mktree(name, {k: v.dtype for k, v in tree.items()}).extend(tree)


def make_apart(folder: Path) -> dict[str, Any]:
    """The study of `make`, with the trees of the signal apart, and two systematics."""
    study = make(folder)
    rng = np.random.default_rng(9)
    for name in EDGES:
        for path in sorted(folder.glob(f"{name}_*.root")):
            with uproot.open(path) as file:
                columns = file["Events"].arrays(library="np")
            write_apart(path, columns, rng)
        study["samples"][name]["read"] = {**APART, "files": [f"{name}_*.root"]}
    kinds = {"scale": "shifted", "hard": "weight"}
    return study | {"systematics": {name: {"kind": kind, "replicas": 1} for name, kind in kinds.items()}}


def make(folder: Path, seed: int = 1) -> dict[str, Any]:
    """Write all files; returns the config of a study of them."""
    rng = np.random.default_rng(seed)
    samples: dict[str, Any] = {}
    for name, (low, high) in EDGES.items():
        x = draw("signal", GENERATED, rng, low, high)
        weight = {"low": 1.0, "middle": 250.0, "high": 1e-3}[name] * rng.choice([1.0, -1.0], GENERATED, p=[0.95, 0.05])
        columns, kept = events(x, rng, weight), x > 22
        halves = np.arange(GENERATED) < GENERATED // 3
        for number, half in enumerate((halves, ~halves)):
            total = float(weight[half].sum())
            more = {"bins": [0.0, total, 3.0]} if name == "high" else {"sumw": [0.25 * total, 0.75 * total]}
            write(folder / f"{name}_{number}.root", {n: v[half & kept] for n, v in columns.items()}, **more)
        samples[name] = {
            "role": "simulation",
            "cross_section": SIGNAL * share(low, high),
            "generator_weights": {"tree": "Runs", "branch": "genEventSumw"},
            "read": {"kind": "flat_tree", "files": [f"{name}_*.root"], "tree": "Events", "branches": dict(BRANCHES)},
        }
    samples["high"]["generator_weights"] = {"histogram": "sumw", "bin": 2}
    samples["middle"] |= {"cross_section": samples["middle"]["cross_section"] / 1.25, "k_factor": 1.25}
    for name, section in BACKGROUNDS.items():
        weight = np.full(GENERATED // 2, 3.0)
        columns = events(draw(name, weight.size, rng), rng, weight)
        write(folder / f"{name}.root", columns)
        samples[name] = {
            "role": "background",
            "cross_section": section,
            "generator_weights": float(weight.sum()),
            "read": {"kind": "flat_tree", "files": [f"{name}.root"], "branches": dict(RECO)},
        }
    counts = {p: rng.poisson(LUMINOSITY * s) for p, s in {"signal": SIGNAL, **BACKGROUNDS}.items()}
    x = np.concatenate([draw(process, size, rng) for process, size in counts.items()])
    # A tenth more was taken while the detector was not certified.
    measured = events(np.concatenate([x, rng.choice(x, x.size // 10)]), rng)
    bad = np.arange(measured["x"].size) >= x.size
    measured["luminosityBlock"] = np.where(bad, 200, measured["luminosityBlock"]).astype(np.uint32)
    write(folder / "data.root", measured)
    (folder / "certified.json").write_text(json.dumps({"7": [[1, 60], [61, 100]], "8": [[1, 5]]}))
    read = {"kind": "flat_tree", "files": ["data.root"], "branches": dict(MEASURED)}
    samples["data"] = {"role": "data", "certified": "certified.json", "read": read}
    return {
        "study": "slices",
        "luminosity": {"value": LUMINOSITY / 1e3, "unit": "fb-1"},
        "samples": samples,
        "observables": {"x": {"range": [25, 145], "bins": 12, "published": [25, 35, 55, 145]}},
        "unfold": {"methods": {"ibu": {"kind": "ibu"}}, "replicas": {"data_bootstrap": 15, "mc_bootstrap": 15}},
        "publish": {"method": "ibu", "licence": "CC0-1.0", "fiducial": f"x > {CUT} GeV"},
    }
