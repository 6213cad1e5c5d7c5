"""A study with predictions: their tables, the comparison, its figure and table; and nothing else is made again."""

import json

import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

MADE = {"compare/truth.parquet", "compare/before.parquet", "compare/comparison.json", "compare/comparison.png"}
FILES = {"truth": "results/tiny/simulate/pseudodata/*.root", "before": "results/tiny/simulate/simulation/*.root"}


def predictions() -> dict:
    read = {name: {"kind": "flat_tree", "files": [files], "same_names": True} for name, files in FILES.items()}
    return {"truth": {"read": read["truth"], "label": "The truth"}, "before": {"read": read["before"]}}


def test_predictions_join_a_finished_study(fork) -> None:
    fork.study(lambda content: content.update(compare={"predictions": predictions()}))
    assert fork.planned() == MADE
    fork.run()
    assert fork.planned() == set()
    found = json.loads(fork.path("results/tiny/compare/comparison.json").read_text(encoding="utf-8"))
    assert list(found["predictions"]) == ["The truth", "before"]
    assert found["predictions"]["The truth"]["observables"]["x0"]["chi2"]["p"] > 1e-3
    unbinned = {name: entry["unbinned"][0]["p"] for name, entry in found["predictions"].items()}
    assert unbinned["before"] < 0.01
    rows = fork.path("results/tiny/compare/comparison.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0].startswith("prediction,test,chi2,ndf,p")
    assert fork.path("results/tiny/compare/comparison.png").stat().st_size > 10_000
    # A label changes the comparison, and no table of events.
    fork.study(lambda content: content["compare"]["predictions"]["truth"].update(label="Truth"))
    assert fork.planned() == {"compare/comparison.json", "compare/comparison.png"}
