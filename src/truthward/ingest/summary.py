"""Figures of the samples: response, purity, stability, efficiency, fake rate per observable; data over simulation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from truthward.errors import InputError
from truthward.events.bins import bin_of
from truthward.events.contract import SIGNAL
from truthward.events.table import EventTable
from truthward.events.table_write import ROW_GROUP
from truthward.records.ingest import SampleFigures, Summarised, Totals
from truthward.records.shared import Histogram
from truthward.study.observable import Observable


class _Sums:
    """Weighted histograms of one observable, filled batch by batch; bins 0 and B + 1 are under- and overflow."""

    def __init__(self, observable: Observable) -> None:
        self.edges = np.asarray(observable.edges, dtype=np.float64)
        full = len(self.edges) + 1
        # Rows: sums of weights and of squared weights.
        self.truth, self.truth_both, self.reco, self.reco_both, self.fake, self.background, self.data = (
            np.zeros((2, full)) for _ in range(7)
        )
        self.response = np.zeros((full, full))

    def bin(self, values: np.ndarray) -> np.ndarray:
        """Bin of each value, (N,)."""
        return bin_of(values, self.edges)

    @staticmethod
    def fill(sums: np.ndarray, place: np.ndarray, weight: np.ndarray) -> None:
        sums[0] += np.bincount(place, weight, minlength=sums.shape[1])
        sums[1] += np.bincount(place, weight**2, minlength=sums.shape[1])


def summarise(simulation: EventTable, data: EventTable | None, observables: Sequence[Observable]) -> Summarised:
    """Figures of merit of the samples, streamed by row group.

    Let w_ij be the weight of signal events that are accepted at both levels, in truth bin i and reco bin j. Then
    efficiency_i = sum(both, truth in i) / sum(pass_truth, truth in i); fake rate_j = sum(pass_reco, not pass_truth,
    reco in j) / sum(pass_reco, reco in j); purity_j = w_jj / sum_i w_ij; stability_i = w_ii / sum_j w_ij. The sums
    include events out of range. Events of another process than "signal" are background. They are used only in the
    comparison at reco level.

    Args:
        simulation: table of role "simulation".
        data: table of role "data", or None.
        observables: with their bin edges, B bins each.

    Returns:
        JSON-able: "events" (inclusive counts and rates), and under "observables", for each name: edges (B + 1,);
        response (B, B), truth by reco, summed weights; truth, reco (signal and background), background, data: "sum"
        and "error" (square root of the summed squared weights), (B,) each; purity, stability, efficiency, fake_rate,
        data_over_simulation and its error, (B,), None where there is nothing to divide by. "samples": those
        that are merged into the simulation, see `records.ingest.SampleRow`.

    Raises:
        InputError: a table lacks a column.
    """
    if simulation.role != "simulation":
        raise InputError(f"{simulation.path}: of role {simulation.role}; the summary needs a simulation")
    names = [observable.name for observable in observables]
    sums = {observable.name: _Sums(observable) for observable in observables}
    totals = dict.fromkeys(("truth", "reco", "both", "fake", "background", "data"), 0.0)
    counts = dict.fromkeys(("truth", "reco", "both", "fake", "background", "data"), 0)

    def count(kind: str, weight: np.ndarray) -> None:
        totals[kind] += float(weight.sum())
        counts[kind] += int(weight.size)

    columns = ["pass_truth", "pass_reco", "weight", "process"]
    for batch in simulation.batches([*columns, *_columns("truth", names), *_columns("reco", names)], ROW_GROUP):
        signal = batch["process"] == SIGNAL
        truth, reco, weight = batch["pass_truth"] & signal, batch["pass_reco"] & signal, batch["weight"]
        both, fake, background = truth & reco, reco & ~truth, batch["pass_reco"] & ~signal
        masks = {"truth": truth, "reco": reco, "both": both, "fake": fake, "background": background}
        for kind, mask in masks.items():
            count(kind, weight[mask])
        for name in names:
            s = sums[name]
            # Bins of NaN (not accepted) are never used: each fill takes accepted events alone.
            at_truth, at_reco = s.bin(batch[f"truth_{name}"]), s.bin(batch[f"reco_{name}"])
            for target, place, mask in (
                (s.truth, at_truth, truth),
                (s.truth_both, at_truth, both),
                (s.reco, at_reco, reco),
                (s.reco_both, at_reco, both),
                (s.fake, at_reco, fake),
                (s.background, at_reco, background),
            ):
                s.fill(target, place[mask], weight[mask])
            np.add.at(s.response, (at_truth[both], at_reco[both]), weight[both])
    if data is not None:
        for batch in data.batches(["pass_reco", "weight", *_columns("reco", names)], ROW_GROUP):
            mask, weight = batch["pass_reco"], batch["weight"]
            count("data", weight[mask])
            for name in names:
                s = sums[name]
                s.fill(s.data, s.bin(batch[f"reco_{name}"])[mask], weight[mask])
    expected = totals["reco"] + totals["background"]
    events: Totals = {
        "rows": counts,
        "sum_of_weights": totals,
        "efficiency": _ratio(totals["both"], totals["truth"]),
        "fake_rate": _ratio(totals["fake"], totals["reco"]),
        "background_fraction": _ratio(totals["background"], expected),
        "data_over_simulation": _ratio(totals["data"], expected) if data is not None else None,
    }
    return {
        "events": events,
        "samples": simulation.metadata.get("samples", {}),
        "observables": {name: _figures(sums[name], data is not None) for name in names},
    }


def _columns(level: str, names: Sequence[str]) -> list[str]:
    return [f"{level}_{name}" for name in names]


def _figures(sums: _Sums, with_data: bool) -> SampleFigures:
    inner = slice(1, -1)
    diagonal = np.diag(sums.response)
    expected = sums.reco + sums.background
    figures: SampleFigures = {
        "edges": sums.edges.tolist(),
        "response": sums.response[inner, inner].tolist(),
        "truth": _histogram(sums.truth),
        "reco": _histogram(expected),
        "background": _histogram(sums.background),
        "purity": _ratios(diagonal, sums.reco_both[0])[inner],
        "stability": _ratios(diagonal, sums.truth_both[0])[inner],
        "efficiency": _ratios(sums.truth_both[0], sums.truth[0])[inner],
        "fake_rate": _ratios(sums.fake[0], sums.reco[0])[inner],
        "out_of_range": {
            kind: _ratio(float(part[0, 0] + part[0, -1]), float(part[0].sum()))
            for kind, part in (("truth", sums.truth), ("reco", expected), ("data", sums.data))
        },
    }
    if with_data:
        figures["data"] = _histogram(sums.data)
        figures["data_over_simulation"] = _ratios(sums.data[0], expected[0])[inner]
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.sqrt(sums.data[1] / sums.data[0] ** 2 + expected[1] / expected[0] ** 2)
            error = np.abs(sums.data[0] / expected[0]) * relative
        figures["data_over_simulation_error"] = [float(e) if np.isfinite(e) else None for e in error[inner]]
    return figures


def _histogram(sums: np.ndarray) -> Histogram:
    return {"sum": sums[0, 1:-1].tolist(), "error": np.sqrt(sums[1, 1:-1]).tolist()}


def _ratio(above: float, below: float) -> float | None:
    return float(above / below) if below else None


def _ratios(above: np.ndarray, below: np.ndarray) -> list[float | None]:
    return [_ratio(a, b) for a, b in zip(above, below, strict=True)]
