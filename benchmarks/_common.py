"""What the benchmarks share: QUICK, machine, toys of the Gaussian generator, changed options, the JSON at the end."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "src"))

from truthward.events.families import family  # noqa: E402
from truthward.physics.generators.gaussian import Gaussian  # noqa: E402
from truthward.run.artefact import read_json, write_json  # noqa: E402
from truthward.run.provenance import git_state  # noqa: E402
from truthward.study.observable import Observable  # noqa: E402
from truthward.study.plugins import schema  # noqa: E402
from truthward.unfold.contract import Result, Unfolder  # noqa: E402
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica  # noqa: E402
from truthward.unfold.stage import unfold_all  # noqa: E402

QUICK = bool(os.environ.get("QUICK"))
GIT = git_state()
"""Taken now: the code that runs is the code that was imported, whatever is committed meanwhile."""


def machine() -> dict[str, Any]:
    """Cores, memory (GB) and processor; no host name."""
    info = Path("/proc/cpuinfo")
    models = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.is_file() else []
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(pages / 2**30, 1),
        "processor": models[0].partition(":")[2].strip() if models else platform.processor(),
    }


def chosen(methods: Iterable[str]) -> list[str]:
    """Those of `methods` that METHODS in the environment names, separated by semicolons; all of them without it."""
    every = list(methods)
    asked = [m.strip() for m in os.environ.get("METHODS", ";".join(every)).split(";")]
    if unknown := sorted(set(asked) - set(every)):
        sys.exit(f"METHODS: {unknown[0]} is unknown; these are known: {'; '.join(every)}")
    return [m for m in every if m in asked]


def earlier(name: str) -> dict[str, Any]:
    """Figures of the last full run, whose rows stay where a run makes only some; empty in a quick run."""
    path = HERE / "results" / f"{name}.json"
    return {} if QUICK or not path.is_file() else read_json(path)["figures"]


def options(name: str, methods: dict[str, Any]) -> dict[str, Any]:
    """Options of all rows: of those that are made now, and of those of the last full run `name` that stay."""
    return earlier(name).get("options", {}) | {m: methods[m] for m in chosen(methods)}


def beside(name: str, made: dict[str, Any], kept: dict[str, Any], order: Iterable[str]) -> dict[str, Any]:
    """Rows by method that were made now, in `order` among those that the last full run `name` has and this one not.

    A row that was made at another commit than the last one holds it as `commit`.
    """
    commit = read_json(HERE / "results" / f"{name}.json")["git"]["commit"] if kept else None
    rows = {m: {"commit": commit} | row for m, row in kept.items() if m not in made} | made
    return {m: rows[m] for m in order if m in rows}


def report(name: str, figures: dict[str, Any]) -> None:
    """Print `figures` as the last line; keep those of a full run in results/<name>.json with where they come from."""
    versions = {"python": platform.python_version()}
    for package in ("numpy", "torch", "scipy", "pyarrow"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    content = {
        "name": name,
        "quick": QUICK,
        "figures": figures,
        "git": GIT,
        "machine": machine(),
        "versions": versions,
        "date": datetime.now(UTC).date().isoformat(),
    }
    if not QUICK:
        write_json(HERE / "results" / f"{name}.json", content)
    print(json.dumps(content, sort_keys=True, allow_nan=False))


def toy(
    simulation: Gaussian,
    nature: Gaussian,
    *,
    simulated: int,
    events: float,
    rng: np.random.Generator,
    observables: list[Observable],
    seed: int,
) -> Inputs:
    """Simulation of `simulated` events and data of Poisson(`events`), both drawn anew; only accepted events count."""
    samples = []
    for generator, number in ((simulation, simulated), (nature, int(rng.poisson(events)))):
        columns = generator.draw(number, rng)
        columns["process"] = np.where(columns["process"] == 0, "signal", "background")
        columns["event_id"] = rng.integers(0, 2**63, number).astype(np.uint64)
        samples.append(columns)
    return Inputs.from_columns(*samples, observables, seed=seed)


def merged(entry: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The entry of a method with other options: of a group those that `changes` names, anything else as a whole."""
    groups = schema("unfold", entry["kind"]).groups
    return entry | {n: entry.get(n, {}) | value if n in groups else value for n, value in changes.items()}


class Histograms:
    """Histograms of an unfolding with its replicas, made in memory."""

    def __init__(self, unfolder: Unfolder, inputs: Inputs, families: dict[str, int], *, seed: int) -> None:
        self.families = {name: family(name, count) for name, count in families.items()}
        replicas = [Replica(name, i) for name, count in families.items() for i in range(count)]
        self.result: Result = unfold_all(unfolder, inputs, replicas, seed=seed)
        self._rows = list(self.result.rows)
        self.joint = unfolder.joint

    def weighted(self, replica: Replica, observable: str) -> tuple[np.ndarray, np.ndarray]:
        """Truth values and weights of one replica, (n,) each: of drawn events every replica has its own."""
        column = replica.column(None if self.joint else observable)
        own = [(r[f"truth_{observable}"].astype(np.float64), r[column]) for r in self._rows if column in r]
        x, weights = (np.concatenate(part) for part in zip(*own, strict=True))
        return x, weights

    def measure(self, observable: str, statistic: Any) -> tuple[np.ndarray, np.ndarray]:
        """Nominal value and total standard deviation of statistic(values (n,), weights (n,)) -> (K,)."""
        nominal = statistic(*self.weighted(NOMINAL, observable))
        variance = np.zeros_like(nominal)
        for name, f in self.families.items():
            members = [statistic(*self.weighted(Replica(name, i), observable)) for i in range(f.count)]
            variance += f.variance(np.array(members), nominal)
        return nominal, np.sqrt(variance)
