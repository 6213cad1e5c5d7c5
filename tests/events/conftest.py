"""Small ROOT files and tables for the tests of this folder."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from truthward.run.provenance import Record
from truthward.study.observable import Observable


@pytest.fixture
def record() -> Record:
    return Record.for_tests()


@pytest.fixture
def mass() -> list[Observable]:
    """The one observable that is unfolded in these tests."""
    return [Observable(name="m", label="mass", unit="GeV", range=(0.0, 10.0), bins=5)]


@pytest.fixture
def events() -> Callable[..., dict[str, Any]]:
    """Columns of `size` events: m at both levels with sentinels where a flag is false, signed weights, ids."""

    def make(size: int = 200, *, first: int = 0, seed: int = 1) -> dict[str, Any]:
        rng = np.random.default_rng((seed, first))
        truth, reco = rng.random(size) < 0.9, rng.random(size) < 0.8
        m = rng.uniform(0, 10, size)
        return {
            "pass_truth": truth,
            "pass_reco": reco,
            "weight": rng.choice([-1.0, 0.0, 2.0], size),
            "event_id": np.arange(first, first + size, dtype=np.uint64),
            "truth_m": np.where(truth, m, -99.0).astype(np.float32),
            "reco_m": np.where(reco, m + rng.normal(0, 0.5, size), -99.0).astype(np.float32),
        }

    return make


@pytest.fixture
def write_root(tmp_path: Path) -> Callable[..., Path]:
    """Write columns as a TTree; awkward arrays become jagged branches."""

    def write(columns: dict[str, Any], name: str = "in.root", *, tree: str = "events", parts: int = 1) -> Path:
        path = tmp_path / name
        flat = {k: v for k, v in columns.items() if not isinstance(v, ak.Array)}
        lists = {k: v for k, v in columns.items() if isinstance(v, ak.Array)}
        types = {k: np.asarray(v).dtype for k, v in flat.items()} | dict.fromkeys(lists, "var * float32")
        with uproot.recreate(path) as file:
            made = file.mktree(tree, types)
            size = len(next(iter(columns.values())))
            for part in np.array_split(np.arange(size), parts):
                rows = slice(part[0], part[-1] + 1)
                counts = {f"n{k}": ak.to_numpy(ak.num(v[rows])).astype(np.int32) for k, v in lists.items()}
                made.extend({k: v[rows] for k, v in columns.items()} | counts)
        return path

    return write


@pytest.fixture
def nothing_left(tmp_path: Path) -> Iterator[None]:
    """Afterwards no table, whole or half, hidden or not, lies in the folder."""
    yield
    assert [p.name for p in tmp_path.iterdir() if "parquet" in p.name] == []
