"""What benchmarks of unfolding quality share: studies, parts of their samples, triangular discriminators, and pieces of
work that are dealt to processes and kept, so that an interrupted benchmark goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import fields, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import _common as common
import numpy as np

from truthward.events.hashing import uniform
from truthward.events.table import EventTable
from truthward.run.artefact import read_json, write_json
from truthward.study.checks import load
from truthward.study.observable import observables_from
from truthward.unfold.inputs.arrays import Inputs
from truthward.validate.distances import Counts, discriminator, floor_of

ROOT = common.HERE.parent
STUDIES = {
    "zjets": ("own_data", ["workflow/studies/own_data.yaml", "workflow/studies/overlays/own_data_truth.yaml"]),
    "hard": ("hard", ["workflow/studies/hard.yaml"]),
}
if common.QUICK:
    STUDIES["hard"] = ("hard_quick", ["workflow/studies/hard.yaml", "benchmarks/_hard_quick.yaml"])
QUICK_SHARE = 0.05


def study(name: str) -> tuple[dict[str, Path], list]:
    """Tables of one of STUDIES, made by the workflow where they are missing, and its observables."""
    folder, configs = STUDIES[name]
    config = load(ROOT / configs[0])
    folder = ROOT / "results" / folder / "ingest"
    roles = {"simulation": config.sample("simulation"), "data": config.sample("data")}
    paths = {role: folder / f"{sample}.parquet" for role, sample in roles.items()}
    paths["truth"] = folder / f"{roles['data']}.closure_truth.parquet"
    if not all(p.is_file() for p in paths.values()):
        cores = str(os.cpu_count())
        call = [sys.executable, "-m", "snakemake", "--cores", cores, "ingest_all", "--configfile", *configs]
        subprocess.run(call, cwd=ROOT, check=True)
    return paths, observables_from(config.observable_list())


def some(inputs: Inputs, share: float, start: float = 0.0) -> Inputs:
    """That share of the events of both samples, by a hash of their ids; other starts give other events."""
    if share >= 1.0:
        return inputs
    simulated, data = (
        (u >= start) & (u < start + share) for u in (uniform(inputs.event_id, 1), uniform(inputs.data_id, 1))
    )
    arrays = {f.name: getattr(inputs, f.name) for f in fields(inputs)}
    chosen = {
        n: a[data if n.startswith("data_") else simulated] for n, a in arrays.items() if isinstance(a, np.ndarray)
    }
    carried = {n: a[simulated] for n, a in inputs.carried.items()}
    sets = {n: a[data if n == "data" else simulated] for n, a in (inputs.constituents or {}).items()}
    return replace(inputs, **chosen, carried=carried, constituents=sets)


def against_truth(path: Path, observable: Any, x: np.ndarray, weights: np.ndarray, draws: int = 1) -> dict[str, float]:
    """Triangular discriminator of a weighted sample, its floor with its spread, and the excess over it.

    Draws of one event count as one event in the floor: they say no more about the data than the event does.
    """
    edges = np.asarray(observable.edges)
    truth, tested = truth_of(path, observable), Counts.of(x, weights, edges)
    stated = discriminator(tested.inner, tested.size / draws, truth, seed=1)
    floor = stated["floor"]
    return {"value": stated["value"], "floor": floor["mean"], "floor_sd": floor["sd"], "excess": stated["excess"]}


def truth_of(path: Path, observable: Any) -> Counts:
    """Histogram of the truth that is set apart."""
    table = EventTable(path).read([f"truth_{observable.name}", "pass_truth", "weight"])
    inside = table["pass_truth"]
    return Counts.of(table[f"truth_{observable.name}"][inside], table["weight"][inside], np.asarray(observable.edges))


def before(name: str) -> dict[str, dict[str, float]]:
    """Simulation and data before unfolding, and the floor of the truth against itself."""
    paths, observables = study(name)
    simulation, data, found = EventTable(paths["simulation"]), EventTable(paths["data"]), {}
    for o in observables:
        edges, truth = np.asarray(o.edges), truth_of(paths["truth"], o)
        s = simulation.read([f"truth_{o.name}", "pass_truth", "weight"])
        d = data.read([f"reco_{o.name}", "pass_reco", "weight"])
        prior = Counts.of(s[f"truth_{o.name}"][s["pass_truth"]], s["weight"][s["pass_truth"]], edges)
        raw = Counts.of(d[f"reco_{o.name}"][d["pass_reco"]], d["weight"][d["pass_reco"]], edges)
        found[o.name] = {
            "simulation": discriminator(prior.inner, prior.size, truth, seed=1)["value"],
            "data": discriminator(raw.inner, raw.size, truth, seed=1)["value"],
            "floor": floor_of(truth, truth.size, seed=1)["mean"],
        }
    return found


def kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `make` returned, or has returned before."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, make())
    return read_json(path)


def named(*parts: object) -> str:
    """A file name of any parts, another one for a quick run."""
    name = "-".join("".join(c if c.isalnum() else "_" for c in str(part)) for part in parts)
    return f"{name}{'-quick' if common.QUICK else ''}.json"


def dealt(piece: Callable[..., dict[str, Any]], todo: Iterable[tuple]) -> dict[tuple, dict[str, Any]]:
    """piece(*task) of each task, in as many processes as there are cores, or as PROCESSES says."""
    todo, done = list(todo), {}
    # A forked process would share the state of torch's threads.
    with ProcessPoolExecutor(int(os.environ.get("PROCESSES", os.cpu_count())), mp_context=get_context("spawn")) as pool:
        jobs = {pool.submit(piece, *task): task for task in todo}
        for job in as_completed(jobs):
            done[jobs[job]] = job.result()
            task = ", ".join(map(str, jobs[job]))
            print(f"{len(done)} of {len(todo)}: {task}: {job.result()['seconds']:.0f} s", flush=True)
    return done
