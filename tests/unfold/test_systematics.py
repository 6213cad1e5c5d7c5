"""Variations on their way to the result: each replaces what it should, and moves the answer by a known amount."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from truthward.errors import ConfigError, InputError
from truthward.events.families import family
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.physics.generators.gaussian import Gaussian
from truthward.run.provenance import Record
from truthward.study.observable import Observable
from truthward.study.plugins import build
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica
from truthward.unfold.stage import unfold_all

OBSERVABLES = [Observable(name="x0", range=(-4.0, 4.0), bins=16)]
SHIFT = 0.25
SYSTEMATICS = {"jes": {"bias": SHIFT}, "norm": {"background": 0.5}}
DETECTOR = {"resolution": 0.3, "background": 0.1, "fakes": [0.0, 0.0], "efficiency": [0.9, 0.9]}


def columns_of(events: int, seed: int, **options) -> dict[str, np.ndarray]:
    columns = Gaussian(**DETECTOR, **options).draw(events, np.random.default_rng(seed))
    columns["process"] = np.where(columns["process"] == 0, "signal", "background")
    columns["event_id"] = np.arange(events, dtype=np.uint64) + np.uint64(seed * 10**7)
    return {name.replace("__", ":"): values for name, values in columns.items()}


def table(path, columns, role: str) -> EventTable:
    if role == "data":
        columns = {name: v for name, v in columns.items() if "truth" not in name}
    write_table(path, [columns], observables={}, role=role, selection={}, record=Record.for_tests())
    return EventTable(path)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    simulation = table(folder / "s.parquet", columns_of(8000, 1, systematics=SYSTEMATICS), "simulation")
    return simulation, table(folder / "d.parquet", columns_of(8000, 2), "data")


@pytest.fixture(scope="module")
def inputs(tables):
    return Inputs.load(tables[1], tables[0], OBSERVABLES, seed=1)


def test_a_variation_replaces_what_it_has_columns_of(inputs):
    up, down = (inputs.varied(Replica("systematic:jes", i)) for i in range(2))
    passed = inputs.pass_reco
    np.testing.assert_allclose((up.reco - inputs.reco)[passed], SHIFT, atol=1e-5)
    np.testing.assert_allclose((down.reco - inputs.reco)[passed], -SHIFT, atol=1e-5)
    assert up.weight is inputs.weight
    norm = inputs.varied(Replica("systematic:norm", 1))
    assert norm.reco is inputs.reco
    np.testing.assert_allclose(norm.weight / inputs.weight, np.where(inputs.signal, 1.0, 0.5))
    for varied in (up, norm):
        assert varied.truth is inputs.truth
        assert varied.data_reco is inputs.data_reco


def test_two_systematics_at_once_are_each_their_own(tmp_path, tables):
    """jes and jes_eta, of other sizes and with weights and acceptances of their own."""
    columns = tables[0].read([c for c in tables[0].columns if ":" not in c])
    passed = columns["pass_reco"]
    for name, size in (("jes", 0.1), ("jes_eta", 0.4)):
        for i, sign in enumerate((1, -1)):
            columns[f"reco_x0:{name}:{i}"] = columns["reco_x0"] + np.float32(sign * size)
    columns["weight:jes_eta:1"] = 3.0 * columns["weight"]
    columns["pass_reco:jes:1"] = passed & (columns["event_id"] % 4 > 0)
    columns["reco_x0:jes:1"] = np.where(columns["pass_reco:jes:1"], columns["reco_x0:jes:1"], np.nan)
    both = Inputs.load(tables[1], table(tmp_path / "s.parquet", columns, "simulation"), OBSERVABLES, seed=1)
    assert sorted(both.variations) == ["jes", "jes_eta"]
    for name, i, shift, factor, share in (
        ("jes", 0, 0.1, 1, 1.0),
        ("jes", 1, -0.1, 1, 0.75),
        ("jes_eta", 0, 0.4, 1, 1.0),
        ("jes_eta", 1, -0.4, 3, 1.0),
    ):
        varied = both.varied(Replica(f"systematic:{name}", i))
        moved = varied.pass_reco
        np.testing.assert_allclose((varied.reco - both.reco)[moved], shift, atol=1e-6)
        np.testing.assert_allclose(varied.weight, factor * both.weight)
        assert moved.sum() == pytest.approx(share * passed.sum(), rel=0.02)


def test_another_acceptance_and_what_it_needs(tmp_path, tables):
    columns = tables[0].read(tables[0].columns)
    lost = np.flatnonzero(columns["pass_reco"])[:500]
    gained = np.flatnonzero(~columns["pass_reco"])[:300]
    flag = columns["pass_reco"].copy()
    flag[lost], flag[gained] = False, True
    for i in range(2):
        columns[f"pass_reco:jes:{i}"] = flag
    columns["reco_x0:jes:0"] = np.where(flag, 1.0, np.nan).astype(np.float32)
    # The second has no values for what comes in.
    columns["reco_x0:jes:1"] = columns["reco_x0"]
    columns["reco_x0:jes:1"][gained] = 0.0
    nominal = Inputs.load(tables[1], table(tmp_path / "s.parquet", columns, "simulation"), OBSERVABLES, seed=1)
    moved = nominal.varied(Replica("systematic:jes", 0))
    np.testing.assert_array_equal(moved.pass_reco, flag)
    assert moved.matched.sum() == nominal.matched.sum() - (lost.size - (~nominal.fiducial[lost]).sum()) + gained.size
    np.testing.assert_array_equal(moved.fiducial, nominal.fiducial)
    assert np.isfinite(moved.reco[moved.pass_reco]).all()
    del columns["reco_x0:jes:1"]
    bare = Inputs.load(tables[1], table(tmp_path / "t.parquet", columns, "simulation"), OBSERVABLES, seed=1)
    with pytest.raises(InputError, match=r"systematic:jes:1: 300 of .* accepted events have no reco value.*jes:1"):
        bare.varied(Replica("systematic:jes", 1))


def test_an_acceptance_that_loses_a_tenth_is_unfolded_as_an_efficiency(tmp_path, tables):
    """The variation's simulation reconstructs a tenth less: the data, of the same yield, come from a tenth more."""
    columns = tables[0].read(tables[0].columns)
    kept = columns["pass_reco"] & ((columns["event_id"] % 10 > 0) | (columns["process"] != "signal"))
    for i in range(2):
        columns |= {f"pass_reco:jes:{i}": kept, f"reco_x0:jes:{i}": columns["reco_x0"]}
    own = Inputs.load(tables[1], table(tmp_path / "s.parquet", columns, "simulation"), OBSERVABLES, seed=1)
    replica = Replica("systematic:jes", 0)
    for kind, options in METHODS.items():
        found = list(unfold_all(build("unfold", {"kind": kind, **options}), own, [replica], seed=3).rows)
        names = [r.column() if kind != "ibu" else r.column("x0") for r in (NOMINAL, replica)]
        nominal, moved = (sum(rows[name].sum() for rows in found if name in rows) for name in names)
        assert moved / nominal == pytest.approx(1 / 0.9, abs=0.02)


def test_a_variation_that_is_not_there_is_named(inputs):
    with pytest.raises(ConfigError, match="no replica 2 of the systematic 'jes'"):
        inputs.varied(Replica("systematic:jes", 2))
    with pytest.raises(ConfigError, match=r"systematic:pdf.*systematic:jes, systematic:norm"):
        inputs.varied(Replica("systematic:pdf", 0))


METHODS = {
    # Few iterations keep some of the simulation's yield.
    "ibu": {"tolerance": 0.05},
    "omnifold": {"iterations": 3, "network": {"width": 16, "depth": 1}, "training": {"epochs": 4, "later_epochs": 2}},
    "generative": {
        "model": {"kind": "flow_matching", "width": 24, "depth": 2},
        "iterations": 2,
        "training": {"epochs": 6, "later_epochs": 3},
        "classifiers": {"ratio_epochs": 4, "side_epochs": 6},
    },
}


@pytest.mark.parametrize("kind", METHODS)
def test_each_method_moves_by_the_known_size(kind, inputs):
    """A simulation whose scale is 0.25 too high has the data's truth 0.25 too low; background of half is signal."""
    replicas = [Replica(f"systematic:{name}", i) for name in SYSTEMATICS for i in range(2)]
    if kind == "generative":
        replicas = replicas[::2]
    result = unfold_all(build("unfold", {"kind": kind, **METHODS[kind]}), inputs, replicas, seed=3)
    w: dict = {r: [] for r in (NOMINAL, *replicas)}
    for rows in result.rows:
        for replica, found in w.items():
            name = replica.column() if replica.column() in rows else replica.column("x0")
            if name in rows:
                found.append((rows["truth_x0"], rows[name]))
    moments = {}
    for replica, found in w.items():
        x, weight = (np.concatenate(part) for part in zip(*found, strict=True))
        moments[replica] = np.average(x, weights=weight), weight.sum()
    mean, total = moments[NOMINAL]
    assert mean == pytest.approx(0.0, abs=0.06)
    # Of the 10% that are background half more or less; efficiency is 0.9, and was of the signal alone.
    half = 0.5 * inputs.weight[inputs.background].sum() / 0.9
    for replica in replicas:
        moved, sign = moments[replica], 1 - 2 * replica.index
        if replica.family == "systematic:jes":
            assert moved[0] - mean == pytest.approx(-sign * SHIFT, abs=0.06)
            assert moved[1] / total == pytest.approx(1.0, abs=0.01)
        else:
            assert moved[1] - total == pytest.approx(-sign * half, rel=0.03 if kind == "ibu" else 0.2)


def test_a_pair_states_half_the_sum_of_squares():
    nominal = np.array([10.0, 20.0])
    pair = np.array([[11.0, 23.0], [9.5, 20.0]])
    variance = family("systematic:jes", 2).variance(pair, nominal)
    np.testing.assert_allclose(variance, 0.5 * np.array([1.0 + 0.25, 9.0 + 0.0]))
    # A symmetric pair of one standard deviation each way is that deviation; one variation alone is all of its shift.
    symmetric = nominal + np.array([[2.0, 1.0], [-2.0, -1.0]])
    np.testing.assert_allclose(family("systematic:jes", 2).variance(symmetric, nominal), [4.0, 1.0])
    np.testing.assert_allclose(family("systematic:jes", 1).variance(symmetric[:1], nominal), [4.0, 1.0])


def test_columns_of_a_replica_are_read_once_and_cannot_be_changed(tables, monkeypatch):
    inputs = Inputs.load(tables[1], tables[0], OBSERVABLES, seed=1)
    read, whole = [], EventTable.between
    monkeypatch.setattr(
        EventTable,
        "between",
        lambda self, first, end, columns: read.append(columns) or whole(self, first, end, columns),
    )
    ups = [inputs.varied(Replica("systematic:jes", 0)) for _ in range(3)]
    norm = inputs.varied(Replica("systematic:norm", 1))
    assert sorted(c for columns in read for c in columns if ":" in c) == ["reco_x0:jes:0", "weight:norm:1"]
    assert all(up.reco is ups[0].reco for up in ups)
    with pytest.raises(ValueError, match="read-only"):
        norm.weight[0] = 0.0


def test_a_variation_of_what_no_detector_varies_is_refused(inputs):
    odd = replace(inputs, variations={"odd": lambda _: {"truth": inputs.truth}})
    with pytest.raises(TypeError, match="a variation cannot replace truth"):
        odd.varied(Replica("systematic:odd", 0))
