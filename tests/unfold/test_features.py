"""Features: what networks see beside the observables, held against exact Bayesian unfolding of a known response."""

from __future__ import annotations

import numpy as np
import pytest

from tests.options import merged
from truthward.errors import ConfigError, InputError
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.run.provenance import Record
from truthward.study.observable import Observable
from truthward.study.plugins import build
from truthward.unfold.inputs import streamed
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica
from truthward.unfold.inputs.streamed import Blocks
from truthward.unfold.stage import unfold_all

OBSERVABLES = [Observable(name="x", range=(-4.0, 4.0), bins=16)]
FEATURES = {"reco": ["f", "noise"], "truth": ["h"]}
METHODS = {
    "omnifold": {
        "stop": {"rule": "fixed"},
        "network": {"width": 24, "depth": 2, "activation": "silu"},
        "training": {"epochs": 6, "later_epochs": 3, "batch_size": 512, "learning_rate": 0.01},
    },
    "generative": {
        "stop": {"rule": "fixed"},
        "model": {"kind": "flow_matching", "width": 32, "depth": 2, "steps": 4},
        "draws": {"nominal": 4, "ratio": 1},
        "training": {"epochs": 10, "later_epochs": 6, "learning_rate": 0.01, "later_learning_rate": 2e-3},
        "classifiers": {"ratio_epochs": 6, "side_epochs": 2, "width": 24},
    },
}
EVENTS = 6_000
RESOLUTION = {0: 0.2, 1: 1.5}
"""Of events with f = 0 and with f = 1."""

Columns = dict[str, np.ndarray]


def sample(seed: int, *, mean: float, width: float, share: float, shift: float = 0.0, events: int = EVENTS) -> Columns:
    """Truth x ~ N(mean, width); f is 1 in a share of the events; reco x moves by `shift` f, and f decides how far it
    is smeared where there is no shift."""
    rng = np.random.default_rng(seed)
    x, f = rng.normal(mean, width, events), (rng.random(events) < share).astype(float)
    sigma = np.full(events, 0.3) if shift else np.where(f == 1.0, RESOLUTION[1], RESOLUTION[0])
    every = np.ones(events, dtype=bool)
    return {
        "truth_x": x,
        "reco_x": x + shift * f + sigma * rng.standard_normal(events),
        "truth_h": x**2,
        "reco_f": f,
        "reco_noise": rng.standard_normal(events),
        "pass_truth": every,
        "pass_reco": every,
        "weight": np.ones(events),
        "event_id": np.arange(events, dtype=np.uint64) + np.uint64(seed * 10**6),
    }


def moments(method: str, inputs: Inputs, **options) -> tuple[float, float]:
    """Mean and width of the unfolded x; the yield is that of the data."""
    unfolder = build("unfold", {"kind": method, **METHODS[method], **options})
    rows = list(unfolder.unfold(inputs, [NOMINAL], seed=2).rows)
    x, w = (np.concatenate([r[n] for r in rows]).astype(float) for n in ("truth_x", "weight"))
    assert w.sum() == pytest.approx(inputs.data_weight.sum(), rel=0.01)
    mean = np.average(x, weights=w)
    return float(mean), float(np.sqrt(np.average((x - mean) ** 2, weights=w)))


GRID = np.linspace(-6.0, 6.0, 241)


def normal(x: np.ndarray, mean: float | np.ndarray, width: float) -> np.ndarray:
    return np.exp(-0.5 * ((x - mean) / width) ** 2) / width


def exact_width(iterations: int, width: float, share: float, seen: bool) -> float:
    """Width after so many iterations of Bayesian unfolding on a fine grid, from N(0, 1) to data of N(0, width), where
    the response of f = 0 and of f = 1 is known apart (`seen`), or their mixture alone."""
    parts = [p * normal(GRID[:, None], GRID[None], s) for p, s in ((1 - share, RESOLUTION[0]), (share, RESOLUTION[1]))]
    response = np.concatenate(parts) if seen else sum(parts)
    response /= response.sum(axis=0)
    data, found = response @ normal(GRID, 0.0, width), normal(GRID, 0.0, 1.0)
    for _ in range(iterations):
        found = found * (response.T @ (data / (response @ found).clip(min=1e-300)))
    return float(np.sqrt(np.average(GRID**2, weights=found)))


@pytest.mark.parametrize("method", METHODS)
def test_what_tells_the_resolution_brings_the_result_as_much_nearer_to_the_truth_as_it_should(method):
    """Half of the events are well measured: who knows which has gone further after as many iterations."""
    simulation = sample(1, mean=0.0, width=1.0, share=0.5)
    data = sample(2, mean=0.0, width=0.6, share=0.5)
    # Later iterations of a generative model lag behind, as its trainings only go on.
    iterations = {"omnifold": 2, "generative": 1}[method]
    with_f, without = (exact_width(iterations, 0.6, 0.5, seen) for seen in (True, False))
    assert without - with_f > 0.08
    for features, expected in (({"reco": ["f"]}, with_f), ({}, without)):
        inputs = Inputs.from_columns(simulation, data, OBSERVABLES, seed=1, features=features)
        # 0.005 of the data's statistics, 0.009 of the simulation's, and what two trainings differ by.
        assert moments(method, inputs, iterations=iterations, features=features)[1] == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("method", METHODS)
def test_a_feature_that_is_distributed_otherwise_in_the_data_takes_its_bias_away(method):
    """The response moves by 0.8 where f = 1, in 20% of the simulation and 70% of the data: 0.4 on average."""
    simulation = sample(3, mean=0.0, width=1.0, share=0.2, shift=0.8)
    data = sample(4, mean=0.2, width=1.0, share=0.7, shift=0.8)
    truth = data["truth_x"].mean()
    found = {}
    for features in ({}, {"reco": ["f"]}):
        inputs = Inputs.from_columns(simulation, data, OBSERVABLES, seed=1, features=features)
        found[len(features)] = moments(method, inputs, iterations=3, features=features)[0]
    assert found[0] - truth == pytest.approx(0.4, abs=0.1)
    assert found[1] == pytest.approx(truth, abs=0.04)


@pytest.mark.parametrize("method", METHODS)
def test_a_feature_of_pure_noise_changes_no_more_than_a_training_does(method):
    simulation = sample(5, mean=0.0, width=1.0, share=0.0, events=3000)
    data = sample(6, mean=0.3, width=1.0, share=0.0, events=3000)
    edges = np.linspace(-1.5, 2.0, 8)
    found = {}
    for features in ({}, {"reco": ["noise"]}):
        inputs = Inputs.from_columns(simulation, data, OBSERVABLES, seed=1, features=features)
        unfolder = build("unfold", {"kind": method, **METHODS[method], "iterations": 2, "features": features})
        again = [] if features else [Replica("initialisation", i) for i in range(4)]
        rows = list(unfold_all(unfolder, inputs, again, seed=2).rows)
        for replica in (NOMINAL, *again):
            own = [r for r in rows if replica.column() in r]
            x, w = (np.concatenate([r[n] for r in own]) for n in ("truth_x", replica.column()))
            found[str(replica), len(features)] = np.histogram(x, edges, weights=w)[0]
    nominal = found["nominal:0", 0]
    scatter = np.std([h for (name, _), h in found.items() if name.startswith("init")], axis=0, ddof=1)
    change = found["nominal:0", 1] - nominal
    # Two trainings differ by sqrt(2) times the scatter, which four say to some 40%; a tenth of it is the data's error.
    allowed = np.sqrt(2) * scatter + 0.1 * np.sqrt(nominal)
    assert np.sqrt(np.mean((change / allowed) ** 2)) < 2.0
    assert np.sqrt(np.mean(change**2 / nominal)) < 1.5


def tables(folder, *, seed: int = 7) -> tuple[EventTable, EventTable]:
    """Data and simulation; the simulation has a shift that moves f and the acceptance, and a weight."""
    found = []
    for role, mean, events in (("data", 0.3, 1500), ("simulation", 0.0, 2000)):
        columns = sample(seed + (role == "data"), mean=mean, width=1.0, share=0.5, events=events)
        if role == "data":
            columns = {n: v for n, v in columns.items() if "truth" not in n}
        else:
            columns["pass_reco"] = columns["event_id"] % 5 > 0
            columns |= {f"reco_f:jes:{i}": columns["reco_f"] + (1.0, -1.0)[i] for i in range(2)}
            columns |= {f"weight:pdf:{i}": columns["weight"] * (1.1, 0.9)[i] for i in range(2)}
        path = folder / f"{role}.parquet"
        write_table(path, [columns], observables={}, role=role, selection={}, record=Record.for_tests())
        found.append(EventTable(path))
    return found[0], found[1]


def test_networks_see_the_columns_and_what_a_systematic_moves_of_them(tmp_path, monkeypatch):
    data, simulation = tables(tmp_path)
    inputs = Inputs.load(data, simulation, OBSERVABLES, seed=1, features=FEATURES)
    expected = {
        level: np.stack([table.read([f"{level}_{n}"])[f"{level}_{n}"] for n in ("x", *FEATURES[level])], 1)
        for table, level in ((simulation, "truth"), (simulation, "reco"))
    }
    for level, values in expected.items():
        np.testing.assert_array_equal(inputs.seen(level), values)
    assert np.isnan(inputs.seen("reco")[~inputs.pass_reco]).all()
    np.testing.assert_array_equal(inputs.seen("data")[:, 1], data.read(["reco_f"])["reco_f"])
    for index, step in ((0, 1.0), (1, -1.0)):
        moved = inputs.varied(Replica("systematic:jes", index))
        np.testing.assert_array_equal(moved.seen("reco")[:, 1], expected["reco"][:, 1] + step)
        np.testing.assert_array_equal(moved.seen("reco")[:, [0, 2]], expected["reco"][:, [0, 2]])
        assert moved.seen("truth") is not moved.truth
    assert inputs.varied(Replica("systematic:pdf", 0)).features is inputs.features
    pseudo = Inputs.load(data, simulation, OBSERVABLES, seed=1, features=FEATURES, kinds={"pdf": "closure"})
    made = pseudo.varied(Replica("systematic:pdf", 0))
    np.testing.assert_array_equal(made.seen("data"), expected["reco"][inputs.pass_reco])
    np.testing.assert_array_equal(made.seen("reco"), inputs.seen("reco"))
    # Block by block: the same rows, of the nominal and of each variation.
    monkeypatch.setattr(streamed, "ROWS", 700)
    blocks = Blocks.streamed(data, simulation, OBSERVABLES, seed=1, buffer=500, features=FEATURES)
    assert len(blocks) == 3
    for replica in (NOMINAL, Replica("systematic:jes", 1), Replica("mc_bootstrap", 3)):
        for level in ("truth", "reco", "data"):
            whole = inputs.varied(replica).seen(level)
            np.testing.assert_array_equal(np.concatenate([b.varied(replica).seen(level) for b in blocks]), whole)


@pytest.mark.parametrize("method", METHODS)
def test_no_feature_is_what_no_option_gives_bit_by_bit_and_columns_by_themselves_do_nothing(method, tmp_path):
    data, simulation = tables(tmp_path)
    fast = {"iterations": 2, "training": {"epochs": 1, "later_epochs": 1}}
    entry = merged({"kind": method, **METHODS[method]}, fast)
    found = []
    for option in ({}, {"features": {}}, {"features": {"reco": []}}):
        unfolder = build("unfold", entry | option)
        inputs = Inputs.load(data, simulation, OBSERVABLES, seed=1, features=unfolder.features)
        found.append([r["weight"] for r in unfolder.unfold(inputs, [NOMINAL], seed=1).rows])
    columns = [
        {n: t.read([n])[n] for n in t.columns if not n.startswith(("reco_f", "reco_noise", "truth_h"))}
        for t in (simulation, data)
    ]
    bare = Inputs.from_columns(*columns, OBSERVABLES, seed=1)
    found.append([r["weight"] for r in unfolder.unfold(bare, [NOMINAL], seed=1).rows])
    for other in found[1:]:
        np.testing.assert_array_equal(np.concatenate(other), np.concatenate(found[0]))


def test_the_truth_step_of_omnifold_sees_its_features(tmp_path):
    """The data's truth differs in h alone, which x does not show and y measures: with h the weights go by it."""
    rng = np.random.default_rng(9)
    columns = []
    for number, mean in ((0, 0.0), (1, 0.7)):
        h = rng.normal(mean, 1.0, 6000)
        columns.append(
            sample(20 + number, mean=0.0, width=1.0, share=0.0, events=6000)
            | {"truth_h": h, "reco_h": h + 0.2 * rng.standard_normal(6000)}
        )
    found = {}
    for truth in ([], ["h"]):
        features = {"reco": ["h"], "truth": truth}
        inputs = Inputs.from_columns(*columns, OBSERVABLES, seed=1, features=features)
        unfolder = build("unfold", {"kind": "omnifold", **METHODS["omnifold"], "iterations": 2, "features": features})
        (rows,) = unfolder.unfold(inputs, [NOMINAL], seed=1).rows
        found[len(truth)] = np.average(rows["truth_h"], weights=rows["weight"])
    assert found[0] == pytest.approx(columns[0]["truth_h"].mean(), abs=0.1)
    assert found[1] == pytest.approx(columns[1]["truth_h"].mean(), abs=0.05)


def test_what_cannot_be_a_feature_is_refused(tmp_path):
    data, simulation = tables(tmp_path)
    with pytest.raises(ConfigError, match=r"features\.truth: 'x' is unfolded"):
        Inputs.load(data, simulation, OBSERVABLES, seed=1, features={"truth": ["x"]})
    with pytest.raises(InputError, match=r"no column reco_nois; nearest names: reco_noise"):
        Inputs.load(data, simulation, OBSERVABLES, seed=1, features={"reco": ["nois"]})
    with pytest.raises(ConfigError, match=r"bridge with these options maps distributions"):
        build(
            "unfold",
            {
                "kind": "generative",
                "features": {"reco": ["f"]},
                "iterations": 1,
                "model": {"kind": "bridge", "pairing": "unpaired"},
            },
        )
    with pytest.raises(ConfigError, match=r"`inputs: constituents` takes no features"):
        build(
            "unfold",
            {
                "kind": "omnifold",
                "features": {"reco": ["f"]},
                "inputs": "constituents",
                "classifier": "deep_sets",
            },
        )
    # A shift that lets events in, of which there is no value of one feature.
    columns = {n: simulation.read([n])[n] for n in simulation.columns}
    columns |= {f"pass_reco:jes:{i}": columns["pass_truth"] for i in range(2)}
    columns |= {f"reco_{n}:jes:{i}": columns["truth_x"] for i in range(2) for n in ("x", "f")}
    path = tmp_path / "moved.parquet"
    write_table(path, [columns], observables={}, role="simulation", selection={}, record=Record.for_tests())
    moved = Inputs.load(data, EventTable(path), OBSERVABLES, seed=1, features=FEATURES)
    with pytest.raises(InputError, match=r"400 of 2000 accepted events have no reco value.* x, f, noise"):
        moved.varied(Replica("systematic:jes", 0))
