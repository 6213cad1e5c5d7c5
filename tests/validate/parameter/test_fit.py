"""The stage that measures a parameter: its value and error from files, and what it refuses and flags."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from truthward.errors import InputError
from truthward.events.bootstrap import poisson_weights
from truthward.events.table_write import write_table
from truthward.events.unfolded import family, write_unfolded
from truthward.records import read_record
from truthward.records.validate.parameter import ValidatedParameter
from truthward.report.parameter import fitted
from truthward.run.provenance import Record
from truthward.study.observable import Observable
from truthward.validate.parameter.stage import validate_fit

EDGES = [-4.0, -1.0, -0.3, 0.3, 1.0, 4.0]
MEANS = np.array([-0.5, 0.0, 0.5])
BOOTSTRAPS = 24


class Toy:
    """Normal truth whose mean is the parameter: a simulation of three means, and an "unfolding" of events of one."""

    def __init__(self, folder: Path, mean: float, *, simulated: int = 30_000, events: int = 4000, width: float = 1.0):
        rng = np.random.default_rng(4)
        self.folder, n = folder, simulated
        parameter = np.tile(MEANS, n // 3)
        ids = np.arange(n, dtype=np.uint64)
        columns = {
            "truth_mean": parameter,
            "truth_x": parameter + rng.standard_normal(n),
            "reco_x": np.zeros(n),
            "pass_truth": ids % 10 > 0,
            "pass_reco": ids % 10 < 8,
            "weight": np.ones(n),
            "event_id": ids,
        }
        # Background has a parameter that is none.
        columns["process"] = np.where(ids % 17 == 0, "background", "signal")
        columns["truth_mean"] = np.where(columns["process"] == "signal", parameter, 99.0)
        self.simulation = self.table("simulation", columns, "simulation")
        x = mean + width * rng.standard_normal(events)
        self.truth = self.table(
            "truth",
            {
                "truth_mean": np.full(events, mean),
                "truth_x": x,
                "pass_truth": np.ones(events, bool),
                "weight": np.ones(events),
                "event_id": np.arange(events, dtype=np.uint64),
            },
            "closure_truth",
        )
        self.unfolded = folder / "unfolded.parquet"
        rows = {"truth_x": x, "event_id": np.arange(events, dtype=np.uint64), "weight": np.ones(events)}
        families = {f: family(f, BOOTSTRAPS) for f in ("data_bootstrap", "mc_bootstrap")}
        for index in range(BOOTSTRAPS):
            rows[f"replica:data_bootstrap:{index}"] = rng.poisson(1.0, events).astype(float)
            # An unfolding that the simulation's bootstraps do not reach: what is left is the error of the templates.
            rows[f"replica:mc_bootstrap:{index}"] = np.ones(events)
        write_unfolded(
            self.unfolded,
            [rows],
            method="toy",
            kind="toy",
            observables=["x"],
            joint=True,
            families=families,
            record=Record.for_tests(),
            history=[{"replica": "nominal:0", "iteration": 0}],
        )

    def table(self, name: str, columns: dict[str, np.ndarray], role: str) -> Path:
        path = self.folder / f"{name}.parquet"
        write_table(path, [columns], observables={}, role=role, selection={}, record=Record.for_tests())
        return path

    def fit(self, closure: bool = True, **changes: object) -> dict:
        settings = {"parameter": "mean", "observable": "x", "edges": EDGES, "degree": 2} | changes
        return validate_fit(
            self.unfolded,
            simulation=self.simulation,
            closure_truth=self.truth if closure else None,
            seed=3,
            record=Record.for_tests(),
            output=self.folder / "fit.json",
            **settings,
        )


def test_the_mean_is_measured_with_the_errors_of_data_and_templates(tmp_path: Path) -> None:
    toy = Toy(tmp_path, 0.3)
    found = toy.fit()
    assert found["truth"] == pytest.approx(0.3)
    assert found["parts"]["data_bootstrap"] == pytest.approx(1.0 / np.sqrt(4000), rel=0.5)
    # Between that of a mean of all 27,000 simulated events and of a mean of a third of them, for few replicas.
    assert 0.8 / np.sqrt(27_000) < found["parts"]["mc_bootstrap"] < 1.3 / np.sqrt(9_000)
    assert found["sigma"] == pytest.approx(np.hypot(*found["parts"].values()))
    assert abs(found["pull"]) < 3.5
    assert found["pull"] == pytest.approx((found["value"] - found["truth"]) / found["sigma"])
    assert found["flags"] == []
    assert found["simulated"] == MEANS.tolist()
    assert np.sum(found["contents"]["fitted"]) == pytest.approx(np.sum(found["contents"]["unfolded"]))
    assert read_record(tmp_path / "fit.json", ValidatedParameter)["value"] == found["value"]
    figure = fitted([found], Observable(name="x", range=(-4.0, 4.0)), said="statistical uncertainty")
    assert {"fit", "mean -0.5", "mean 0.5"} <= {t for a in figure.axes for t in a.get_legend_handles_labels()[1]}


def test_without_the_truth_there_is_no_pull(tmp_path: Path) -> None:
    found = Toy(tmp_path, 0.3).fit(closure=False)
    assert found["truth"] is None
    assert found["pull"] is None
    fitted([found], Observable(name="x", range=(-4.0, 4.0)), said="statistical uncertainty")


def test_what_is_no_template_or_beyond_them_is_flagged(tmp_path: Path) -> None:
    wide = Toy(tmp_path, 0.0, width=1.3).fit()
    assert any("chi2" in f["message"] for f in wide["flags"])
    (tmp_path / "far").mkdir()
    far = Toy(tmp_path / "far", 0.9).fit()
    assert any("outside of the simulated values" in f["message"] for f in far["flags"])


def test_templates_vary_with_the_weights_of_the_methods_own_replicas(tmp_path: Path) -> None:
    """Bootstraps are a function of event id, seed, family and index: those that the method was trained with."""
    toy = Toy(tmp_path, 0.0)
    found = toy.fit()
    ids = np.arange(30_000, dtype=np.uint64)
    # The template at zero is that of the simulated events of mean zero.
    inside = (ids % 10 > 0) & (ids % 17 > 0) & (ids % 3 == 1)
    x = np.random.default_rng(4).standard_normal(30_000)
    shift = []
    for index in range(BOOTSTRAPS):
        counts = poisson_weights(ids, seed=3, family="mc_bootstrap", index=index)[inside]
        shift.append(np.average(x[inside], weights=counts))
    # Templates that lie higher find a lower parameter in the same data.
    assert np.corrcoef(shift, found["replicas"]["mc_bootstrap"])[0, 1] < -0.8


def test_an_unknown_column_or_observable_is_named(tmp_path: Path) -> None:
    toy = Toy(tmp_path, 0.0, simulated=3000, events=300)
    with pytest.raises(
        InputError, match=r"no column truth_mass, but validate\.fit needs it; there are truth_mean, truth_x"
    ):
        toy.fit(parameter="mass")
    with pytest.raises(InputError, match="y was not unfolded; unfolded: x"):
        toy.fit(observable="y")
