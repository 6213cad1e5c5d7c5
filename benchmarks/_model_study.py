"""A study of the benchmark of model uncertainties: the default one with other samples, run by the workflow itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import _common as common
import _model_samples as samples
import numpy as np
import uproot
import yaml

from truthward.events.bins import bin_of
from truthward.events.bootstrap import poisson_weights
from truthward.events.table import EventTable
from truthward.events.unfolded import Unfolded
from truthward.run.artefact import write_text
from truthward.study.checks import parse
from truthward.study.config import Config

ROOT = common.HERE.parent
STUDIES = common.HERE / ".cache" / "model_uncertainty"
BINS = 10
FAR = 1e6
"""Beyond every value of an observable: the outer bins are open."""
STATISTICAL = ("data_bootstrap", "mc_bootstrap", "initialisation", "systematic:calibration")
"""Families that know nothing of another model: fluctuations, and the calibration that is learned on the simulation."""
REPLICAS = {
    "omnifold": {"data_bootstrap": 20, "mc_bootstrap": 20, "initialisation": 3},
    "generative": {"data_bootstrap": 8, "mc_bootstrap": 8, "initialisation": 3},
    "ibu": {"data_bootstrap": 20, "mc_bootstrap": 20, "initialisation": 0},
}
"""Those of the generative method are trainings in full, and so fewer: a standard deviation of 8 is known to 27%."""


SEEN = ["jet_pt", "jet_eta", "charged_fraction", "em_fraction", "soft_fraction"]
REMEDIES = ("features", "tilts", "reconnection")
"""What may help where the bands of the default options do not cover.

features: the networks see what the default study re-weights in `composition` as additional inputs at reco level.
tilts: truth-level shares of soft, electromagnetic and strange particles are tilted by 0.6 of their deviations at
fixed truth. reconnection: a second alternative simulation, with another tune and model of colour reconnection.
"""


def z_jets(simulation: str, data: str, alternative: str, method: str, remedy: str = "") -> dict[str, Any]:
    """The default study on a pair of samples, with one of its methods, and with one of `REMEDIES` if given.

    Simulated weights are for the luminosity that the data's events stand for; the data's are one.
    """
    content = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    luminosity = samples.events(data) / yield_of(data)
    content["study"] = f"model_{simulation}_{data}"
    content["samples"] = {
        "simulation": {"role": "simulation", "read": reading(simulation, f"weight * {luminosity!r}")},
        "pseudodata": {"role": "data", "closure": True, "read": reading(data, "1.0")},
    }
    for systematic in content["systematics"].values():
        if "sample" in systematic:
            systematic["sample"] = "alternative"
            other = reading(alternative, f"weight * {luminosity!r}")
            content["samples"]["alternative"] = {"role": "alternative", "read": other}
    content["surrogate"]["models"], content["amplify"] = {}, None
    content["unfold"]["methods"] = {method: content["unfold"]["methods"][method]}
    content["unfold"]["replicas"] |= REPLICAS[method]
    content["publish"]["method"] = method
    if method == "generative":
        # It draws what it unfolds, and nothing else.
        content["publish"]["example"] = None
    if remedy:
        content["study"] += f"_{remedy}"
    if remedy == "features":
        content["unfold"]["methods"][method]["features"] = {"reco": SEEN}
    if remedy == "tilts":
        columns = [f"truth_{share}_fraction" for share in ("soft", "em", "strange")]
        content["systematics"]["tilts"] = {"kind": "hidden", "columns": columns, "size": 0.6}
    if remedy == "reconnection":
        content["systematics"]["reconnection"] = {"kind": "alternative", "sample": "reconnection"}
        other = reading("tune26_strings", f"weight * {luminosity!r}")
        content["samples"]["reconnection"] = {"role": "alternative", "read": other}
    return content


def reading(sample: str, weight: str) -> dict[str, Any]:
    """The reader's entry of a sample: every column as it is named, and the weight."""
    with uproot.open(samples.files(sample)[0]) as file:
        present = [name for name in file["events"].keys() if "constituents" not in name]  # noqa: SIM118 (of a tree)
    branches = {name: name for name in present if name != "weight"} | {"weight": weight}
    return {
        "kind": "flat_tree",
        "files": [str(p) for p in samples.files(sample)],
        "tree": "events",
        "branches": branches,
    }


def yield_of(sample: str) -> float:
    """Sum of the weights of a sample: its accepted cross section in fb."""
    total = 0.0
    for path in samples.files(sample):
        with uproot.open(path) as file:
            total += json.loads(str(file["provenance"]))["sum_of_weights"]
    return total


def gaussian(shift: float, method: str) -> dict[str, Any]:
    """A study of seconds: a Gaussian whose truth is off by `shift`."""
    content = yaml.safe_load((ROOT / "workflow" / "studies" / "tiny.yaml").read_text(encoding="utf-8"))
    content["study"] = f"model_gaussian_{round(100 * shift)}"
    content["samples"]["simulation"] |= {"events": 2000, "chunks": 1}
    content["samples"]["simulation"]["generate"] |= {"expected": 1500.0}
    content["samples"]["pseudodata"]["events"] = 1500
    content["samples"]["pseudodata"]["generate"] |= {"mean": 10.0 + shift, "width": 1.0}
    content |= {"calibrate": None, "amplify": None, "surrogate": {"models": {}}}
    content["unfold"]["methods"] = {method: content["unfold"]["methods"][method]}
    content["unfold"]["replicas"] = {"data_bootstrap": 5, "mc_bootstrap": 5, "initialisation": 0}
    content["unfold"]["jobs"] = 1
    content["publish"]["method"] = method
    return content


def run(content: dict[str, Any], method: str) -> Path:
    """Unfold with the workflow, which takes up what it has; returns the result.

    Raises:
        CalledProcessError: the workflow failed.
    """
    config = parse(content, content["study"])
    path = STUDIES / f"{config.study}-{method}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, yaml.safe_dump(content, sort_keys=False))
    target = result_of(config, method)
    cores = os.environ.get("PROCESSES", str(os.cpu_count()))
    call = [
        sys.executable,
        "-m",
        "snakemake",
        str(target.relative_to(ROOT)),
        "--cores",
        cores,
        "--quiet",
        "all",
        "--configfile",
        str(path),
    ]
    subprocess.run(call, cwd=ROOT, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return target


def result_of(config: Config, method: str) -> Path:
    """Where the workflow puts the result."""
    return ROOT / "results" / config.study / "unfold" / method / "unfolded.parquet"


def measure(content: dict[str, Any], method: str) -> dict[str, Any]:
    """What an unfolding says of each observable in `BINS` bins of equal content of the truth.

    What a band states is the distance to the truth of infinitely many events; known is that of the very events that
    were unfolded, which fluctuates by itself, more than a smooth result does, and together with it. Bootstraps of both
    at once tell: the mean square distance to the known truth is larger by `excess`, the variance of the difference less
    that of the result. It has either sign, and is right in the mean over bins.

    Returns:
        observable -> truth, nominal, excess and each family's variance, (bins,) each; the method's iterations.
    """
    config = parse(content, content["study"])
    unfolded = Unfolded(result_of(config, method))
    table = EventTable(ROOT / "results" / config.study / "ingest" / f"{config.sample('data')}.closure_truth.parquet")
    columns = table.read([*(f"truth_{name}" for name in config.observables), "pass_truth", "weight", "event_id"])
    inside = columns["pass_truth"]
    ids, weight = columns["event_id"][inside], columns["weight"][inside]
    found = {}
    for name in config.observables:
        truth = columns[f"truth_{name}"][inside].astype(np.float64)
        edges = quantile_edges(truth, weight)
        histogram = unfolded.histogram(name, edges)
        place = bin_of(truth, edges)

        def content_of(weights: np.ndarray, place: np.ndarray = place, size: int = len(edges) - 1) -> np.ndarray:
            return np.bincount(place, weights, minlength=size + 2)[1:-1]

        variances = histogram.breakdown()
        boots = unfolded.families["data_bootstrap"]
        own = [
            content_of(weight * poisson_weights(ids, seed=config.seed, family=boots.name, index=i))
            for i in range(boots.count)
        ]
        differs = (histogram.replicas[boots.name] - np.array(own)).var(axis=0, ddof=1)
        found[name] = {
            "truth": content_of(weight).tolist(),
            "nominal": histogram.nominal.tolist(),
            "excess": (differs - variances[boots.name]).tolist(),
            "variance": {family: v.tolist() for family, v in variances.items()},
        }
    return {"observables": found, "iterations": unfolded.metadata.get("iterations"), "commit": common.GIT["commit"]}


def quantile_edges(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Edges of `BINS` bins of equal content, fewer where an atom fills several; halfway between two values."""
    order = np.argsort(values)
    share = (np.cumsum(weight[order]) - 0.5 * weight[order]) / weight.sum()
    different, first = np.unique(values[order], return_index=True)
    inner = []
    for q in np.arange(1, BINS) / BINS:
        # The boundary between two different values whose cumulated content is nearest to the quantile.
        k = int(np.abs(share[first] - q).argmin())
        if k > 0:
            inner.append(0.5 * (different[k - 1] + different[k]))
    return np.array([-FAR, *np.unique(inner), FAR])
