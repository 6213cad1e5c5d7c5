"""Validation of the result of one unfolding method; the code is the same for all methods."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from truthward.errors import InputError
from truthward.events.binning import BOOTSTRAPS, own_edges, published_edges
from truthward.events.families import Histogram, stated_as
from truthward.events.table import EventTable
from truthward.events.unfolded import Unfolded
from truthward.ratio.classifier import Tabular
from truthward.records.shared import Used
from truthward.records.unfold import HistoryEntry
from truthward.records.validate.figures import Distance, Repeated, TwoSampleTest
from truthward.records.validate.method import (
    Distances,
    MethodFigures,
    MethodYield,
    ObservableFigures,
    ObservableYield,
    Refolded,
    TwoSample,
    ValidatedMethod,
    Weights,
    WeightSummary,
)
from truthward.records.validate.posterior import ValidatedPosterior
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
"""Entries of the history that are not repeated, since `progress` and `sampling` use them."""

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
    classifier: Tabular = "dense",
    events: int,
    seed: int,
    record: Record,
    output: str | Path,
    state: Path | None = None,
    posterior: ValidatedPosterior | None = None,
    ingest: Mapping[str, Sequence[str]] | None = None,
    model: Sequence[str] = (),
) -> ValidatedMethod:
    """Compare an unfolded sample with the truth, where it is known, with the data it came from and with the prior.

    All samples are read in pieces. Histograms and sums of weights have all events. So have triangular discriminators,
    chi2, pulls, yields and refolding. Wasserstein-1 distances and two-sample tests use at most `events` events of each
    sample, drawn by a hash of their ids; their floors have the same number. Several draws of one event count as one
    event in all floors and effective sizes. Two-sample tests use one of them.

    Args:
        unfolded: result of the method. simulation, data: the tables that it unfolded. closure_truth: the truth behind
            pseudo-data. If it is None, everything that needs it is null.
        observables: of the study. The unfolded ones are compared, in their own bins.
        seeds, epochs, classifier: of the two-sample test. events: largest number for unbinned figures.
        output: JSON artefact to write. state: folder for resuming.
        posterior, ingest, model: further inputs of the verdict, see `verdict.Given`.

    Returns:
        The content of `output`. For the refolding see `refold.Response`: `marginal` has the simulated distribution of
        the other observables, and `unfolded` has the unfolded one if the result is joint.
    """
    result, simulated, measured = Unfolded(unfolded), EventTable(simulation), EventTable(data)
    if not (chosen := [o for o in observables if o.name in result.observables]):
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
    method = result.metadata["method"]
    settings: dict[str, Any] = {
        "seeds": seeds,
        "epochs": epochs,
        "classifier": classifier,
        "seed": seed_for(seed, "validate"),
        "state": state,
    }
    share = result.metadata.get("fakes") == "share"
    marginal = Response.of(simulated, edges, share=share)
    reweighted, ratio, exact = marginal, None, None
    if joint is not None:
        exact = exact_ratio(joint, prior)
        ratio = exact or ratio_of(joint, prior, label="refold", **settings)
        reweighted = Response.of(simulated, edges, ratio=ratio, share=share)
    figures: dict[str, ObservableFigures] = {}
    weights: dict[str, WeightSummary] = {}
    used: dict[str, Used] = {}
    samples = {"prior": prior, "data": reco} | ({} if truth is None else {"truth": truth})
    for observable in chosen:
        name = observable.name
        log.info("%s: %s", method, name)
        own = joint or Events.nominal(result, [observable], weights_of=name, **thin)
        weights[name] = own.weight_summary()
        used["unfolded"] = own.counted
        figures[name] = _observable(
            result, observable, own, samples, (marginal[name], reweighted[name]), seed_for(seed, "validate", name)
        )
    used |= {what: sample.counted for what, sample in samples.items()}
    behind = None if closure_truth is None else EventTable(closure_truth)
    two_sample = _two_sample(joint, prior, truth, settings)
    folded = None
    # With a share of fakes, it is not known event by event which of them are expected.
    if joint is not None and ratio is not None and not share:
        folded = folded_events(simulated, chosen, ratio, joint.sums.total / prior.sums.total, **thin)
        if folded is not None and exact is None:
            weighted = prior.weights * ratio(prior.ids, prior.values)
            two_sample["ratio"] = _ratio_test(joint, prior.values, weighted, settings)
    two_sample["reco"] = _reco_test(folded, reco, settings)
    content: MethodFigures = {
        "method": method,
        "kind": result.metadata["kind"],
        "joint": result.joint,
        "iterations": result.metadata.get("iterations"),
        "names": names,
        "closure": truth is not None,
        "families": {n: f.count for n, f in result.families.items()},
        "uncertainty": stated_as([n for n, f in result.families.items() if f.adds], model),
        "history": [
            {k: v for k, v in h.items() if k not in BY_BIN} for h in result.metadata["history"] if _is_nominal(h)
        ],
        "stopping": result.metadata.get("stopping"),
        "observables": figures,
        "used": used,
        "yield": _overall({n: o["yield"] for n, o in figures.items()}),
        "weights": _overall_weights(weights, names[0] if result.joint else None),
        "progress": progress(result.metadata, result.families, simulated, behind),
        "sampling": sampling(result),
        "two_sample": two_sample,
        "prior_share": prior.weight_summary()["effective_sample_size"] / prior.total,
        "flags": flags_of_method(figures, two_sample["unfolded"]),
    }
    verdict = judge(Given(content, posterior, ingest or {}, model))
    log.info("%s: verdict %s; %s", method, verdict["verdict"], verdict["reasons"])
    provenance = record.finish(
        events_in=result.num_rows + simulated.num_rows + measured.num_rows,
        events_out=len(names),
        sum_w=weights[names[0]]["sum"],
    )
    judged: ValidatedMethod = {**content, "verdict": verdict, "provenance": provenance}
    write_json(output, judged)
    return judged


def _is_nominal(entry: HistoryEntry) -> bool:
    return str(entry.get("replica", "nominal")).partition(":")[0] == "nominal"


def _observable(
    unfolded: Unfolded,
    observable: Observable,
    own: Events,
    samples: dict[str, Events],
    responses: tuple[Response, Response],
    seed: int,
) -> ObservableFigures:
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

    def refolded(response: Response, contents: Histogram | np.ndarray) -> Refolded:
        return compare_refolded(response, contents, counts["data"], inner=reco_bins, prior=responses[0])

    result: ObservableFigures = {
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
        "yield": against_truth.yields(whole, counts["truth"].total if truth is not None else None),
        "histogram": curves(judged, judged_counts, published=published, binned=own_bins is not None),
    }
    if truth is not None:
        result["triangular"] = _triangular(name, own, samples, counts["truth"], histogram, seed)
        result["wasserstein1"] = _wasserstein1(name, own, samples, truth, seed)
        result["chi2"] = {
            "unfolded": against_truth.chi2_closure(judged, judged_counts["truth"]),
            "prior": against_truth.chi2_samples(counts["prior"], counts["truth"]),
        }
        result["pulls"] = against_truth.pulls(judged, judged_counts["truth"])
        result["coverage"] = against_truth.coverage(judged, judged_counts["truth"])
    return result


def _triangular(
    name: str, own: Events, samples: dict[str, Events], target: Counts, histogram: Histogram, seed: int
) -> Distances:
    """Distances of result, simulation and data from the truth, each with its floor."""

    def distance(events: Events, replicas: dict[str, Repeated]) -> Distance:
        found = distances.discriminator(events.histograms[name].inner, events.size(name), target, seed=seed)
        return {**found, "replicas": replicas}

    prior, data = samples["prior"], samples["data"]
    return {
        "unfolded": distance(own, distances.replica_discriminators(histogram, target)),
        "prior": distance(prior, {"bootstrap": _bootstrapped(prior, name, target, seed_for(seed, "prior"))}),
        "data": distance(data, {"bootstrap": _bootstrapped(data, name, target, seed_for(seed, "data"))}),
        "floor": {**distances.floor_of(target, target.size, seed=seed), "size": target.size},
    }


def _wasserstein1(name: str, own: Events, samples: dict[str, Events], truth: Events, seed: int) -> Distances:
    """As `_triangular`, without bins."""

    def distance(events: Events) -> Distance:
        return distances.transport(
            events.column(name), events.weights, truth.column(name), truth.weights, rows=events.rows_an_event, seed=seed
        )

    return {"unfolded": distance(own), "prior": distance(samples["prior"]), "data": distance(samples["data"])}


def _bootstrapped(events: Events, name: str, truth: Counts, seed: int) -> Repeated:
    if events.whole:
        return distances.bootstrapped(events.column(name), events.weights, truth, seed=seed)
    return distances.bootstrapped_counts(events.histograms[name], truth, seed=seed)


def _overall(each: dict[str, ObservableYield]) -> MethodYield:
    """The yield of the method: the mean over observables, fully correlated. It is the same for all if it is joint."""
    yields = list(each.values())
    result: MethodYield = {
        "value": float(np.mean([y["value"] for y in yields])),
        "sigma": float(np.mean([y["sigma"] for y in yields])),
        "per_observable": {n: y["value"] for n, y in each.items()},
    }
    if all("truth" in y for y in yields):
        result["truth"] = float(np.mean([y["truth"] for y in yields]))
        result["truth_sigma"] = float(np.mean([y["truth_sigma"] for y in yields]))
        result["ratio"] = float(np.mean([y["ratio"] for y in yields]))
        result["ratio_sigma"] = float(np.mean([y["ratio_sigma"] for y in yields]))
        pulls = [pull for y in yields if (pull := y["pull"]) is not None]
        result["pull"] = float(np.mean(pulls)) if len(pulls) == len(yields) else None
    return result


def _overall_weights(each: dict[str, WeightSummary], joint: str | None) -> Weights:
    """The weights that all observables of a joint method share; else those with the smallest effective size."""
    if joint is not None:
        return {**each[joint], "per_observable": None}
    return {**min(each.values(), key=lambda w: w["effective_sample_size"]), "per_observable": each}


def _two_sample(joint: Events | None, prior: Events, truth: Events | None, settings: dict[str, Any]) -> TwoSample:
    few = truth is not None and len(truth.values) < 2 * FEWEST
    if truth is None or joint is None or few:
        reason = NO_TRUTH if truth is None else FEW if few else NOT_JOINT
        return {"unfolded": None, "prior": None, "floor": None, "reason": reason, "reco": None}
    return {
        "unfolded": two_sample_test(truth.values, truth.weights, *joint.singles(), label="unfolded", **settings),
        "prior": two_sample_test(truth.values, truth.weights, *prior.singles(), label="prior", **settings),
        "floor": floor_test(truth.values, truth.weights, label="floor", **settings),
        "reason": None,
        "reco": None,
    }


def _reco_test(folded: Events | None, reco: Events, settings: dict[str, Any]) -> TwoSampleTest | None:
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
) -> TwoSampleTest | None:
    """Test of the learned ratio: the result against the simulation (N, D) with the weights (N,) from the ratio.

    The test at reco level cannot be finer than this.
    """
    singles = joint.singles()
    if (fewest := min(len(singles[0]), len(values))) < FEWEST:
        log.warning("ratio: %d events; a classifier needs %d, so this test is left out", fewest, FEWEST)
        return None
    return two_sample_test(*singles, values, weights, label="ratio", **settings)
