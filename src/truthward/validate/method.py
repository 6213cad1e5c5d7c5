"""All that can be said of one unfolding method's result; every method goes through the same code, blind to its kind."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from truthward.artefact import write_json
from truthward.errors import InputError
from truthward.events.contract import SIGNAL
from truthward.events.families import Histogram
from truthward.events.table import EventTable
from truthward.events.unfolded import Unfolded
from truthward.provenance import Record
from truthward.seeds import seed_for
from truthward.validate import closure, distances, metrics
from truthward.validate.distances import Counts
from truthward.validate.flags import flags_of_method
from truthward.validate.refold import Response, compare_refolded
from truthward.validate.two_sample import floor_test, two_sample_test

if TYPE_CHECKING:
    from truthward.config import Observable

log = logging.getLogger("truthward.validate")

COARSE = 40
"""Bins at most in a panel of the summary page."""

NO_TRUTH = "the truth behind the data is not known"
NOT_JOINT = "the method unfolds one observable at a time: there is no joint sample to test"


@dataclass(frozen=True)
class Events:
    """Events of one level: values (n, D) float32 in the order of `names`, weights (n,) float64."""

    names: list[str]
    values: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, table: EventTable, level: str, names: list[str]) -> Events:
        """The events of a table that pass at "truth" (signal alone: the fiducial ones) or at "reco"."""
        mask, values = table.level(level, names)
        rest = table.read(["weight", "process"])
        if level == "truth":
            mask = mask & (rest["process"] == SIGNAL)
        if not mask.any():
            raise InputError(f"{table.path}: no event passes at {level} level; there is nothing to compare with")
        return cls(names, values[mask], rest["weight"][mask])

    def column(self, name: str) -> np.ndarray:
        """(n,) values of one observable."""
        return self.values[:, self.names.index(name)]

    def counts(self, name: str, edges: Sequence[float]) -> Counts:
        """Histogram of one observable."""
        return Counts.of(self.column(name), self.weights, edges)


def validate_method(
    unfolded: str | Path,
    *,
    simulation: str | Path,
    data: str | Path,
    closure_truth: str | Path | None,
    observables: Sequence[Observable],
    seeds: int,
    epochs: int,
    seed: int,
    record: Record,
    output: str | Path,
    state: Path | None = None,
) -> dict[str, Any]:
    """Compare an unfolded sample with the truth, where it is known, with the data it came from and with the prior.

    Args:
        unfolded: the method's result; simulation, data: the tables it was unfolded with; closure_truth: the truth
            behind pseudo-data, or None: then everything that needs it is null.
        observables: those of the study; the ones that the method unfolded are compared, on their own bins.
        seeds, epochs: of the classifiers of the two-sample test.
        output: JSON artefact; state: folder for resuming.

    Returns:
        What was written. Top level: method, kind, joint, observables, yield, weights, two_sample, history, flags,
        provenance. Per observable: triangular, wasserstein1 (unfolded, prior, data, each {value, floor, excess,
        significance}), chi2 (unfolded, prior), pulls, yield, distance_to_prior, refold (unfolded, prior), histogram.
    """
    result, simulated, measured = Unfolded(unfolded), EventTable(simulation), EventTable(data)
    names = [o.name for o in observables if o.name in result.observables]
    if not names:
        raise InputError(f"{unfolded}: unfolds {', '.join(result.observables)}, none of the study's observables")
    prior, reco = Events.of(simulated, "truth", names), Events.of(measured, "reco", names)
    truth = None if closure_truth is None else Events.of(EventTable(closure_truth), "truth", names)
    joint = Events(names, *distances.nominal_events(result, names)) if result.joint else None
    content: dict[str, Any] = {
        "method": result.metadata["method"],
        "kind": result.metadata["kind"],
        "joint": result.joint,
        "iterations": result.metadata.get("iterations"),
        "closure": truth is not None,
        "families": {n: f.count for n, f in result.families.items()},
        "history": [h for h in result.metadata["history"] if _is_nominal(h)],
        "observables": {},
    }
    weights = {}
    for observable in (o for o in observables if o.name in names):
        log.info("%s: %s", content["method"], observable.name)
        own = joint or Events([observable.name], *distances.nominal_events(result, [observable.name], observable.name))
        weights[observable.name] = metrics.weight_summary(own.weights)
        response = Response.of(simulated, observable.name, np.asarray(observable.edges))
        content["observables"][observable.name] = _observable(
            result, observable, own, prior, reco, truth, response, seed_for(seed, "validate", observable.name)
        )
    content["yield"] = _overall({n: o["yield"] for n, o in content["observables"].items()})
    content["weights"] = {"per_observable": None if result.joint else weights} | (
        weights[names[0]] if result.joint else min(weights.values(), key=lambda w: w["effective_sample_size"])
    )
    content["two_sample"] = _two_sample(joint, prior, truth, seeds, epochs, seed_for(seed, "validate"), state)
    content["flags"] = flags_of_method(content)
    content["provenance"] = record.finish(
        events_in=result.num_rows + simulated.num_rows + measured.num_rows,
        events_out=len(names),
        sum_w=weights[names[0]]["sum"],
    )
    write_json(output, content)
    return content


def _is_nominal(entry: dict[str, Any]) -> bool:
    return str(entry.get("replica", "nominal")).partition(":")[0] == "nominal"


def _observable(
    unfolded: Unfolded,
    observable: Observable,
    own: Events,
    prior: Events,
    reco: Events,
    truth: Events | None,
    response: Response,
    seed: int,
) -> dict[str, Any]:
    name, edges = observable.name, np.asarray(observable.edges)
    histogram, whole = distances.unfolded_histogram(unfolded, name, edges)
    samples = {"prior": prior.counts(name, edges), "data": reco.counts(name, edges)}
    result: dict[str, Any] = {
        "distance_to_prior": {
            "triangular": distances.discriminator(histogram.nominal, 1.0, samples["prior"], seed=seed)["value"],
            "wasserstein1": metrics.wasserstein1(own.column(name), prior.column(name), own.weights, prior.weights),
        },
        "refold": {
            "unfolded": compare_refolded(response, whole.nominal, samples["data"]),
            "prior": {"chi2": compare_refolded(response, response.fiducial, samples["data"])["chi2"]},
        },
        "triangular": None,
        "wasserstein1": None,
        "chi2": None,
        "pulls": None,
    }
    if truth is not None:
        target = samples["truth"] = truth.counts(name, edges)
        tested = {"unfolded": (own, own.counts(name, edges)), "prior": (prior, samples["prior"]),
                  "data": (reco, samples["data"])}  # fmt: skip
        result["triangular"] = {
            what: distances.discriminator(counts.inner, counts.size, target, seed=seed)
            for what, (_, counts) in tested.items()
        }
        result["triangular"]["unfolded"]["replicas"] = distances.replica_discriminators(histogram, target)
        for what in ("prior", "data"):
            events = tested[what][0]
            spread = distances.bootstrapped(events.column(name), events.weights, target, seed=seed_for(seed, what))
            result["triangular"][what]["replicas"] = {"bootstrap": spread}
        result["triangular"]["floor"] = asdict(distances.floor_of(target, target.size, seed=seed)) | {
            "size": target.size
        }
        result["wasserstein1"] = {
            what: distances.transport(events.column(name), events.weights, truth.column(name), truth.weights, seed=seed)
            for what, (events, _) in tested.items()
        }
        result["chi2"] = {
            "unfolded": closure.chi2_closure(histogram, target),
            "prior": closure.chi2_samples(samples["prior"], target),
        }
        result["pulls"] = closure.pulls(histogram, target)
    result["yield"] = closure.yields(whole, samples["truth"].total if truth is not None else None)
    result["histogram"] = _histograms(histogram, samples)
    return result


def _histograms(histogram: Histogram, samples: dict[str, Counts]) -> dict[str, Any]:
    """What figures need. `own`: the observable's bins; `coarse`: merged to between 10 and COARSE where that divides.

    Each: edges; for "unfolded" and each sample {sum, error}, events per bin (B,); the unfolded also `families`: name ->
    error; `unit_area`: the same scaled to unit sum within the edges, where the error of the yield drops out.
    """
    bins = histogram.nominal.size
    step = next((k for k in range(1, bins + 1) if bins % k == 0 and 10 <= bins // k <= COARSE), 1)
    return {
        name: _curves(histogram.merged(histogram.edges[::k]), {n: c.merged(k) for n, c in samples.items()})
        for name, k in (("own", 1), ("coarse", step))
    }


def _curves(histogram: Histogram, samples: dict[str, Counts]) -> dict[str, Any]:
    width = np.diff(histogram.edges)
    result: dict[str, Any] = {"edges": histogram.edges.tolist(), "unit_area": {}}
    for place, found, unit in ((result, histogram, 1.0), (result["unit_area"], histogram.normalised(), width)):
        place["unfolded"] = {
            "sum": (found.nominal * unit).tolist(),
            "error": (found.sigma * unit).tolist(),
            "families": {name: (np.sqrt(v) * unit).tolist() for name, v in found.breakdown().items()},
        }
    for name, counts in samples.items():
        c, v, total = counts.inner, counts.inner_variance, counts.inner.sum()
        result[name] = {"sum": c.tolist(), "error": np.sqrt(v).tolist()}
        # c_i / C: its own fluctuation and that of the sum, which it is a part of.
        scaled = (v * (1 - 2 * c / total) + (c / total) ** 2 * v.sum()).clip(min=0)
        result["unit_area"][name] = {"sum": (c / total).tolist(), "error": (np.sqrt(scaled) / abs(total)).tolist()}
    return result


def _overall(each: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One yield of the method: that of a joint method; of the others the mean over observables, fully correlated."""
    keys = [k for k in next(iter(each.values())) if k != "families"]
    result = {k: None if any(y[k] is None for y in each.values()) else float(np.mean([y[k] for y in each.values()]))
              for k in keys}  # fmt: skip
    return result | {"per_observable": {n: y["value"] for n, y in each.items()}}


def _two_sample(
    joint: Events | None, prior: Events, truth: Events | None, seeds: int, epochs: int, seed: int, state: Path | None
) -> dict[str, Any]:
    if truth is None or joint is None:
        result: dict[str, Any] = {"unfolded": None, "prior": None, "floor": None}
        return result | {"reason": NO_TRUTH if truth is None else NOT_JOINT}
    settings: dict[str, Any] = {"seeds": seeds, "epochs": epochs, "seed": seed, "state": state}
    return {
        name: two_sample_test(truth.values, truth.weights, events.values, events.weights, label=name, **settings)
        for name, events in (("unfolded", joint), ("prior", prior))
    } | {"floor": floor_test(truth.values, truth.weights, label="floor", **settings), "reason": None}
