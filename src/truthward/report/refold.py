"""Figure of the result folded back to reco level, and the data. Without a known truth, this is the only check."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from truthward.records.validate.method import ValidatedMethod
from truthward.report import style
from truthward.study.observable import Observable


@style.styled
def refolded(validated: ValidatedMethod, observables: Sequence[Observable]) -> Figure:
    """Data, refolded result and simulation before unfolding for each observable, with ratios to the data.

    Args:
        validated: validate/<method>.json.
    """
    method = validated["method"]
    shown = [o for o in observables if o.name in validated["observables"]]
    figure, axes = style.ratio_panels(len(shown), ratio=0.3)
    note = "bars: data statistics; band: simulation and model, not the bootstraps; grey: before unfolding"
    style.title(figure, f"{method} folded back", note)
    for (main, lower), o in zip(axes, shown, strict=True):
        refold = validated["observables"][o.name]["refold"]["unfolded"]
        entry, edges = refold["shown"], refold["shown"]["edges"]
        data, bars = style.density(entry["data"], edges)
        folded, band = style.density(entry["folded"], edges)
        prior, _ = style.density(entry["prior"], edges)
        style.line(main, edges, prior, style.PRIOR, label="simulation", linestyle="--", linewidth=1.1)
        style.line(main, edges, folded, style.METHODS[0], label=f"{method}, folded back")
        style.band(main, edges, folded, band, style.METHODS[0])
        style.points(main, edges, data, bars, label="data")
        style.headroom(main, data + bars, folded, prior, room=1.3, log=o.counts == "log")
        chi2 = refold["chi2"]
        said = (
            "no test: too few events"
            if chi2["value"] is None
            else (rf"$\chi^2$ / ndf {chi2['value']:.1f} / {chi2['ndf']}, p {chi2['p']:.2g}")
        )
        main.text(0.97, 0.96, said, transform=main.transAxes, ha="right", va="top", fontsize=7.5)
        relative = style.over(bars, data)
        quotient = style.known(style.over(folded, data), relative)
        before = style.known(style.over(prior, data), relative)
        style.line(lower, edges, before, style.PRIOR, linestyle="--", linewidth=1.1)
        style.line(lower, edges, quotient, style.METHODS[0])
        style.band(lower, edges, quotient, style.over(band, data), style.METHODS[0])
        ones = style.known(np.ones_like(relative), relative)
        style.points(lower, edges, ones, relative)
        style.ratio_axis(lower, quotient, ones + relative, ones - relative, label="ratio to data")
        main.set_ylabel(style.per_unit(o))
        style.horizontal(lower, o)
    style.legend_above(figure, axes[0][0])
    return figure
