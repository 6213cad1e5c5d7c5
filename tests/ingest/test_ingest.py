"""Ingest: what enters the table of each role, the truth of pseudo-data set apart, selections, and refusals."""

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import pytest

from truthward.errors import ConfigError, InputError
from truthward.events.readers.flat_tree import FlatTree
from truthward.events.table import EventTable
from truthward.ingest.stage import ingest
from truthward.physics.generators.gaussian import Gaussian
from truthward.simulate.stage import simulate
from truthward.study.observable import Observable


@pytest.fixture
def run(tmp_path, record, mass):
    def run(path, role="simulation", closure=False, observables=mass, branches=None, **options):
        output, truth = tmp_path / "t.parquet", tmp_path / "truth.parquet"
        return ingest(
            FlatTree(files=[str(path)], branches=branches or {}, same_names=branches is None),
            output=output,
            closure_output=truth if closure else None,
            observables=observables,
            role=role,
            record=record,
            **options,
        )

    return run


def test_simulation(run, write_root, events, tmp_path):
    given = events(1000)
    done = run(write_root(given, parts=4))["simulation"]
    some = given["pass_truth"] | given["pass_reco"]
    table = EventTable(tmp_path / "t.parquet")
    assert done["events_read"] == 1000
    assert done["rows"] == table.num_rows == some.sum() < 1000
    assert done["accepted"] == {"truth": given["pass_truth"].sum(), "reco": given["pass_reco"].sum()}
    assert done["sum_of_weights"] == pytest.approx(given["weight"][some].sum())
    assert table.metadata["provenance"]["events_in"] == 1000
    assert table.metadata["origin"]["files"] == ["in.root"]
    assert table.metadata["observables"]["m"]["label"] == "mass"
    np.testing.assert_array_equal(table.read(["event_id"])["event_id"], given["event_id"][some])


def test_chunk_size_changes_nothing(run, write_root, events, tmp_path):
    path = write_root(events(3000), parts=7)
    tables = []
    for rows in (100, 999, 100_000):
        run(path, rows=rows, selection={"reco": "reco_m > 2"})
        tables.append(pq.read_table(tmp_path / "t.parquet"))
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])


def test_selection_clears_flags_and_is_recorded(run, write_root, events, tmp_path):
    given = events(1000)
    selection = {"truth": "(truth_m > 2) & (truth_m < 8)", "reco": None}
    run(write_root(given), selection=selection)
    table = EventTable(tmp_path / "t.parquet")
    expected = given["pass_truth"] & (given["truth_m"] > 2) & (given["truth_m"] < 8)
    assert table.read(["pass_truth"])["pass_truth"].sum() == expected.sum()
    assert table.read(["pass_reco"])["pass_reco"].sum() == given["pass_reco"].sum()
    assert table.metadata["selection"] == {"truth": selection["truth"]}


def test_selection_asks_accepted_events_alone(run, write_root, events, tmp_path):
    given = events()
    given["reco_m"][~given["pass_reco"]] = np.nan
    run(write_root(given), selection={"reco": "reco_m > -1000"})
    assert EventTable(tmp_path / "t.parquet").read(["pass_reco"])["pass_reco"].sum() == given["pass_reco"].sum()
    row = np.flatnonzero(given["pass_reco"])[0]
    given["reco_m"][row] = np.nan
    # The selection would drop it in silence: NaN > x is false.
    with pytest.raises(InputError, match=rf"reco_m: 1 of .* where pass_reco is true, first at entry {row}"):
        run(write_root(given), selection={"reco": "reco_m > -1000"})


def test_empty_selection(run, write_root, events, nothing_left):
    path = write_root(events())
    with pytest.raises(InputError, match=r"in.root: no event is accepted at reco level: 200 read.*reco_m > 1e6"):
        run(path, selection={"reco": "reco_m > 1e6"})
    given = events()
    given["pass_truth"][:] = False
    with pytest.raises(InputError, match="no event is accepted at truth level"):
        run(write_root(given))


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"reco": "truth_m > 1"}, "truth_m is no column of this level"),
        ({"gen": "truth_m > 1"}, "no such level"),
        ({"reco": "reco_m"}, "is a number; write a condition"),
    ],
)
def test_selections_that_make_no_sense(run, write_root, events, selection, message, nothing_left):
    with pytest.raises(ConfigError, match=message):
        run(write_root(events()), selection=selection)


def test_selection_of_unknown_column(run, write_root, events, nothing_left):
    with pytest.raises(InputError, match=r"selection\.reco: no column reco_mass; nearest names: .*reco_m"):
        run(write_root(events()), selection={"reco": "reco_mass > 1"})


def test_data_with_undeclared_truth(run, write_root, events, nothing_left):
    given = events()
    with pytest.raises(InputError, match=r"must not have truth columns, but has pass_truth, truth_m;.*closure: true"):
        run(write_root(given), role="data")
    # Not mapped, but there for all to see.
    with pytest.raises(InputError, match="must not have truth columns"):
        run(write_root(given), role="data", branches={"reco_m": "reco_m"})


def test_closure_truth_is_set_apart(run, write_root, events, tmp_path):
    given = events(500)
    done = run(write_root(given), role="data", closure=True)
    data, truth = EventTable(tmp_path / "t.parquet"), EventTable(tmp_path / "truth.parquet")
    assert (data.role, truth.role) == ("data", "closure_truth")
    assert data.columns == ["pass_reco", "weight", "process", "event_id", "split", "reco_m"]
    assert truth.columns == ["pass_truth", "weight", "process", "event_id", "split", "truth_m"]
    assert "truth" not in str(data.metadata["origin"]["branches"])
    for table, level in ((data, "reco"), (truth, "truth")):
        mask, values = table.level(level, ["m"])
        assert mask.all()
        np.testing.assert_array_equal(values[:, 0], given[f"{level}_m"][given[f"pass_{level}"]])
        np.testing.assert_array_equal(table.read(["weight"])["weight"], given["weight"][given[f"pass_{level}"]])
    assert set(done) == {"data", "closure_truth"}


def test_data_does_not_know_its_process(run, write_root, events, tmp_path):
    path = write_root(events(100) | {"is_background": np.arange(100) % 2 == 0})
    run(path, role="data", closure=True)
    assert set(EventTable(tmp_path / "t.parquet").read(["process"])["process"]) == {"signal"}
    run(path)
    assert set(EventTable(tmp_path / "t.parquet").read(["process"])["process"]) == {"signal", "background"}


def test_chunks_of_the_generator_change_nothing(tmp_path, record):
    tables = []
    for chunks in (1, 3):
        files = [tmp_path / f"{chunks}.{chunk}.root" for chunk in range(chunks)]
        for chunk, path in enumerate(files):
            options = {"events": 900, "seed": 1, "sample": "s", "block": 300, "record": record}
            simulate(Gaussian(), path=path, chunk=chunk, chunks=chunks, **options)
        reader = FlatTree(files=[str(path) for path in files], same_names=True)
        ingest(reader, output=tmp_path / "t.parquet", observables=[], role="simulation", record=record)
        tables.append(pq.read_table(tmp_path / "t.parquet"))
    assert tables[0].num_rows == 900
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize("numbered", [True, False], ids=["with ids", "without ids"])
def test_a_file_split_into_fifty_changes_no_event(write_root, events, mass, record, tmp_path, numbered):
    given = events(500)
    if not numbered:
        del given["event_id"]
    whole = [write_root(given, "whole.root")]
    split = [write_root({n: v[k::50] for n, v in given.items()}, f"{k}.root") for k in range(50)]
    tables = []
    for files in (whole, split, split[::-1]):
        reader = FlatTree(files=[str(path) for path in files], same_names=True)
        ingest(reader, output=tmp_path / "t.parquet", observables=mass, role="simulation", record=record)
        tables.append(pq.read_table(tmp_path / "t.parquet"))
    # Rows come as the files do; what an event is, its split and all that is drawn for it, goes by its id.
    keys = ["event_id"] if numbered else ["truth_m", "reco_m"]
    ordered = [table.sort_by([(key, "ascending") for key in keys]) for table in tables]
    names = [name for name in ordered[0].column_names if numbered or name not in ("event_id", "split")]
    assert ordered[1].select(names).equals(ordered[0].select(names))
    assert tables[1].sort_by("event_id").equals(tables[2].sort_by("event_id"))


def test_declared_truth_must_be_there(run, write_root, events, nothing_left):
    given = {name: values for name, values in events().items() if "truth" not in name}
    with pytest.raises(InputError, match=r"closure: true.*no truth_"):
        run(write_root(given), role="data", closure=True)


def test_observable_must_be_there_at_both_levels(run, write_root, events, mass, tmp_path):
    given = events() | {"truth_z": np.ones(200)}
    path = write_root(given)
    wanted = [*mass, Observable(name="z", range=(0, 1), bins=2)]
    with pytest.raises(InputError, match=r"in.root: has no column reco_z, but the observable z needs it"):
        run(path, observables=wanted)
    assert not (tmp_path / "t.parquet").exists()
    # Not unfolded, it is carried at the level that has it.
    run(path)
    assert "truth_z" in EventTable(tmp_path / "t.parquet").columns


def test_nan_and_duplicates_of_a_file(run, write_root, events, nothing_left):
    given = events()
    row = np.flatnonzero(given["pass_reco"])[4]
    given["reco_m"][row] = np.inf
    with pytest.raises(InputError, match=rf"in\.root: reco_m: 1 of .* first at entry {row}"):
        run(write_root(given), rows=16)
    given = events()
    given["event_id"][100:] = given["event_id"][:100]
    with pytest.raises(InputError, match=r"in\.root: event_id: \d+ of \d+ rows have the id of another"):
        run(write_root(given), rows=16)


def test_jagged_branch_as_an_observable(run, write_root, events, nothing_left):
    given = events(10) | {"jets": ak.unflatten(np.ones(30, np.float32), np.full(10, 3))}
    with pytest.raises(InputError, match=r"reco_m: not one number per event.*take one element"):
        run(write_root(given), branches={"truth_m": "truth_m", "reco_m": "jets"})


def test_foreign_files(shared_data, tmp_path, record):
    wanted = [Observable(name=n, range=(0, 1), bins=2) for n in ("m", "M", "w", "ln_rho", "tau21", "zg")]
    roles = {"simulation": "simulation", "pseudodata": "data", "pseudodata_truth": "closure_truth"}
    for name, role in roles.items():
        reader = FlatTree(files=[str(shared_data / "zjets" / f"{name}.root")], same_names=True)
        ingest(reader, output=tmp_path / f"{role}.parquet", observables=wanted, role=role, record=record)
    simulation = EventTable(tmp_path / "simulation.parquet")
    mask, values = simulation.level("truth", ["m", "zg"])
    assert mask.sum() == 187_944
    assert values[mask].min() > -1, "the sentinels -99 must be gone"
    assert EventTable(tmp_path / "data.parquet").num_rows == 184_570
    assert EventTable(tmp_path / "closure_truth.parquet").num_rows == 184_901


def test_pseudo_data_are_read_once_and_as_two_samples_would_be(run, write_root, events, tmp_path, monkeypatch):
    """One pass through the files writes both tables; each is what a pass for this role alone writes."""
    given = events(2000)
    path = write_root(given | {"reco_m:jes:0": given["reco_m"] * 1.1}, parts=3)
    levels, whole = [], FlatTree.batches
    monkeypatch.setattr(
        FlatTree, "batches", lambda self, asked, **o: levels.append(tuple(asked)) or whole(self, asked, **o)
    )
    selection = {"truth": "truth_m > 2", "reco": "reco_m > 3"}
    done = run(path, role="data", closure=True, rows=700, selection=selection)
    assert levels == [("truth", "reco")]
    assert list(done) == ["data", "closure_truth"]
    truth = pq.read_table(tmp_path / "truth.parquet")
    alone = run(path, role="closure_truth", selection=selection)["closure_truth"]
    assert truth.equals(pq.read_table(tmp_path / "t.parquet"))
    assert done["closure_truth"] == alone
    data = write_root({n: v for n, v in given.items() if "truth" not in n}, name="reco.root", parts=3)
    run(path, role="data", closure=True, selection=selection)
    both = pq.read_table(tmp_path / "t.parquet").drop_columns("event_id")
    assert done["data"] == run(data, role="data", selection=selection)["data"]
    assert both.equals(pq.read_table(tmp_path / "t.parquet").drop_columns("event_id"))
