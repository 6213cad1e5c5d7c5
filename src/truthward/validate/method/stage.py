"""Validation of the result of one unfolding method; the code is the same for all methods."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from truthward.errors import InputError
from truthward.events.binning import BOOTSTRAPS, own_edges, published_edges
from truthward.events.families import Histogram, stated_as
from truthward.events.table import EventTable
from truthward.events.unfolded import Unfolded
from truthward.run.artefact import write_json
from truthward.run.provenance import Record
from truthward.study.seeds import seed_for
from truthward.validate import distances, metrics
from truthward.validate.distances import Counts
from truthward.validate.events import Events
from truthward.validate.flags import flags_of_method
from truthward.validate.method import against_truth
from truthward.validate.method.curves import curves
from truthward.validate.method.folded import exact_ratio, folded_events
from truthward.validate.method.noise_of_draws import sampling
from truthward.validate.method.progress import progress
from truthward.validate.method.refold import Response, compare_refolded
from truthward.validate.method.verdict import Given, judge
from truthward.validate.two_sample import FEWEST, floor_test, ratio_of, two_sample_test

if TYPE_CHECKING:
    from truthward.study.observable import Observable

log = logging.getLogger("truthward.validate")

NO_TRUTH = "the truth behind the data is not known"
FEW = f"there are fewer than {2 * FEWEST} true events: no classifier can be trained on each of their halves"
BY_BIN = ("contents", "sampling_variance", "counting_variance")
"""Entries of the history that are not repeated: `progress` and `sampling` say what they mean."""

NOT_JOINT = "the method unfolds one observable at a time: there is no joint sample to test"


def validate_method(
    unfolded: str | Path,
    *,
    simulation: str | Path,
    data: str | Path,
    closure_truth: str | Path | None,
    observables: Sequence[Observable],
    seeds: int,
    epochs: int,
    events: int,
    seed: int,
    record: Record,
    output: str | Path,
    state: Path | None = None,
    posterior: Mapping[str, Any] | None = None,
    ingest: Mapping[str, Sequence[str]] | None = None,
    model: Sequence[str] = (),
) -> dict[str, Any]:
    """Compare an unfolded sample with the truth, where it is known, with the data it came from and with the prior.

    All samples are read in pieces. Histograms, and all that is made of them (triangular discriminators, chi2, pulls,
    yields, refolding), and the sums of weights are of all events. Wasserstein-1 distances and two-sample tests are of
    `events` events of each sample at most, drawn by a hash of their ids, beside the floor of as many. Draws of one
    event count as one event in all floors and effective sizes, and two-sample tests take one of them.

    Args:
        unfolded: the method's result; simulation, data: the tables it was unfolded with; closure_truth: the truth
            behind pseudo-data, or None: then everything that needs it is null.
        observables: those of the study; the ones that the method unfolded are compared, on their own bins.
        seeds, epochs: of the classifiers of the two-sample test. events: that unbinned figures take of a sample.
        output: JSON artefact; state: folder for resuming.
        posterior, ingest, model: what the verdict goes by besides, see `judgement.Given`.

    Returns:
        What was written. Top level: method, kind, joint, uncertainty (in words), names (in order), observables, yield,
        weights, two_sample (`reco`: data against the refolded simulation; `ratio`: what a learned ratio misses), used
        (sample -> {events, used}, of unbinned figures), history, stopping, progress and sampling (see there), flags,
        verdict (`judgement.judge`), provenance.
        Per observable: triangular, wasserstein1 (unfolded, prior, data, each {value, floor, excess, significance}),
        chi2 (unfolded, prior), pulls, coverage, yield, distance_to_prior, refold (unfolded; marginal and prior with
        their chi2 alone), published (bins, replicas of the smaller bootstrap), histogram (`curves`), binned. Where a
        method unfolds in bins of its own, `binned` is true, and chi2, pulls, coverage, refold, histogram are in these.
        Refolding: see `refold.Response`; `marginal` has the simulation's own distribution of the other observables,
        `unfolded` that of the result where it is joint.
    """
    result, simulated, measured = Unfolded(unfolded), EventTable(simulation), EventTable(data)
    chosen = [o for o in observables if o.name in result.observables]
    if not chosen:
        raise InputError(
            f"{unfolded}: unfolds {', '.join(result.observables)}, but the study has none of them; unfold again"
        )
    names, edges = [o.name for o in chosen], {o.name: np.asarray(o.edges) for o in chosen}
    thin: dict[str, Any] = {"limit": events, "key": seed_for(seed, "validate", "events")}
    prior, reco = (
        Events.accepted(table, level, chosen, **thin) for table, level in ((simulated, "truth"), (measured, "reco"))
    )
    truth = None if closure_truth is None else Events.accepted(EventTable(closure_truth), "truth", chosen, **thin)
    joint = Events.nominal(result, chosen, **thin) if result.joint else None
    content = _described(result, names, model, closure=truth is not None)
    settings: dict[str, Any] = {"seeds": seeds, "epochs": epochs, "seed": seed_for(seed, "validate"), "state": state}
    share = result.metadata.get("fakes") == "share"
    marginal = Response.of(simulated, edges, share=share)
    reweighted, ratio, exact = marginal, None, None
    if joint is not None:
        exact = exact_ratio(joint, prior)
        ratio = exact or ratio_of(joint, prior, label="refold", **settings)
        reweighted = Response.of(simulated, edges, ratio=ratio, share=share)
    content["observables"], weights = {}, {}
    samples = {"prior": prior, "data": reco} | ({} if truth is None else {"truth": truth})
    for observable in chosen:
        name = observable.name
        log.info("%s: %s", content["method"], name)
        own = joint or Events.nominal(result, [observable], weights_of=name, **thin)
        weights[name] = own.weight_summary()
        content["used"] = {"unfolded": own.counted}
        content["observables"][name] = _observable(
            result, observable, own, samples, (marginal[name], reweighted[name]), seed_for(seed, "validate", name)
        )
    content["used"] |= {what: sample.counted for what, sample in samples.items()}
    content["yield"] = _overall({n: o["yield"] for n, o in content["observables"].items()})
    content["weights"] = {"per_observable": None if result.joint else weights} | (
        weights[names[0]] if result.joint else min(weights.values(), key=lambda w: w["effective_sample_size"])
    )
    behind = None if closure_truth is None else EventTable(closure_truth)
    content["progress"] = progress(result.metadata, result.families, simulated, behind)
    content["sampling"] = sampling(result)
    content["two_sample"] = _two_sample(joint, prior, truth, settings)
    folded = None
    # With a share of fakes, it is not known event by event which of them are expected.
    if joint is not None and ratio is not None and not share:
        folded = folded_events(simulated, chosen, ratio, joint.sums.total / prior.sums.total, **thin)
        if folded is not None and exact is None:
            weighted = prior.weights * ratio(prior.ids, prior.values)
            content["two_sample"]["ratio"] = _ratio_test(joint, prior.values, weighted, settings)
    content["two_sample"]["reco"] = _reco_test(folded, reco, settings)
    content["prior_share"] = prior.weight_summary()["effective_sample_size"] / prior.total
    content["flags"] = flags_of_method(content)
    content["verdict"] = judge(Given(content, posterior, ingest or {}, model))
    log.info("%s: verdict %s; %s", content["method"], content["verdict"]["verdict"], content["verdict"]["reasons"])
    content["provenance"] = record.finish(
        events_in=result.num_rows + simulated.num_rows + measured.num_rows,
        events_out=len(names),
        sum_w=weights[names[0]]["sum"],
    )
    write_json(output, content)
    return content


def _described(result: Unfolded, names: list[str], model: Sequence[str], *, closure: bool) -> dict[str, Any]:
    """The part of the artefact that comes from the metadata of the result."""
    return {
        "method": result.metadata["method"],
        "kind": result.metadata["kind"],
        "joint": result.joint,
        "iterations": result.metadata.get("iterations"),
        "names": names,
        "closure": closure,
        "families": {n: f.count for n, f in result.families.items()},
        "uncertainty": stated_as([n for n, f in result.families.items() if f.adds], model),
        "history": [
            {k: v for k, v in h.items() if k not in BY_BIN} for h in result.metadata["history"] if _is_nominal(h)
        ],
        "stopping": result.metadata.get("stopping"),
    }


def _is_nominal(entry: dict[str, Any]) -> bool:
    return str(entry.get("replica", "nominal")).partition(":")[0] == "nominal"


def _observable(
    unfolded: Unfolded,
    observable: Observable,
    own: Events,
    samples: dict[str, Events],
    responses: tuple[Response, Response],
    seed: int,
) -> dict[str, Any]:
    name, edges = observable.name, np.asarray(observable.edges)
    histogram, whole = distances.unfolded_histogram(unfolded, name, edges)
    counts = {what: sample.histograms[name] for what, sample in samples.items()}
    prior, truth = samples["prior"], samples.get("truth")
    own_bins = own_edges(unfolded, observable)
    judged, judged_counts = histogram, counts
    if own_bins is not None:
        judged, judged_counts = histogram.merged(own_bins), {n: c.onto(own_bins) for n, c in counts.items()}
    reco_bins = unfolded.metadata.get("inner_edges_reco", {}).get(name)
    published = published_edges(unfolded, observable)
    bootstraps = [f.count for n, f in unfolded.families.items() if n in BOOTSTRAPS]

    def refolded(response: Response, contents: Histogram | np.ndarray) -> dict[str, Any]:
        return compare_refolded(response, contents, counts["data"], inner=reco_bins)

    result: dict[str, Any] = {
        "distance_to_prior": {
            "triangular": distances.discriminator(histogram.nominal, 1.0, counts["prior"], seed=seed)["value"],
            "wasserstein1": metrics.wasserstein1(own.column(name), prior.column(name), own.weights, prior.weights),
        },
        "refold": {
            "unfolded": refolded(responses[1], whole),
            "marginal": {"chi2": refolded(responses[0], whole.nominal)["chi2"]},
            "prior": {"chi2": refolded(responses[0], responses[0].fiducial)["chi2"]},
        },
        "triangular": None,
        "wasserstein1": None,
        "chi2": None,
        "pulls": None,
        "coverage": None,
        "binned": own_bins is not None,
        "published": {"bins": published.size - 1, "replicas": min(bootstraps, default=None)},
    }
    if truth is not None:
        result |= _distances(name, own, samples, counts["truth"], histogram, seed)
        result["chi2"] = {
            "unfolded": against_truth.chi2_closure(judged, judged_counts["truth"]),
            "prior": against_truth.chi2_samples(counts["prior"], counts["truth"]),
        }
        result["pulls"] = against_truth.pulls(judged, judged_counts["truth"])
        result["coverage"] = against_truth.coverage(judged, judged_counts["truth"])
    result["yield"] = against_truth.yields(whole, counts["truth"].total if truth is not None else None)
    result["histogram"] = curves(judged, judged_counts, published=published, binned=own_bins is not None)
    return result


def _distances(
    name: str, own: Events, samples: dict[str, Events], target: Counts, histogram: Histogram, seed: int
) -> dict[str, Any]:
    """Distances of result, simulation and data from the truth, each with its floor."""
    truth, tested = samples["truth"], {"unfolded": own, "prior": samples["prior"], "data": samples["data"]}
    triangular: dict[str, Any] = {
        what: distances.discriminator(events.histograms[name].inner, events.size(name), target, seed=seed)
        for what, events in tested.items()
    }
    triangular["unfolded"]["replicas"] = distances.replica_discriminators(histogram, target)
    for what in ("prior", "data"):
        spread = _bootstrapped(tested[what], name, target, seed_for(seed, what))
        triangular[what]["replicas"] = {"bootstrap": spread}
    triangular["floor"] = asdict(distances.floor_of(target, target.size, seed=seed)) | {"size": target.size}
    wasserstein1 = {
        what: distances.transport(
            events.column(name), events.weights, truth.column(name), truth.weights, rows=events.rows_an_event, seed=seed
        )
        for what, events in tested.items()
    }
    return {"triangular": triangular, "wasserstein1": wasserstein1}


def _bootstrapped(events: Events, name: str, truth: Counts, seed: int) -> dict[str, Any]:
    if events.whole:
        return distances.bootstrapped(events.column(name), events.weights, truth, seed=seed)
    return distances.bootstrapped_counts(events.histograms[name], truth, seed=seed)


def _overall(each: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One yield of the method: that of a joint method; of the others the mean over observables, fully correlated."""
    keys = [k for k in next(iter(each.values())) if k != "families"]
    result = {
        k: None if any(y[k] is None for y in each.values()) else float(np.mean([y[k] for y in each.values()]))
        for k in keys
    }
    return result | {"per_observable": {n: y["value"] for n, y in each.items()}}


def _two_sample(joint: Events | None, prior: Events, truth: Events | None, settings: dict[str, Any]) -> dict[str, Any]:
    few = truth is not None and len(truth.values) < 2 * FEWEST
    if truth is None or joint is None or few:
        result: dict[str, Any] = {"unfolded": None, "prior": None, "floor": None}
        return result | {"reason": NO_TRUTH if truth is None else FEW if few else NOT_JOINT}
    return {
        name: two_sample_test(truth.values, truth.weights, *events.singles(), label=name, **settings)
        for name, events in (("unfolded", joint), ("prior", prior))
    } | {"floor": floor_test(truth.values, truth.weights, label="floor", **settings), "reason": None}


def _reco_test(folded: Events | None, reco: Events, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Two-sample test of the data against the refolded simulation: it needs no truth."""
    if folded is None:
        return None
    if len(reco.values) < FEWEST:
        # Ten events are a valid result; only this test cannot be made.
        log.warning("reco: %d data events; a classifier needs %d, so this test is left out", len(reco.values), FEWEST)
        return None
    return two_sample_test(reco.values, reco.weights, folded.values, folded.weights, label="reco", **settings)


def _ratio_test(
    joint: Events, values: np.ndarray, weights: np.ndarray, settings: dict[str, Any]
) -> dict[str, Any] | None:
    """What the learned ratio itself has wrong, by the result against the simulation (N, D) with its weights (N,): the
    test at reco level is no finer than this."""
    singles = joint.singles()
    if (fewest := min(len(singles[0]), len(values))) < FEWEST:
        log.warning("ratio: %d events; a classifier needs %d, so this test is left out", fewest, FEWEST)
        return None
    return two_sample_test(*singles, values, weights, label="ratio", **settings)
