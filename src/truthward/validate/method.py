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
from truthward.events.table import EventTable
from truthward.events.unfolded import Unfolded
from truthward.provenance import Record
from truthward.seeds import seed_for
from truthward.validate import closure, distances, metrics
from truthward.validate.curves import curves
from truthward.validate.distances import Counts
from truthward.validate.flags import flags_of_method
from truthward.validate.refold import Response, compare_refolded
from truthward.validate.two_sample import floor_test, log_ratio, two_sample_test

if TYPE_CHECKING:
    from truthward.config import Observable

log = logging.getLogger("truthward.validate")

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
        What was written. Top level: method, kind, joint, names (in order), observables, yield, weights, two_sample,
        history, flags, provenance. Per observable: triangular, wasserstein1 (unfolded, prior, data, each {value, floor,
        excess, significance}), chi2 (unfolded, prior), pulls, yield, distance_to_prior, refold (unfolded; marginal and
        prior with their chi2 alone), histogram (`curves`). Refolding: see `refold.Response`; `marginal` has the
        simulation's own distribution of the other observables, `unfolded` that of the result where it is joint.
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
        "names": names,
        "closure": truth is not None,
        "families": {n: f.count for n, f in result.families.items()},
        "history": [h for h in result.metadata["history"] if _is_nominal(h)],
        "observables": {},
    }
    settings: dict[str, Any] = {"seeds": seeds, "epochs": epochs, "seed": seed_for(seed, "validate"), "state": state}
    ratio = None
    if joint is not None:
        given = (joint.values, joint.weights, prior.values, prior.weights)
        ratio = np.exp(log_ratio(*given, label="refold", **settings))
    weights = {}
    for observable in (o for o in observables if o.name in names):
        log.info("%s: %s", content["method"], observable.name)
        own = joint or Events([observable.name], *distances.nominal_events(result, [observable.name], observable.name))
        weights[observable.name] = metrics.weight_summary(own.weights)
        edges = np.asarray(observable.edges)
        marginal = Response.of(simulated, observable.name, edges)
        responses = marginal, marginal if ratio is None else Response.of(simulated, observable.name, edges, ratio=ratio)
        content["observables"][observable.name] = _observable(
            result, observable, own, prior, reco, truth, responses, seed_for(seed, "validate", observable.name)
        )
    content["yield"] = _overall({n: o["yield"] for n, o in content["observables"].items()})
    content["weights"] = {"per_observable": None if result.joint else weights} | (
        weights[names[0]] if result.joint else min(weights.values(), key=lambda w: w["effective_sample_size"])
    )
    content["two_sample"] = _two_sample(joint, prior, truth, settings)
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
    responses: tuple[Response, Response],
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
            "unfolded": compare_refolded(responses[1], whole.nominal, samples["data"]),
            "marginal": {"chi2": compare_refolded(responses[0], whole.nominal, samples["data"])["chi2"]},
            "prior": {"chi2": compare_refolded(responses[0], responses[0].fiducial, samples["data"])["chi2"]},
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
    result["histogram"] = curves(histogram, samples)
    return result


def _overall(each: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One yield of the method: that of a joint method; of the others the mean over observables, fully correlated."""
    keys = [k for k in next(iter(each.values())) if k != "families"]
    result = {k: None if any(y[k] is None for y in each.values()) else float(np.mean([y[k] for y in each.values()]))
              for k in keys}  # fmt: skip
    return result | {"per_observable": {n: y["value"] for n, y in each.items()}}


def _two_sample(joint: Events | None, prior: Events, truth: Events | None, settings: dict[str, Any]) -> dict[str, Any]:
    if truth is None or joint is None:
        result: dict[str, Any] = {"unfolded": None, "prior": None, "floor": None}
        return result | {"reason": NO_TRUTH if truth is None else NOT_JOINT}
    return {
        name: two_sample_test(truth.values, truth.weights, events.values, events.weights, label=name, **settings)
        for name, events in (("unfolded", joint), ("prior", prior))
    } | {"floor": floor_test(truth.values, truth.weights, label="floor", **settings), "reason": None}
