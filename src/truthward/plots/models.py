"""Figures of surrogates: what they learned, and how many events their samples are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from truthward.config import Observable
from truthward.plots import style


def weight_panel(axes: Axes, histograms: Mapping[str, Mapping[str, Any]], colours: Mapping[str, str]) -> None:
    """Distributions of w = D / (1 - D) on double logarithmic axes: what a sample lacks is to the right.

    Args:
        histograms: name -> `validate.metrics.ratio_histogram`.
    """
    filled: list[float] = []
    for name, h in histograms.items():
        edges, share = 10.0 ** np.array(h["log10_edges"]), style.array(h["fractions"])
        share[share <= 0] = np.nan
        beyond = h["below"] + h["above"]
        style.line(axes, edges, share, colours[name], label=name + (f" ({beyond:.0e} beyond)" if beyond else ""))
        filled += edges[:-1][np.isfinite(share)].tolist() + edges[1:][np.isfinite(share)].tolist()
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(min([0.5, *filled]), max([2.0, *filled]))
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * 12)
    style.log_ticks(axes.xaxis)
    axes.axvline(1.0, color="black", linewidth=0.6, linestyle=":")
    axes.set_xlabel("classifier weight $w = D/(1-D)$")
    axes.set_ylabel("fraction of events")
    axes.legend(loc="upper left")


@style.styled
def marginals(data: Mapping[str, Any], observables: Sequence[Observable]) -> Figure:
    """Each observable at both levels, surrogate over simulation, and the classifier's weights.

    Args:
        data: {"name": of the surrogate, "levels": {"truth" | "reco": {observable: {"edges", "simulation": histogram,
            "surrogate": histogram}}}, "weights": {"simulation" | "surrogate": `ratio_histogram`} or None, "auc", "jsd":
            {"mean", "sd"} or None}. The surrogate's error is the spread of its members, and its contents are scaled to
            the simulation's yield.
    """
    shown = [(level, o) for level, entries in data["levels"].items() for o in observables if o.name in entries]
    weights = data.get("weights")
    figure, axes = style.panels(len(shown) + bool(weights), columns=5, ratio=0.28, size=(2.4, 2.4), gap=(0.7, 0.52))
    style.title(
        figure,
        f"Surrogate {data['name']}",
        "ratio to the simulation, where known within 50%; grey: its statistics, red: spread of the members",
    )
    colour = style.METHODS[1]
    for (main, lower), (level, o) in zip(axes, shown, strict=False):
        entry = data["levels"][level][o.name]
        edges = entry["edges"]
        expected, error = style.density(entry["simulation"], edges)
        found, spread = style.density(entry["surrogate"], edges)
        main.stairs(expected, edges, fill=True, color=style.TRUTH, label="simulation")
        style.line(main, edges, found, colour, label="surrogate")
        relative, width = style.over(error, expected), style.over(spread, expected)
        quotient = style.known(style.over(found, expected), relative, width)
        style.band(lower, edges, style.known(np.ones_like(expected), relative), relative, style.PRIOR)
        style.line(lower, edges, quotient, colour)
        style.band(lower, edges, quotient, width, colour)
        style.headroom(main, expected, found)
        style.ratio_axis(lower, quotient, label="ratio")
        main.set_ylabel(style.per_unit(o))
        style.horizontal(lower, o, f"{level} {o.axis}")
    if weights:
        main, lower = axes[-1]
        box = main.get_position(), lower.get_position()
        lower.remove()
        main.set_position((box[1].x0, box[1].y0, box[0].width, box[0].y1 - box[1].y0))
        main.tick_params(labelbottom=True)
        weight_panel(main, weights, {"simulation": style.PRIOR, "surrogate": colour})
        main.set_title(scores(data), fontsize=7.5, loc="right", pad=3)
    style.legend_above(figure, axes[0][0])
    return figure


def scores(data: Mapping[str, Any]) -> str:
    """AUC and JSD over seeds in one line; what is None is left out."""
    lines = []
    for key, name in (("auc", "AUC"), ("jsd", "JSD")):
        entry = data.get(key)
        if entry and entry["mean"] is not None:
            spread = f" ± {entry['sd']:.4f}" if entry.get("sd") is not None else ""
            lines.append(f"{name} {entry['mean']:.4f}{spread}" + (" bit" if key == "jsd" else ""))
    return ",  ".join(lines)


@style.styled
def amplification(data: Mapping[str, Any]) -> Figure:
    """How many training events a sample is worth, against how many were drawn.

    Args:
        data: {"n_train": events of the training, "curves": {name: {"sampled": [K], "n_equivalent": [K], "low": [K],
            "high": [K]}}, "note": what the target was}; all in events, `low` and `high` bound 68%.
    """
    figure, axes = style.panels(1, size=(4.8, 3.4), top=0.7)
    main = axes[0][0]
    style.title(figure, "Amplification", data.get("note", ""))
    n, heights = float(data["n_train"]), [1.0]
    reach = [1.0]
    for (name, curve), colour in zip(data["curves"].items(), style.METHODS, strict=False):
        x, y = style.array(curve["sampled"]) / n, style.array(curve["n_equivalent"]) / n
        low, high = style.array(curve["low"]) / n, style.array(curve["high"]) / n
        main.plot(x, y, color=colour, marker="o", markersize=3.5, label=name)
        main.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0)
        heights += [v for v in (*low, *y, *high) if np.isfinite(v)]
        reach += x.tolist()
    grid = np.array([min(reach), max(reach)])
    main.plot(grid, grid, color=style.PRIOR, linestyle="--", linewidth=1, label="as many true events")
    main.axhline(1.0, color="black", linewidth=0.8, linestyle=":")
    main.text(grid[-1], 1.02, "the training sample itself ", ha="right", va="bottom", fontsize=7)
    main.set_xscale("log")
    main.set_yscale("log")
    main.set_xlim(*grid)
    main.set_ylim(0.7 * min(h for h in heights if h > 0), 2.5 * max(heights))
    style.log_ticks(main.xaxis)
    style.log_ticks(main.yaxis)
    main.set_xlabel("events sampled / events of the training")
    main.set_ylabel(r"$G = n_{\mathrm{equivalent}} / n_{\mathrm{train}}$")
    style.legend_above(figure, main)
    return figure
