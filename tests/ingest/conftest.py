"""The small files and tables that the tests of readers use, and a look at samples of Gaussian masses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.events.conftest import events, mass, nothing_left, record, write_root
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.ingest.sanity import examine
from truthward.study.observable import Observable

__all__ = ["events", "mass", "nothing_left", "record", "write_root"]

SIZE = 3000


MASS = Observable(name="m", range=(20.0, 80.0), bins=20)


Columns = dict[str, np.ndarray]


def simulation(seed: int = 1, size: int = SIZE) -> Columns:
    rng = np.random.default_rng(seed)
    truth = rng.normal(50.0, 8.0, size)
    return {
        "pass_truth": np.ones(size, dtype=bool),
        "pass_reco": rng.random(size) < 0.8,
        "weight": np.ones(size),
        "event_id": np.arange(size) + size * seed,
        "truth_m": truth,
        "reco_m": truth + rng.normal(0.0, 4.0, size),
    }


def measured(seed: int = 2, size: int = int(0.8 * SIZE)) -> Columns:
    columns = simulation(seed, size)
    columns |= {"pass_reco": np.ones(size, dtype=bool), "reco_m": columns["reco_m"] + 1.0}
    return {name: columns[name] for name in ("pass_reco", "weight", "event_id", "reco_m")}


@pytest.fixture
def look(tmp_path, record):
    """`look(change, ...)`: what is found in the samples after a change, (simulation, data) -> None."""

    def run(change=lambda s, d: None, observable: Observable = MASS, other: Columns | None = None, **more: Any) -> Any:
        samples = {"simulation": simulation(), "data": measured()} | ({"herwig": other} if other else {})
        change(samples["simulation"], samples["data"])
        tables = {}
        for name, columns in samples.items():
            path, role = tmp_path / f"{name}.parquet", "data" if name == "data" else "simulation"
            write_table(path, [columns], observables={}, role=role, selection={}, record=record)
            tables[name] = (name, EventTable(path))
        others = dict([tables["herwig"]]) if other else {}
        return examine(tables["simulation"], tables["data"], [observable], alternatives=others, **more)

    return run
