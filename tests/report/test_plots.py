"""Figures from plausible input of every shape they promise to take; what they draw is held against that input."""

from __future__ import annotations

import itertools
import json
import struct
import zlib
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.report import content
from tests.report.content import (
    METHODS,
    OBSERVABLES,
    amplified,
    calibrated,
    covariances,
    ingest,
    progressed,
    summary_page,
    surrogate,
    table,
    texts,
    two_sample,
    validated,
)
from truthward.errors import InputError
from truthward.report import inputs, models, progress, results, style
from truthward.report import summary as page
from truthward.run.provenance import Record
from truthward.study.observable import Observable

FIGURES = {
    "bias_and_variance": lambda: progress.bias_and_variance(progressed(), OBSERVABLES),
    "bias_and_variance_alone": lambda: progress.bias_and_variance(progressed(1, False, ("m",)), OBSERVABLES),
    "bias_and_variance_none": lambda: progress.bias_and_variance({"method": "ibu", "progress": None}, OBSERVABLES),
    "data_over_simulation": lambda: inputs.data_over_simulation(ingest(), OBSERVABLES),
    "response": lambda: inputs.response(ingest(), OBSERVABLES),
    "closure": lambda: inputs.closure(calibrated(), OBSERVABLES),
    "pulls": lambda: inputs.pulls(calibrated(), OBSERVABLES),
    "marginals": lambda: models.marginals("flow_matching", surrogate(), OBSERVABLES),
    "amplification": lambda: models.amplification(amplified()),
    "agreement": lambda: results.agreement(validated(), OBSERVABLES),
    "correlation": lambda: results.correlation(covariances(10, 10, 3, 12, 10, 10), OBSERVABLES),
    "summary_page": summary_page,
    "summary_page_without_truth": lambda: summary_page(truth=False),
}


def chunks(path: Path) -> dict[str, str]:
    """Text chunks of a PNG, their checksums checked."""
    content, place, found = path.read_bytes(), 8, {}
    while place < len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        data = content[place + 8 : place + 8 + length]
        assert zlib.crc32(kind + data) == struct.unpack(">I", content[place + 8 + length : place + 12 + length])[0]
        if kind == b"tEXt":
            key, _, text = data.partition(b"\0")
            found[key.decode()] = text.decode("latin-1")
        place += 12 + length
    return found


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_and_saved_with_its_provenance(tmp_path, name, assert_nothing_is_covered):
    before = dict(matplotlib.rcParams)
    figure = FIGURES[name]()
    style.save(figure, tmp_path / f"{name}.png", Record.for_tests())
    assert dict(matplotlib.rcParams) == before, "a figure must not change the settings of others"
    assert json.loads(chunks(tmp_path / f"{name}.png")["provenance"])["package"] == "truthward"
    assert [p.name for p in tmp_path.iterdir()] == [f"{name}.png"]
    assert_nothing_is_covered(figure)


@pytest.mark.parametrize("name", ["data_over_simulation", "correlation", "summary_page"])
def test_a_label_that_is_no_mathematics_is_drawn_as_it_is_written(tmp_path, monkeypatch, name):
    broken = [r"$\nothing{m}$", r"$\frac{1$ and $}$", "<b>$_$</b>", "100$ of 200$", "$", r"\$\$"]
    odd = [o.model_copy(update={"label": b, "unit": b}) for o, b in zip(OBSERVABLES, broken, strict=True)]
    monkeypatch.setitem(globals(), "OBSERVABLES", odd)
    monkeypatch.setattr(content, "OBSERVABLES", odd)
    figure = FIGURES[name]()
    style.save(figure, tmp_path / "a.png", Record.for_tests())
    assert any(r"\nothing{m}" in text for text in texts(figure))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(text=st.text("$\\{}^_ abfrcsqtlndvx%&#~12", max_size=30))
@pytest.mark.filterwarnings("ignore:Glyph")
def test_any_text_between_dollars_is_drawn(tmp_path_factory, text):
    figure = style.canvas(2, 1)
    figure.text(0.1, 0.5, f"${text}$")
    style.save(figure, tmp_path_factory.getbasetemp() / "dollars.png", Record.for_tests())


def test_only_png_and_pdf_and_nothing_half_written(tmp_path):
    with pytest.raises(InputError, match=r"figure\.svg: figures are written as \.png or \.pdf"):
        style.save(FIGURES["pulls"](), tmp_path / "figure.svg", Record.for_tests())
    assert list(tmp_path.iterdir()) == []


def test_units_reach_the_axes():
    found = texts(inputs.data_over_simulation(ingest(), OBSERVABLES))
    assert "jet mass $m$ [GeV]" in found
    assert "events / GeV" in found
    assert "jet width $w$" in found


def test_calibration_has_the_labels_of_the_config():
    declared = Observable(name="jet_eta", label=r"$\eta_j$", unit="rad", range=(-2.5, 2.5))
    found = texts(inputs.closure(calibrated() | {"target": "jet_eta"}, [declared]))
    assert {r"reco $\eta_j$ [rad]", r"reco jet $p_{\mathrm{T}}$ [GeV]", r"Calibration of $\eta_j$"} <= set(found)
    assert r"Pulls of the response of $\eta_j$" in texts(inputs.pulls(calibrated() | {"target": "jet_eta"}, [declared]))


def test_data_are_drawn_where_they_are():
    figure = inputs.data_over_simulation(ingest(), OBSERVABLES[:1])
    main = next(a for a in figure.axes if a.get_ylabel() == "events / GeV")
    drawn = next(line for line in main.get_lines() if len(line.get_ydata()) == 50)
    assert np.allclose(drawn.get_ydata(), np.array(ingest()["observables"]["m"]["data"]["sum"]) / 1.5)
    assert np.allclose(drawn.get_xdata()[:2], [0.75, 2.25])


def test_simulation_alone_and_signed_backgrounds():
    summary = ingest()
    for entry in summary["observables"].values():
        del entry["data"]
        entry["background"]["sum"] = [30.0] * 20 + [-5.0] * (len(entry["edges"]) - 21)
    found = texts(inputs.data_over_simulation(summary, OBSERVABLES))
    assert "background" in found
    assert "data" not in found


def test_ratios_without_statistics_are_left_out():
    assert np.isnan(style.known(np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.6, np.nan]))).tolist() == [
        False,
        True,
        True,
    ]
    assert style.over(np.array([1.0, 2.0]), np.array([0.0, 4.0]))[1] == 0.5
    assert np.isnan(style.over(np.array([1.0]), np.array([0.0]))).all()


def test_summary_page_names_all_and_sets_the_best_in_bold():
    given = table()
    given["rows"][2]["triangular"]["m"] = {"value": 0.5, "spread": 0.012}
    given["rows"][-1]["triangular"]["m"]["value"] = 0.1
    figure = summary_page(table=given)
    found = {t.get_text(): t.get_weight() for t in figure.texts}
    assert found["0.500 ± 0.012"] == "bold"
    assert sum(w == "bold" and "±" in t for t, w in found.items()) == len(OBSERVABLES)
    assert {*METHODS, "simulation before unfolding", "floor (truth against truth)"} <= set(found)
    assert {"$m$", r"$\tau_{21}$", "AUC", "refolded p"} <= set(found)
    assert "smallest χ² p" not in found
    assert {"truth (not seen by any method)", "omnifold (68%)", "ibu (its bins, 68%)"} <= set(texts(figure))
    assert any("declared bins" in text for text in found)


def test_summary_page_without_truth_compares_with_the_simulation():
    found = texts(summary_page(truth=False))
    assert {"ratio to sim.", "refolded p", "0.34"} <= set(found)
    assert not any("truth" in t or "discriminator" in t for t in found)


@pytest.mark.parametrize("count", [1, 2, 7, 8])
def test_summary_page_takes_other_numbers_of_observables(count):
    names = [f"o{i}" for i in range(count)]
    one = validated("ibu")
    one["observables"] = dict.fromkeys(names, one["observables"]["w"])
    rows = [{"name": "ibu", "triangular": dict.fromkeys(names)}]
    observables = [Observable(name=n, range=(0.0, 0.6)) for n in [*names, "not_unfolded"]]
    figure = summary_page(
        validated={"ibu": one}, table={"rows": rows, "verdicts": {}, "binned": {}}, observables=observables
    )
    assert len(figure.axes) == 2 * count
    assert figure.get_figheight() == page.HEIGHT


def test_a_small_distance_has_digits():
    test = two_sample() | {"jsd": {"mean": -1.2e-5, "sd": 3.4e-5}}
    assert models.scores(test, {}) == "AUC 0.5231 ± 0.0012,  JSD (-1.2 ± 3.4)e-05 bit"


def test_figures_say_where_they_are_not_of_all_events():
    assert any("of 500,000 events each" in text for text in texts(results.agreement(validated(), OBSERVABLES)))
    assert not any("events each" in text for text in texts(models.marginals("flow", surrogate(), OBSERVABLES)))


def test_missing_truth_and_refused_values_leave_gaps():
    given = validated()
    given["observables"]["m"]["triangular"]["unfolded"] = {"value": None, "floor": None, "reason": "a bin is negative"}
    del given["observables"]["w"]
    given["two_sample"]["unfolded"] = None
    figure = results.agreement(given, OBSERVABLES)
    assert len(figure.axes) == 1
    drawn = {line.get_label(): len(line.get_xdata()) for line in figure.axes[0].get_lines()}
    assert (drawn["omnifold"], drawn["simulation"], drawn["data"]) == (4, 5, 5)
    assert "no truth to compare with" in texts(results.agreement(validated(truth=False), OBSERVABLES))


@pytest.mark.parametrize("bins", [(10, 10, 3, 12, 10, 10), (50, 80, 50, 50, 10, 5)])
def test_blocks_of_correlations_have_their_edges(bins):
    figure = results.correlation(covariances(*bins), OBSERVABLES)
    main, canvas = figure.axes[0], figure.canvas.get_renderer()
    for axis in (main.xaxis, main.yaxis):
        written = [label.get_text() for label in axis.get_ticklabels()]
        for o, count in zip(OBSERVABLES, bins, strict=True):
            every = [f"{edge:g}" for edge in np.linspace(*o.range, count + 1)]
            own, written = written[: written.index(every[-1]) + 1], written[written.index(every[-1]) + 1 :]
            assert own[0] == every[0]
            assert own == every if count <= 12 and max(bins) <= 12 else set(own) < set(every)
        boxes = [label.get_window_extent(canvas) for label in axis.get_ticklabels()]
        assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))
    assert "$m$ [GeV]" in texts(figure)
    matrix = np.ma.filled(main.collections[0].get_array(), np.nan)
    assert np.isnan(matrix[bins[0]]).all(), "blocks do not touch"
    assert np.allclose(np.diag(matrix)[: bins[0]], 1)


def test_symbols_and_colours():
    assert [results.short(o) for o in OBSERVABLES[:1] + OBSERVABLES[4:5]] == ["$m$", r"$\tau_{21}$"]
    assert results.short(Observable(name="x", range=(0.0, 1.0))) == "x"
    colours = results.colours_of(["omnifold", "simulation", "ibu"])
    assert len(set(colours.values())) == 4
