"""The calibrate stage from event table to event table."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from truthward.calibrate import repulsive
from truthward.calibrate.closure import closure, moments, quantiles
from truthward.calibrate.stage import calibrate
from truthward.errors import InputError
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.learn.resume import Interrupted
from truthward.records import read_record
from truthward.records.calibrate import CalibrateSummary
from truthward.run.provenance import Record

ENTRY = {
    "kind": "repulsive",
    "features": ["jet_pt", "jet_eta", "m"],
    "members": 4,
    "epochs": 12,
    "batch_size": 128,
    "width": 32,
    "depth": 2,
}
OBSERVABLES = {"jet_pt": {"label": "$p_T$", "unit": "GeV"}, "m": {"label": "m", "unit": "GeV"}}


def sample(path, *, role: str, size: int = 8000, seed: int = 1, truth_shift: float = 0.0) -> EventTable:
    """Jets of a falling spectrum whose response is 0.85 + 0.05 |eta| with a width of 10%."""
    random = np.random.default_rng(seed)
    pt = 200 + random.exponential(80, size)
    eta = random.uniform(-2, 2, size)
    response = 0.85 + 0.05 * np.abs(eta) + 0.1 * random.standard_normal(size)
    m = 0.1 * pt * random.uniform(0.5, 1.5, size)
    columns = {
        "pass_reco": random.random(size) < 0.9,
        "weight": np.where(random.random(size) < 0.1, -1.0, 1.0),
        "event_id": np.arange(size, dtype=np.uint64) + np.uint64(seed * 10**6),
        "reco_jet_pt": pt * response,
        "reco_jet_eta": eta,
        "reco_m": m * response,
        "reco_tau21": random.random(size),
    }
    if role == "simulation":
        columns["pass_truth"] = random.random(size) < 0.95
        columns |= {
            "truth_jet_pt": pt + truth_shift,
            "truth_jet_eta": eta,
            "truth_m": m,
            "truth_tau21": random.random(size),
        }
    record = Record.for_tests()
    write_table(path, [columns], observables=OBSERVABLES, role=role, selection={"reco": "jet_pt > 100"}, record=record)
    return EventTable(path)


def run(folder, simulation, samples, **changes):
    """`calibrate` into `folder`; returns summary and calibrated tables by name."""
    folder.mkdir(exist_ok=True)
    options = {"observables": None, "seed": 3, "record": Record.for_tests(), "state": folder / "state", "key": "k"}
    summary = calibrate(
        ENTRY,
        simulation=simulation.path,
        samples={name: (table.path, folder / f"{name}.parquet") for name, table in samples.items()},
        model_out=folder / "model.safetensors",
        summary_out=folder / "summary.json",
        **options | changes,
    )
    return summary, {name: EventTable(folder / f"{name}.parquet") for name in samples}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibrate")
    simulation = sample(folder / "s.parquet", role="simulation")
    data = sample(folder / "d.parquet", role="data", size=3000, seed=2)
    return folder, simulation, data, *run(folder / "out", simulation, {"simulation": simulation, "data": data})


def test_events_that_judge_were_not_trained_upon(done, tmp_path, monkeypatch):
    _, simulation, _, summary, _ = done
    seen = {}

    def train_on(self, x, response, weights, validation, **options):
        seen.update(size=len(x), held=int(validation.sum()))
        raise Interrupted([signal.SIGTERM], None)

    monkeypatch.setattr(repulsive.Repulsive, "train_on", train_on)
    with pytest.raises(Interrupted):
        run(tmp_path / "out", simulation, {})
    events = summary["events"]
    assert min(events.values()) > 500
    assert seen == {"size": events["train"] + events["validation"], "held": events["validation"]}
    assert events["train"] + events["validation"] != events["test"]


def test_tables(done):
    _, simulation, data, _, tables = done
    for before, after in ((simulation, tables["simulation"]), (data, tables["data"])):
        assert after.num_rows == before.num_rows
        assert after.role == before.role
        assert after.metadata["selection"] == before.metadata["selection"]
        old, new = before.read(before.columns), after.read(after.columns)
        # Nothing but what scales is touched, and no event is selected away.
        for name in set(before.columns) - {"reco_jet_pt", "reco_m"}:
            np.testing.assert_array_equal(old[name], new[name])
        ratio = {}
        for name in ("reco_jet_pt", "reco_m"):
            np.testing.assert_array_equal(old[name], new[f"{name}_raw"])
            ratio[name] = new[name] / old[name]
        np.testing.assert_allclose(ratio["reco_jet_pt"], ratio["reco_m"], rtol=1e-5)
        passed = new["pass_reco"]
        for name in ("reco_jet_pt_sigma_systematic", "reco_jet_pt_sigma_statistical"):
            assert (new[name][passed] > 0).all()
            assert np.isnan(new[name][~passed]).all()
        # 10% of the truth at a response near 0.9, and so 11% of the calibrated momentum.
        relative = (new["reco_jet_pt_sigma_systematic"] / new["reco_jet_pt"])[passed]
        assert 0.09 < np.median(relative) < 0.14
    assert tables["data"].metadata["observables"]["jet_pt_sigma_systematic"]["unit"] == "GeV"


def test_variations_are_of_the_simulation_alone_and_spread_as_stated(done):
    _, _, _, summary, tables = done
    names = [f"reco_{o}:calibration:{k}" for o in ("jet_pt", "m") for k in range(4)]
    assert set(names) <= set(tables["simulation"].columns)
    assert not [name for name in tables["data"].columns if ":" in name]
    assert summary["samples"]["simulation"]["variations"] == 4
    assert summary["samples"]["data"]["variations"] == 0
    columns = tables["simulation"].read([*names[:4], "reco_jet_pt", "reco_jet_pt_sigma_statistical", "pass_reco"])
    passed = columns["pass_reco"]
    spread = np.stack([columns[name] for name in names[:4]]).std(axis=0, ddof=1)
    np.testing.assert_allclose(spread[passed], columns["reco_jet_pt_sigma_statistical"][passed], rtol=0.1)


def test_the_response_closes_in_reco_bins_and_is_judged_on_test_events(done):
    _, simulation, _, summary, _ = done
    columns = simulation.read(["split", "pass_truth", "pass_reco"])
    assert summary["events"]["test"] == np.sum((columns["split"] == 2) & columns["pass_truth"] & columns["pass_reco"])
    assert summary["pull"]["good"], summary["pull"]["verdict"]
    for by in ("reco_jet_pt", "reco_jet_eta"):
        rows = summary["closure"][by]
        assert len(rows) == 6
        before = max(abs(row["before"]["mean"] - 1) for row in rows)
        after = max(abs(row["after"]["mean"] - 1) for row in rows)
        assert after < 0.045 < 0.06 < before
    assert "regression dilution" in summary["closure_caveat"]
    assert len(summary["history"]["validation"][0]) == summary["members"]["count"] == 4


def test_artefacts(done):
    folder, _, _, summary, _ = done
    left = sorted(p.name for p in (folder / "out").iterdir())
    assert left == ["data.parquet", "model.safetensors", "simulation.parquet", "summary.json"]
    stored = read_record(folder / "out" / "summary.json", CalibrateSummary)
    assert stored["pull"] == summary["pull"]
    assert stored["provenance"]["package"] == "truthward"


def test_the_truth_of_an_event_does_not_reach_its_calibration(done, tmp_path):
    _, simulation, _, _, tables = done
    other = sample(tmp_path / "other.parquet", role="simulation", truth_shift=50.0)
    _, again = run(tmp_path / "out", simulation, {"simulation": other})
    names = ["reco_jet_pt", "reco_m", "reco_jet_pt_sigma_systematic", "reco_jet_pt:calibration:2"]
    before, after = tables["simulation"].read(names), again["simulation"].read(names)
    for name in names:
        np.testing.assert_allclose(before[name], after[name], rtol=1e-6)


def test_the_size_of_the_batches_changes_nothing(done, tmp_path, monkeypatch):
    _, simulation, data, _, tables = done
    monkeypatch.setattr("truthward.calibrate.judge.ROWS", 700)
    _, again = run(tmp_path / "out", simulation, {"data": data})
    for name in ("reco_jet_pt", "reco_jet_pt_sigma_statistical"):
        np.testing.assert_allclose(tables["data"].read([name])[name], again["data"].read([name])[name], rtol=1e-5)


SCALE = 1.05


def shifted(path, simulation, **more):
    """The simulation with its raw momentum and mass 5% up."""
    columns = simulation.read(simulation.columns)
    columns |= {f"reco_{name}:jes:0": columns[f"reco_{name}"] * SCALE for name in ("jet_pt", "m")} | more
    write_table(path, [columns], observables=OBSERVABLES, role="simulation", selection={}, record=Record.for_tests())
    return EventTable(path)


def test_a_shift_of_the_raw_jet_is_calibrated_as_the_jet_it_is(done, tmp_path, monkeypatch):
    _, simulation, _, _, _ = done
    monkeypatch.setitem(ENTRY, "epochs", 3)
    _, again = run(tmp_path / "out", simulation, {"simulation": shifted(tmp_path / "shifted.parquet", simulation)})
    names = ["pass_reco", "reco_jet_pt", "reco_m", "reco_jet_pt:jes:0", "reco_m:jes:0"]
    found = again["simulation"].read(names)
    passed = found["pass_reco"]
    ratio = {name: (found[f"reco_{name}:jes:0"] / found[f"reco_{name}"])[passed] for name in ("jet_pt", "m")}
    np.testing.assert_allclose(ratio["jet_pt"], ratio["m"], rtol=1e-5)
    # The shift survives, and is not the plain factor: the calibration is asked at the shifted momentum.
    assert np.median(ratio["jet_pt"]) == pytest.approx(SCALE, abs=0.04)
    assert np.ptp(ratio["jet_pt"]) > 1e-3
    assert np.isnan(found["reco_m:jes:0"][~passed]).all()


def test_events_that_a_variation_accepts_need_all_features(done, tmp_path, monkeypatch):
    _, simulation, _, _, _ = done
    monkeypatch.setitem(ENTRY, "epochs", 1)
    everywhere = np.full(simulation.num_rows, 200.0)
    more = {"pass_reco:jes:0": everywhere > 0, "reco_jet_pt:jes:0": everywhere, "reco_m:jes:0": everywhere}
    table = shifted(tmp_path / "s.parquet", simulation, **more)
    with pytest.raises(InputError, match=r"reco_jet_eta:jes:0.*where pass_reco:jes:0 is true, and the calibration"):
        run(tmp_path / "out", simulation, {"simulation": table})


def test_a_missing_feature_is_named(done, tmp_path):
    _, simulation, _, _, _ = done
    entry = ENTRY | {"features": ["jet_pt", "tau12"]}
    with pytest.raises(InputError, match=r"no column reco_tau12; nearest names: .*reco_tau21"):
        calibrate(
            entry,
            simulation=simulation.path,
            samples={},
            model_out=tmp_path / "m.safetensors",
            summary_out=tmp_path / "s.json",
            observables=None,
            seed=1,
            record=Record.for_tests(),
            state=None,
            key="",
        )
    assert not list(tmp_path.iterdir())


def test_too_few_matched_events_are_refused(tmp_path):
    few = sample(tmp_path / "few.parquet", role="simulation", size=60)
    with pytest.raises(InputError, match="matched events in the split"):
        run(tmp_path / "out", few, {})


def test_moments_and_quantiles():
    values = np.random.default_rng(1).normal(2.0, 3.0, 100_000)
    found = moments(values, np.ones(100_000))
    for name, truth in (("mean", 2.0), ("width", 3.0), ("median", 2.0), ("central68", 3.0)):
        assert found[name] == pytest.approx(truth, abs=4 * found[f"{name}_error"])
    assert found["width_error"] == pytest.approx(3.0 / np.sqrt(2e5), rel=0.05)
    # An event of negative weight cancels its copy.
    values, weights = np.array([1.0, 2.0, 3.0, 9.0, 9.0]), np.array([1.0, 1.0, 1.0, 1.0, -1.0])
    assert quantiles(values, weights, [0.5]).tolist() == [2.0]


def test_closure_sees_a_trend():
    random = np.random.default_rng(2)
    by = random.uniform(0, 1, 6000)
    response = 1 + 0.2 * (by - 0.5) + 0.05 * random.standard_normal(6000)
    rows = closure(by, response, np.ones(6000), np.ones(6000))
    assert rows[-1]["before"]["mean"] - rows[0]["before"]["mean"] == pytest.approx(0.2 * 5 / 6, abs=0.01)
    assert all(row["after"]["mean"] == 1 for row in rows)
    assert sum(row["events"] for row in rows) == 6000


def test_an_interrupted_stage_goes_on_and_ends_the_same(done, tmp_path, monkeypatch):
    _, simulation, data, _, tables = done
    steps, crowding = [0], repulsive.crowding

    def stop(f):
        steps[0] += 1
        if steps[0] == 41:
            os.kill(os.getpid(), signal.SIGTERM)
        return crowding(f)

    monkeypatch.setattr(repulsive, "crowding", stop)
    folder = tmp_path / "out"
    with pytest.raises(Interrupted):
        run(folder, simulation, {"data": data})
    # Nothing but the state is there: no half artefact.
    assert [p.name for p in folder.iterdir()] == ["state"]
    _, again = run(folder, simulation, {"data": data})
    for name in ("reco_jet_pt", "reco_jet_pt_sigma_statistical"):
        np.testing.assert_array_equal(again["data"].read([name])[name], tables["data"].read([name])[name])
    assert not (folder / "state").exists()
