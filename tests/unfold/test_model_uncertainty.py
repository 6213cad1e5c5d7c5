"""What covers a wrong simulation, through every method: pseudo-data of known truth, and other iterations."""

from __future__ import annotations

import numpy as np
import pytest

from tests.systematics.conftest import RESPONSE, SLOPE, planted
from truthward.events.families import family
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.events.unfolded import Unfolded, gather
from truthward.learn.checkpoint import load_arrays
from truthward.run.provenance import Record
from truthward.study.observable import Observable
from truthward.study.plugins import build
from truthward.study.seeds import seed_for
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica
from truthward.unfold.inputs.streamed import Blocks
from truthward.unfold.stage import unfold_all, unfold_nominal, unfold_part

OBSERVABLES = [Observable(name="x0", range=(-4.0, 4.0), bins=16)]
EVENTS, PRIOR, HIDDEN = 6000, 0.4, 0.6
KINDS = {"same": "closure", "other": "closure", "regularisation": "regularisation"}
SAME, OTHER = (Replica(f"systematic:{name}", 0) for name in ("same", "other"))
PAIR = [Replica("systematic:regularisation", i) for i in range(2)]
# A shift of h by HIDDEN at each truth moves r = t + 0.5 h by as much as this shift of t does.
MOVED = RESPONSE * HIDDEN / (1.0 + RESPONSE * SLOPE)

METHODS = {
    "ibu": {"tolerance": 0.02},
    "feature_fit": {"epochs": 8, "width": 24},
    "omnifold": {"iterations": 4, "network": {"width": 16, "depth": 1}, "training": {"epochs": 4, "later_epochs": 2}},
    "generative": {
        "model": {"kind": "flow_matching", "width": 24, "depth": 2},
        "iterations": 3,
        "stop": {"rule": "fixed"},
        "draws": {"nominal": 4, "ratio": 2},
        "training": {"epochs": 8, "later_epochs": 3},
        "classifiers": {"ratio_epochs": 4, "side_epochs": 4},
    },
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Data of the simulation's response and another prior. Pseudo-data have this prior too; and another h, or not."""
    folder = tmp_path_factory.mktemp("tables")
    simulation, data = planted(EVENTS, 1), planted(EVENTS, 2, mean=PRIOR)
    t, u = simulation["truth_x0"], simulation["truth_h"] - SLOPE * simulation["truth_x0"]
    prior = np.exp(PRIOR * t - PRIOR**2 / 2).astype(float)
    simulation["weight:same:0"] = prior
    simulation["weight:other:0"] = prior * np.exp(HIDDEN * u - HIDDEN**2 / 2)
    data = {name: v[data["pass_reco"]] for name, v in data.items() if "truth" not in name}
    found = []
    for role, columns in (("simulation", simulation), ("data", data)):
        path = folder / f"{role}.parquet"
        write_table(path, [columns], observables={}, role=role, selection={}, record=Record.for_tests())
        found.append(path)
    return found


@pytest.fixture(scope="module")
def inputs(tables):
    simulation, data = map(EventTable, tables)
    return Inputs.load(data, simulation, OBSERVABLES, seed=1, kinds=KINDS)


def moments(result, replicas) -> dict[Replica, np.ndarray]:
    """Yield and mean of x0 of each."""
    sums = {r: np.zeros(2) for r in replicas}
    for rows in result.rows:
        for replica, total in sums.items():
            for name in (replica.column(), replica.column("x0")):
                if name in rows:
                    total += rows[name].sum(), (rows[name] * rows["truth_x0"]).sum()
    return {r: np.array([s[0], s[1] / s[0]]) for r, s in sums.items()}


@pytest.mark.parametrize("kind", METHODS)
def test_what_does_not_close_is_the_shift_of_the_family(kind, inputs):
    """Pseudo-data of the simulation's response close whatever their prior; with another h they are off by MOVED."""
    replicas = [SAME, OTHER]
    result = unfold_all(build("unfold", {"kind": kind, **METHODS[kind]}), inputs, replicas, seed=3)
    found = moments(result, [NOMINAL, *replicas])
    shift = {r: found[r] - found[NOMINAL] for r in replicas}
    # The statistical error of the mean is 0.017; an iterated result keeps a little of the prior.
    assert shift[SAME][1] == pytest.approx(0.0, abs=0.05)
    assert shift[OTHER][1] == pytest.approx(MOVED, abs=0.06)
    for moved in shift.values():
        assert moved[0] / found[NOMINAL][0] == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("kind", METHODS)
def test_other_iterations_are_those_of_such_a_run(kind, inputs):
    """Bit by bit: half and twice as many as the nominal made."""
    unfolder = build("unfold", {"kind": kind, **METHODS[kind]})
    first = unfolder.unfold(inputs, [NOMINAL], seed=3)
    rows = list(unfolder.unfold(inputs, PAIR, seed=3, nominal=first.trained).rows)
    for replica in PAIR:
        column = replica.column("x0") if kind == "ibu" else replica.column()
        own = np.concatenate([r[column] for r in rows if column in r])
        if kind == "feature_fit":
            penalty = first.trained["penalty"] * (0.5 if replica.index else 2.0)
            alone = unfolder.unfold(inputs, [NOMINAL], seed=3, nominal=first.trained | {"penalty": penalty})
            name = NOMINAL.column()
        else:
            chosen = first.iterations
            wanted = 2 * chosen if replica.index else max(1, chosen // 2)
            limit = {"ibu": {"max_iterations": wanted, "tolerance": 1e-9}}.get(kind, {"iterations": wanted})
            alone = build("unfold", {"kind": kind, **METHODS[kind], **limit}).unfold(inputs, [NOMINAL], seed=3)
            name = NOMINAL.column("x0") if kind == "ibu" else NOMINAL.column()
        np.testing.assert_array_equal(own, np.concatenate([r[name] for r in alone.rows]))


def test_streamed_blocks_have_their_own_pseudo_data(tables, inputs):
    simulation, data = map(EventTable, tables)
    blocks = Blocks.streamed(data, simulation, OBSERVABLES, seed=1, buffer=1000, kinds=KINDS)
    parts = [b.varied(OTHER) for b in blocks]
    whole = inputs.varied(OTHER)
    np.testing.assert_array_equal(np.concatenate([p.data_weight for p in parts]), whole.data_weight)
    np.testing.assert_array_equal(whole.data_reco, inputs.reco[inputs.pass_reco])
    assert whole.weight is inputs.weight


@pytest.mark.parametrize("kind", ["ibu", "omnifold", "generative"])
def test_the_gathered_result_holds_nominal_plus_unfolded_less_truth(kind, tables, tmp_path, inputs):
    """Through the files of the workflow, against the replica's definition."""
    entry = {"kind": kind, **METHODS[kind]} | ({} if kind == "ibu" else {"iterations": 2})
    simulation, data = tables
    task = {
        "entry": entry,
        "method": "m",
        "data": data,
        "simulation": simulation,
        "observables": OBSERVABLES,
        "families": {"systematic:other": 1},
        "kinds": KINDS,
        "seed": 1,
        "state": None,
        "key": "",
    }
    part, trained, other = (tmp_path / n for n in ("n.parquet", "n.safetensors", "0.parquet"))
    unfold_nominal(trained=trained, output=part, record=Record.for_tests(), **task)
    unfold_part(job=0, jobs=1, nominal=trained, part=part, output=other, record=Record.for_tests(), **task)
    gather([part, other], tmp_path / "u.parquet", record=Record.for_tests())
    edges = np.linspace(-3.0, 3.0, 7)
    found = Unfolded(tmp_path / "u.parquet").histogram("x0", edges)
    shift = found.replicas["systematic:other"][0] - found.nominal
    # By hand: the pseudo-data unfolded as any data, less their truth.
    unfolder = build("unfold", entry)
    raw = unfolder.unfold(inputs, [OTHER], seed=seed_for(1, "unfold", "m"), nominal=load_arrays(trained))
    column = OTHER.column("x0") if kind == "ibu" else OTHER.column()
    by_hand = sum(np.histogram(r["truth_x0"], edges, weights=r[column])[0] for r in raw.rows)
    truth = inputs.truth[inputs.fiducial, 0]
    by_hand = by_hand - np.histogram(truth, edges, weights=inputs.pseudo_weight(OTHER)[inputs.fiducial])[0]
    np.testing.assert_allclose(shift, by_hand, atol=2e-3 * found.nominal.max())
    assert np.abs(shift).max() > 50
    stated = family("systematic:other", 1).variance(found.replicas["systematic:other"], found.nominal)
    np.testing.assert_allclose(stated, shift**2, rtol=1e-6)
