"""A toy study whose answer is known: two observables, smeared, with misses, fakes and background."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from truthward.events.table_write import write_table
from truthward.events.unfolded import family, weight_columns, write_unfolded
from truthward.run.provenance import Record
from truthward.study.observable import Observable

OBSERVABLES = [
    Observable(name="x", range=(-3.0, 3.0), bins=20),
    Observable(name="k", range=(-0.5, 9.5), bins=10, integer=True, atoms=(0.0,)),
]
FAMILIES = {"data_bootstrap": 30, "mc_bootstrap": 30, "initialisation": 4}


@dataclass
class Study:
    """Writes the files of a toy study into a folder."""

    folder: Path

    def truth(self, n: int, seed: int, *, shift: float = 0.0, width: float = 1.0) -> dict[str, np.ndarray]:
        """Truth events: x normal, k Poisson and correlated with it."""
        random = np.random.default_rng(seed)
        x = random.normal(shift, width, n)
        return {"x": x, "k": random.poisson(np.exp(0.6 + 0.3 * x.clip(-3, 3))).astype(float)}

    def measured(self, truth: dict[str, np.ndarray], seed: int, *, bias: float = 0.0) -> dict[str, np.ndarray]:
        """Reco columns and flags; 10% misses, 5% of the rows become fakes of no truth."""
        random = np.random.default_rng([seed, 1])
        n = len(truth["x"])
        fake = random.random(n) < 0.05
        reco_x = truth["x"] + bias + random.normal(0.0, 0.4, n)
        reco_k = random.binomial(truth["k"].astype(int), 0.9).astype(float)
        return {
            "reco_x": np.where(fake, random.normal(0.0, 1.5, n), reco_x),
            "reco_k": reco_k,
            "pass_truth": ~fake,
            "pass_reco": fake | (random.random(n) < 0.9),
        }

    def write(self, name: str, columns: dict[str, np.ndarray], role: str, weight: float = 1.0) -> Path:
        path = self.folder / f"{name}.parquet"
        n = len(columns[next(iter(columns))])
        ids = np.arange(n, dtype=np.uint64) + np.uint64(zlib.crc32(name.encode()) % 1000 * 10**6)
        batch = {"weight": np.full(n, weight), "event_id": ids} | columns
        write_table(path, [batch], observables={}, role=role, selection={}, record=Record.for_tests())
        return path

    def simulation(self, n: int = 4000, seed: int = 1, **truth: float) -> Path:
        """Simulated events, a prior that is not the truth unless said."""
        events = self.truth(n, seed, **{"shift": -0.3, **truth})
        columns = {f"truth_{k}": v for k, v in events.items()} | self.measured(events, seed)
        return self.write(f"simulation{seed}", columns, "simulation")

    def data(self, n: int = 4000, seed: int = 2, *, bias: float = 0.0) -> tuple[Path, dict[str, np.ndarray]]:
        """Data, and the truth of its fiducial events."""
        events = self.truth(n, seed)
        found = self.measured(events, seed, bias=bias)
        inside = found.pop("pass_truth")
        seen = {k: v[found["pass_reco"]] for k, v in found.items()}
        return self.write(f"data{seed}", seen, "data"), {k: v[inside] for k, v in events.items()}

    def closure_truth(self, n: int = 4000, seed: int = 3) -> Path:
        """The truth of an independent sample of the same distribution, of the same expected yield."""
        events = self.truth(n, seed)
        inside = np.random.default_rng([seed, 2]).random(n) > 0.05
        columns = {f"truth_{k}": v[inside] for k, v in events.items()} | {"pass_truth": np.ones(inside.sum(), bool)}
        return self.write(f"truth{seed}", columns, "closure_truth")

    def unfolded(
        self, truth: dict[str, np.ndarray], *, name: str = "toy", scale: float = 1.0, joint: bool = True, seed: int = 5
    ) -> Path:
        """A result that has `truth` as its events, with honest bootstraps."""
        random = np.random.default_rng(seed)
        n, path = len(truth["x"]), self.folder / f"unfolded_{name}.parquet"
        families = {f: family(f, count) for f, count in FAMILIES.items()}
        rows = {f"truth_{k}": v for k, v in truth.items()} | {"event_id": np.arange(n, dtype=np.uint64)}
        for observable in [None] if joint else [o.name for o in OBSERVABLES]:
            for column in weight_columns(families, observable):
                # The two bootstraps share the fluctuation of the events between them.
                factor = np.ones(n)
                if "bootstrap" in column:
                    factor = 1 + (random.poisson(1.0, n) - 1) / np.sqrt(2)
                elif "initialisation" in column:
                    factor = 1 + 0.005 * random.normal() * truth["x"]
                rows[column] = scale * factor
        write_unfolded(
            path,
            [rows],
            method=name,
            kind="toy",
            observables=[o.name for o in OBSERVABLES],
            joint=joint,
            families=families,
            record=Record.for_tests(),
            history=[{"replica": r, "iteration": 0, "yield": float(n)} for r in ("nominal:0", "data_bootstrap:0")],
        )
        return path


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


@pytest.fixture
def observables() -> list[Observable]:
    return OBSERVABLES
