"""What holds for every method in the folder, present and future."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from truthward.errors import ConfigError, InputError
from truthward.events.effective_size import effective_size, largest_over_mean
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.events.unfolded import Unfolded, gather
from truthward.physics.generators.gaussian import Gaussian
from truthward.run.provenance import Record
from truthward.study import plugins
from truthward.study.named import levels_of
from truthward.study.observable import Observable
from truthward.unfold.inputs import streamed
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica
from truthward.unfold.inputs.streamed import Blocks
from truthward.unfold.inputs.totals import added, refuse, totals
from truthward.unfold.stage import replicas_of, unfold_nominal, unfold_part

# As small as each method can be; a new one is tested with its defaults.
SMALL = {
    "omnifold": {
        "iterations": 2,
        "network": {"width": 8, "depth": 1},
        "training": {"epochs": 2, "later_epochs": 1},
        "replicas": {"stack": 3},
    },
    "feature_fit": {"epochs": 3, "width": 8, "depth": 1, "batch_size": 256},
    "generative": {
        "model": {"kind": "flow_matching", "width": 8, "depth": 1},
        "iterations": 2,
        "draws": {"nominal": 2, "replicas": 1},
        "training": {"epochs": 2, "later_epochs": 1},
        "classifiers": {"ratio_epochs": 1, "side_epochs": 1, "width": 8, "depth": 1},
    },
}
FAMILIES = {"data_bootstrap": 2, "mc_bootstrap": 2, "initialisation": 2, "combined": 2, "systematic:calibration": 2}
OBSERVABLES = [Observable(name="x0", range=(-4.0, 4.0), bins=16)]
KINDS = plugins.kinds("unfold")
# Those that take features have them: whatever holds without holds with them.
FEATURES = {kind: {"features": {level: ["x1"] for level in levels_of(kind)}} for kind in KINDS if levels_of(kind)}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Event tables of data and simulation; the simulation has a second observable and a shifted calibration."""
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(3)
    for name, mean, events in (("simulation", 0.0, 1500), ("data", 0.3, 800)):
        columns = Gaussian(mean=mean, dimensions=2, background=0.05, expected=800.0).draw(events, rng)
        columns["process"] = np.where(columns["process"] == 0, "signal", "background")
        columns["event_id"] = np.arange(events, dtype=np.uint64) + (10**6 if name == "data" else 0)
        if name == "data":
            columns = {k: v for k, v in columns.items() if "truth" not in k}
        else:
            for n in ("x0", "x1"):
                columns |= {f"reco_{n}:calibration:{k}": columns[f"reco_{n}"] + 0.1 * (1 + k) for k in range(2)}
        write_table(
            folder / f"{name}.parquet", [columns], observables={}, role=name, selection={}, record=Record.for_tests()
        )
    return folder


def run(kind, tables, folder, jobs, families=FAMILIES, state=None):
    parts, trained = [folder / "nominal.parquet"], folder / "nominal.safetensors"
    task = {
        "entry": {"kind": kind, **SMALL.get(kind, {}), **FEATURES.get(kind, {})},
        "method": "this",
        "data": tables / "data.parquet",
        "simulation": tables / "simulation.parquet",
        "observables": OBSERVABLES,
        "families": families,
        "seed": 5,
        "state": state,
        "key": "k",
        "record": Record.for_tests(),
    }
    unfold_nominal(**task, output=parts[0], trained=trained)
    for job in range(jobs if families else 0):
        parts.append(folder / f"{job}.parquet")
        unfold_part(**task, job=job, jobs=jobs, nominal=trained, output=parts[-1])
    gather(parts, folder / "unfolded.parquet", record=Record.for_tests())
    return Unfolded(folder / "unfolded.parquet")


@pytest.fixture(scope="module", params=KINDS)
def result(request, tables, tmp_path_factory):
    """A kind and its result with all families, from one job."""
    return request.param, run(request.param, tables, tmp_path_factory.mktemp(request.param), 1)


EDGES = np.linspace(-4.0, 4.0, 9)


def test_has_every_replica_and_a_yield(result):
    _, unfolded = result
    histogram = unfolded.histogram("x0", EDGES)
    assert {n: r.shape[0] for n, r in histogram.replicas.items()} == FAMILIES
    expected = Gaussian(mean=0.3, background=0.05).fiducial_yield(800)
    # Loose: trainings this short only show that acceptance, fakes and background are of the right size.
    assert histogram.nominal.sum() == pytest.approx(expected, rel=0.15)
    assert (histogram.sigma[2:6] > 0).all()


DETERMINISTIC = ("ibu", "yield_only")
"""Methods without random numbers of their own; the second one is the example of the docs."""


def test_replicas_of_each_family_differ(result):
    _, unfolded = result
    for name, rows in unfolded.histogram("x0", EDGES).replicas.items():
        if not (name == "initialisation" and unfolded.metadata["kind"] in DETERMINISTIC):
            assert not np.allclose(rows[0], rows[1], rtol=1e-6), name


def test_history_is_json_and_names_its_replicas(result):
    _, unfolded = result
    json.dumps(unfolded.metadata["history"], allow_nan=False)
    assert "nominal:0" in {h["replica"] for h in unfolded.metadata["history"]}


def test_number_of_jobs_changes_nothing(result, tables, tmp_path):
    kind, once = result
    dealt = run(kind, tables, tmp_path, 3)
    a, b = once.histogram("x0", EDGES), dealt.histogram("x0", EDGES)
    np.testing.assert_allclose(b.nominal, a.nominal, rtol=1e-5, atol=1e-5 * a.nominal.max())
    for name in FAMILIES:
        np.testing.assert_allclose(b.replicas[name], a.replicas[name], rtol=1e-5, atol=1e-5 * a.nominal.max())


def test_replicas_are_dealt_once_each():
    dealt = [r for job in range(4) for r in replicas_of(job, 4, FAMILIES)]
    assert len(dealt) == len(set(dealt)) == sum(FAMILIES.values())
    with pytest.raises(ConfigError, match="jobs"):
        replicas_of(0, 11, FAMILIES)


def test_state_is_removed_with_success(tables, tmp_path):
    run("omnifold", tables, tmp_path, 1, families={}, state=tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_systematic_without_columns_is_refused_before_training(tables, tmp_path):
    with pytest.raises(ConfigError, match=r"systematic:scale.*systematic:calibration"):
        run("omnifold", tables, tmp_path, 1, families={"systematic:scale": 1})
    with pytest.raises(ConfigError, match="no replica 2"):
        run("ibu", tables, tmp_path, 1, families={"systematic:calibration": 3})


def scaled(inputs: Inputs, mask: np.ndarray, factor: float) -> Inputs:
    return replace(inputs, weight=np.where(mask, factor * inputs.weight, inputs.weight))


def with_systematic(inputs: Inputs, weight: np.ndarray) -> Inputs:
    return replace(inputs, variations={"scale": lambda index: {"weight": weight}})


def runaway(inputs: Inputs) -> Inputs:
    weight = inputs.weight.copy()
    weight[inputs.matched.argmax()] = 1e9
    return with_systematic(inputs, weight)


SCALE = Replica("systematic:scale", 0)
# Trouble -> what has it, the replica, and the words: replica, category, way out.
TROUBLES = {
    "matched": (lambda i: scaled(i, i.matched, -1), NOMINAL, ["nominal:0", "matched events sum to -", "simulation"]),
    "misses": (lambda i: scaled(i, i.fiducial & ~i.pass_reco, -1), NOMINAL, ["weights of misses sum to -"]),
    "fakes": (lambda i: scaled(i, i.fakes, -1), NOMINAL, ["weights of fakes sum to -"]),
    "background": (lambda i: scaled(i, i.background, -1), NOMINAL, ["background 'background' sum to -", "processes"]),
    "much background": (lambda i: scaled(i, i.background, 50), NOMINAL, ["nothing is left to unfold", "luminosity"]),
    "data": (lambda i: replace(i, data_weight=-i.data_weight), NOMINAL, ["weights of the data sum to -"]),
    "variation": (
        lambda i: with_systematic(i, np.where(i.fakes, -i.weight, i.weight)),
        SCALE,
        ["systematic:scale:0", "weights of fakes sum to -", "weight:scale:0"],
    ),
    "runaway weight": (
        runaway,
        SCALE,
        ["systematic:scale:0", "matched events", "few weights dominate", "weight:scale:0"],
    ),
}


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("kind", KINDS)
def test_totals_that_cannot_be_unfolded_are_refused(kind, trouble, toy):
    change, replica, said = TROUBLES[trouble]
    inputs = toy(events=400, simulated=600, background=0.1)[0]
    inputs = change(scaled(inputs, inputs.background, 0.5))
    unfolder = plugins.build("unfold", {"kind": kind, **SMALL.get(kind, {})})
    with pytest.raises(InputError) as caught:
        list(unfolder.unfold(inputs, [replica], seed=1).rows)
    for part in said:
        assert part in str(caught.value)


def test_a_process_below_zero_is_named_though_all_background_is_above(toy):
    inputs = toy(events=400, simulated=2000, background=0.1)[0]
    first = inputs.background & (inputs.event_id % 3 == 0)
    processes = {"interference": first, "top": inputs.background & ~first}
    inputs = replace(scaled(inputs, first, -0.5), backgrounds=processes)
    assert inputs.weight[inputs.background].sum() > 0
    with pytest.raises(InputError, match="background 'interference' sum to -"):
        inputs.varied(NOMINAL)
    # A bootstrap of a small process may fluctuate below zero: it is the nominal total that counts.
    inputs.varied(Replica("mc_bootstrap", 0))


def test_blocks_are_refused_by_the_totals_of_all_of_them(tables, monkeypatch):
    monkeypatch.setattr(streamed, "ROWS", 500)
    data, simulation = (EventTable(tables / f"{name}.parquet") for name in ("data", "simulation"))
    blocks = Blocks.streamed(data, simulation, OBSERVABLES, seed=1, buffer=500)
    assert len(blocks) == 3
    blocks.require(Replica("systematic:calibration", 0))
    whole = Inputs.load(data, simulation, OBSERVABLES, seed=1)
    mine: dict = {}
    for block in blocks:
        mine = added(mine, totals(block))
    for name, total in totals(whole).items():
        assert (mine[name].count, mine[name].largest) == (total.count, total.largest)
        assert mine[name].sum == pytest.approx(total.sum, rel=1e-12)
    monkeypatch.setattr(
        streamed,
        "refuse",
        lambda found, nominal, replica: refuse(found | {"fakes": replace(found["fakes"], sum=-1.0)}, nominal, replica),
    )
    with pytest.raises(InputError, match="fakes sum to -1"):
        Blocks.streamed(data, simulation, OBSERVABLES, seed=1, buffer=500)


def test_bootstraps_draw_the_same_counts_whatever_the_order(toy):
    inputs, _ = toy(events=300, simulated=300)
    one = inputs.varied(Replica("mc_bootstrap", 1)).weight / inputs.weight
    assert set(np.unique(one.round(6))) >= {0.0, 1.0, 2.0}
    assert (one == inputs.varied(Replica("mc_bootstrap", 1)).weight / inputs.weight).all()
    assert (one != inputs.varied(Replica("mc_bootstrap", 2)).weight / inputs.weight).any()


def test_combined_replicas_draw_data_and_simulation_anew(toy):
    """Independent of the bootstraps of the same index, and of one another: 300 Poisson counts of either."""
    inputs, _ = toy(events=300, simulated=300)
    replicas = [Replica(f, 0) for f in ("combined", "data_bootstrap", "mc_bootstrap")] + [Replica("combined", 1)]
    both, data, simulation, other = (inputs.varied(r) for r in replicas)
    for alone, name in ((data, "data_weight"), (simulation, "weight")):
        counts = [getattr(v, name) / getattr(inputs, name) for v in (both, alone, other)]
        correlation = np.corrcoef(counts) - np.eye(3)
        assert np.abs(correlation).max() < 5 / np.sqrt(300)
        assert counts[0].mean() == pytest.approx(1.0, abs=5 / np.sqrt(300))
    assert (both.reco[both.pass_reco] == inputs.reco[inputs.pass_reco]).all()


def test_effective_sizes_are_those_of_each_replica():
    weights = np.array([[1.0, 2.0], [1.0, 0.0], [2.0, -1.0]])
    assert effective_size(weights) == pytest.approx([16 / 6, 1 / 5])
    assert largest_over_mean(weights) == pytest.approx([2 / (4 / 3), 2 / 1])
