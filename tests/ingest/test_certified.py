"""Certified data: the events in the listed luminosity sections and no others; a list that is none is refused."""

import json

import numpy as np
import pytest

from truthward.errors import InputError
from truthward.events.contract import Batch
from truthward.events.readers.flat_tree import FlatTree
from truthward.events.table import EventTable
from truthward.ingest.certified import Certified
from truthward.ingest.stage import ingest

LISTED = {"273158": [[1, 10], [5, 7], [20, 20]], "1": [[3, 4]], "400000": [[1, 2147483647]]}


@pytest.fixture
def listing(tmp_path):
    def write(content=LISTED):
        path = tmp_path / "Cert_JSON.txt"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


@pytest.fixture
def run(tmp_path, record, mass, write_root):
    """Ingest data of these runs and sections."""

    def ingested(run, lumi, certified, **more):
        size = len(run)
        columns = {"m": np.arange(size) / size, "r": np.array(run, np.uint32), "l": np.array(lumi, np.uint32)}
        branches = {"reco_m": "m", "run": "r", "lumi": "l", **more}
        reader = FlatTree(files=[str(write_root(columns))], branches=branches)
        options = {"observables": mass, "role": "data", "record": record, "certified": certified, "rows": 3}
        return ingest(reader, output=tmp_path / "t.parquet", **options)["data"]

    return ingested


def test_the_listed_sections_are_kept(listing) -> None:
    rng = np.random.default_rng(1)
    run, lumi = rng.choice([1, 2, 273158, 273159, 400000], 4000), rng.integers(0, 25, 4000)
    run[:2], lumi[1] = (2**40, 1), 2**31 + 3
    batch = Batch({"run": run, "lumi": lumi}, source="x.root")
    kept = Certified(listing()).take(batch)
    good = [any(a <= s <= b for a, b in LISTED.get(str(r), [])) for r, s in zip(run, lumi, strict=True)]
    np.testing.assert_array_equal(kept.entries, np.flatnonzero(good))


def test_counts_are_in_the_result_and_in_the_table(run, listing, tmp_path, caplog) -> None:
    with caplog.at_level("INFO"):
        done = run([1, 1, 1, 273158, 5], [3, 4, 5, 20, 1], listing())
    assert done["events_read"] == 5
    assert done["rows"] == done["accepted"]["reco"] == 3
    stored = EventTable(tmp_path / "t.parquet").metadata["certified"]
    assert done["certified"] == stored
    assert stored == {"file": "Cert_JSON.txt", "events": 3, "runs": 3, "runs_without_events": 1}
    assert "3 of 5 events are in luminosity sections of Cert_JSON.txt" in caplog.text
    assert "1 of 3 certified runs have no event" in caplog.text
    assert not {"run", "lumi"} & set(EventTable(tmp_path / "t.parquet").columns)


def test_it_works_beside_an_event_id(run, listing) -> None:
    assert run([1, 1, 1], [3, 4, 5], listing(), event_id="l")["rows"] == 2


@pytest.mark.parametrize(
    "content",
    ["<xml/>", "", "[]", '{"a": [[1, 2]]}', '{"1": [[2, 1]]}', '{"1": [[1]]}', '{"1": [1, 2]}', '{"1": 5}', "{}"],
)
def test_another_file_is_refused(run, listing, nothing_left, content) -> None:
    with pytest.raises(InputError, match=r"Cert_JSON\.txt: .*luminosity sections"):
        run([1], [3], listing(content))


def test_no_event_is_left(run, listing, nothing_left) -> None:
    with pytest.raises(InputError, match="none of 2 events is in a certified luminosity section; check that the list"):
        run([9, 9], [3, 3], listing())


def test_a_file_without_numbers_is_refused(tmp_path, record, mass, write_root, events, listing, nothing_left) -> None:
    given = {name: values for name, values in events().items() if "truth" not in name}
    reader = FlatTree(files=[str(write_root(given))], same_names=True)
    with pytest.raises(InputError, match="`certified` needs run and lumi of each event, but there is no run; map it"):
        ingest(reader, output=tmp_path / "t.parquet", observables=mass, role="data", record=record, certified=listing())
