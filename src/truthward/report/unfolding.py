"""Figures of one unfolding: its iterations, and the parts of its uncertainty."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from truthward.events.families import Histogram
from truthward.records.unfold import HistoryEntry, Reliability, Stopping
from truthward.report import style
from truthward.study.observable import Observable

_LEVELS = {"_reco": ", detector level", "_truth": ", particle level", "_unfolded": ", drawn events", "": ""}
_TITLES = {
    "yield": "unfolded yield [events]",
    "change": "change / its data-stat. error",
    "refold": r"refolded $\chi^2$ / ndf",
    "auc": "AUC",
    "loss": "loss",
    "normalisation": "ln of norm",
    "effective_size": "effective size",
    "largest_over_mean": "largest weight / mean",
    "saturated": "saturated ratios",
}
"""Titles of panels in their order. A level may follow the name. Other diagnostics come last, under their own name."""
_SKIPPED = ("replica", "iteration", "observable", "yield_before", "refold_chi2", "refold_ndf", "bins", "fold")
_RELIABILITY = {"reco": "predicted P(data), detector level", "truth": "predicted ratio, particle level"}
_COLUMNS = 7
"""Largest number of entries in a row of a legend."""


@style.styled
def iterations(data: Mapping[str, Any]) -> Figure:
    """Diagnostics of each iteration of an unfolding, and the reliability of the nominal classifiers.

    Curves of the nominal result are drawn on top of those of the replicas.

    Args:
        data: metadata of the unfolded sample: "method", "families", "history" (`records.unfold.HistoryEntry`), and for
            methods that choose their iterations "stopping" (`records.unfold.Stopping`).
    """
    entries = [entry for given in data["history"] if "iteration" in given for entry in _expanded(given)]
    names = [n for e in entries for n, v in e.items() if n not in _SKIPPED and isinstance(v, int | float)]
    # A count that stays at zero is stated in words. A held-out loss is drawn in the panel of the training loss.
    quiet = {n for n in names if n.startswith("saturated") and not any(e.get(n) for e in entries)}
    panels = [n for n in dict.fromkeys(names) if n not in quiet and not n.startswith(("epochs", "held_out_loss"))]
    panels.sort(key=lambda name: _title(name)[0])
    curves = {level: found for level in _RELIABILITY if (found := _curves(data["history"], level))}
    observables = list(dict.fromkeys(e["observable"] for e in entries if "observable" in e))
    of_families = style.family_colours(data.get("families", {}))
    there = set(map(_family_of, entries))
    colours = style.family_colours(observables) or {name: c for name, c in of_families.items() if name in there}

    top = 0.65 + 0.2 * -(-(1 + len(colours)) // _COLUMNS)
    figure, axes = style.panels(max(1, len(panels) + len(curves)), columns=4, size=(2.7, 2.1), gap=(0.82, 0.5), top=top)
    stopping: Stopping | None = data.get("stopping")
    chosen = stopping["chosen"] if stopping else None
    said = {
        "strong: nominal": True,
        f"faint: replicas{'' if observables else ' by family'}": True,
        "dashed: held-out events": any(n.startswith("held_out_loss") for n in names),
        "dotted: chosen iteration": isinstance(chosen, int),
        "no ratio is saturated": bool(quiet),
    }
    style.title(figure, f"Iterations of {data['method']}", "; ".join(text for text, holds in said.items() if holds))
    for main, name in zip(axes, panels, strict=False):
        _panel(main, name, entries, colours, stopping)
    for main, (level, found) in zip(axes[len(panels) :], curves.items(), strict=False):
        _draw_reliability(main, found)
        main.set_xlabel(_RELIABILITY[level])
    if not panels and not curves:
        axes[0].text(0.5, 0.5, "this method has no iterations", ha="center", transform=axes[0].transAxes)
        axes[0].set_axis_off()
    else:
        nominal = {} if observables else {"nominal": style.DATA}
        _legend(figure, [Line2D([], [], color=c, label=style.family_word(n)) for n, c in (nominal | colours).items()])
    return figure


def _panel(
    main: Axes, name: str, entries: Sequence[HistoryEntry], colours: Mapping[str, str], stopping: Stopping | None
) -> None:
    """One diagnostic of every replica over the iterations."""
    for track in _tracks(entries):
        _draw(main, track, name, colours)
    first = min(e["iteration"] for e in entries if name in e)
    last = max(e["iteration"] + 1 for e in entries)
    main.set_xlim(min(first, 0) + 0.5, last + 0.5)
    _finish(main, name, stopping)


def _legend(figure: Figure, handles: Sequence[Artist], columns: int = _COLUMNS) -> None:
    """One legend for all panels, under the title."""
    at = (0.003, 1 - 0.46 / figure.get_figheight())
    figure.legend(
        handles=handles, ncols=min(columns, len(handles)), loc="upper left", bbox_to_anchor=at, borderaxespad=0.3
    )


def _expanded(entry: HistoryEntry) -> Iterable[HistoryEntry]:
    """The entry with derived diagnostics, and an entry for each of its `changes`."""
    own = dict(entry)
    if own.get("refold_ndf"):
        own["refold"] = own["refold_chi2"] / own["refold_ndf"]
    yield own
    names: HistoryEntry = {n: own[n] for n in ("replica", "observable") if n in own}
    yield from ({**names, "iteration": i, "change": change} for i, change in enumerate(own.get("changes", [])))
    # Before the first iteration the yield is the simulated one.
    if "yield_before" in own and own["iteration"] == 0:
        yield {**names, "iteration": -1, "yield": own["yield_before"]}


def _family_of(entry: HistoryEntry) -> str:
    return str(entry.get("replica", "nominal")).rpartition(":")[0] or "nominal"


def _tracks(entries: Iterable[HistoryEntry]) -> list[list[HistoryEntry]]:
    """Entries of each replica, observable and fold, sorted by iteration. The nominal is last and so drawn on top."""
    tracks: dict[tuple[Any, ...], list[HistoryEntry]] = {}
    for entry in sorted(entries, key=lambda e: (_family_of(e) == "nominal", e["iteration"])):
        tracks.setdefault(tuple(map(entry.get, ("replica", "observable", "fold"))), []).append(entry)
    return list(tracks.values())


def _title(name: str) -> tuple[int, str]:
    """Place and title of a diagnostic."""
    for suffix, level in _LEVELS.items():
        stem = name.removesuffix(suffix)
        if name.endswith(suffix) and stem in _TITLES:
            return list(_TITLES).index(stem), _TITLES[stem] + level
    return len(_TITLES), name.replace("_", " ")


def _draw(axes: Axes, track: Sequence[HistoryEntry], name: str, colours: Mapping[str, str]) -> None:
    """Values of a diagnostic of one replica. A loss of the nominal also has its held-out values."""
    family = _family_of(track[0])
    colour = colours.get(track[0].get("observable", family), style.DATA)
    look: style.Look = {"linewidth": 0.6, "marker": "_", "markersize": 4, "alpha": 0.3}
    if family == "nominal":
        look = {"linewidth": 1.4, "marker": ".", "zorder": 3}
    for key, dash in ((name, "-"), (f"held_out_{name}", "--")):
        chosen = [e for e in track if key in e]
        if chosen and (dash == "-" or family == "nominal"):
            axes.plot([e["iteration"] + 1 for e in chosen], [e[key] for e in chosen], dash, color=colour, **look)


def _finish(axes: Axes, name: str, stopping: Stopping | None) -> None:
    """Labels, ticks and the chosen iteration. The change also gets its tolerance."""
    axes.set_ylabel(_title(name)[1])
    style.whole_numbers(axes, "iteration")
    axes.margins(y=0.15)
    if name == "change":
        axes.set_yscale("log")
        style.log_ticks(axes.yaxis)
        if level := stopping.get("tolerance") if stopping else None:
            axes.axhline(level, color="black", linewidth=0.8, linestyle="--")
            axes.annotate(
                "tolerance",
                (0.03, level),
                (0, 2),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                fontsize=7,
            )
    else:
        axes.ticklabel_format(axis="y", useOffset=False)
    if name == "refold":
        axes.axhline(1.0, color="black", linewidth=0.6, linestyle=":")
    # If each observable has its own number, its curve ends there, and no line is needed.
    chosen = stopping["chosen"] if stopping else None
    if isinstance(chosen, int):
        axes.axvline(chosen, color=style.PRIOR, linewidth=1, linestyle=":", zorder=1)


def _curves(history: Iterable[HistoryEntry], level: str) -> dict[int, list[Reliability]]:
    """Iteration, counted from 1 -> reliability of the nominal classifier of each fold."""
    found: dict[int, list[Reliability]] = {}
    for entry in history:
        if _family_of(entry) == "nominal" and level in entry.get("reliability", {}):
            found.setdefault(entry["iteration"] + 1, []).append(entry["reliability"][level])
    return found


def _draw_reliability(axes: Axes, curves: Mapping[int, Sequence[Reliability]]) -> None:
    """Observed minus predicted values in the first and last iteration. They are zero for a calibrated classifier."""
    shown = {min(curves): (style.PRIOR, "s"), max(curves): (style.METHODS[0], "o")}
    for number, (colour, marker) in shown.items():
        chi2, ndf = sum(curve["chi2"] for curve in curves[number]), sum(curve["ndf"] for curve in curves[number])
        label: str | None = rf"iteration {number}: $\chi^2$ / ndf {chi2:.0f} / {ndf}"
        for curve in curves[number]:
            predicted, observed, error = map(style.array, (curve["predicted"], curve["observed"], curve["error"]))
            look: style.Look = {"fmt": marker, "markersize": 2.8, "linewidth": 0.8, "color": colour, "label": label}
            axes.errorbar(predicted, observed - predicted, yerr=error, **look)
            label = None
    axes.axhline(0.0, color="black", linewidth=0.6, linestyle=":")
    axes.set_ylabel("observed - predicted")
    axes.legend(loc="upper left", fontsize=7)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.3 * (high - low))


@style.styled
def breakdown(
    method: str, histograms: Mapping[str, Histogram], observables: Sequence[Observable], *, said: str
) -> Figure:
    """Relative uncertainty of each bin: of each family, and the sum of all families in quadrature.

    If there are combined replicas, the figure also has a signed residual: their variance minus that sum.

    Args:
        histograms: observable -> histogram, with the families of one unfolded sample.
        said: the name of the sum, see `events.families.stated_as`.
    """
    shown = [o for o in observables if o.name in histograms]
    families = list(histograms[shown[0].name].breakdown())
    colours = style.family_colours(histograms[shown[0].name].families)
    if any(h.residual() is not None for h in histograms.values()):
        families.append("residual")
        colours["residual"] = "0.5"
    dash: dict[str, Literal["-", "--"]] = {
        name: "-" if k < len(style.METHODS) else "--" for k, name in enumerate(families)
    }
    columns = 4 if len(shown) == 1 else 5 if len(shown) == 2 else _COLUMNS
    top = 0.65 + 0.2 * -(-(1 + len(families)) // columns)
    figure, axes = style.panels(len(shown), size=(5.4, 3.0) if len(shown) == 1 else (3.3, 2.5), top=top)
    whole = "total" if said.startswith("total") else "sum of these"
    note = f"relative, in the published bins; {said}, families in quadrature"
    style.title(figure, f"Uncertainties of {method}", note)
    for main, o in zip(axes, shown, strict=True):
        h = histograms[o.name]
        edges = h.edges
        parts = {name: 100 * style.over(np.sqrt(v), h.nominal) for name, v in h.breakdown().items()}
        total = 100 * style.over(h.sigma, h.nominal)
        if (residual := h.residual()) is not None:
            # A negative residual means that the sum of the families is too large.
            parts["residual"] = 100 * style.over(np.sign(residual) * np.sqrt(np.abs(residual)), h.nominal)
        main.stairs(np.where(np.isfinite(total), total, 0.0), edges, fill=True, color=style.TRUTH)
        for name, part in parts.items():
            style.line(main, edges, part, colours[name], linestyle=dash[name])
        style.line(main, edges, total, style.DATA, linewidth=1.6)
        style.horizontal(main, o)
        # A bin of few events must not hide all others: values beyond the axis are written as numbers.
        known = total[total > 0]
        below = min(0.0, 1.1 * float(np.nanmin(parts.get("residual", np.zeros(1)))))
        main.set_ylim(below, 1.3 * min(known.max(), 3 * np.median(known)) if known.size else 1.0)
        for k in np.flatnonzero(total > main.get_ylim()[1]):
            left = k < total.size / 2
            main.annotate(
                f"{total[k]:.0f}%",
                (edges[k + left], 0.97),
                (3 if left else -3, 0),
                xycoords=main.get_xaxis_transform(),
                textcoords="offset points",
                fontsize=7,
                ha="left" if left else "right",
                va="top",
            )
        if below < 0:
            main.axhline(0.0, color="black", linewidth=0.6, linestyle=":")
        main.set_ylabel("uncertainty [%]")
    lines = [Line2D([], [], color=colours[n], linestyle=dash[n], label=style.family_word(n)) for n in families]
    _legend(figure, [Patch(facecolor=style.TRUTH, edgecolor=style.DATA, label=whole), *lines], columns)
    return figure
