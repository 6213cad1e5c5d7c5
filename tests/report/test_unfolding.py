"""Figures of one unfolding: what they draw is held against the history and the histograms that they are given."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from truthward.events.families import Histogram, family
from truthward.report import style, unfolding
from truthward.study.observable import Observable

FAMILIES = {"data_bootstrap": 5, "mc_bootstrap": 4, "systematic:scale": 1}
SAID = "total uncertainty"
STOPPING = {"rule": "change", "tolerance": 0.2, "chosen": 4, "largest": 9, "limits": ""}


def curve(seed: int, centre: float) -> dict:
    random = np.random.default_rng(seed)
    predicted = centre * np.linspace(0.7, 1.3, 20)
    found = {"predicted": predicted, "observed": predicted + random.normal(0, 0.01, 20), "error": np.full(20, 0.01)}
    return {name: v.tolist() for name, v in found.items()} | {"ece": 0.01, "chi2": 19.6, "ndf": 20, "dropped": 0}


def omnifold(*, folds: int = 0, **changes) -> dict:
    """Metadata as OmniFold writes them, of 4 iterations."""
    replicas = ["nominal:0", *(f"{name}:{i}" for name, count in FAMILIES.items() for i in range(count))]
    history = []
    for k, replica in enumerate(replicas):
        for fold in range(max(folds, 1)):
            random = np.random.default_rng([k, fold])
            for i in range(4):
                entry = {"replica": replica, "iteration": i, **({"fold": fold} if folds else {})}
                entry |= {"loss_reco": 0.68 + 0.01 * i, "held_out_loss_reco": 0.69 + 0.01 * i, "epochs_reco": 3.0}
                entry |= {"loss_truth": 1.4 - 0.01 * i, "auc_reco": 0.5 + 0.05 * 0.4**i, "normalisation_reco": 0.002}
                entry |= {"saturated_reco": 0.0, "yield_before": 21_000.0 if i == 0 else 20_000.0}
                entry |= {
                    "yield": 20_000 + random.normal(0, 50),
                    "effective_size": 9_000.0,
                    "largest_over_mean": 3.0 + i,
                }
                entry |= {"change": 4 * 0.4**i, "refold_chi2": 70.0 - 3 * i, "refold_ndf": 60.0, "note": "left out"}
                if k == 0:
                    entry["reliability"] = {"reco": curve(i, 0.5), "truth": curve(i, 1.0)}
                history.append(entry)
    return {"method": "omnifold", "families": FAMILIES, "history": history, "stopping": STOPPING} | changes


def ibu() -> dict:
    """Metadata as IBU writes them: one entry a replica, the nominal's with the changes of all iterations."""
    history = []
    for observable, count in (("m", 5), ("w", 3)):
        for replica in ("nominal:0", "data_bootstrap:0", "data_bootstrap:1"):
            entry = {"replica": replica, "observable": observable, "iteration": count - 1, "yield_before": 120.0}
            entry |= {"yield": 100.0 + count, "effective_size": 80.0, "largest_over_mean": 2.0}
            if replica == "nominal:0":
                entry |= {"bins": 7, "changes": [4 * 0.4**i for i in range(count)]}
            history.append(entry)
    return {"method": "ibu", "families": {"data_bootstrap": 2}, "history": history}


def histograms(families: dict[str, int] = FAMILIES) -> dict[str, Histogram]:
    random = np.random.default_rng(3)
    declared, found = {name: family(name, count) for name, count in families.items()}, {}
    for name, top in (("m", 60.0), ("zg", 0.5)):
        nominal = np.array([9.0, 1000.0, 1200.0, 900.0, 800.0])
        replicas = {f: random.poisson(nominal, (count, 5)).astype(float) for f, count in families.items()}
        found[name] = Histogram(np.linspace(0, top, 6), nominal, replicas, declared)
    return found


OBSERVABLES = [
    Observable(name="m", label="jet mass $m$", unit="GeV", range=(0.0, 60.0)),
    Observable(name="not_unfolded", range=(0.0, 1.0)),
    Observable(name="zg", label="$z_g$", range=(0.0, 0.5)),
]
MANY = {"data_bootstrap": 3, **{f"systematic:source{i}": 1 for i in range(12)}}
FIGURES = {
    "omnifold": lambda: unfolding.iterations(omnifold()),
    "folds": lambda: unfolding.iterations(omnifold(folds=2)),
    "ibu": lambda: unfolding.iterations(ibu()),
    "none": lambda: unfolding.iterations({"method": "generative", "history": []}),
    "breakdown": lambda: unfolding.breakdown("omnifold", histograms(), OBSERVABLES, said=SAID),
    "one_observable": lambda: unfolding.breakdown("omnifold", histograms(MANY), OBSERVABLES[:1], said=SAID),
    "many_families": lambda: unfolding.breakdown("omnifold", histograms(MANY), OBSERVABLES, said=SAID),
}


def texts(figure: Figure) -> set[str]:
    return {t.get_text() for t in figure.findobj(matplotlib.text.Text) if t.get_text()}


def panel(figure: Figure, label: str) -> Axes:
    return next(a for a in figure.axes if a.get_ylabel() == label)


def strong(axes: Axes) -> list[matplotlib.lines.Line2D]:
    """The nominal's lines."""
    return [line for line in axes.get_lines() if line.get_marker() == "." and len(line.get_xdata())]


@pytest.mark.parametrize("name", FIGURES)
def test_figures_have_room_for_their_texts(name, assert_nothing_is_covered):
    assert_nothing_is_covered(FIGURES[name]())


def test_every_diagnostic_has_a_panel_with_a_title():
    figure = unfolding.iterations(omnifold())
    found = [a.get_ylabel() for a in figure.axes]
    assert found == [
        "unfolded yield [events]",
        "change / its data-stat. error",
        r"refolded $\chi^2$ / ndf",
        "AUC, detector level",
        "loss, detector level",
        "loss, particle level",
        "ln of norm, detector level",
        "effective size",
        "largest weight / mean",
        "observed - predicted",
        "observed - predicted",
    ]
    assert {"nominal", "data statistics", "simulation statistics", "scale"} <= texts(figure)
    assert any("no ratio is saturated" in text for text in texts(figure))
    given = omnifold()
    given["history"][3] |= {"saturated_reco": 2.0, "something_new": 1.0}
    assert {"saturated ratios, detector level", "something new"} <= texts(unfolding.iterations(given))


def test_lines_are_the_history():
    figure = unfolding.iterations(omnifold())
    (line,) = strong(panel(figure, "unfolded yield [events]"))
    assert line.get_xdata().tolist() == [0, 1, 2, 3, 4]
    assert line.get_ydata()[0] == 21_000
    assert len(panel(figure, "unfolded yield [events]").get_lines()) == 1 + sum(FAMILIES.values()) + 1
    (refold,) = strong(panel(figure, r"refolded $\chi^2$ / ndf"))
    assert np.allclose(refold.get_ydata(), [70 / 60, 67 / 60, 64 / 60, 61 / 60])
    train, held_out = strong(panel(figure, "loss, detector level"))
    assert np.allclose(held_out.get_ydata() - train.get_ydata(), 0.01)
    assert (train.get_linestyle(), held_out.get_linestyle()) == ("-", "--")
    assert len(strong(panel(unfolding.iterations(omnifold(folds=2)), "AUC, detector level"))) == 2


def test_tolerance_and_chosen_iteration_are_marked():
    def constant(axes: Axes) -> set[float]:
        """Where lines across the panel lie: x or y that does not change."""
        lines = [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()]
        return {x[0] for x, y in lines if y == [0, 1]} | {y[0] for x, y in lines if x == [0, 1]}

    change = panel(unfolding.iterations(omnifold()), "change / its data-stat. error")
    assert constant(change) == {0.2, 4}
    assert change.get_yscale() == "log"
    without = unfolding.iterations(omnifold(stopping=None))
    assert constant(panel(without, "change / its data-stat. error")) == set()
    assert not any("chosen" in text for text in texts(without))


def test_reliability_shows_first_and_last_iteration():
    figure = unfolding.iterations(omnifold())
    reco = next(a for a in figure.axes if a.get_xlabel() == "predicted P(data), detector level")
    first, last = reco.containers
    for container, i in ((first, 0), (last, 3)):
        expected = curve(i, 0.5)
        assert np.allclose(container.lines[0].get_ydata(), np.subtract(expected["observed"], expected["predicted"]))
    assert r"iteration 4: $\chi^2$ / ndf 20 / 20" in texts(figure)
    folds = unfolding.iterations(omnifold(folds=3))
    assert r"iteration 4: $\chi^2$ / ndf 59 / 60" in texts(folds)


def test_methods_of_one_observable_at_a_time():
    figure = unfolding.iterations(ibu())
    lines = strong(panel(figure, "change / its data-stat. error"))
    assert [len(line.get_xdata()) for line in lines] == [5, 3]
    assert len({line.get_color() for line in lines}) == 2
    assert {"m", "w", "effective size"} <= texts(figure)
    assert "nominal" not in texts(figure)
    assert "this method has no iterations" in texts(FIGURES["none"]())


def test_breakdown_is_relative_and_complete():
    given = histograms()
    figure = unfolding.breakdown("omnifold", given, OBSERVABLES, said=SAID)
    assert [a.get_xlabel() for a in figure.axes] == ["jet mass $m$ [GeV]", "$z_g$"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[0] in ("total", "sum of these")
    assert len(set(labels)) == len(labels) == 1 + len(given["m"].breakdown())
    steps = [p for p in figure.axes[0].patches if isinstance(p, matplotlib.patches.StepPatch)]
    by_colour = {matplotlib.colors.to_hex(p.get_edgecolor()): p.get_data().values for p in steps if not p.get_fill()}
    h = given["m"]
    assert np.allclose(by_colour[style.DATA], 100 * h.sigma / h.nominal)
    for name, colour in zip(FAMILIES, style.METHODS, strict=False):
        assert np.allclose(by_colour[colour], 100 * np.sqrt(h.breakdown()[name]) / h.nominal)
    parts = sum(by_colour[c] ** 2 for c in style.METHODS[:3])
    assert np.allclose(parts, by_colour[style.DATA] ** 2), "nothing but the families enters the total"


def test_breakdown_says_what_is_beyond_its_scale():
    given = histograms()
    beyond = f"{100 * given['m'].sigma[0] / 9:.0f}%"
    figure = unfolding.breakdown("omnifold", given, OBSERVABLES, said=SAID)
    assert figure.axes[0].get_ylim()[1] < 100 * given["m"].sigma[0] / 9
    assert beyond in texts(figure)
    even = {"m": given["m"].merged(np.array([12.0, 24.0, 36.0, 60.0]))}
    assert not any(text.endswith("%") for text in texts(unfolding.breakdown("omnifold", even, OBSERVABLES, said=SAID)))
