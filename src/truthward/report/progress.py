"""Figure of bias and variance over the iterations of an unfolding."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from truthward.events.families import family as family_of
from truthward.records.validate.method import ProgressCurves, ValidatedMethod
from truthward.report import style
from truthward.report.results import short
from truthward.study.observable import Observable


@style.styled
def bias_and_variance(validated: ValidatedMethod, observables: Sequence[Observable]) -> Figure:
    """Distance from the truth, and uncertainty of each family, after each iteration.

    One panel has all observables together, and each observable has a panel.

    Args:
        validated: validate/<method>.json. Methods without iterations have no progress.
    """
    found = validated["progress"]
    labels = {o.name: short(o) for o in observables}
    names = [] if found is None else ["all", *found["names"]] if len(found["names"]) > 1 else found["names"]
    few = len(names) < 2
    figure, axes = style.panels(
        max(1, len(names)),
        columns=4,
        size=(5.4, 3.0) if few else (2.5, 2.1),
        top=1.5 if few else 1.15,
        gap=(0.75, 0.62),
    )
    note = "relative, rms over coarse bins; 0: simulation before unfolding; dotted: what the rule chose"
    style.title(figure, f"Bias and variance of {validated['method']} over its iterations", note)
    if found is None:
        axes[0].text(0.5, 0.5, "this method keeps no iterations", ha="center", transform=axes[0].transAxes)
        axes[0].set_axis_off()
        return figure
    families = [f for f in found["all"]["sigma"] if f != "total"]
    of_families = style.family_colours(validated["families"])
    colours = {f: of_families[f] for f in families} | {"total": style.DATA}
    distance: style.Look = {"color": style.PRIOR, "marker": "o", "markersize": 4, "linewidth": 1.6}
    for main, name in zip(axes, names, strict=True):
        entry: ProgressCurves = found[name]
        if entry["distance"] is not None and entry["counting"] is not None:
            main.plot(found["iterations"], _percent(entry["distance"]), **distance)
            main.axhline(100 * entry["counting"], color=style.TRUTH, linewidth=2, zorder=0)
        for family in (*families, "total"):
            width, marker = (1.6, "s") if family == "total" else (0.9, "_")
            # Before unfolding there is no uncertainty.
            y = _percent(entry["sigma"][family])[1:]
            if any(y):
                main.plot(
                    found["iterations"][1:], y, color=colours[family], markersize=4, linewidth=width, marker=marker
                )
        main.axvline(found["chosen"], color=style.PRIOR, linewidth=1, linestyle=":", zorder=1)
        main.set(xlim=(-0.4, found["chosen"] + 0.4), yscale="log", ylabel="deviation [%]")
        style.log_ticks(main.yaxis)
        main.set_title("all observables" if name == "all" else labels.get(name, name), loc="left", pad=3)
        style.whole_numbers(main, "iteration")
    # A family whose replicas make other numbers of iterations is in no curve.
    added = {name for name, count in validated["families"].items() if family_of(name, count).adds}
    words = {"total": validated["uncertainty"] if set(families) == added else "sum of these"}
    handles = [Line2D([], [], color=colours[f], label=words.get(f, style.family_word(f))) for f in colours]
    if found["all"]["distance"] is not None:
        counting = Line2D([], [], color=style.TRUTH, linewidth=2, label="counting true events")
        handles = [Line2D([], [], **distance, label="distance from the truth"), counting, *handles]
    at = (0.003, 1 - 0.46 / figure.get_figheight())
    figure.legend(handles=handles, ncols=2 if few else 5, loc="upper left", bbox_to_anchor=at)
    return figure


def _percent(values: Sequence[float]) -> list[float]:
    return [100 * v for v in values]
