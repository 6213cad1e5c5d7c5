"""A parameter fitted to unfolded spectra."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from truthward.records.validate.parameter import ValidatedParameter
from truthward.report import style
from truthward.study.observable import Observable


@style.styled
def fitted(found: Sequence[ValidatedParameter], observable: Observable, *, said: str) -> Figure:
    """The parameter of each method with its errors, and the spectrum of each method with its best template.

    Args:
        found: validate/fit.<method>.json of each method.
        observable: the observable that the templates were fitted to.
        said: the name of the errors, see `events.families.stated_as`.
    """
    figure, axes = style.ratio_panels(1 + len(found), columns=4, ratio=0.34, size=(2.9, 2.9), top=0.72)
    parameter = found[0]["parameter"]
    truth = found[0]["truth"]
    note = f"bars: {said}, and the data's statistics" + ("" if truth is None else "; grey line: the truth")
    style.title(figure, f"{parameter} fitted to {observable.label or observable.name}", note)
    first, below = axes[0]
    box = first.get_position()
    figure.delaxes(below)
    first.tick_params(labelbottom=True)
    first.set_position((box.x0, box.y0 - box.height * 0.34 / 0.66, box.width, box.height / 0.66))
    _values(first, found)
    for k, (entry, (main, lower)) in enumerate(zip(found, axes[1:], strict=True)):
        _spectrum(main, lower, entry, observable, style.METHODS[k % len(style.METHODS)])
    style.legend_above(figure, axes[1][0])
    return figure


def _values(axes: Axes, found: Sequence[ValidatedParameter]) -> None:
    for k, entry in enumerate(found):
        colour, value = style.METHODS[k % len(style.METHODS)], entry["value"]
        statistical = entry["parts"].get("data_bootstrap", 0.0)
        axes.errorbar(value, -k, xerr=entry["sigma"], fmt="o", color=colour, markersize=4, linewidth=1.4)
        axes.errorbar(value, -k, xerr=statistical, fmt="none", color=colour, linewidth=0, elinewidth=3.5, alpha=0.5)
        # The error has two digits for a parameter of any size.
        digits = max(0, 1 - int(np.floor(np.log10(entry["sigma"]))))
        text = f"{entry['method']}: {value:z.{digits}f} ± {entry['sigma']:.{digits}f}"
        if entry["pull"] is not None:
            text += f",  pull {entry['pull']:+z.1f}"
        axes.annotate(text, (value, -k), (0, 8), textcoords="offset points", ha="center", fontsize=7.5, color=colour)
    if found[0]["truth"] is not None:
        axes.axvline(found[0]["truth"], color=style.TRUTH, linewidth=3, zorder=0)
    simulated = found[0]["simulated"]
    everything = [*simulated, *(e["value"] + s * e["sigma"] for e in found for s in (-1, 1))]
    margin = 0.06 * (max(everything) - min(everything))
    axes.plot(simulated, np.full(len(simulated), 0.75), "v", color=style.PRIOR, markersize=4)
    axes.annotate("simulated", (simulated[0], 0.75), (0, 5), textcoords="offset points", fontsize=7, color=style.PRIOR)
    axes.set(
        xlim=(min(everything) - margin, max(everything) + margin),
        ylim=(-len(found) + 0.4, 1.2),
        xlabel=found[0]["parameter"],
    )
    axes.yaxis.set(major_locator=NullLocator(), minor_locator=NullLocator())


def _spectrum(main: Axes, lower: Axes, entry: ValidatedParameter, observable: Observable, colour: str) -> None:
    edges = np.array(entry["edges"])
    width = np.diff(edges)
    contents = entry["contents"]
    unfolded, sigma, best, low, high = (
        np.array(c) / width
        for c in (contents["unfolded"], contents["sigma"], contents["fitted"], *contents["templates"])
    )
    ends = [f"{entry['parameter']} {entry['simulated'][k]:g}" for k in (0, -1)]
    style.line(main, edges, best, style.PRIOR, label="fit")
    for values, end, dashes in ((low, ends[0], ":"), (high, ends[1], "--")):
        style.line(main, edges, values, style.PRIOR, linewidth=0.9, linestyle=dashes, label=end)
        style.line(lower, edges, style.over(values, best), style.PRIOR, linewidth=0.9, linestyle=dashes)
    style.points(main, edges, unfolded, sigma, color=colour)
    style.points(lower, edges, style.over(unfolded, best), style.over(sigma, best), color=colour)
    style.headroom(main, unfolded + sigma, low, high)
    style.ratio_axis(lower, style.over(unfolded, best), style.over(low, best), style.over(high, best), label="/ fit")
    main.set_ylabel(style.per_unit(observable))
    main.set_title(
        f"{entry['method']}:  χ² {entry['chi2']:.1f} / {entry['ndf']},  p {entry['probability']:.2g}",
        fontsize=8,
        loc="left",
        pad=3,
    )
    lower.set(xlim=(edges[0], edges[-1]), xlabel=observable.axis)
