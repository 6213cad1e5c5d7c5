"""OmniFold on more events than it may hold: what it finds in memory, block by block."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tests.options import merged
from truthward.errors import ConfigError
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.events.unfolded import Unfolded, gather
from truthward.learn.resume import Interrupted
from truthward.physics.generators.gaussian import Gaussian
from truthward.run.provenance import Record
from truthward.study.observable import Observable
from truthward.study.plugins import build
from truthward.unfold.inputs import streamed as module
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica
from truthward.unfold.inputs.streamed import Blocks, Store
from truthward.unfold.omnifold import iterations as chain
from truthward.unfold.omnifold import steps
from truthward.unfold.omnifold.iterations import CURVE, Curve
from truthward.unfold.stage import unfold_all, unfold_nominal, unfold_part

ROWS = 1500
OBSERVABLES = [Observable(name=n, range=(-4.0, 4.0), bins=20) for n in ("x0", "x1")]
FAST = {
    "kind": "omnifold",
    "iterations": 2,
    "network": {"width": 16, "activation": "silu"},
    "training": {"epochs": 4, "later_epochs": 2, "batch_size": 128, "learning_rate": 0.01},
}
# One batch an epoch: a training does not depend on the order of its events.
WHOLE = merged(FAST, {"training": {"batch_size": 10**6, "learning_rate": 0.02}})
REPLICAS = [
    Replica("data_bootstrap", 0),
    Replica("mc_bootstrap", 1),
    Replica("initialisation", 0),
    Replica("systematic:jes", 0),
    Replica("systematic:norm", 1),
    Replica("combined", 0),
]
SYSTEMATICS = {"jes": {"bias": 0.2}, "norm": {"background": 0.5}}

Tables = tuple[EventTable, EventTable]


def tables(folder: Path, events: int, simulated: int, **options) -> Tables:
    """Data and simulation."""
    found = []
    for role, mean, count in (("data", 0.3, events), ("simulation", 0.0, simulated)):
        more = {"systematics": SYSTEMATICS} if role == "simulation" else {}
        generator = Gaussian(mean=mean, dimensions=2, expected=float(events), **options, **more)
        columns = generator.draw(count, np.random.default_rng(len(role)))
        columns = {name.replace("__", ":"): v for name, v in columns.items() if role != "data" or "truth" not in name}
        columns["process"] = np.where(columns["process"] == 0, "signal", "background")
        columns["event_id"] = np.arange(count, dtype=np.uint64) + np.uint64(10**9 * (role == "data"))
        write_table(
            folder / f"{role}.parquet", [columns], observables={}, role=role, selection={}, record=Record.for_tests()
        )
        found.append(EventTable(folder / f"{role}.parquet"))
    return found[0], found[1]


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Tables:
    return tables(tmp_path_factory.mktemp("toy"), 2500, 4000, background=0.05)


@pytest.fixture
def small(monkeypatch) -> None:
    """Blocks of some hundred rows."""
    monkeypatch.setattr(module, "ROWS", ROWS)


def streamed(pair: Tables, buffer: int = 10**6) -> Blocks:
    return Blocks.streamed(*pair, OBSERVABLES, seed=1, buffer=buffer)


def weights(entry: dict, inputs: Inputs | Blocks, replicas: list[Replica], **more) -> dict[str, np.ndarray]:
    rows = list(unfold_all(build("unfold", entry), inputs, replicas, seed=1, **more).rows)
    return {name: np.concatenate([r[name] for r in rows]) for name in rows[0]}


def test_blocks_hold_every_event_once_and_vary_it_as_the_whole(toy, small):
    whole, blocks = Inputs.load(*toy, OBSERVABLES, seed=1), streamed(toy)
    assert len(blocks) == 3
    assert max(len(b.weight) for b in blocks) <= ROWS
    for replica in (NOMINAL, *REPLICAS):
        expected, found = whole.varied(replica), [b.varied(replica) for b in blocks]
        for name in ("truth", "reco", "pass_reco", "weight", "signal", "event_id", "data_reco", "data_weight"):
            joined = np.concatenate([getattr(b, name) for b in found])
            np.testing.assert_array_equal(joined, getattr(expected, name), err_msg=f"{name} of {replica}")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fakes": "share", "training": {"start": "cold"}},
        {"background": "subtract", "training": {"patience": 30}},
    ],
    ids=["default", "share", "subtract and held out"],
)
def test_responses_are_those_in_memory(toy, small, options):
    """Nothing is trained: what is left of a difference is that of float32 from float64."""
    inputs = Inputs.load(*toy, OBSERVABLES, seed=1), streamed(toy)
    unfolder = build("unfold", merged(FAST, options))
    trained = unfolder.unfold(inputs[0], [NOMINAL], seed=1).trained
    whole, found = (unfolder.unfold(i, REPLICAS[:2], seed=1, nominal=trained) for i in inputs)
    rows = [list(r.rows) for r in (whole, found)]
    for replica in REPLICAS[:2]:
        a, b = (np.concatenate([r[replica.column()] for r in part]) for part in rows)
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-9)
        assert (np.abs(a) > 1e-9).any()
    for a, b in zip(whole.history, found.history, strict=True):
        assert set(a) == set(b)
        numbers = [{n: v for n, v in h.items() if isinstance(v, float)} for h in (a, b)]
        assert numbers[1] == pytest.approx(numbers[0], rel=1e-4, abs=1e-5)


def test_trainings_are_those_in_memory(toy, small, monkeypatch):
    monkeypatch.setattr(steps, "BATCHES", 1)
    entry, replicas = WHOLE | {"replicas": {"by": "training"}}, REPLICAS[1:]
    whole = weights(entry, Inputs.load(*toy, OBSERVABLES, seed=1), replicas)
    found = weights(entry, streamed(toy), replicas)
    np.testing.assert_array_equal(found["event_id"], whole["event_id"])
    for replica in (NOMINAL, *replicas):
        name = replica.column()
        np.testing.assert_allclose(found[name], whole[name], rtol=2e-2, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(found[name].sum(), whole[name].sum(), rtol=5e-3)
    change = whole["weight"] / Inputs.load(*toy, OBSERVABLES, seed=1).weight[0]
    assert np.abs(change - change.mean()).max() > 0.15
    moved = [np.abs(whole[r.column()] / whole["weight"] - 1.0).max() for r in replicas]
    assert min(moved) > 0.03


def test_stops_by_the_same_rule(toy, small, monkeypatch):
    monkeypatch.setattr(steps, "BATCHES", 1)
    entry = WHOLE | {"iterations": 6, "stop": {"rule": "change", "tolerance": 2.0}}
    inputs = Inputs.load(*toy, OBSERVABLES, seed=1), streamed(toy)
    whole, found = (build("unfold", entry).unfold(i, [NOMINAL], seed=1) for i in inputs)
    assert found.iterations == whole.iterations < 6
    for a, b in zip(whole.history, found.history, strict=True):
        assert set(a) == set(b)
        assert b["change"] == pytest.approx(a["change"], rel=0.1)
        for level in ("reco", "truth"):
            assert b["reliability"][level]["ndf"] == a["reliability"][level]["ndf"]


def test_a_small_buffer_stays_within_the_spread_of_trainings(toy, small):
    inits = [Replica("initialisation", i) for i in range(4)]
    whole = weights(FAST, Inputs.load(*toy, OBSERVABLES, seed=1), inits)
    found = weights(FAST, streamed(toy, buffer=1500), [])
    bins = np.linspace(-2.0, 2.5, 10)

    def content(of, replica=NOMINAL):
        return np.histogram(of["truth_x0"], bins, weights=of[replica.column()])[0]

    members = np.array([content(whole, r) for r in (NOMINAL, *inits)])
    spread = np.maximum(members.std(axis=0, ddof=1), 0.01 * members.mean(axis=0))
    assert (np.abs(content(found) - members.mean(axis=0)) < 5.0 * spread).all()
    prior = np.histogram(found["truth_x0"], bins)[0] * members.mean(axis=0).sum() / len(found["truth_x0"])
    assert not (np.abs(prior - members.mean(axis=0)) < 5.0 * spread).all()


def test_yield_is_that_of_the_data(tmp_path, small):
    pair = tables(tmp_path, 1500, 2500, fakes=[0.0, 0.0])
    found = weights(FAST, streamed(pair, buffer=900), [Replica("mc_bootstrap", 0)])
    inputs = Inputs.load(*pair, OBSERVABLES, seed=1)
    matched = inputs.pass_reco[inputs.fiducial]
    for name in ("weight", "replica:mc_bootstrap:0"):
        assert found[name][matched].sum() == pytest.approx(inputs.data_weight.sum(), rel=1e-6)


def test_memory_does_not_grow_with_the_sample(tmp_path, small, monkeypatch):
    monkeypatch.setattr(module, "PILOT", 500)
    monkeypatch.setattr(chain, "CURVE", 500)
    peaks, short = [], merged(FAST, {"training": {"epochs": 1, "later_epochs": 1}})
    for count in (4000, 16000):
        (tmp_path / str(count)).mkdir()
        blocks = streamed(tables(tmp_path / str(count), count, count), buffer=1000)
        tracemalloc.start()
        result = build("unfold", short).unfold(blocks, [NOMINAL], seed=1)
        assert sum(len(r["weight"]) for r in result.rows) > count // 2
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_interrupted_goes_on_to_the_same_weights(toy, small, tmp_path, monkeypatch):
    undisturbed = weights(FAST, streamed(toy, buffer=1500), [])
    calls, real = [], steps.fit_source

    def stopped(*args, **kwargs):
        calls.append(1)
        if len(calls) == 4:
            raise Interrupted([15], None)
        return real(*args, **kwargs)

    monkeypatch.setattr(steps, "fit_source", stopped)
    unfolder = build("unfold", FAST)
    with pytest.raises(Interrupted):
        unfolder.unfold(streamed(toy, buffer=1500), [NOMINAL], seed=1, state=tmp_path, key="k")
    (tmp_path / "scratch").mkdir(exist_ok=True)
    (tmp_path / "scratch" / "nu.0.npy").write_bytes(b"half a file")
    result = unfolder.unfold(streamed(toy, buffer=1500), [NOMINAL], seed=1, state=tmp_path, key="k")
    again = np.concatenate([r["weight"] for r in result.rows])
    np.testing.assert_array_equal(again, undisturbed["weight"])
    assert len(calls) == 8
    assert list(tmp_path.rglob("*.pt"))
    del result
    assert not (tmp_path / "scratch").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"folds": 2},
        {"calibrate": "isotonic"},
        {"background": "positive"},
        {"inputs": "constituents", "classifier": "deep_sets"},
    ],
)
def test_what_needs_all_events_is_refused_before_anything_is_read(toy, tmp_path, monkeypatch, options):
    monkeypatch.setattr(Blocks, "streamed", lambda *_, **__: pytest.fail("work began"))
    name = next(iter(options))
    with pytest.raises(ConfigError, match=f"{name}.*raise `buffer` to 6500"):
        unfold_nominal(
            trained=tmp_path / "t",
            output=tmp_path / "o",
            record=Record.for_tests(),
            **task(toy, tmp_path, {"buffer": 6499} | options),
        )
    assert not build("unfold", {"kind": "omnifold", "buffer": 6500} | options).streams(6500)


def task(pair: Tables, folder: Path, options: dict) -> dict:
    return {
        "entry": {"kind": "omnifold"} | options,
        "method": "m",
        "data": pair[0].path,
        "simulation": pair[1].path,
        "observables": OBSERVABLES,
        "families": {"data_bootstrap": 2, "systematic:jes": 2},
        "seed": 1,
        "state": folder / "state",
        "key": "k",
    }


def test_jobs_stream_from_tables_to_one_result(toy, small, tmp_path):
    given = task(toy, tmp_path, FAST | {"buffer": 2000})
    parts = [tmp_path / f"{n}.parquet" for n in ("nominal", "0")]
    unfold_nominal(trained=tmp_path / "n.safetensors", output=parts[0], record=Record.for_tests(), **given)
    unfold_part(job=0, jobs=1, nominal=tmp_path / "n.safetensors", output=parts[1], record=Record.for_tests(), **given)
    gather(parts, tmp_path / "u.parquet", record=Record.for_tests())
    unfolded = Unfolded(tmp_path / "u.parquet")
    inputs = Inputs.load(*toy, OBSERVABLES, seed=1)
    assert unfolded.num_rows == inputs.fiducial.sum()
    assert not list(tmp_path.glob("state*"))


def test_scratch_without_a_state_is_removed():
    store = Store.scratch(None)
    store["nu", 3] = np.ones((2, 1))
    folder = store._folder
    assert store["nu", 3].dtype == np.float64
    assert folder.is_dir()
    del store
    assert not folder.exists()


def test_a_curve_keeps_its_share_of_a_block_and_not_the_block() -> None:
    curve, block = Curve(4 * CURVE), np.arange(10.0)
    curve.add(block, block > 3)
    assert all(part.base is None for parts in curve._kept for part in parts)
    np.testing.assert_array_equal(curve.events()[0], [0.0, 5.0])
