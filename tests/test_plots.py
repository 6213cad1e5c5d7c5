"""Figures from plausible input of every shape they promise to take; what they draw is held against that input."""

from __future__ import annotations

import json
import struct
import sys
import zlib
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from truthward import plots
from truthward.config import Observable
from truthward.errors import InputError
from truthward.plots import page, results, style
from truthward.provenance import Record
from truthward.validate import metrics

OBSERVABLES = [
    Observable(name="m", label="jet mass $m$", unit="GeV", range=(0.0, 75.0)),
    Observable(name="M", label="multiplicity $M$", range=(0.0, 80.0), bins=80, integer=True),
    Observable(name="w", label="jet width $w$", range=(0.0, 0.6)),
    Observable(name="ln_rho", label=r"groomed mass $\ln\rho$", range=(-14.0, 0.0)),
    Observable(name="tau21", label=r"$N$-subjettiness ratio $\tau_{21}$", range=(0.0, 1.2)),
    Observable(name="zg", label="groomed momentum fraction $z_g$", range=(0.0, 0.5)),
]
SHAPES = {
    "m": (4.0, 5.5),
    "M": (12.0, 2.3),
    "w": (1.6, 0.035),
    "ln_rho": (6.0, 1.2),
    "tau21": (14.0, 0.052),
    "zg": (3.0, 0.07),
}
METHODS = ("omnifold", "generative", "ibu")


def draw(name: str, seed: int, n: int = 20_000, scale: float = 1.0) -> np.ndarray:
    """Events that look like the observable; `scale` stretches them."""
    shape, width = SHAPES[name]
    x = np.random.default_rng([seed, *map(ord, name)]).gamma(shape, width * scale, n)
    return -x if name == "ln_rho" else x


def histogram(o: Observable, seed: int, scale: float = 1.0, edges: np.ndarray | None = None, n: int = 20_000) -> dict:
    counts = np.histogram(draw(o.name, seed, n, scale), o.edges if edges is None else edges)[0] * 20_000 / n
    return {"sum": counts.tolist(), "error": np.sqrt(counts).tolist()}


def ingest() -> dict:
    entries = {}
    for o in OBSERVABLES:
        truth = draw(o.name, 1)
        reco = truth * np.random.default_rng(2).normal(0.97, 0.1, truth.size)
        matrix = np.histogram2d(truth, reco, [o.edges, o.edges])[0]
        diagonal = np.diag(matrix)
        with np.errstate(all="ignore"):
            purity, stability = diagonal / matrix.sum(axis=0), diagonal / matrix.sum(axis=1)
        entries[o.name] = {
            "edges": o.edges,
            "response": matrix.tolist(),
            "truth": histogram(o, 1),
            "reco": histogram(o, 3),
            "background": {"sum": [0.0] * o.bins, "error": [0.0] * o.bins},
            "purity": [float(p) if np.isfinite(p) else None for p in purity],
            "stability": [float(p) if np.isfinite(p) else None for p in stability],
            "efficiency": (0.95 - 0.1 * np.linspace(0, 1, o.bins) ** 2).tolist(),
            "fake_rate": [0.04] * o.bins,
            "data": histogram(o, 4, 0.94),
        }
    return {"observables": entries}


def calibrated() -> dict:
    def bins(edges, label):
        random = np.random.default_rng(len(edges))
        n = len(edges) - 1
        before = 0.93 + 0.04 * np.linspace(0, 1, n) + random.normal(0, 0.002, n)
        after = 1 + random.normal(0, 0.003, n)
        error = np.full(n, 0.003).tolist()
        parts = {"before": {"mean": before.tolist(), "error": error}, "after": {"mean": after.tolist(), "error": error}}
        return {"label": label, "edges": list(edges), **parts}

    edges = np.linspace(-5, 5, 51)
    counts = np.histogram(np.random.default_rng(1).normal(0, 1.03, 4000), edges)[0] / 4000
    measured = {"mean": 0.01, "mean_error": 0.016, "width": 1.03, "width_error": 0.012}
    return {
        "target": r"jet $p_{\mathrm{T}}$",
        "closure": {
            "pt": bins([200, 220, 245, 275, 310, 360, 430, 600], r"truth jet $p_{\mathrm{T}}$ [GeV]"),
            "eta": bins([-2.5, -1.5, -0.8, 0, 0.8, 1.5, 2.5], r"truth jet $\eta$"),
        },
        "pulls": {"edges": edges.tolist(), "fractions": counts.tolist(), **measured},
    }


def ratios() -> dict:
    random = np.random.default_rng(3)
    return {
        "simulation": metrics.ratio_histogram(random.normal(0.03, 0.25, 20_000)),
        "surrogate": metrics.ratio_histogram(np.append(random.normal(-0.03, 0.28, 20_000), [10.0, -11.0])),
    }


def surrogate() -> dict:
    def level(seed, scale):
        return {
            o.name: {
                "edges": o.edges,
                "simulation": histogram(o, seed),
                "surrogate": histogram(o, seed + 1, scale, n=200_000),
            }
            for o in OBSERVABLES
        }

    scores = {"auc": {"mean": 0.5231, "sd": 0.0012}, "jsd": {"mean": 0.0042, "sd": 0.0004}}
    return {
        "name": "flow_matching",
        "levels": {"truth": level(1, 1.01), "reco": level(5, 1.0)},
        "weights": ratios(),
    } | scores


def amplified() -> dict:
    sampled = np.array([2e3, 4e3, 8e3, 2e4, 4e4, 8e4])
    n = 2000 * 4.2 * (1 - np.exp(-sampled / 9000))
    curve = {
        "sampled": sampled.tolist(),
        "n_equivalent": n.tolist(),
        "low": (0.8 * n).tolist(),
        "high": (1.3 * n).tolist(),
    }
    return {"n_train": 2000, "curves": {"flow_matching": curve}, "note": "known non-Gaussian target; band: 68%"}


def history() -> dict:
    entries = []
    for k, replica in enumerate(["nominal", *(f"data_bootstrap:{i}" for i in range(8))]):
        random = np.random.default_rng(k)
        for i in range(5):
            entry = {"replica": replica, "iteration": i, "yield": 19_000 + 300 * (1 - 0.5**i) + random.normal(0, 90)}
            entry |= {
                "effective_size": 18_000 - 900 * i + random.normal(0, 150),
                "largest_over_mean": 2.0 + i + random.random(),
            }
            entry |= {
                "reco_auc": 0.5 + 0.05 * 0.4**i,
                "truth_loss": 0.68 + random.normal(0, 5e-4),
                "note": "text is left out",
            }
            entries.append(entry)
    return {"method": "omnifold", "history": entries}


def agreeing() -> dict:
    rows = {"omnifold": 1.4, "simulation": 18.0, "data": 30.0}
    random = np.random.default_rng(1)

    def entry(level):
        values = (level * random.uniform(0.7, 1.4, 5)).tolist()
        return {"value": level * random.uniform(0.8, 1.3), "floor": {"mean": 1.25, "sd": 0.25}, "values": values}

    found = {name: {o.name: entry(level) for o in OBSERVABLES} for name, level in rows.items()}
    scores = {"auc": {"mean": 0.5061, "sd": 0.0021}, "jsd": {"mean": 0.0004, "sd": 0.0002}}
    weights = {"truth": ratios()["simulation"], "unfolded": ratios()["surrogate"]}
    return {"title": "omnifold against the truth", "discriminators": found, "weights": weights} | scores


def summary(truth: bool = True) -> dict:
    entries = {}
    for o in OBSERVABLES:
        edges = np.linspace(*o.range, 26 if o.name != "M" else 41)
        found = {}
        for k, (name, bias) in enumerate(zip(METHODS, (0.945, 0.95, 0.93), strict=True)):
            h = histogram(o, 30 + k, bias, edges, n=100_000)
            found[name] = {"sum": h["sum"], "error": (1.3 * np.array(h["error"])).tolist()}
        entries[o.name] = {
            "edges": edges.tolist(),
            "truth": histogram(o, 21, 0.94, edges) if truth else None,
            "data": histogram(o, 22, 0.90, edges, n=21_000),
            "prior": histogram(o, 20, 1.0, edges),
            "methods": found,
        }
    random = np.random.default_rng(4)
    levels = {"omnifold": 1.5, "generative": 2.0, "ibu": 2.5, "simulation": 15.0, "data": 30.0}
    table = {
        row: {o.name: {"value": level * random.uniform(0.7, 1.4), "sd": 0.15 * level} for o in OBSERVABLES}
        for row, level in levels.items()
    }
    extra = {m: {"AUC": f"0.50{k + 3}", "yield / truth": f"{0.997 + 0.002 * k:.3f}"} for k, m in enumerate(METHODS)}
    return {
        "study": "zjets",
        "note": "Z+jets, leading jet, 14 TeV; bands: total uncertainty",
        "observables": entries,
        "table": {
            "discriminators": table if truth else {},
            "floor": {o.name: 1.25 for o in OBSERVABLES} if truth else None,
            "extra": extra,
        },
    }


def covariances() -> dict:
    random = np.random.default_rng(1)
    factors = random.normal(size=(40, 3)) + 0.4
    matrix = factors @ factors.T + np.diag(random.uniform(1, 3, 40))
    return {"method": "omnifold", "covariance": matrix.tolist(), "bins": {"m": 10, "M": 10, "w": 10, "tau21": 10}}


FIGURES = {
    "data_over_simulation": lambda: plots.data_over_simulation(ingest(), OBSERVABLES),
    "response": lambda: plots.response(ingest(), OBSERVABLES),
    "closure": lambda: plots.closure(calibrated()),
    "pulls": lambda: plots.pulls(calibrated()),
    "marginals": lambda: plots.marginals(surrogate(), OBSERVABLES),
    "amplification": lambda: plots.amplification(amplified()),
    "iterations": lambda: plots.iterations(history()),
    "agreement": lambda: plots.agreement(agreeing(), OBSERVABLES),
    "correlation": lambda: plots.correlation(covariances(), OBSERVABLES),
    "summary_page": lambda: plots.summary_page(summary(), OBSERVABLES),
    "summary_page_without_truth": lambda: plots.summary_page(summary(truth=False), OBSERVABLES),
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


def texts(figure: Figure) -> list[str]:
    return [t.get_text() for t in figure.findobj(matplotlib.text.Text) if t.get_text()]


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_and_saved_with_its_provenance(tmp_path, name):
    before = dict(matplotlib.rcParams)
    figure = FIGURES[name]()
    plots.save(figure, tmp_path / f"{name}.png", Record.for_tests())
    assert dict(matplotlib.rcParams) == before, "a figure must not change the settings of others"
    assert json.loads(chunks(tmp_path / f"{name}.png")["provenance"])["package"] == "truthward"
    assert [p.name for p in tmp_path.iterdir()] == [f"{name}.png"]
    assert_nothing_is_covered(figure)


def assert_nothing_is_covered(figure: Figure) -> None:
    """What stands beside the panels neither covers them nor leaves the page."""
    renderer, page_box = figure.canvas.get_renderer(), figure.bbox.padded(1)
    boxes = [axes.get_window_extent(renderer) for axes in figure.axes]
    for artist in [*figure.legends, *figure.texts]:
        box = artist.get_window_extent(renderer)
        assert not any(box.overlaps(panel) for panel in boxes), texts(figure)
        assert box.x0 >= page_box.x0
        assert box.x1 <= page_box.x1
    for legend in figure.legends:
        covered = [
            t for t in figure.texts if t.get_window_extent(renderer).overlaps(legend.get_window_extent(renderer))
        ]
        assert not [t.get_text() for t in covered if t.get_text()]


def test_only_png_and_nothing_half_written(tmp_path):
    with pytest.raises(InputError, match=r"figure\.pdf: figures are written as \.png"):
        plots.save(FIGURES["pulls"](), tmp_path / "figure.pdf", Record.for_tests())
    assert list(tmp_path.iterdir()) == []


def test_units_reach_the_axes():
    found = texts(plots.data_over_simulation(ingest(), OBSERVABLES))
    assert "jet mass $m$ [GeV]" in found
    assert "events / GeV" in found
    assert "jet width $w$" in found


def test_data_are_drawn_where_they_are():
    figure = plots.data_over_simulation(ingest(), OBSERVABLES[:1])
    main = next(a for a in figure.axes if a.get_ylabel() == "events / GeV")
    drawn = next(line for line in main.get_lines() if len(line.get_ydata()) == 50)
    assert np.allclose(drawn.get_ydata(), np.array(ingest()["observables"]["m"]["data"]["sum"]) / 1.5)
    assert np.allclose(drawn.get_xdata()[:2], [0.75, 2.25])


def test_simulation_alone_and_signed_backgrounds():
    summary = ingest()
    for entry in summary["observables"].values():
        del entry["data"]
        entry["background"]["sum"] = [30.0] * 20 + [-5.0] * (len(entry["edges"]) - 21)
    found = texts(plots.data_over_simulation(summary, OBSERVABLES))
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
    given = summary()
    given["table"]["discriminators"]["ibu"]["m"] = {"value": 0.5, "sd": 0.012}
    figure = plots.summary_page(given, OBSERVABLES)
    found = {t.get_text(): t.get_weight() for t in figure.texts}
    assert found["0.500 ± 0.012"] == "bold"
    assert sum(w == "bold" and "±" in t for t, w in found.items()) == len(OBSERVABLES)
    assert {"omnifold", "generative", "ibu", "simulation, before unfolding", "floor (truth against truth)"} <= set(
        found
    )
    assert {"$m$", r"$\tau_{21}$", "AUC"} <= set(found)
    assert {"truth (not seen by any method)", "omnifold (68%)"} <= set(texts(figure))


def test_summary_page_without_truth_compares_with_the_simulation():
    found = texts(plots.summary_page(summary(truth=False), OBSERVABLES))
    assert "ratio to sim." in found
    assert not any("truth" in t and "yield" not in t for t in found)


@pytest.mark.parametrize("count", [1, 2, 7, 8])
def test_summary_page_takes_other_numbers_of_observables(count):
    given = summary()
    names = [f"o{i}" for i in range(count)]
    given["observables"] = dict.fromkeys(names, given["observables"]["w"])
    given["table"] = {"discriminators": {"ibu": dict.fromkeys(names)}, "floor": None, "extra": {}}
    figure = plots.summary_page(given, [Observable(name=n, range=(0.0, 0.6)) for n in names])
    assert len(figure.axes) == 2 * count
    assert figure.get_figheight() == page.HEIGHT


def test_numbers_carry_two_digits_of_their_spread():
    assert page._number(2.5, 0.384) == "2.50 ± 0.38"
    assert page._number(31.46, 4.52) == "31.5 ± 4.5"
    assert page._number(31.46, 45.2) == "31 ± 45"
    assert page._number(1.23456, None) == "1.23"


def test_missing_truth_and_refused_values_leave_gaps():
    given = agreeing()
    given["discriminators"]["omnifold"]["m"] = {"value": None, "floor": None, "reason": "a bin is negative"}
    given["discriminators"]["simulation"]["w"] = None
    given["weights"] = None
    figure = plots.agreement(given, OBSERVABLES)
    assert len(figure.axes) == 1
    main = figure.axes[0]
    drawn = {line.get_label(): len(line.get_xdata()) for line in main.get_lines()}
    assert (drawn["omnifold"], drawn["simulation"], drawn["data"]) == (5, 5, 6)
    empty = {"title": "no truth", "discriminators": {"omnifold": {}}, "weights": None}
    assert "no truth to compare with" in texts(plots.agreement(empty, OBSERVABLES))


def test_iterations_of_methods_without_any():
    assert "this method has no iterations" in texts(plots.iterations({"method": "generative", "history": []}))
    single = {"replica": "nominal", "observable": "m", "iteration": 3, "yield": 5.0, "effective_size": 3.0}
    found = texts(plots.iterations({"method": "ibu", "history": [single, single | {"observable": "w"}]}))
    assert {"effective sample size", "m", "w"} <= set(found)


def test_symbols_and_colours():
    assert [results.short(o) for o in OBSERVABLES[:1] + OBSERVABLES[4:5]] == ["$m$", r"$\tau_{21}$"]
    assert results.short(Observable(name="x", range=(0.0, 1.0))) == "x"
    colours = results.colours_of(["omnifold", "simulation", "ibu"])
    assert len(set(colours.values())) == 4


if __name__ == "__main__":  # `python tests/test_plots.py FOLDER [NAME]` draws them all, to be looked at
    for key in sys.argv[2:] or FIGURES:
        plots.save(FIGURES[key](), Path(sys.argv[1]) / f"{key}.png", Record.for_tests())
