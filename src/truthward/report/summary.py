"""The summary page: all observables and methods with truth and data, and a table that compares the methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from truthward.records.validate.method import BinnedCurves, ValidatedMethod, Verdict
from truthward.records.validate.methods import Cell, MethodRow, MethodsTable
from truthward.report import style
from truthward.report.results import colours_of, short
from truthward.study.numbers import measured
from truthward.study.observable import Observable

WIDTH, HEIGHT = 11.7, 8.3
TOP, LEFT, RIGHT, GAP = 0.68, 0.6, 0.15, 0.6
ROW, VERDICT = 0.185, 0.16
"""Inches. WIDTH, HEIGHT: A4 in landscape. TOP: room for the heading. LEFT, RIGHT: margins. GAP: between panels. ROW: a
line of the table. VERDICT: a line of the verdicts."""
LONGEST = 125
"""Characters of a line of the verdicts."""


@style.styled
def summary_page(
    study: str,
    validated: Mapping[str, ValidatedMethod],
    table: MethodsTable,
    observables: Sequence[Observable],
) -> Figure:
    """One panel for each observable, and below them a table of the methods.

    Args:
        study: its name.
        validated: method -> validate/<method>.json, in the order of the study.
        table: validate/methods.json. The verdicts are at the top of the page. The lowest discriminator is bold.
        observables: of the study. Observables that no method unfolded are left out.
    """
    methods = list(validated)
    curves = {o.name: _curves(validated, o.name) for o in observables}
    shown = [o for o in observables if curves[o.name]]
    colours = colours_of(methods)
    with_truth = any("truth" in _finest(curves[o.name]) for o in shown)
    lines = _lines(table["rows"], shown, methods)
    figure = style.canvas(WIDTH, HEIGHT)
    bottom = 0.22 + ROW * (len(lines) + 1.2)
    verdicts = _verdicts({m: table["verdicts"][m] for m in methods if m in table["verdicts"]})
    top = TOP + VERDICT * len(verdicts)
    columns = min(len(shown), 3 if len(shown) <= 6 else 4) or 1
    rows = max(1, -(-len(shown) // columns))
    wide, high = (WIDTH - LEFT - RIGHT + GAP) / columns, (HEIGHT - top - bottom) / rows
    for number, o in enumerate(shown):
        row, column = divmod(number, columns)
        left, low = LEFT + column * wide, HEIGHT - top - (row + 1) * high + 0.42
        box = (left / WIDTH, low / HEIGHT, (wide - GAP) / WIDTH, (high - 0.5) / HEIGHT)
        main, lower = style.cell(figure, box, 0.36)
        _panel(main, lower, curves[o.name], o, colours, first=column == 0)
    said = "; ".join(dict.fromkeys(content["uncertainty"] for content in validated.values()))
    style.title(figure, f"{study}: unfolded to particle level", f"bands (68%): {said}")
    for number, (method, verdict, text) in enumerate(verdicts):
        y = 1 - (TOP - 0.12 + VERDICT * number) / HEIGHT
        figure.text(0.12 / WIDTH, y, method, fontsize=7.5, color=colours[method], weight="bold", va="center")
        figure.text(1.05 / WIDTH, y, verdict, fontsize=7.5, color=_WORDS[verdict], weight="bold", va="center")
        # Reasons may have dollar signs that are no mathematics.
        figure.text(1.75 / WIDTH, y, text, fontsize=7.5, color="#333333", va="center", parse_math=False)
    _legend(figure, methods, colours, with_truth, [m for m in methods if m in table["binned"]])
    _table(figure, lines, colours, bottom)
    return figure


_WORDS = {"good": "#1a7f37", "warnings": "#b35900", "failed": "#bd1f01"}
"""Verdict -> its colour."""


def _verdicts(verdicts: Mapping[str, Verdict]) -> list[tuple[str, str, str]]:
    """Method, verdict and the reasons that fit into one line."""
    found: list[tuple[str, str, str]] = []
    for method, entry in verdicts.items():
        text, left = "", len(entry["reasons"])
        for reason in entry["reasons"]:
            if text and len(text) + len(reason) > LONGEST:
                break
            text, left = f"{text}; {reason}" if text else shorten(reason, LONGEST, placeholder=" ..."), left - 1
        more = f" (and {left} more in methods.md)" if left else ""
        found.append((method, entry["verdict"], text + more))
    return found


def _curves(validated: Mapping[str, ValidatedMethod], name: str) -> dict[str, BinnedCurves]:
    """Histograms of one observable, of each method that has it, in the bins that it unfolded."""
    return {
        method: content["observables"][name]["histogram"]["coarse"]
        for method, content in validated.items()
        if name in content["observables"]
    }


def _finest(curves: Mapping[str, BinnedCurves]) -> BinnedCurves:
    """The histograms in the finest bins. All methods share truth, data and simulation."""
    return max(curves.values(), key=lambda histogram: len(histogram["edges"]))


def _panel(
    main: Axes,
    lower: Axes,
    curves: dict[str, BinnedCurves],
    o: Observable,
    colours: Mapping[str, str],
    *,
    first: bool,
) -> None:
    entry = _finest(curves)
    edges = entry["edges"]
    prior, _ = style.density(entry["prior"], edges)
    reference, heights, clear = prior, [prior], np.zeros_like(prior)
    if "truth" in entry:
        reference, error = style.density(entry["truth"], edges)
        clear = style.over(error, reference)
        main.stairs(reference, edges, fill=True, color=style.TRUTH)
        style.band(lower, edges, style.known(np.ones_like(reference), clear), clear, "#aaaaaa", alpha=0.45)
        heights.append(reference)
    style.line(main, edges, prior, style.PRIOR, linestyle="--", linewidth=1.1)
    ratios = [style.known(style.over(prior, reference), clear)]
    style.line(lower, edges, ratios[0], style.PRIOR, linestyle="--", linewidth=1.1)
    found, spread = style.density(entry["data"], edges)
    style.points(main, edges, found, spread, mfc="white", markersize=2.8, mew=0.7, linewidth=0.6)
    heights.append(found)
    # The first method is drawn last, so it is on top.
    for name, histogram in reversed(curves.items()):
        own = histogram["edges"]
        found, spread = style.density(histogram["unfolded"], own)
        below, error_below = style.density(histogram.get("truth") or histogram["prior"], own)
        width = style.over(spread, below)
        clear = style.over(error_below, below) if histogram.get("truth") else np.zeros_like(below)
        ratios.append(style.known(style.over(found, below), clear, width))
        for axes, y, sigma in ((main, found, spread), (lower, ratios[-1], width)):
            style.line(axes, own, y, colours[name], linewidth=1.1)
            style.band(axes, own, y, sigma, colours[name], alpha=0.25)
        heights.append(found + spread)
    style.headroom(main, *heights, room=1.12, log=o.counts == "log")
    style.ratio_axis(lower, *ratios, label="")
    main.set_ylabel(style.per_unit(o), labelpad=2)
    if first:
        lower.set_ylabel("ratio to truth" if "truth" in entry else "ratio to sim.", labelpad=2, fontsize=8)
    style.horizontal(lower, o)
    lower.xaxis.labelpad = 1


def _legend(
    figure: Figure, methods: Sequence[str], colours: Mapping[str, str], with_truth: bool, own: Sequence[str]
) -> None:
    """One legend for all panels. own: methods that are drawn in bins of their own."""
    handles: list[Artist | tuple[Artist, ...]] = [Patch(color=style.TRUTH)] if with_truth else []
    labels = ["truth (not seen by any method)"] if with_truth else []
    handles += [
        Line2D([], [], color=style.PRIOR, linestyle="--"),
        Line2D([], [], color=style.DATA, marker="o", mfc="white", markersize=3.5, linestyle="none"),
    ]
    labels += ["simulation (prior)", "data, detector level"]
    handles += [(Patch(color=colours[m], alpha=0.3), Line2D([], [], color=colours[m])) for m in methods]
    labels += [f"{m} ({'its bins, ' if m in own else ''}68%)" for m in methods]
    place = (1 - RIGHT / WIDTH, 1 - 0.06 / HEIGHT)
    columns = -(-len(handles) // 2)
    # The types of Figure.legend lack the tuples that those of Axes.legend have.
    figure.legend(  # type: ignore[call-overload]
        handles, labels, loc="upper right", bbox_to_anchor=place, ncols=columns, borderaxespad=0
    )


Line = tuple[str, list[tuple[str, bool]]]


def _lines(rows: Sequence[MethodRow], shown: Sequence[Observable], methods: Sequence[str]) -> list[Line]:
    """Rows of the table. Each has a name, and for each column a text and whether it is bold. The first has titles."""
    of = [o for o in shown if any(row["triangular"].get(o.name) for row in rows)]
    extra = {
        title: key
        for title, key in _EXTRA.items()
        if any(row["name"] in methods and row.get(key) is not None for row in rows)
    }
    heading = "triangular discriminator × 10³,\ndeclared bins; lower is better" if of else ""
    lines: list[Line] = [(heading, [*((short(o), True) for o in of), *((title, True) for title in extra)])]
    for row in rows:
        cells = [(_cell(row["triangular"].get(o.name)), _is_best(row, o.name, rows, methods)) for o in of]
        cells += [(_cell(row.get(key)), False) for key in extra.values()]
        if any(text != "–" for text, _ in cells):
            lines.append((row["name"], cells))
    return lines


_EXTRA: dict[str, Literal["auc", "yield_ratio", "chi2_p", "refold_p"]] = {
    "AUC": "auc",
    "yield / truth": "yield_ratio",
    "smallest χ² p": "chi2_p",
    "refolded p": "refold_p",
}
"""Title of a column -> key of a row of methods.json."""


def _is_best(row: MethodRow, name: str, rows: Sequence[MethodRow], methods: Sequence[str]) -> bool:
    cells = {r["name"]: r["triangular"].get(name) for r in rows if r["name"] in methods}
    values = {method: value for method, cell in cells.items() if cell and (value := cell["value"]) is not None}
    return bool(values) and row["name"] == min(values, key=lambda method: values[method])


def _cell(found: Cell | float | None) -> str:
    if isinstance(found, dict):
        return "–" if found["value"] is None else measured(found["value"], found["spread"], most=3)
    return "–" if found is None else f"{found:.2g}"


_BEFORE = {"simulation before unfolding": style.PRIOR, "data before unfolding": style.DATA}
"""Rows of methods.json that are not methods -> their colour."""


def _table(figure: Figure, lines: Sequence[Line], colours: Mapping[str, str], bottom: float) -> None:
    def at(inches: float) -> float:
        return inches / HEIGHT

    x0, x1, names = LEFT / WIDTH, 1 - RIGHT / WIDTH, 2.35 / WIDTH
    count = max(1, len(lines[0][1]))
    size = 8 if count <= 8 else 7.2
    step = (x1 - x0 - names) / count
    y = bottom - 0.1
    # The title of the table has two lines above the first horizontal rule.
    figure.text(x0, at(y - 0.4 * ROW), lines[0][0], fontsize=6.5, color="#555555", va="bottom", linespacing=1.0)
    for number, (name, cells) in enumerate(lines):
        low = y - ROW * number
        if number:
            colour = _BEFORE.get(name) or colours.get(name)
            if colour is not None:
                figure.add_artist(Line2D([x0, x0 + 0.012], [at(low)] * 2, color=colour, linewidth=3))
            figure.text(
                x0 + 0.018, at(low), name if name != "floor" else "floor (truth against truth)", fontsize=8, va="center"
            )
        for k, (text, bold) in enumerate(cells):
            weight = "bold" if bold else "normal"
            figure.text(
                x0 + names + (k + 0.5) * step, at(low), text, fontsize=size, weight=weight, ha="center", va="center"
            )
        if number in (0, len(lines) - 1):
            edge = at(low - ROW / 2)
            figure.add_artist(Line2D([x0, x1], [edge, edge], color="black", linewidth=0.6))
