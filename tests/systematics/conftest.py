"""A Gaussian with a quantity h that is not unfolded and moves the response: all answers in closed form.

Truth t ~ N(mean, 1), h ~ N(0.5 t + shift, 1); reco r = t + 0.5 h + 0.4 n and r_h = h + 0.3 n.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.run.provenance import Record

SLOPE, RESPONSE = 0.5, 0.5


def planted(
    events: int, seed: int, *, mean: float = 0.0, shift: float = 0.0, efficiency: float = 0.9
) -> dict[str, np.ndarray]:
    """Columns of such a sample, of unit weights."""
    rng = np.random.default_rng(seed)
    t, n, m = rng.normal(mean, 1.0, events), *rng.standard_normal((2, events))
    h = SLOPE * t + shift + rng.standard_normal(events)
    passed = rng.random(events) < efficiency
    seen = {"reco_x0": t + RESPONSE * h + 0.4 * n, "reco_h": h + 0.3 * m}
    return {
        "truth_x0": t.astype(np.float32),
        "truth_h": h.astype(np.float32),
        **{name: np.where(passed, v, np.nan).astype(np.float32) for name, v in seen.items()},
        "pass_truth": np.ones(events, dtype=bool),
        "pass_reco": passed,
        "weight": np.ones(events),
        "process": np.full(events, "signal"),
        "event_id": np.arange(events, dtype=np.uint64) + np.uint64(seed * 10**7),
    }


@pytest.fixture(scope="session")
def table(tmp_path_factory) -> Callable[..., EventTable]:
    """`table(events, seed, role=..., **options of planted)` -> an event table; data have no truth."""

    def make(events: int, seed: int, *, role: str = "simulation", **options) -> EventTable:
        columns = planted(events, seed, **options)
        if role == "data":
            kept = columns["pass_reco"]
            columns = {name: v[kept] for name, v in columns.items() if "truth" not in name}
        path = tmp_path_factory.mktemp("planted") / f"{role}.parquet"
        write_table(path, [columns], observables={}, role=role, selection={}, record=Record.for_tests())
        return EventTable(path)

    return make
