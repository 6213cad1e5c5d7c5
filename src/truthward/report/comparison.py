"""Figure of predictions over a published result: densities, and ratios with the uncertainty by source."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from truthward.records.compare import Comparison, Curve
from truthward.records.validate.figures import Chi2
from truthward.report import style

LAYERS = {
    "data statistics": ("data_bootstrap",),
    "+ simulation statistics, training": ("mc_bootstrap", "initialisation"),
    "+ systematics": (),
}
"""Bands from the inside to the outside, and the families that each adds; the last adds all others."""
SHADES = ("#9a9a9a", "#c2c2c2", "#e4e4e4")
MARKS = ("o", "s", "^", "D", "v", "P", "X")


@style.styled
def comparison(found: Comparison) -> Figure:
    """Measurement and predictions for each observable; below, prediction over measurement.

    Args:
        found: comparison.json. The measurement is drawn in the bins of the first prediction; each ratio is in the bins
            of its own prediction.
    """
    predictions = found["predictions"]
    names = [n for n in found["observables"] if any(n in p["observables"] for p in predictions.values())]
    rows = 1 + len(predictions)
    figure, axes = style.ratio_panels(max(1, len(names)), ratio=0.42, size=(3.7, 3.9), top=0.95)
    note = "grey bands: uncertainty of the measurement; bars: statistics of the prediction; p: of the chi2"
    style.title(figure, f"Predictions and {found['publication']['study']}", note)
    for (main, lower), name in zip(axes, names, strict=False):
        label, unit = found["observables"][name]["label"], found["observables"][name]["unit"]
        each = {n: p["observables"][name] for n, p in predictions.items() if name in p["observables"]}
        first = next(iter(each.values()))["curve"]
        edges, measured = np.array(first["edges"]), np.array(first["measured"])
        for shade, error in reversed(list(zip(SHADES, _layers(first), strict=True))):
            one = np.ones_like(measured)
            style.band(lower, edges, one, style.over(error, measured), shade, alpha=1.0)
        style.points(main, edges, measured, np.array(first["measured_error"]), label="measured", markersize=3)
        shown, ratios = [measured + np.array(first["measured_error"])], []
        for k, (n, entry) in enumerate(each.items()):
            colour = style.METHODS[list(predictions).index(n) % len(style.METHODS)]
            curve = entry["curve"]
            style.line(main, curve["edges"], np.array(curve["prediction"]), colour, label=n)
            ratios.append(_ratio(lower, curve, colour, MARKS[k % len(MARKS)], shift=(k + 1) / (len(each) + 1)))
            shown.append(np.array(curve["prediction"]))
            text = f"{n}: {said(entry['chi2'])}"
            main.text(
                0.97, 0.96 - 0.065 * k, text, transform=main.transAxes, ha="right", va="top", fontsize=6.5, color=colour
            )
        style.headroom(main, *shown, room=1.2 + 0.09 * rows)
        style.ratio_axis(lower, *ratios, label="pred. / meas.")
        main.set_ylabel("1/N dN/dx" if found["normalised"] else style_unit(unit))
        lower.set_xlim(edges[0], edges[-1])
        lower.set_xlabel(f"{label} [{unit}]" if unit else label)
    _legend(figure, axes[0])
    return figure


def said(chi2: Chi2) -> str:
    """A chi2 in a few words."""
    if chi2["value"] is None:
        return "not tested"
    return rf"$\chi^2$/ndf {chi2['value']:.1f}/{chi2['ndf']}, p {chi2['p']:.2g}"


def style_unit(unit: str) -> str:
    """Title of the axis of a density that is not normalised."""
    return f"events / {unit}" if unit else "events / unit"


def _layers(curve: Curve) -> list[np.ndarray]:
    """Standard deviations (B,) of the measurement, each with one more group of families."""
    errors: Mapping[str, np.ndarray] = {n: np.array(e) for n, e in curve["measured_errors"].items()}
    named = {name for group in LAYERS.values() for name in group}
    variance, found = np.zeros(len(curve["measured"])), []
    for group in LAYERS.values():
        chosen = [n for n in errors if (n in group if group else n not in named)]
        variance = variance + sum((errors[n] ** 2 for n in chosen), start=np.zeros_like(variance))
        found.append(np.sqrt(variance))
    return found


def _ratio(axes: Axes, curve: Curve, colour: str, mark: str, *, shift: float) -> np.ndarray:
    """Prediction over measurement, at a place within each bin that is its own. shift: 0 to 1."""
    edges, measured = np.array(curve["edges"]), np.array(curve["measured"])
    ratio = style.over(np.array(curve["prediction"]), measured)
    error = style.over(np.array(curve["prediction_error"]), measured)
    look: style.Look = {"fmt": mark, "color": colour, "markersize": 2.8, "linewidth": 0.8}
    axes.errorbar(edges[:-1] + (0.25 + 0.5 * shift) * np.diff(edges), ratio, yerr=error, **look)
    return ratio


def _legend(figure: Figure, axes: tuple[Axes, Axes]) -> None:
    """One legend for all panels, under the title: predictions and bands."""
    main, _ = axes
    handles, labels = main.get_legend_handles_labels()
    patches = [main.fill_between([], [], [], color=shade, linewidth=0) for shade in SHADES]
    place: style.Look = {"loc": "upper left", "bbox_to_anchor": (0.004, 1 - 0.47 / figure.get_figheight())}
    figure.legend([*handles, *patches], [*labels, *LAYERS], ncols=4, borderaxespad=0.2, fontsize=7.5, **place)
