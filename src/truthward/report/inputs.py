"""Figures of the samples before unfolding: reco level, response of the detector, calibration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from truthward.physics import labels
from truthward.records.calibrate import CalibrateSummary
from truthward.records.ingest import IngestSummary
from truthward.report import style
from truthward.study.observable import Observable


@style.styled
def data_over_simulation(summary: IngestSummary, observables: Sequence[Observable]) -> Figure:
    """Data and simulation at reco level, with their ratio.

    Args:
        summary: ingest/summary.json. If it has no data, only the simulation is drawn.
    """
    figure, axes = style.ratio_panels(len(observables), ratio=0.28)
    style.title(
        figure,
        "Detector level",
        "before unfolding; bars and bands: statistical uncertainty; ratios where it is below 50%",
    )
    for (main, lower), o in zip(axes, observables, strict=True):
        entry = summary["observables"][o.name]
        edges = entry["edges"]
        simulated, error = style.density(entry["reco"], edges)
        style.line(main, edges, simulated, style.METHODS[0], label="simulation")
        style.band(main, edges, simulated, error, style.METHODS[0])
        background, _ = style.density(entry["background"], edges)
        if background.any():
            main.stairs(background, edges, fill=True, color=style.PRIOR, alpha=0.4, label="background")
        shown = [simulated]
        relative = style.over(error, simulated)
        style.band(lower, edges, style.known(np.ones_like(relative), relative), relative, style.METHODS[0])
        if "data" in entry:
            found, found_error = style.density(entry["data"], edges)
            shown.append(found)
            style.points(main, edges, found, found_error, label="data")
            quotient = style.known(style.over(found, simulated), relative, style.over(found_error, found))
            style.points(lower, edges, quotient, style.over(found_error, simulated))
            style.ratio_axis(lower, quotient, label="data / sim.")
        else:
            style.ratio_axis(lower, label="data / sim.")
        style.headroom(main, *shown, room=1.15, log=o.counts == "log")
        main.set_ylabel(style.per_unit(o))
        style.horizontal(lower, o)
    style.legend_above(figure, axes[0][0])
    return figure


@style.styled
def response(summary: IngestSummary, observables: Sequence[Observable]) -> Figure:
    """Migration matrix of each observable, with purity, stability, efficiency and fake rate below.

    Args:
        summary: as in `data_over_simulation`.
    """
    figure, axes = style.ratio_panels(len(observables), ratio=0.36, size=(3.3, 4.0), gap=(0.8, 0.6))
    style.title(
        figure,
        "Response",
        "each truth bin normalised to one; below: purity and fake rate by reco bin, stability and efficiency by truth "
        "bin",
    )
    for (main, lower), o in zip(axes, observables, strict=True):
        entry = summary["observables"][o.name]
        edges, matrix = np.array(entry["edges"]), np.array(entry["response"])
        rows = matrix.sum(axis=1, keepdims=True)
        share = style.over(matrix, np.broadcast_to(rows, matrix.shape))
        share[share <= 0] = np.nan
        # Rows of the response are truth bins: truth goes along the horizontal axis.
        # A row with one event has a share of one, so rows with few events do not set the scale.
        highest = np.nanmax(share, axis=1, initial=1e-9)[rows[:, 0] > 0.01 * rows.max()]
        image = main.pcolormesh(edges, edges, share.T, cmap="Blues", vmin=0, vmax=np.quantile(highest, 0.9))
        main.plot(edges[[0, -1]], edges[[0, -1]], color="black", linewidth=0.5, linestyle=":")
        main.set(ylim=o.range, yscale=o.scale, ylabel=f"reco {o.axis}")
        main.text(0.96, 0.04, "truth →", transform=main.transAxes, ha="right", fontsize=8, color=style.PRIOR)
        bar = main.inset_axes((0.06, 0.9, 0.36, 0.035))
        figure.colorbar(image, cax=bar, orientation="horizontal")
        bar.tick_params(labelsize=6, which="both", top=False, pad=1)
        bar.minorticks_off()
        for name, curve, colour in (
            ("purity", entry["purity"], 0),
            ("stability", entry["stability"], 1),
            ("efficiency", entry["efficiency"], 3),
            ("fake rate", entry["fake_rate"], 2),
        ):
            style.line(lower, edges, style.array(curve), style.METHODS[colour], label=name)
        lower.set(ylim=(0, 1.05), ylabel="share")
        style.horizontal(lower, o)
    style.legend_above(figure, axes[0][1])
    return figure


@style.styled
def closure(summary: CalibrateSummary, observables: Sequence[Observable]) -> Figure:
    """Response before and after calibration in bins of reco and truth quantities, on held-out events.

    Args:
        summary: calibrate/summary.json. The response is reco / truth.
    """
    figure, axes = style.panels(len(summary["closure"]), columns=2, size=(4.2, 2.8))
    style.title(
        figure,
        f"Calibration of {_label(summary['target'], observables)[0]}",
        "mean response on held-out events; shaded: within 1%. It must close in bins of reco, need not in bins of truth",
    )
    for main, (name, rows) in zip(axes, summary["closure"].items(), strict=True):
        low, high = style.array([row["low"] for row in rows]), style.array([row["high"] for row in rows])
        shown = [np.array([0.985, 1.015])]
        main.axhspan(0.99, 1.01, color=style.TRUTH, linewidth=0)
        for when, found, colour, marker in (
            ("before", [row["before"] for row in rows], style.PRIOR, "s"),
            ("after", [row["after"] for row in rows], style.METHODS[0], "o"),
        ):
            mean, error = style.array([r["mean"] for r in found]), style.array([r["mean_error"] for r in found])
            main.errorbar(
                (low + high) / 2,
                mean,
                yerr=error,
                xerr=(high - low) / 2,
                color=colour,
                fmt=marker,
                markersize=4,
                label=f"{when} calibration",
                linewidth=0.8,
            )
            shown += [mean + error, mean - error]
        values = np.concatenate(shown)
        bottom, top = float(np.nanmin(values)), float(np.nanmax(values))
        main.set_ylim(bottom - 0.1 * (top - bottom), top + 0.1 * (top - bottom))
        main.axhline(1.0, color="black", linewidth=0.6, linestyle=":")
        if rows:
            main.set_xlim(low.min(), high.max())
        level, _, quantity = name.partition("_")
        label, unit = _label(quantity, observables)
        main.set(xlabel=f"{level} {label}" + (f" [{unit}]" if unit else ""), ylabel="reco / truth")
    style.legend_above(figure, axes[0])
    return figure


@style.styled
def pulls(summary: CalibrateSummary, observables: Sequence[Observable]) -> Figure:
    """Pulls of the calibrated response beside a unit Gaussian.

    Args:
        summary: calibrate/summary.json.
    """
    entry = summary["pull"]
    edges, counts = np.array(entry["edges"]), np.array(entry["counts"], dtype=float)
    figure, (main,) = style.panels(1, size=(4.6, 3.4))
    style.title(
        figure,
        f"Pulls of the response of {_label(summary['target'], observables)[0]}",
        "(response - mean) / predicted uncertainty, held-out events",
    )
    found = counts / np.diff(edges) / counts.sum() * (1 - entry["fraction_outside"])
    main.stairs(found, edges, fill=True, color=style.METHODS[0], alpha=0.35)
    style.line(main, edges, found, style.METHODS[0], label="held-out events")
    grid = np.linspace(edges[0], edges[-1], 400)
    main.plot(grid, np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi), color="black", label="unit Gaussian")
    text = [
        f"mean  {entry['mean']:z.3f} ± {entry['mean_error']:.3f}",
        f"width  {entry['width']:.3f} ± {entry['width_error']:.3f}",
        f"central 68% / 2  {entry['central68']:.3f} ± {entry['central68_error']:.3f}",
        f"{100 * entry['fraction_outside']:.2g}% outside",
    ]
    main.text(0.03, 0.96, "\n".join(text), transform=main.transAxes, va="top", fontsize=7.5)
    top = 1.4 * max(float(found.max()), 0.4)
    main.set(xlim=(edges[0], edges[-1]), ylim=(0, top), xlabel="pull", ylabel="density")
    main.legend(loc="upper right")
    return figure


def _label(name: str, observables: Sequence[Observable]) -> tuple[str, str]:
    """Label and unit of a quantity: as the config declares it, else the known ones, else its name."""
    declared = {o.name: (o.label or name, o.unit) for o in observables}
    return (labels.QUANTITIES | declared).get(name, (name, ""))
