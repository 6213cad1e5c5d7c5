"""Slices and backgrounds in one table: absolute weights, processes, ids of their own; what does not go together."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.ingest import slices
from truthward.errors import InputError
from truthward.events.contract import Batch
from truthward.events.split import split_of
from truthward.events.table import EventTable
from truthward.events.table_write import ROW_GROUP, table_sink
from truthward.ingest import merge as module
from truthward.ingest.merge import merge
from truthward.ingest.sanity import examine
from truthward.ingest.stage import ingest
from truthward.ingest.summary import summarise
from truthward.study import checks
from truthward.study.config import Config
from truthward.study.observable import observables_from
from truthward.study.plugins import build


def ingested(config: Config, name: str, folder: Path, record: Any) -> EventTable:
    """The table of a sample, as the rules make it."""
    sample = config.samples[name]
    read = {**sample.read, "files": [str(folder / file) for file in sample.read["files"]]}
    ingest(
        build("events.readers", read),
        output=folder / f"{name}.parquet",
        observables=observables_from(config.observable_list()),
        role=sample.role,
        process=name if sample.role == "background" else None,
        normalisation=config.normalisation(name),
        certified=folder / sample.certified if sample.certified else None,
        part=name in config.merged(),
        record=record,
    )
    return EventTable(folder / f"{name}.parquet")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder of the files and tables, and the config."""
    from truthward.run.provenance import Record

    folder = tmp_path_factory.mktemp("slices")
    config = checks.parse(slices.make(folder))
    for name in config.samples:
        ingested(config, name, folder, Record.for_tests())
    return folder, config


@pytest.fixture
def merged(made, record):
    folder, config = made
    tables = {name: EventTable(folder / f"{name}.parquet") for name in config.merged()}
    rows = merge(tables, output=folder / "prediction.parquet", table_out=folder / "samples.csv", record=record)
    return EventTable(folder / "prediction.parquet"), rows


def test_sums_of_weights_are_cross_section_times_luminosity_times_acceptance(merged) -> None:
    table, _ = merged
    found = table.read(["weight", "process", "pass_truth", "pass_reco"])
    for process in ("signal", *slices.BACKGROUNDS):
        weight = found["weight"][(found["process"] == process) & found["pass_reco"]]
        error = float(np.sqrt((weight**2).sum()))
        assert weight.sum() == pytest.approx(slices.LUMINOSITY * slices.accepted(process), abs=4 * error)
        assert error < 0.02 * weight.sum()
    weight = found["weight"][found["pass_truth"]]
    error = float(np.sqrt((weight**2).sum()))
    assert weight.sum() == pytest.approx(slices.LUMINOSITY * slices.FIDUCIAL, abs=4 * error)
    assert not found["pass_truth"][found["process"] != "signal"].any()


def test_ids_are_of_sample_and_event(merged, made) -> None:
    table, _ = merged
    folder, config = made
    ids = table.read(["event_id", "split"])
    own = [EventTable(folder / f"{name}.parquet").read(["event_id"])["event_id"] for name in config.merged()]
    assert np.unique(np.concatenate(own)).size < table.num_rows == np.unique(ids["event_id"]).size
    np.testing.assert_array_equal(ids["split"], split_of(ids["event_id"]))


def test_an_event_keeps_its_id_when_samples_come_and_go(merged, made, record, tmp_path) -> None:
    folder, _ = made
    tables = {name: EventTable(folder / f"{name}.parquet") for name in ("middle", "ttbar")}
    merge(tables, output=tmp_path / "m.parquet", table_out=tmp_path / "m.csv", record=record)
    fewer, more = (
        set(t.read(["event_id"])["event_id"].tolist()) for t in (EventTable(tmp_path / "m.parquet"), merged[0])
    )
    assert fewer < more


def test_the_table_of_samples(merged, made) -> None:
    folder, _ = made
    table, rows = merged
    assert table.metadata["samples"] == rows
    assert (
        rows["low"]["accepted"]["truth"] == EventTable(folder / "low.parquet").read(["pass_truth"])["pass_truth"].sum()
    )
    assert sum(r["sum_of_weights"]["reco"] for r in rows.values()) == pytest.approx(
        float(table.read(["weight"])["weight"][table.read(["pass_reco"])["pass_reco"]].sum())
    )
    assert rows["middle"]["k_factor"] == 1.25
    with (folder / "samples.csv").open(encoding="utf-8") as file:
        assert [line["sample"] for line in csv.DictReader(file)] == [*slices.EDGES, *slices.BACKGROUNDS]


def test_the_samples_pass_the_checks_and_are_in_the_summary(merged, made) -> None:
    folder, config = made
    observables, data = observables_from(config.observable_list()), EventTable(folder / "data.parquet")
    flags = examine(("prediction", merged[0]), ("data", data), observables, seed=1)
    assert flags == {"prediction": [], "data": []}
    assert summarise(merged[0], data, observables)["samples"] == merged[1]


def test_rows_come_group_by_group(merged, made, monkeypatch, record, tmp_path) -> None:
    """What is held in memory does not grow with the samples."""
    folder, _ = made
    sizes: list[int] = []
    rows = module._rows

    def watched(*given: Any) -> Any:
        for batch in rows(*given):
            sizes.append(len(batch["event_id"]))
            yield batch

    monkeypatch.setattr(module, "_rows", watched)
    big = {"low": enlarged(EventTable(folder / "low.parquet"), tmp_path / "low.parquet", record, times=8)}
    big["ttbar"] = EventTable(folder / "ttbar.parquet")
    merge(big, output=tmp_path / "m.parquet", table_out=tmp_path / "m.csv", record=record)
    assert max(sizes) == ROW_GROUP < sum(sizes) == EventTable(tmp_path / "m.parquet").num_rows


def rewritten(
    table: EventTable, path: Path, record: Any, change: Callable[[dict[str, Any]], Any], role: str = ""
) -> EventTable:
    """A copy of a table with other columns."""
    with table_sink(path, role=role or table.role) as sink:
        for batch in table.batches():
            columns = dict(batch)
            change(columns)
            sink.add(Batch(columns, source=str(path)))
        kept = {k: v for k, v in table.metadata.items() if k in ("unflagged", "accepted", "normalisation")}
        sink.finish(
            observables={}, selection={}, record=record, origin=table.metadata["origin"], extra=kept, empty=True
        )
    return EventTable(path)


def enlarged(table: EventTable, path: Path, record: Any, *, times: int) -> EventTable:
    def change(columns: dict[str, Any]) -> None:
        size = len(columns["event_id"])
        for name, values in columns.items():
            columns[name] = np.concatenate([values] * times)
        columns["event_id"] = np.arange(size * times, dtype=np.uint64)

    return rewritten(table, path, record, change)


@pytest.fixture
def changed(made, tmp_path, record):
    """`changed(low=..., ttbar=...)`: merge these two samples after changes of their columns."""

    def run(**changes: Any) -> EventTable:
        tables = {
            name: rewritten(
                EventTable(made[0] / f"{name}.parquet"), tmp_path / f"{name}.parquet", record, changes.get(name, id)
            )
            for name in ("low", "high", "ttbar")
        }
        merge(tables, output=tmp_path / "merged.parquet", table_out=tmp_path / "samples.csv", record=record)
        return EventTable(tmp_path / "merged.parquet")

    return run


def with_column(name: str, base: str, factor: float = 2.0) -> Callable[[dict[str, Any]], None]:
    return lambda columns: columns.update({name: columns[base] * factor})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"low": with_column("reco_y", "reco_x")},
            "samples.high lacks the column reco_y, which samples.low has; map it",
        ),
        ({"high": with_column("truth_y", "truth_x")}, "samples.low lacks the column truth_y, which samples.high has"),
        ({"ttbar": with_column("reco_y", "reco_x")}, "samples.low lacks the column reco_y, which samples.ttbar has"),
        (
            {"low": with_column("weight:pdf:0", "weight")},
            "samples.high lacks the column weight:pdf:0, which samples.low has; map it in both, or in neither; "
            "where it does not vary, map weight as it is",
        ),
        (
            {"ttbar": with_column("weight:pdf:0", "weight")},
            "samples.low lacks the column weight:pdf:0, which samples.ttbar",
        ),
    ],
)
def test_samples_with_other_columns_are_refused(changed, changes, said) -> None:
    with pytest.raises(InputError) as error:
        changed(**changes)
    assert said in str(error.value)


def test_a_background_may_lack_a_systematic_but_no_part_of_it(changed, caplog) -> None:
    both = {name: with_column("weight:pdf:0", "weight") for name in ("low", "high")}
    with caplog.at_level("INFO"):
        table = changed(**both)
    assert "ttbar has no variations of pdf: it is nominal there" in caplog.text
    found = table.read(["weight", "weight:pdf:0", "process"])
    factor = np.where(found["process"] == "signal", 2.0, 1.0)
    np.testing.assert_array_equal(found["weight:pdf:0"], factor * found["weight"])

    def two(columns: dict[str, Any]) -> None:
        columns |= {f"weight:pdf:{i}": columns["weight"] for i in (0, 1)}

    with pytest.raises(InputError, match=r"samples\.ttbar lacks the column weight:pdf:1, which samples\.low has"):
        changed(low=two, high=two, ttbar=with_column("weight:pdf:0", "weight"))


def test_a_varied_quantity_is_nominal_where_a_background_lacks_it(changed) -> None:
    def shift(columns: dict[str, Any]) -> None:
        columns |= {"reco_x:jes:0": columns["reco_x"] * 1.1, "pass_reco:jes:0": columns["pass_reco"]}

    found = changed(low=shift, high=shift).read(["reco_x", "reco_x:jes:0", "pass_reco", "pass_reco:jes:0", "process"])
    background = found["process"] == "ttbar"
    np.testing.assert_array_equal(found["reco_x:jes:0"][background], found["reco_x"][background])
    np.testing.assert_array_equal(found["pass_reco:jes:0"], found["pass_reco"])
    seen = found["pass_reco"] & ~background
    np.testing.assert_allclose(found["reco_x:jes:0"][seen], 1.1 * found["reco_x"][seen], rtol=1e-6)


def test_one_file_in_two_samples(made, tmp_path, record) -> None:
    """Its events must not count twice; by a cut on a label it may serve two samples."""
    folder, _ = made
    shutil.copy(folder / "low.parquet", tmp_path / "again.parquet")
    low = EventTable(folder / "low.parquet")
    with pytest.raises(InputError, match=r"low and again: both read low_\d\.root: event_id: \d+ of \d+ rows"):
        merge(
            {"low": low, "again": EventTable(tmp_path / "again.parquet")},
            output=tmp_path / "m.parquet",
            table_out=tmp_path / "m.csv",
            record=record,
        )
    parts = {
        str(odd): rewritten(low, tmp_path / f"{odd}.parquet", record, lambda c, odd=odd: halved(c, odd))
        for odd in (0, 1)
    }
    merge(parts, output=tmp_path / "m.parquet", table_out=tmp_path / "m.csv", record=record)
    assert EventTable(tmp_path / "m.parquet").num_rows == low.num_rows


def halved(columns: dict[str, Any], odd: int) -> None:
    mask = columns["event_id"] % np.uint64(2) == odd
    for name, values in columns.items():
        columns[name] = values[mask]


def test_a_slice_may_be_empty_but_not_the_simulation(made, tmp_path, record, caplog) -> None:
    folder, config = made
    read = {**config.samples["ttbar"].read, "files": [str(folder / "ttbar.root")]}
    options = {"observables": observables_from(config.observable_list()), "role": "background", "record": record}
    ingest(
        build("events.readers", read),
        output=tmp_path / "ttbar.parquet",
        selection={"reco": "reco_x > 1e6"},
        process="ttbar",
        part=True,
        **options,
    )
    assert "no event is accepted at reco level: 10000 read" in caplog.text
    empty, low = EventTable(tmp_path / "ttbar.parquet"), EventTable(folder / "low.parquet")
    assert empty.num_rows == 0
    rows = merge(
        {"low": low, "ttbar": empty}, output=tmp_path / "m.parquet", table_out=tmp_path / "m.csv", record=record
    )
    assert rows["ttbar"]["accepted"] == {"reco": 0}
    data = EventTable(folder / "data.parquet")
    flags = examine(
        ("prediction", EventTable(tmp_path / "m.parquet")),
        ("data", data),
        options["observables"],
        yield_difference=None,
    )
    assert flags["ttbar"] == ["none of its 10000 events is accepted at reco level, so its yield counts as zero"]

    def nowhere(columns: dict[str, Any]) -> None:
        columns["pass_truth"] = np.zeros_like(columns["pass_truth"])

    lost = rewritten(low, tmp_path / "low.parquet", record, nowhere)
    lost.metadata["accepted"] = {"truth": 0, "reco": 5}
    with pytest.raises(InputError, match="no event of low, ttbar is accepted at truth level"):
        merge({"low": lost, "ttbar": empty}, output=tmp_path / "n.parquet", table_out=tmp_path / "n.csv", record=record)
    assert not (tmp_path / "n.parquet").exists()


def test_an_alternative_is_compared_with_the_background_of_the_simulation(merged, made) -> None:
    folder, config = made
    tables = {name: EventTable(folder / f"{name}.parquet") for name in ("data", "low")}
    observables = observables_from(config.observable_list())
    said = r"other: its weights sum to .* at reco level, with the background of prediction, .* times the"
    with pytest.raises(InputError, match=said):
        examine(("prediction", merged[0]), ("data", tables["data"]), observables, alternatives={"other": tables["low"]})


def test_a_flag_that_a_sample_does_not_map_is_said_of_this_sample(made, tmp_path, record) -> None:
    folder, config = made
    tables = {name: EventTable(folder / f"{name}.parquet") for name in ("low", "ttbar", "data")}
    tables["ttbar"].metadata["unflagged"] = ["pass_reco"]
    data = "data", tables.pop("data")
    merge(tables, output=tmp_path / "m.parquet", table_out=tmp_path / "m.csv", record=record)
    observables = observables_from(config.observable_list())
    flags = examine(("prediction", EventTable(tmp_path / "m.parquet")), data, observables, yield_difference=None)
    assert flags["prediction"][0].startswith(
        "pass_reco is not mapped for ttbar: all their events count as accepted at reco level; map it"
    )


def test_processes_of_a_background_are_its_own_or_its_name(made, tmp_path, record) -> None:
    folder, config = made
    branches = slices.RECO | {"process": "event > 5000"}
    read = {"kind": "flat_tree", "files": [str(folder / "ttbar.root")], "processes": ["signal", "single_top"]}
    ingest(
        build("events.readers", {**read, "branches": branches}),
        output=tmp_path / "ttbar.parquet",
        observables=observables_from(config.observable_list()),
        role="background",
        process="ttbar",
        record=record,
    )
    assert set(EventTable(tmp_path / "ttbar.parquet").read(["process"])["process"]) == {"ttbar", "single_top"}
