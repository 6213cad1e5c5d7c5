"""Benchmarks that run some methods alone keep the rows of the others, and judge what they were given."""

from __future__ import annotations

import importlib
import json
import sys

import numpy as np
import pytest

HELPERS = ("_common", "_peer", "_speed_samples", "_tables_omnifold", "boosters", "omnifold_speed")


@pytest.fixture
def load(root, monkeypatch):
    """A function that imports a module of benchmarks/ by its name."""
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    monkeypatch.setenv("QUICK", "1")
    yield importlib.import_module
    for name in HELPERS:
        sys.modules.pop(name, None)


def test_methods_are_chosen_by_name(load, monkeypatch):
    common = load("_common")
    assert common.chosen(["a", "b, c"]) == ["a", "b, c"]
    monkeypatch.setenv("METHODS", "b, c; a")
    assert common.chosen({"a": 1, "b, c": 2, "d": 3}) == ["a", "b, c"]
    with pytest.raises(SystemExit, match="b, c is unknown"):
        common.chosen(["a", "d"])


def test_rows_that_stay_have_their_commit(load, monkeypatch, tmp_path):
    common = load("_common")
    monkeypatch.setattr(common, "HERE", tmp_path)
    (tmp_path / "results").mkdir()
    kept = {"old": {"value": 1}, "older": {"value": 2, "commit": "b" * 40}, "again": {"value": 3}}
    content = {"figures": {"rows": kept, "options": {"old": {}, "again": {}}}, "git": {"commit": "a" * 40}}
    (tmp_path / "results" / "x.json").write_text(json.dumps(content))
    rows = common.beside("x", {"again": {"value": 4}}, kept, ["again", "old", "older", "never"])
    assert rows == {
        "again": {"value": 4},
        "old": {"value": 1, "commit": "a" * 40},
        "older": {"value": 2, "commit": "b" * 40},
    }
    assert list(rows) == ["again", "old", "older"]
    text = load("_tables_omnifold").earlier({"g": rows, "h": {"old": rows["old"]}})
    assert text == " Rows of an earlier run: old: commit aaaaaaaaaa; older (g): commit bbbbbbbbbb."
    # A quick run knows no other run; a full one keeps the options that its kept rows were made with.
    assert common.earlier("x") == {}
    monkeypatch.setattr(common, "QUICK", False)
    monkeypatch.setenv("METHODS", "again")
    assert common.options("x", {"again": {"new": 1}}) == {"old": {}, "again": {"new": 1}}


def test_boosters_are_judged_by_what_they_learned(load):
    boosters = load("boosters")
    case = boosters.gaussian(20_000)
    train, judge = boosters.step(case)
    # Mean and width of the data at reco level are off by 0.2 and 5%: the ratio is known.
    before, after = (1.0 + 0.4**2, 1.05**2 + 0.4**2)
    x = judge["x"].astype(np.float64)
    truth = (x**2 / (2 * before) - (x - 0.2) ** 2 / (2 * after)).sum(axis=1)
    zero, right, wrong = (boosters.quality(case, judge, k * truth) for k in (0.0, 1.0, -1.0))
    assert right["triangular"] < 0.5 * zero["triangular"] < 0.5 * wrong["triangular"]
    assert zero["auc"] == 0.5
    assert right["auc"] > 0.55 > 0.45 > wrong["auc"]
    # The background is off by itself, and taken off on average: the inputs' weighted mean stays.
    signed, _ = boosters.step(case, signed=True)
    assert (signed["weights"] < 0).any()
    means = [
        (s["x"] * s["weights"][:, :1])[s["numerator"]].sum(axis=0) / s["weights"][s["numerator"], 0].sum()
        for s in (train, signed)
    ]
    assert np.abs(means[1] - means[0]).max() < 0.05
