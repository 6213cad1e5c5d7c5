"""Figure of the stress suite: the errors at truth level, and whether the refolded result shows them."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from truthward.records.validate.stress import StressRow, StressTable
from truthward.report import style
from truthward.report.results import colours_of

LIMIT = 3.0
"""Significance beyond which a test fails, the same as `SIGMAS` of `validate.stress.verdict`."""


@style.styled
def stress(data: StressTable) -> Figure:
    """Three panels with a line for each scenario and method.

    They show the significance of the chi2 at truth level, of the refolded chi2, and the triangular discriminator before
    and after unfolding.

    Args:
        data: validate/stress/stress.json.
    """
    rows = [row for row in data["rows"] if row["verdict"]]
    names = list(dict.fromkeys(row["scenario"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    colours = colours_of(dict.fromkeys(methods))
    band = 0.26 * max(2, len(methods))
    width, low, top = 11.0, 0.55, 0.65
    high = band * max(1, len(names))
    height = high + low + top
    figure = style.canvas(width, height)
    style.title(
        figure, "Stress tests", f"filled: passes; open: fails; shaded: beyond {LIMIT:g} sigma, where a test fails"
    )
    places = [(1.75, 2.75), (4.75, 2.75), (7.75, 3.05)]
    axes = [figure.add_axes((x / width, low / height, w / width, high / height)) for x, w in places]
    titles = (
        "particle level: truth off by [sigma]",
        "refolded at reco level: off by [sigma]",
        "triangular discriminator × 10³",
    )
    for panel, title in zip(axes, titles, strict=True):
        panel.set(xlabel=title, ylim=(max(1, len(names)) - 0.5, -0.5))
        panel.set_yticks(range(len(names)), [_label(n, rows) for n in names] if panel is axes[0] else [])
        panel.tick_params(axis="y", which="both", length=0)
        for line in range(1, len(names)):
            panel.axhline(line - 0.5, color=style.TRUTH, linewidth=0.8)
    for panel, tests in (
        (axes[0], [(row["truth_sigma"], row["verdict"]) for row in rows]),
        (axes[1], [(row["refold_sigma"], row["refolding"]) for row in rows]),
    ):
        panel.set_xlim(0, 1.15 * max([*(sigma for sigma, _ in tests if sigma is not None), 1.3 * LIMIT]))
        panel.axvspan(LIMIT, panel.get_xlim()[1], color=style.TRUTH, alpha=0.6, linewidth=0)
        for row, (sigma, verdict) in zip(rows, tests, strict=True):
            if sigma is not None:
                _point(panel, sigma, _place(row, names, methods), colours[row["method"]], verdict == "pass")
    figures = [v for row in rows for v in (row["triangular_before"], row["triangular_after"])]
    if positive := [v for v in figures if v is not None and v > 0]:
        axes[2].set(xscale="log", xlim=(min(positive) / 1.6, max(positive) * 1.6))
        style.log_ticks(axes[2].xaxis)
    for row in rows:
        before, after, place = row["triangular_before"], row["triangular_after"], _place(row, names, methods)
        if before and after:
            arrow = {"arrowstyle": "->", "color": colours[row["method"]], "linewidth": 1.3}
            axes[2].annotate("", (after, place), (before, place), arrowprops=arrow)
            axes[2].plot([before], [place], "|", color=style.PRIOR, markersize=7)
    _legend(figure, methods, colours)
    return figure


def _label(scenario: str, rows: list[StressRow]) -> str:
    """Name of a scenario, and a line that says what was changed."""
    note = next(row["note"] for row in rows if row["scenario"] == scenario)
    return "\n".join(filter(None, (scenario.replace("_", " "), note)))


def _place(row: StressRow, names: list[str], methods: list[str]) -> float:
    return names.index(row["scenario"]) + 0.8 * ((methods.index(row["method"]) + 0.5) / len(methods) - 0.5)


def _point(axes: Axes, x: float, y: float, colour: str, filled: bool) -> None:
    axes.plot([0, x], [y, y], color=colour, linewidth=0.8)
    axes.plot([x], [y], "o", color=colour, markerfacecolor=colour if filled else "white", markersize=6, zorder=3)


def _legend(figure: Figure, methods: list[str], colours: Mapping[str, str]) -> None:
    handles = [Line2D([], [], color=colours[m], marker="o", markersize=5) for m in methods]
    handles.append(Line2D([], [], color=style.PRIOR, marker="|", linestyle=""))
    labels = [*methods, "simulation before unfolding"]
    figure.legend(handles, labels, loc="upper right", ncols=len(labels), bbox_to_anchor=(0.995, 1.0), borderaxespad=0.3)
