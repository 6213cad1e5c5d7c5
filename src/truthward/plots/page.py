"""The one page: all observables, all methods, truth and data, and what each method is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from truthward.config import Observable
from truthward.plots import style
from truthward.plots.results import colours_of, short

WIDTH, HEIGHT = 11.7, 8.3
TOP, LEFT, RIGHT, GAP = 0.68, 0.6, 0.15, 0.6
ROW = 0.185
"""Inches: a sheet of A4 on its side, room for the heading, margins, between panels, and for a line of the table."""


@style.styled
def summary_page(data: Mapping[str, Any], observables: Sequence[Observable]) -> Figure:
    """One panel an observable, over a table of the methods.

    Args:
        data:
            "study": name; "note": a sentence under it;
            "observables": {name: {"edges", "truth": histogram or None, "data": histogram at detector level or None,
            "prior": histogram of the
                simulation's truth, "methods": {method: {"sum", "error"}}}}; 20 to 30 bins are readable;
            "table": {"discriminators": {row: {observable: {"value", "sd"} or None}}, "floor": {observable: mean} or
            None, "extra":
                {row: {column title: text}}}. Rows are methods, and "simulation" and "data" for what there was before
                unfolding. The lowest value of the methods is set in bold.
    """
    shown = [o for o in observables if o.name in data["observables"]]
    methods = list(dict.fromkeys(m for o in shown for m in data["observables"][o.name]["methods"]))
    colours = colours_of(dict.fromkeys(methods))
    with_truth = any(data["observables"][o.name]["truth"] for o in shown)
    lines = _lines(data["table"], shown, methods)
    figure = style.canvas(WIDTH, HEIGHT)
    bottom = 0.22 + ROW * (len(lines) + 1.2)
    columns = 3 if len(shown) <= 6 else 4
    rows = max(1, -(-len(shown) // columns))
    wide, high = (WIDTH - LEFT - RIGHT + GAP) / columns, (HEIGHT - TOP - bottom) / rows
    for number, o in enumerate(shown):
        row, column = divmod(number, columns)
        left, low = LEFT + column * wide, HEIGHT - TOP - (row + 1) * high + 0.42
        box = (left / WIDTH, low / HEIGHT, (wide - GAP) / WIDTH, (high - 0.5) / HEIGHT)
        main, lower = style.cell(figure, box, 0.36)
        _panel(main, lower, data["observables"][o.name], o, colours, first=column == 0)
    style.title(
        figure, f"{data['study']}: unfolded to particle level", f"{data['note']}; ratios where known within 50%"
    )
    _legend(figure, methods, colours, with_truth)
    _table(figure, lines, colours, bottom)
    return figure


def _panel(
    main: Any, lower: Any, entry: Mapping[str, Any], o: Observable, colours: Mapping[str, str], *, first: bool
) -> None:
    edges = entry["edges"]
    prior, _ = style.density(entry["prior"], edges)
    reference, error, heights = prior, None, [prior]
    if entry["truth"]:
        reference, error = style.density(entry["truth"], edges)
        main.stairs(reference, edges, fill=True, color=style.TRUTH)
        relative = style.over(error, reference)
        style.band(lower, edges, style.known(np.ones_like(reference), relative), relative, "#aaaaaa", alpha=0.45)
        heights.append(reference)
    style.line(main, edges, prior, style.PRIOR, linestyle="--", linewidth=1.1)
    clear = np.zeros_like(reference) if error is None else style.over(error, reference)
    ratios = [style.known(style.over(prior, reference), clear)]
    style.line(lower, edges, ratios[0], style.PRIOR, linestyle="--", linewidth=1.1)
    if entry["data"]:
        found, spread = style.density(entry["data"], edges)
        style.points(main, edges, found, spread, mfc="white", markersize=2.8, mew=0.7, linewidth=0.6)
        heights.append(found)
    # The first method is drawn last, on top of the others.
    for name, histogram in reversed(entry["methods"].items()):
        found, spread = style.density(histogram, edges)
        width = style.over(spread, reference)
        ratios.append(style.known(style.over(found, reference), clear, width))
        for axes, y, sigma in ((main, found, spread), (lower, ratios[-1], width)):
            style.line(axes, edges, y, colours[name], linewidth=1.1)
            style.band(axes, edges, y, sigma, colours[name], alpha=0.25)
        heights.append(found + spread)
    style.headroom(main, *heights, room=1.12)
    style.ratio_axis(lower, *ratios, label="")
    main.set_ylabel(style.per_unit(o), labelpad=2)
    if first:
        lower.set_ylabel("ratio to truth" if entry["truth"] else "ratio to sim.", labelpad=2, fontsize=8)
    style.horizontal(lower, o)
    lower.xaxis.labelpad = 1


def _legend(figure: Figure, methods: Sequence[str], colours: Mapping[str, str], with_truth: bool) -> None:
    handles = [Patch(color=style.TRUTH, label="truth (not seen by any method)")] if with_truth else []
    handles += [
        Line2D([], [], color=style.PRIOR, linestyle="--", label="simulation (prior)"),
        Line2D(
            [],
            [],
            color=style.DATA,
            marker="o",
            mfc="white",
            markersize=3.5,
            linestyle="none",
            label="data, detector level",
        ),
    ]
    handles += [(Patch(color=colours[m], alpha=0.3), Line2D([], [], color=colours[m])) for m in methods]
    labels = [h.get_label() for h in handles if not isinstance(h, tuple)] + [f"{m} (68%)" for m in methods]
    place = (1 - RIGHT / WIDTH, 1 - 0.06 / HEIGHT)
    columns = -(-len(handles) // 2)
    figure.legend(handles, labels, loc="upper right", bbox_to_anchor=place, ncols=columns, borderaxespad=0)


Line = tuple[str, list[tuple[str, bool]]]


def _lines(table: Mapping[str, Any], shown: Sequence[Observable], methods: Sequence[str]) -> list[Line]:
    """Rows of the table: a name, and for each column a text and whether it is bold; the first row holds the titles."""
    values, extra, floor = table["discriminators"], table.get("extra") or {}, table.get("floor") or {}
    with_values = any(entry for row in values.values() for entry in row.values())
    titles = list(dict.fromkeys(t for row in extra.values() for t in row))
    of = shown if with_values else []
    heading = "triangular discriminator × 10³: lower is better" if of else ""
    lines: list[Line] = [(heading, [*((short(o), True) for o in of), *((t, True) for t in titles)])]
    for name in dict.fromkeys([*methods, *values, *extra]):
        cells = []
        for o in of:
            entry = values.get(name, {}).get(o.name)
            best = min((v["value"] for m in methods if (v := values.get(m, {}).get(o.name))), default=None)
            text = _number(entry["value"], entry.get("sd")) if entry else "–"
            cells.append((text, bool(entry) and name in methods and entry["value"] == best))
        lines.append((name, [*cells, *((extra.get(name, {}).get(t, "–"), False) for t in titles)]))
    if floor and of:
        cells = [(f"{floor[o.name]:.2g}" if floor.get(o.name) is not None else "–", False) for o in of]
        lines.append(("floor", [*cells, *((("–"), False) for _ in titles)]))
    return lines


def _number(value: float, sd: float | None) -> str:
    """The value with two digits of its spread: 2.50 ± 0.38."""
    if not sd:
        return f"{value:.3g}"
    digits = max(0, 1 - int(np.floor(np.log10(sd))))
    return f"{value:.{digits}f} ± {sd:.{digits}f}"


_NAMES = {
    "simulation": "simulation, before unfolding",
    "data": "data, before unfolding",
    "floor": "floor (truth against truth)",
}


def _table(figure: Figure, lines: Sequence[Line], colours: Mapping[str, str], bottom: float) -> None:
    def at(inches: float) -> float:
        return inches / HEIGHT

    x0, x1, names = LEFT / WIDTH, 1 - RIGHT / WIDTH, 2.35 / WIDTH
    count = max(1, len(lines[0][1]))
    step = (x1 - x0 - names) / count
    y = bottom - 0.1
    figure.text(
        x0,
        at(y),
        lines[0][0],
        fontsize=6.5,
        color="#555555",
        va="center",
    )
    for number, (name, cells) in enumerate(lines):
        low = y - ROW * number
        if number:
            colour = colours.get(name, style.PRIOR)
            if name != "floor":
                figure.add_artist(Line2D([x0, x0 + 0.012], [at(low)] * 2, color=colour, linewidth=3))
            figure.text(x0 + 0.018, at(low), _NAMES.get(name, name), fontsize=8, va="center")
        for k, (text, bold) in enumerate(cells):
            weight = "bold" if bold else "normal"
            figure.text(
                x0 + names + (k + 0.5) * step, at(low), text, fontsize=8, weight=weight, ha="center", va="center"
            )
        if number in (0, len(lines) - 1):
            edge = at(low - ROW / 2)
            figure.add_artist(Line2D([x0, x1], [edge, edge], color="black", linewidth=0.6))
