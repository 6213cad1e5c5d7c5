"""Figures of unfolded results: distances from the truth with their floor, and correlations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from truthward.records.validate.figures import Distance
from truthward.records.validate.method import ValidatedMethod
from truthward.report import style
from truthward.report.models import scores, weight_panel, weights_of
from truthward.study.observable import Observable


@style.styled
def agreement(validated: ValidatedMethod, observables: Sequence[Observable]) -> Figure:
    """Triangular discriminators of a method, and of data and simulation before unfolding, with their floor.

    If there is a joint sample and a truth, a second panel has the weights of the classifier between them.

    Args:
        validated: validate/<method>.json.
    """
    method = validated["method"]
    each = {name: figures["triangular"] for name, figures in validated["observables"].items()}
    found = {o.name: entry for o in observables if (entry := each.get(o.name))}
    results = {
        method: {name: entry["unfolded"] for name, entry in found.items()},
        "simulation": {name: entry["prior"] for name, entry in found.items()},
        "data": {name: entry["data"] for name, entry in found.items()},
    }
    test = validated["two_sample"]["unfolded"]
    figure = style.canvas(11.0 if test else 7.2, 3.9)
    right = 0.6 if test else 0.98
    main = figure.add_axes((0.075, 0.12, right - 0.075, 0.65))
    note = "lower is better; grey: truth against truth (mean and 95%), what statistics alone gives; strokes: replicas"
    style.title(figure, f"{method} against the truth", note)
    step = 0.8 / max(1, len(results))
    drawn: list[float] = []
    for place, o in enumerate(observables):
        if floor := found[o.name].get("floor") if o.name in found else None:
            mean, sd = floor["mean"], floor["sd"]
            low = max(mean - 2 * sd, 0.2 * mean)
            main.fill_between([place - 0.45, place + 0.45], low, mean + 2 * sd, color=style.TRUTH, linewidth=0)
            main.plot([place - 0.45, place + 0.45], [mean, mean], color=style.PRIOR, linewidth=1)
            drawn += [low, mean + 2 * sd]
    colours = colours_of(results)
    for number, (name, entries) in enumerate(results.items()):
        shift = (number - (len(results) - 1) / 2) * step
        marker = "s" if name in _BEFORE else "o"
        x = [p + shift for p, o in enumerate(observables) if _value(entries, o.name) is not None]
        y = [v for o in observables if (v := _value(entries, o.name)) is not None]
        main.plot(x, y, marker, color=colours[name], markersize=5.5, label=name, zorder=3)
        for p, o in enumerate(observables):
            spread = _replicas(entries.get(o.name))
            main.plot([p + shift] * len(spread), spread, "_", color=colours[name], alpha=0.5, markersize=7)
            drawn += spread
        drawn += y
    positive = [v for v in drawn if v > 0] or [1.0]
    main.set(
        yscale="log",
        ylim=(min(positive) / 1.8, max(positive) * 1.8),
        xlim=(-0.55, len(observables) - 0.45),
        ylabel="triangular discriminator × 10³",
    )
    main.set_xticks(range(len(observables)), [short(o) for o in observables])
    main.tick_params(axis="x", which="both", length=0)
    style.log_ticks(main.yaxis)
    if all(_value(entries, name) is None for entries in results.values() for name in entries):
        main.text(0.5, 0.5, "no truth to compare with", ha="center", transform=main.transAxes)
    main.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4, borderaxespad=0.2, columnspacing=1.2)
    if test:
        weights = dict(zip(("truth", method), weights_of(test), strict=True))
        side = figure.add_axes((0.68, 0.12, 0.305, 0.65))
        weight_panel(side, weights, dict(zip(weights, (style.PRIOR, *style.METHODS), strict=False)))
        side.set_title(scores(test, validated["used"]), fontsize=8, loc="right", pad=4)
    return figure


_BEFORE = {"simulation": style.PRIOR, "data": style.DATA}
"""Rows that are not unfolded results -> their colour."""


def colours_of(results: Iterable[str]) -> dict[str, str]:
    """Name -> colour. Simulation and data have fixed colours, and the methods have colours in their order."""
    methods = [name for name in results if name not in _BEFORE]
    return _BEFORE | {name: style.METHODS[i % len(style.METHODS)] for i, name in enumerate(methods)}


def short(observable: Observable) -> str:
    """The symbol of an observable: the last part of its label in dollars, or its name."""
    symbols = [s for s in observable.label.split("$")[1::2] if s]
    return f"${symbols[-1]}$" if symbols else observable.name


def _replicas(entry: Distance | None) -> list[float]:
    """Values of the replicas of different initialisations if there are some, else of the first family."""
    replicas = entry.get("replicas", {}) if entry else {}
    for name in ("initialisation", *replicas):
        if name in replicas:
            return [v for v in replicas[name]["values"] if v is not None and v > 0]
    return []


def _value(entries: Mapping[str, Distance], name: str) -> float | None:
    entry = entries.get(name)
    return None if entry is None else entry["value"]


_PITCH = 0.105
"""Smallest distance of the edges written beside a correlation matrix, in inches."""


@style.styled
def correlation(data: Mapping[str, Any], observables: Sequence[Observable]) -> Figure:
    """Correlation matrix of the unfolded histograms of several observables, in blocks with their bin edges.

    Args:
        data: {"method": name, "covariance": [N][N], "edges": {observable: edges of its bins, in the order of the
            matrix}, "said": name of the covariance, see `events.families.stated_as`}.
    """
    covariance = np.array(data["covariance"], dtype=float)
    sigma = np.sqrt(np.diag(covariance))
    matrix = style.over(covariance, np.outer(sigma, sigma))
    bins = [len(edges) - 1 for edges in data["edges"].values()]
    gaps = len(bins) - 1
    side = float(np.clip(_PITCH * (sum(bins) + gaps), 4.0, 7.0))
    # An empty row and column stand between two blocks, so that the last edge of one is not the first of the next.
    gap = max(1.0, sum(bins) / (side / _PITCH - gaps))
    starts = np.cumsum([0.0, *(n + gap for n in bins)])
    places = np.concatenate([start + np.arange(n + 1) for start, n in zip(starts, bins, strict=False)])
    for axis in (0, 1):
        matrix = np.insert(matrix, np.cumsum(bins)[:-1], np.nan, axis=axis)
    width, height = side + 1.75, side + 1.4
    figure = style.canvas(width, height)
    main = figure.add_axes((0.6 / width, 0.5 / height, side / width, side / height))
    style.title(figure, f"Correlations of {data['method']}", f"between the published bins; {data['said']}")
    image = main.pcolormesh(places, places, matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    bar = figure.add_axes(((side + 1.0) / width, 0.5 / height, 0.15 / width, side / height))
    figure.colorbar(image, cax=bar).set_label("correlation")
    known = {o.name: o for o in observables}
    ticks: list[tuple[float, str]] = []
    for start, n, (name, edges) in zip(starts, bins, data["edges"].items(), strict=False):
        # Of many bins, only as many edges are written as have room, among them both ends.
        step = -(-_PITCH * places[-1] // side)
        shown = np.linspace(0, n, max(1, int(n / step)) + 1).round().astype(int)
        ticks += [(start + k, f"{edges[k]:g}") for k in shown]
        title = short(known[name]) + (f" [{known[name].unit}]" if known[name].unit else "")
        middle, beside = start + n / 2, 1 + 0.05 / side
        main.text(middle, beside, title, transform=main.get_xaxis_transform(), ha="center", va="bottom")
        main.text(beside, middle, title, transform=main.get_yaxis_transform(), rotation=90, va="center")
    main.set_xticks(*zip(*ticks, strict=True), rotation=90)
    main.set_yticks(*zip(*ticks, strict=True))
    main.tick_params(labelsize=6, length=2, direction="out", top=False, right=False)
    main.minorticks_off()
    return figure
