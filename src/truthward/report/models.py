"""Figures of surrogates: their distributions, and how many events their samples are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from truthward.records.amplify import AmplifySummary
from truthward.records.shared import Used
from truthward.records.validate.figures import RatioHistogram, TwoSampleTest
from truthward.records.validate.surrogate import ValidatedSurrogate
from truthward.report import style
from truthward.study.numbers import measured
from truthward.study.observable import Observable


def weights_of(test: TwoSampleTest) -> tuple[RatioHistogram, RatioHistogram]:
    """Histograms of w over the samples p and q of a two-sample test. If all weights are near one, the bins are fine."""
    p, q = test["weights"]["p"], test["weights"]["q"]
    if all(s["near_one"]["below"] + s["near_one"]["above"] < 1e-3 for s in (p, q)):
        return p["near_one"], q["near_one"]
    return p["histogram"], q["histogram"]


def weight_panel(axes: Axes, histograms: Mapping[str, RatioHistogram], colours: Mapping[str, str]) -> None:
    """Distributions of w = D / (1 - D) on double logarithmic axes. Events that a sample lacks are to the right.

    Args:
        histograms: name of the sample -> distribution.
        colours: name of the sample -> colour.
    """
    filled: list[float] = []
    for name, h in histograms.items():
        edges, share = 10.0 ** np.array(h["log10_edges"]), style.array(h["fractions"])
        share[share <= 0] = np.nan
        beyond = h["below"] + h["above"]
        style.line(axes, edges, share, colours[name], label=name + (f" ({beyond:.0e} beyond)" if beyond else ""))
        filled += edges[:-1][np.isfinite(share)].tolist() + edges[1:][np.isfinite(share)].tolist()
    axes.set_yscale("log")
    if filled and max(filled) < 4 * min(filled):
        axes.set_xlim(min(filled), max(filled))
    else:
        axes.set_xscale("log")
        axes.set_xlim(min([0.5, *filled]), max([2.0, *filled]))
        style.log_ticks(axes.xaxis)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * 12)
    axes.axvline(1.0, color="black", linewidth=0.6, linestyle=":")
    axes.set(xlabel="classifier weight $w = D/(1-D)$", ylabel="fraction of events")
    axes.legend(loc="upper left")


@style.styled
def marginals(name: str, validated: ValidatedSurrogate, observables: Sequence[Observable]) -> Figure:
    """Each observable at both levels with the ratio of surrogate to simulation, and the weights of the classifier.

    Args:
        name: of the surrogate.
        validated: validate/surrogate.<name>.json.
    """
    shown = [(level, o) for level, entries in validated["levels"].items() for o in observables if o.name in entries]
    both = validated["two_sample"].get("both")
    figure, axes = style.ratio_panels(len(shown) + bool(both), columns=5, ratio=0.28, size=(2.4, 2.4), gap=(0.7, 0.52))
    style.title(
        figure,
        f"Surrogate {name}",
        "ratio to the simulation, where known within 50%; grey: its statistics, red: spread of the members",
    )
    colour = style.METHODS[1]
    for (main, lower), (level, o) in zip(axes, shown, strict=False):
        entry = validated["levels"][level][o.name]["histogram"]
        edges = entry["edges"]
        expected, error = style.density(entry["simulation"], edges)
        found, spread = style.density(entry["surrogate"], edges)
        main.stairs(expected, edges, fill=True, color=style.TRUTH, label="simulation")
        style.line(main, edges, found, colour, label="surrogate")
        relative, width = style.over(error, expected), style.over(spread, expected)
        quotient = style.known(style.over(found, expected), relative, width)
        style.band(lower, edges, style.known(np.ones_like(expected), relative), relative, style.PRIOR)
        style.line(lower, edges, quotient, colour)
        style.band(lower, edges, quotient, width, colour)
        style.headroom(main, expected, found)
        style.ratio_axis(lower, quotient, label="ratio")
        main.set_ylabel(style.per_unit(o))
        style.horizontal(lower, o, f"{level} {o.axis}")
    if both:
        test = both["surrogate"]
        main, lower = axes[-1]
        box = main.get_position(), lower.get_position()
        lower.remove()
        main.set_position((box[1].x0, box[1].y0, box[0].width, box[0].y1 - box[1].y0))
        main.tick_params(labelbottom=True)
        weights = dict(zip(("simulation", "surrogate"), weights_of(test), strict=True))
        weight_panel(main, weights, {"simulation": style.PRIOR, "surrogate": colour})
        main.set_title(scores(test, validated["used"]), fontsize=7.5, loc="right", pad=3)
    style.legend_above(figure, axes[0][0])
    return figure


def scores(test: TwoSampleTest, used: Mapping[str, Used]) -> str:
    """AUC and JSD over the seeds, in one line.

    Args:
        used: name of the sample -> numbers of events. The line says so if the test did not use all events.
    """
    auc, jsd = (measured(found["mean"], found["sd"]) for found in (test["auc"], test["jsd"]))
    words = [f"AUC {auc}", f"JSD {jsd} bit"]
    if thinned := [s["used"] for s in used.values() if s["used"] < s["events"]]:
        words.append(f"of {max(thinned):,} events each")
    return ",  ".join(words)


@style.styled
def amplification(summary: AmplifySummary) -> Figure:
    """The worth of a sample in training events, against the number of drawn events.

    Args:
        summary: amplify/<name>/summary.json. Its study has the curve of the model and of two controls on a known
            target; bands hold 68%. Its sample is of the surrogate itself.
    """
    study, sample = summary["study"], summary["sample"]
    figure, (main,) = style.panels(1, size=(5.2, 3.4), top=1.0)
    note = f"{study['training_events']} training events of a known target ({study['target']['name']}); bands: 68%"
    style.title(figure, "Amplification", note)
    heights, reach = [1.0], [1.0]
    for curve, label, colour in (
        (study["curve"], study["model"]["kind"], style.METHODS[0]),
        (study["bootstrap_control"], "control: bootstrap of the training events", style.METHODS[2]),
        (study["truth_control"], "control: true events", style.PRIOR),
    ):
        points = sorted(curve, key=lambda point: point["multiple"])
        x, y = style.array([p["multiple"] for p in points]), style.array([p["G"]["value"] for p in points])
        low, high = style.array([p["G"]["low"] for p in points]), style.array([p["G"]["high"] for p in points])
        main.plot(x, y, color=colour, marker="o", markersize=3.5, label=label)
        main.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        heights += [v for v in (*low, *y, *high) if np.isfinite(v) and v > 0]
        reach += x.tolist()
    multiple = sample["events"] / sample["n_train"]
    main.errorbar(
        [multiple],
        [sample["G"]],
        yerr=[[sample["G"] - sample["G_low"]], [0.0]],
        fmt="*",
        color=style.METHODS[1],
        markersize=9,
        label="the surrogate's sample",
        capsize=2,
    )
    heights += [v for v in (sample["G"], sample["G_low"]) if v > 0]
    reach.append(multiple)
    main.axhline(1.0, color="black", linewidth=0.8, linestyle=":")
    main.text(max(reach), 1.03, "the training sample itself ", ha="right", va="bottom", fontsize=7)
    main.set(
        xscale="log",
        yscale="log",
        xlim=(0.9 * min(reach), 1.1 * max(reach)),
        ylim=(0.7 * min(heights), 1.6 * max(heights)),
        xlabel="events sampled / events of the training",
        ylabel=r"$G = n_{\mathrm{equivalent}} / n_{\mathrm{train}}$",
    )
    style.log_ticks(main.xaxis)
    style.log_ticks(main.yaxis)
    handles, labels = main.get_legend_handles_labels()
    main.legend(handles, labels, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, fontsize=7, columnspacing=1.0)
    return figure
