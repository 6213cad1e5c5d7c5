"""The page in a real browser says what `Unfolded.histogram` says."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

from tests.publish.explored import FAMILIES, OBSERVABLES, agree, events, expected, published, weighted, written
from truthward.errors import InputError
from truthward.events.unfolded import Unfolded, weight_columns
from truthward.publish.explore import page as explore
from truthward.publish.explore.predictions import BinnedPrediction, EventsPrediction

pytestmark = pytest.mark.xdist_group("browser")


def test_the_page_opens_with_the_first_unfolded_observable(joint, show) -> None:
    path, sample = joint
    page = show(path)
    table = page.table()
    assert table.edges.tolist() == [0, 10, 15, 20, 60]
    agree(table, sample.histogram("m", table.edges, density=True))
    assert "jet mass m" in page.text("figure-title")
    assert page.text("x-label") == "jet mass m [GeV]"
    assert "combined" not in page.text("families")
    for words in ("with warnings", "the first reason", "the truth, which is not known"):
        assert words in page.text("verdict")
    for words in ("pT(jet) > 200 GeV", "CC-BY-4.0", "total uncertainty", "2504.14072", "particle level"):
        assert words.lower() in page.text("about").lower()


CASES = [
    ("m", "", "0, 10, 20.5, 40"),
    ("jet_pt", "", "200 210 250 1000"),
    ("zg", "", "0, 0.1, 0.3, 0.35, 0.5"),
    ("sqrt(m ** 2 + jet_pt ** 2) / -jet_pt", "", "-1.2 -1.01 -1.003 -1"),
    ("log(m) ** -2 + 3e-1 * zg", "m > 2", "0 0.1 0.2 1"),
    ("m", "(m > 12) & (jet_pt < 260)", "10 15 20 60"),
    ("where(zg >= 0.1, hypot(m, zg), 1 - m)", "~(jet_pt < 250) | (zg == 0.5)", "-60 -20 0 20 60"),
    ("minimum(m, 20) + arctan2(zg, 2) * pi - floor(m / 3)", "10 < m < 40", "5 10 12 15"),
    ("log(m - 20)", "isfinite(log(m - 20))", "-2 0 2 4"),
]


@pytest.mark.parametrize(("expression", "selection", "edges"), CASES)
def test_any_expression_and_selection_in_any_bins(joint, show, expression, selection, edges) -> None:
    path, sample = joint
    page = show(path)
    page.bins("edges", expression=expression, selection=selection, edges=edges)
    page.ask(mode="yield")
    table = page.table()
    assert table.edges.tolist() == [float(edge) for edge in edges.replace(",", " ").split()]
    histogram = expected(sample, expression, table.edges, selection or "True")
    assert (histogram.nominal > 0).all(), "no bin of the case is empty"
    agree(table, histogram)


def test_a_selection_needs_no_parentheses(joint, show) -> None:
    path, sample = joint
    page = show(path)
    page.ask(selection="m > 12 & jet_pt < 260 | ~ zg <= 0.25", mode="yield")
    table = page.table()
    agree(table, expected(sample, "m", table.edges, "((m > 12) & (jet_pt < 260)) | ~(zg <= 0.25)"))
    assert "selection: m > 12 & jet_pt" in table.notes


@pytest.mark.parametrize("mode", ["yield", "density", "normalised"])
def test_bins_of_equal_width_in_each_form(joint, show, mode) -> None:
    path, sample = joint
    page = show(path)
    page.bins("number", number=7, low=5, high=40)
    page.ask(mode=mode)
    table = page.table()
    assert np.allclose(table.edges, np.linspace(5, 40, 8), rtol=1e-12)
    histogram = sample.histogram("m", table.edges)
    agree(table, {"density": histogram.density, "normalised": histogram.normalised}.get(mode, lambda: histogram)())


def test_an_observable_without_published_bins_has_a_range_that_fits(joint, show) -> None:
    path, sample = joint
    page = show(path)
    page.ask(observable="jet_pt")
    table = page.table()
    assert table.edges.size == 21
    histogram = sample.histogram("jet_pt", table.edges)
    assert histogram.nominal.sum() > 0.95 * sample.weights()[0].sum()
    agree(table, histogram.density())


def test_the_band_holds_the_families_that_are_chosen(joint, show) -> None:
    path, sample = joint
    page = show(path)
    assert page.text("stated") == "The band holds: total uncertainty."
    page.band(["data_bootstrap", "systematic:scale"])
    table = page.table()
    agree(table, sample.histogram("m", table.edges, density=True), ["data_bootstrap", "systematic:scale"])
    assert "initialisation" not in table.columns
    assert page.text("stated") == "The band holds: data_bootstrap, scale only."
    assert "uncertainty: data_bootstrap, scale only" in table.notes
    page.band(["initialisation"])
    assert "rank 2 at most" in page.text("rank")


def test_without_families_there_is_no_band(joint, show) -> None:
    page = show(joint[0])
    page.band([])
    table = page.table()
    assert not table.columns["total"].any()
    assert not table.covariance.any()
    assert page.text("stated") == "The band holds: none."


def test_a_known_luminosity_gives_cross_sections(tmp_path, show) -> None:
    columns = weighted(events(300), weight_columns(FAMILIES))
    path = published(written(tmp_path / "u.parquet", [columns]), tmp_path / "p", luminosity=2.5)
    page, sample = show(path), Unfolded(path.with_name("events.parquet"))
    page.ask(mode="cross")
    table = page.table()
    histogram = sample.histogram("m", table.edges, density=True)
    assert np.allclose(table.columns["value"], histogram.nominal / 2.5, rtol=1e-6)
    assert np.allclose(table.columns["total"], histogram.sigma / 2.5, rtol=1e-6)
    assert page.text("y-label") == "fb / GeV"
    assert "2.5 per fb" in page.text("about")


def test_the_yaml_has_the_form_of_the_tables_of_hepdata(joint, show) -> None:
    path, sample = joint
    page = show(path)
    page.ask(selection="zg > 0.2")
    content, covariance = yaml.safe_load_all(page.save("yaml").read_text(encoding="utf-8"))
    (x,), (y,) = content["independent_variables"], content["dependent_variables"]
    assert x["header"] == {"name": "jet mass $m$", "units": "GeV"}
    assert y["header"] == {"name": "density of events", "units": "events / GeV"}
    assert {"name": "Selection", "value": "zg > 0.2"} in y["qualifiers"]
    edges = np.array([v["low"] for v in x["values"]] + [x["values"][-1]["high"]])
    histogram = expected(sample, "m", edges, "zg > 0.2").density()
    assert np.allclose([v["value"] for v in y["values"]], histogram.nominal, rtol=1e-6)
    errors = {e["label"]: e["symerror"] for e in y["values"][1]["errors"]}
    assert errors["stat"] == pytest.approx(np.sqrt(histogram.breakdown()["data_bootstrap"][1]), rel=1e-6)
    assert "sys,scale" in errors
    values = [v["value"] for v in covariance["dependent_variables"][0]["values"]]
    assert np.allclose(values, histogram.covariance().ravel(), rtol=1e-6)
    assert [len(v["values"]) for v in covariance["independent_variables"]] == [16, 16]


def test_a_method_that_unfolds_one_observable_at_a_time_has_weights_for_each(tmp_path, show) -> None:
    columns = events(500)
    for k, name in enumerate(("m", "zg")):
        columns = weighted(columns, weight_columns(FAMILIES, name), seed=k)
    path = published(written(tmp_path / "u.parquet", [columns], joint=False, method="ibu"), tmp_path / "p")
    page, sample = show(path), Unfolded(path.with_name("events.parquet"))
    for name in ("m", "zg"):
        page.ask(observable=name)
        table = page.table()
        agree(table, sample.histogram(name, table.edges, density=True))
    page.bins("edges", expression="m", edges="0 10 60")
    page.ask(weights="0")
    agree(page.table(), expected(sample, "m", [0, 10, 60], weights_of="m").density())
    page.ask(weights="1")
    agree(page.table(), expected(sample, "m", [0, 10, 60], weights_of="zg").density())


@pytest.mark.parametrize("shared", [(), (1, 2)])
def test_draws_in_blocks_are_read_block_by_block(tmp_path, show, shared) -> None:
    """Some replicas may weight the draws of the nominal and have no block."""
    families = {name: FAMILIES[name] for name in ("data_bootstrap", "systematic:scale")}
    names = weight_columns(families)
    rows = []
    for number in (3, 0, *range(4, len(names)), 1, 2):
        own = weighted(events(200, seed=number), names, seed=number)
        weights = {names[number]: own["weight"]} | ({} if number else {names[k]: own[names[k]] for k in shared})
        if number not in shared:
            rows.append({k: v for k, v in own.items() if k not in names} | {"block": np.full(200, number)} | weights)
    path = published(written(tmp_path / "u.parquet", rows, method="generative", families=families), tmp_path / "p")
    assert path.stat().st_size < 1.6 * path.with_name("events.parquet").stat().st_size + 500_000
    page, sample = show(path), Unfolded(path.with_name("events.parquet"))
    page.ask(selection="jet_pt > 230")
    table = page.table()
    agree(table, expected(sample, "m", table.edges, "jet_pt > 230").density())


@pytest.fixture(scope="module")
def predicted(joint, tmp_path_factory):
    """A page with predictions of each kind, and a generator's events."""
    path, sample = joint
    metadata = json.loads(path.with_name("metadata.json").read_text())
    edges, other = np.linspace(0, 60, 13), events(900, seed=5)
    values = {name: other[f"truth_{name}"] for name in ("m", "zg")}
    weights = np.random.default_rng(6).random(900)
    predictions = [
        BinnedPrediction("in bins", {"m": (edges, np.arange(12.0))}),
        EventsPrediction("of the same events", np.full(sample.num_rows, 2.0)),
        EventsPrediction("of other events", weights, values),
    ]
    written_to = tmp_path_factory.mktemp("predicted") / explore.NAME
    explore.write_page(written_to, sample, metadata, {o.name: o for o in OBSERVABLES}, predictions=predictions)
    return written_to, sample, values, weights


def test_predictions_of_each_kind_are_compared(predicted, show) -> None:
    path, sample, values, weights = predicted
    page = show(path)
    assert "unfolded / in bins" in page.text("ratio-label")
    page.ask(mode="yield")
    table = page.table()
    assert table.columns["prediction"].tolist() == [0 + 1, 2, 3, sum(range(4, 12))]
    page.ask(prediction="1")
    assert np.allclose(page.table().columns["prediction"], 2 * np.histogram(sample.truth(["m"]), table.edges)[0])
    page.ask(prediction="2", selection="zg > 0.255", mode="normalised")
    chosen = values["zg"] > 0.255
    counts = np.histogram(values["m"][chosen], table.edges, weights=weights[chosen])[0]
    assert np.allclose(page.table().columns["prediction"], counts / counts.sum() / np.diff(table.edges))
    content, _ = yaml.safe_load_all(page.save("yaml").read_text(encoding="utf-8"))
    assert content["dependent_variables"][1]["header"]["name"] == "of other events"


def test_a_prediction_that_is_not_known_is_said_to_be(predicted, show) -> None:
    page = show(predicted[0])
    for fields in ({"selection": "zg > 0.1"}, {"selection": "", "edges": "0 7 60"}, {"expression": "m * 1"}):
        page.ask(prediction="0", **fields)
        assert "The prediction is not known" in page.text("status")
        assert "prediction" not in page.table().columns
    page.ask(prediction="2", expression="jet_pt")
    assert "The prediction is not known" in page.text("status")


def test_a_prediction_of_another_length_is_refused(joint, tmp_path) -> None:
    path, sample = joint
    metadata = json.loads(path.with_name("metadata.json").read_text())
    with pytest.raises(InputError, match=r"3 weights for \[1400\] events"):
        explore.write_page(tmp_path / "x", sample, metadata, {}, predictions=[EventsPrediction("short", np.ones(3))])
