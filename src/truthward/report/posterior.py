"""Figure that tests whether the posteriors of a generative unfolding are calibrated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from truthward.records.validate.posterior import Uniformity, ValidatedPosterior
from truthward.report import style
from truthward.study.observable import Observable


@style.styled
def calibration(name: str, validated: ValidatedPosterior, observables: Sequence[Observable]) -> Figure:
    """Rank histogram of each observable, and TARP coverage of all observables jointly.

    Args:
        name: of the method.
        validated: validate/posterior.<name>.json.
    """
    shown = [o for o in observables if o.name in validated["ranks"]]
    figure, axes = style.panels(len(shown) + 1, columns=4, size=(2.5, 1.9), gap=(0.72, 0.62), top=0.8)
    used = validated["used"]["used"]
    note = f"{used:,} simulated events that no training has seen, {validated['draws']} draws each; bands: 68%"
    if not validated["conditional"]:
        note = "maps distributions and states no posterior: what is not flat is no failure"
    style.title(figure, f"Posteriors of {name}", note)
    for main, o in zip(axes, shown, strict=False):
        _ranks(main, validated["ranks"][o.name])
        main.set_xlabel(f"rank of {o.label or o.name}")
    _coverage(axes[-1], validated["tarp"])
    return figure


def _ranks(axes: Axes, figures: Uniformity) -> None:
    fractions, error = np.array(figures["fractions"]), np.array(figures["error"])
    edges = np.linspace(0.0, 1.0, len(fractions) + 1)
    style.band(axes, edges, np.ones_like(error), error, style.PRIOR)
    style.line(axes, edges, fractions, style.METHODS[0])
    axes.axhline(1.0, color="black", linewidth=0.6, linestyle=":")
    reach = max(0.25, 1.3 * float(np.abs(fractions - 1).max()))
    axes.set(ylim=(1 - reach, 1 + reach), xlim=(0.0, 1.0), ylabel="events / uniform")
    _verdict(axes, figures)


def _coverage(axes: Axes, figures: Uniformity) -> None:
    curve = figures["coverage"]
    credibility, value, sd = (np.array(c) for c in (curve["credibility"], curve["value"], curve["sd"]))
    axes.fill_between(credibility, -sd, sd, color=style.PRIOR, alpha=0.3, linewidth=0)
    for sign in (-1, 1):
        axes.axhline(sign * curve["band"], color=style.PRIOR, linewidth=0.8, linestyle="--")
    axes.axhline(0.0, color="black", linewidth=0.6, linestyle=":")
    axes.plot(credibility, value - credibility, color=style.METHODS[1])
    reach = max(2 * curve["band"], 1.3 * float(np.abs(value - credibility).max()))
    axes.set(
        ylim=(-reach, reach),
        xlim=(0.0, 1.0),
        xlabel="TARP credibility (dashed: 95% of curves)",
        ylabel="coverage − credibility",
    )
    _verdict(axes, figures)


def _verdict(axes: Axes, figures: Uniformity) -> None:
    p, spread = min(figures["chi2"]["p"], figures["ks"]["p"]), figures["spread"]
    axes.set_title(
        f"p {p:.2g},  spread {spread['value']:.3f} ± {spread['error']:.3f}", fontsize=7.5, loc="right", pad=3
    )
