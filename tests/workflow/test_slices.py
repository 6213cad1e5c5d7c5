"""Slices in trees of their own for truth, reco and a variation, and backgrounds in files of their own, through real
Snakemake to published cross sections."""

from __future__ import annotations

import csv
import json

import pytest
import yaml

from tests.ingest import slices
from tests.workflow.conftest import new_clone

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    clone = new_clone(tmp_path_factory.mktemp("slices") / "clone")
    clone.path("study.yaml").write_text(
        yaml.safe_dump(slices.make_apart(clone.folder), sort_keys=False), encoding="utf-8"
    )
    clone.run()
    return clone


def test_the_published_cross_section_is_the_generated_one(done) -> None:
    folder = done.path("results/slices/publication/hepdata")
    _, entry, *_ = yaml.safe_load_all((folder / "submission.yaml").read_text(encoding="utf-8"))
    table = yaml.safe_load((folder / entry["data_file"]).read_text(encoding="utf-8"))
    (fiducial,) = table["dependent_variables"]
    assert fiducial["header"]["units"] == "fb"
    (value,) = fiducial["values"]
    error = sum(e["symerror"] ** 2 for e in value["errors"]) ** 0.5
    assert 0.002 < error / value["value"] < 0.03
    assert abs(value["value"] - 1e3 * slices.FIDUCIAL) < 4 * error
    assert {"systematic:scale", "systematic:hard"} <= {e["label"] for e in value["errors"]} | set(families(done))


def families(clone) -> list[str]:
    return list(json.loads(clone.path("results/slices/publication/metadata.json").read_text())["families"])


def test_each_sample_is_ingested_on_its_own_and_listed(done) -> None:
    folder = done.path("results/slices/ingest")
    tables = {path.stem for path in folder.glob("*.parquet")}
    assert tables == {*slices.EDGES, *slices.BACKGROUNDS, "data", "prediction"}
    with (folder / "samples.csv").open(encoding="utf-8") as file:
        rows = {row["sample"]: row for row in csv.DictReader(file)}
    assert list(rows) == [*slices.EDGES, *slices.BACKGROUNDS]
    assert rows["ttbar"]["process"] == "ttbar"
    assert rows["ttbar"]["accepted truth"] == ""
    # Of unweighted events it is their number over the cross section.
    expected = slices.GENERATED / 2 / slices.BACKGROUNDS["ttbar"] / 1e3
    assert float(rows["ttbar"]["effective luminosity (fb-1)"]) == pytest.approx(expected, rel=1e-4)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert list(summary["samples"]) == sorted(rows)


def test_a_new_cross_section_makes_its_own_sample_again(done) -> None:
    done.study(lambda s: s["samples"]["ttbar"].update(cross_section=9.0))
    planned = done.planned("ingest_all")
    assert {"ingest/ttbar.parquet", "ingest/prediction.parquet", "ingest/summary.json"} <= planned
    assert not {"ingest/low.parquet", "ingest/diboson.parquet", "ingest/data.parquet"} & planned
