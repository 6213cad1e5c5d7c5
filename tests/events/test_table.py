"""The event table: round trip, null semantics, the contract's refusals, and nothing half-written."""

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import pytest

from truthward.errors import CorruptError, InputError
from truthward.events.contract import level_of
from truthward.events.parquet import ROW_GROUP
from truthward.events.split import FRACTIONS, split_of
from truthward.events.table import EventTable
from truthward.events.table_write import write_table


@pytest.fixture
def write(tmp_path, record):
    def write(batches, role="simulation", **options):
        path = tmp_path / "t.parquet"
        options = {"observables": {"m": {"label": "mass", "unit": "GeV"}}, "selection": {}, "record": record} | options
        write_table(path, batches, role=role, **options)
        return EventTable(path)

    return write


def test_round_trip(write, events):
    given = events(300)
    table = write([given], selection={"reco": "reco_m > 0"})
    assert table.num_rows == 300
    assert table.role == "simulation"
    assert table.observables == ["m"]
    assert table.metadata["observables"]["m"] == {"label": "mass", "unit": "GeV"}
    assert table.metadata["selection"] == {"reco": "reco_m > 0"}
    assert table.metadata["provenance"]["sum_of_weights"] == pytest.approx(given["weight"].sum())
    assert table.metadata["provenance"]["sum_of_squared_weights"] == pytest.approx((given["weight"] ** 2).sum())
    back = table.read(table.columns)
    for name in ("pass_truth", "pass_reco", "weight", "event_id"):
        np.testing.assert_array_equal(back[name], given[name])
        assert back[name].dtype == given[name].dtype
    assert set(back["process"]) == {"signal"}
    np.testing.assert_array_equal(back["split"], split_of(given["event_id"]))
    mask, values = table.level("reco", ["m"])
    np.testing.assert_array_equal(mask, given["pass_reco"])
    np.testing.assert_array_equal(values[mask, 0], given["reco_m"][mask])
    assert values.dtype == np.float32
    assert np.isnan(values[~mask]).all()


def test_sentinels_become_null_not_nan(write, events):
    given = events()
    given["reco_m"][~given["pass_reco"]] = np.nan
    column = pq.read_table(write([given]).path).column("reco_m")
    assert column.null_count == (~given["pass_reco"]).sum()
    assert not np.isnan(column.drop_null().to_numpy()).any()


def test_file_does_not_depend_on_the_batches(write, events):
    whole = [events(1000, first=i) for i in range(0, 70_000, 1000)]
    one = {name: np.concatenate([part[name] for part in whole]) for name in whole[0]}
    table = write([one])
    first = pq.read_table(table.path)
    groups = [pq.ParquetFile(table.path).metadata.row_group(i).num_rows for i in range(2)]
    assert groups == [ROW_GROUP, 70_000 - ROW_GROUP]
    again = write(whole)
    assert pq.read_table(again.path).equals(first)
    assert [pq.ParquetFile(again.path).metadata.row_group(i).num_rows for i in range(2)] == groups
    parts = list(again.batches(["event_id"], rows=999))
    assert max(len(part["event_id"]) for part in parts) == 999
    np.testing.assert_array_equal(np.concatenate([part["event_id"] for part in parts]), np.arange(70_000))


def test_constituents_round_trip_through_slices(write, events):
    given = events(101)
    counts = np.arange(101) % 4
    for column in ("pt", "eta"):
        given[f"reco_constituents_{column}"] = ak.unflatten(np.arange(counts.sum(), dtype=np.float32), counts)
    table = write([given])
    assert table.observables == ["m"]
    for rows in (101, 8, 9):  # Slices at and off the multiples of eight of the validity bits.
        back = ak.concatenate([part["reco_constituents_pt"] for part in table.batches(rows=rows)])
        expected = ak.mask(given["reco_constituents_pt"], given["pass_reco"])
        assert ak.to_list(back) == ak.to_list(expected)
    assert write(table.batches(rows=7)).num_rows == 101


def test_constituents_of_different_lengths(write, events, nothing_left):
    given = events(50)
    given["pass_reco"][:] = True
    given["reco_m"][:] = 1.0
    given["reco_constituents_pt"] = ak.unflatten(np.ones(100), np.full(50, 2))
    given["reco_constituents_eta"] = ak.unflatten(np.ones(100), np.array([3, 1] + [2] * 48))
    with pytest.raises(InputError, match="different numbers of constituents in 2 events, first at entries 0, 1"):
        write([given])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nonfinite_where_accepted_is_refused(write, events, bad, nothing_left):
    given = events()
    rows = np.flatnonzero(given["pass_truth"])[[3, 5]]
    given["truth_m"][rows] = bad
    with pytest.raises(InputError, match=rf"truth_m: 2 of 200 values .* where pass_truth .*{rows[0]}, {rows[1]}"):
        write([given])


def test_a_number_too_large_for_the_table_is_refused(write, events, nothing_left):
    given = events()
    given["truth_m"] = given["truth_m"].astype(np.float64)
    given["truth_m"][np.flatnonzero(given["pass_truth"])[0]] = 1e39
    with pytest.raises(InputError, match="truth_m: 1 of 200"):
        write([given])


def test_negative_and_zero_weights_are_legal_nan_is_not(write, events, tmp_path):
    given = events()
    assert (given["weight"] < 0).any()
    assert (given["weight"] == 0).any()
    np.testing.assert_array_equal(write([given]).read(["weight"])["weight"], given["weight"])
    given["weight"][7] = np.nan
    before = (tmp_path / "t.parquet").read_bytes()
    with pytest.raises(InputError, match=r"weight: 1 of 200 .* first at entry 7"):
        write([given])
    assert (tmp_path / "t.parquet").read_bytes() == before, "a refused write must leave the earlier table alone"


def test_mismatched_lengths(write, events, nothing_left):
    given = events()
    given["reco_m"] = given["reco_m"][:-3]
    with pytest.raises(InputError, match="reco_m has 197 rows where event_id has 200"):
        write([given])


@pytest.mark.parametrize("far", [False, True])
def test_duplicated_ids_within_and_across_batches(write, events, far, nothing_left):
    first, second = events(100), events(100, first=100)
    (second if far else first)["event_id"][99] = 42
    with pytest.raises(InputError, match="1 of 200 rows have the id of another row, such as 42"):
        write([first, second])


def test_ids_that_are_not_whole_numbers(write, events, nothing_left):
    for ids in (np.arange(200) - 1, np.arange(200) + 0.5, np.arange(200) + 2.0**60):
        with pytest.raises(InputError, match="event_id"):
            write([events() | {"event_id": ids}])


def test_ids_keep_all_64_bits(write, events):
    ids = np.arange(200, dtype=np.uint64) + np.uint64(2**63)
    np.testing.assert_array_equal(write([events() | {"event_id": ids}]).read(["event_id"])["event_id"], ids)


def test_a_failure_midway_leaves_nothing(write, events, nothing_left):
    def broken():
        for first in range(0, 140_000, 20_000):
            yield events(20_000, first=first)
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        write(broken())


def test_roles_keep_truth_and_data_apart(write, events, nothing_left):
    given = events()
    with pytest.raises(InputError, match="role data cannot have the columns pass_truth, truth_m"):
        write([given], role="data")
    with pytest.raises(InputError, match="role simulation needs the columns pass_truth"):
        write([{name: values for name, values in given.items() if level_of(name) != "truth" and name != "pass_truth"}])
    with pytest.raises(InputError, match="role 'dta' given; valid: simulation, background, data, closure_truth"):
        write([given], role="dta")
    with pytest.raises(InputError, match="cannot have the columns surprise"):
        write([given | {"surprise": given["weight"]}])


def test_empty_and_uneven_streams(write, events, nothing_left):
    with pytest.raises(InputError, match="no event is left"):
        write([])
    with pytest.raises(InputError, match="no event is left"):
        write([{name: values[:0] for name, values in events().items()}])
    with pytest.raises(InputError, match="some batches have these columns and others do not: reco_x"):
        write([events(10), events(10, first=10) | {"reco_x": np.ones(10)}])


def test_flags_must_be_flags(write, events, nothing_left):
    with pytest.raises(InputError, match="pass_reco: 1 values are neither 0 nor 1, first at entry 3"):
        write([events(10) | {"pass_reco": np.array([0, 1, 1, 7, 0, 1, 1, 1, 0, 0])}])


def test_opening_what_is_no_table(tmp_path, write, events):
    with pytest.raises(InputError, match=r"no such file \(event table\)"):
        EventTable(tmp_path / "none.parquet")
    table = write([events()])
    with pytest.raises(InputError, match=r"no column reco_mass; nearest names: .*reco_m"):
        table.read(["reco_mass"])
    half = tmp_path / "half.parquet"
    half.write_bytes(table.path.read_bytes()[:-100])
    with pytest.raises(CorruptError, match=r"half.parquet"):
        EventTable(half)
    pq.write_table(pq.read_table(table.path), tmp_path / "plain.parquet")
    with pytest.raises(InputError, match="no event table"):
        EventTable(tmp_path / "plain.parquet")


def test_split_has_its_fractions_and_is_stable():
    ids = np.arange(100_000, dtype=np.uint64)
    split = split_of(ids)
    found = np.bincount(split, minlength=3) / len(ids)
    # Five binomial standard deviations.
    assert np.abs(found - FRACTIONS).max() < 5 * np.sqrt(0.24 / len(ids))
    np.testing.assert_array_equal(split_of(ids[:1000]), split[:1000])
    np.testing.assert_array_equal(split_of(ids[::-1]), split[::-1])
