"""The first look at slices and backgrounds: each on its own, with its sum of generator weights and certified data."""

from __future__ import annotations

from tests.ingest import slices
from truthward.cli.check.first_look import EVENTS, look
from truthward.run.provenance import Record
from truthward.study import checks


def test_each_sample_is_looked_at_on_its_own(tmp_path, monkeypatch) -> None:
    content = slices.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    rows, figures, problems = look(checks.parse(content), Record.for_tests())
    assert [row[0] for row in rows] == [*slices.EDGES, *slices.BACKGROUNDS, "data"]
    assert (figures, problems) == ([], [])
    ttbar = next(row for row in rows if row[0] == "ttbar")
    share = EVENTS / (slices.GENERATED / 2)
    assert abs(float(ttbar[-1]) / (share * slices.LUMINOSITY * slices.accepted("ttbar")) - 1) < 0.1


def test_what_is_wrong_with_sums_and_lists_is_found(tmp_path, monkeypatch) -> None:
    content = slices.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    content["samples"]["low"]["generator_weights"]["tree"] = "Rums"
    (tmp_path / "certified.json").write_text("<xml/>")
    _, _, problems = look(checks.parse(content), Record.for_tests())
    low, data = problems
    assert "samples.low.read: generator_weights: low_0.root: no tree Rums" in low
    assert "certified.json: cannot be read as a list of certified luminosity sections" in data
