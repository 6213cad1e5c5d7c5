"""The stress suite: is the result of a method right for difficult pseudo-data, and if not, does refolding show it?"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from truthward.events.constituents import hardest
from truthward.events.contract import is_jagged
from truthward.events.families import Family, family
from truthward.events.hashing import uniform
from truthward.events.table import EventTable
from truthward.ratio.classifier import Tabular
from truthward.records.validate.stress import Comparison, Stressed, StressedScenario
from truthward.run.artefact import write_json
from truthward.run.provenance import Record
from truthward.study.plugins import build, option
from truthward.study.seeds import seed_for
from truthward.unfold.contract import Unfolder
from truthward.unfold.inputs.arrays import Inputs, Replica
from truthward.unfold.stage import unfold_all
from truthward.validate.distances import Counts
from truthward.validate.stress.scenarios import (
    CONSTITUENTS,
    PRIOR,
    QUESTIONS,
    Columns,
    Scenario,
    fiducial_of,
    scenarios,
)
from truthward.validate.stress.verdict import StressSums, compare, edges_of, judge, response_of
from truthward.validate.two_sample import log_ratio

if TYPE_CHECKING:
    from truthward.study.observable import Observable

log = logging.getLogger("truthward.validate")


def stress(
    entry: Mapping[str, Any],
    *,
    method: str,
    simulation: str | Path,
    data: str | Path,
    observables: Sequence[Observable],
    events: int,
    replicas: Mapping[str, int],
    seeds: int,
    epochs: int,
    classifier: Tabular = "dense",
    seed: int,
    record: Record,
    output: str | Path,
    **options: Any,
) -> Stressed:
    """Unfold every scenario with one method and write the verdicts.

    Args:
        entry: `{"kind": ..., option: ...}` of the method; method: its name in the config.
        simulation, data: event tables. Only the reco level of the data is read.
        observables: those of the study; the method may unfold only some of them.
        events: mean number of simulated events that are used, at most; a hash chooses them.
        replicas: family -> number of replicas in each unfolding.
        seeds, epochs, classifier: of the classifiers for the refolding of drawn events.
        options: see `scenarios`.

    Returns:
        What was written: method, kind, scenarios: [{name, question, note, skipped, verdict (see `verdict.judge`),
        observables: {name: see `verdict.compare`}}...], provenance.
    """
    unfolder: Unfolder = build("unfold", without_pseudo_data(entry, method))
    chosen = [o for o in observables if o.name in (unfolder.observables or [o.name for o in observables])]
    table = EventTable(simulation)
    simulated, measured = _columns(table, "simulation"), _columns(EventTable(data), "data")
    if unfolder.constituents:
        levels = ("truth", "reco")
        simulated |= {f"{CONSTITUENTS}{level}": hardest(table, level, unfolder.constituents) for level in levels}
    share = events / len(simulated["event_id"])
    kept = uniform(simulated["event_id"], seed_for(seed, "stress", "events")) < share
    simulated = {name: values[kept] for name, values in simulated.items()}
    found = run(
        unfolder,
        simulated,
        measured,
        chosen,
        replicas=replicas,
        seeds=seeds,
        epochs=epochs,
        classifier=classifier,
        seed=seed,
        label=method,
        **options,
    )
    content: Stressed = {
        "method": method,
        "kind": entry["kind"],
        "scenarios": found,
        "provenance": record.finish(events_in=len(simulated["event_id"]), events_out=len(found)),
    }
    write_json(output, content)
    return content


def without_pseudo_data(entry: Mapping[str, Any], method: str) -> dict[str, Any]:
    """The entry of a method without replicas of kind closure: it makes all iterations, and logs a warning."""
    if option("unfold", dict(entry), "stop.rule") != "closure":
        return dict(entry)
    log.warning("%s: stress tests have no pseudo-data of kind closure, so all iterations are made", method)
    return {**entry, "stop": {**entry["stop"], "rule": "fixed"}}


def run(
    unfolder: Unfolder,
    simulation: Columns,
    data: Columns,
    observables: Sequence[Observable],
    *,
    replicas: Mapping[str, int],
    seeds: int,
    epochs: int,
    classifier: Tabular = "dense",
    seed: int,
    share: float,
    label: str = "stress",
    expected: Any = None,
    **options: Any,
) -> list[StressedScenario]:
    """Run all scenarios in memory, on the columns of event tables; see `stress`.

    Args:
        expected: function of a scenario and an observable that returns the true contents of the bins, (B + 2,) with
            under- and overflow. It is for cases where the truth is known better than from the events of the
            pseudo-data.
    """
    families = {name: family(name, count) for name, count in replicas.items() if count}
    inside = fiducial_of(simulation)
    coarse = {
        o.name: edges_of(o, simulation[f"truth_{o.name}"][inside], simulation["weight"][inside], replicas)
        for o in observables
    }
    found: list[StressedScenario] = []
    unstarved: float | None = None
    for scenario in scenarios(
        simulation, data, observables, share=share, seed=seed, features=unfolder.features, **options
    ):
        entry: StressedScenario = {
            "name": scenario.name,
            "question": QUESTIONS[scenario.name],
            "note": scenario.note,
            "skipped": scenario.skipped,
            "verdict": None,
            "observables": {},
        }
        if scenario.inputs is not None:
            started = time.monotonic()
            each = _each(
                unfolder,
                scenario,
                scenario.inputs,
                families,
                coarse,
                expected,
                seeds=seeds,
                epochs=epochs,
                classifier=classifier,
                seed=seed,
            )
            verdict = judge(scenario.name, each, unstarved=unstarved, share=share)
            unstarved = verdict["relative_sigma"] if scenario.name == PRIOR else unstarved
            entry["verdict"], entry["observables"] = verdict, each
            log.info("%s, %s: %s (%.0f s)", label, scenario.name, verdict["words"], time.monotonic() - started)
        found.append(entry)
    return found


def _each(
    unfolder: Unfolder,
    scenario: Scenario,
    inputs: Inputs,
    families: Mapping[str, Family],
    coarse: Mapping[str, np.ndarray],
    expected: Any,
    *,
    seeds: int,
    epochs: int,
    classifier: Tabular = "dense",
    seed: int,
) -> dict[str, Comparison]:
    """Unfold one scenario and compare every observable."""
    seed = seed_for(seed, "stress", scenario.name)
    members = [Replica(name, i) for name, f in families.items() for i in range(f.count)]
    result = unfold_all(unfolder, inputs, members, seed=seed)
    edges = {o.name: np.asarray(o.edges) for o in inputs.observables}
    sums = StressSums(result, edges, families, joint=unfolder.joint)
    ratio = None
    if unfolder.joint:
        prior = inputs.weight[inputs.fiducial]
        if np.array_equal(sums.ids, inputs.event_id[inputs.fiducial]):
            # The result has the simulation's own events: the ratio is known and need not be learned.
            ratio = np.divide(sums.weights, prior, out=np.ones_like(prior), where=prior != 0)
        else:
            ratio = np.exp(
                log_ratio(
                    sums.values,
                    sums.weights,
                    inputs.truth[inputs.fiducial],
                    prior,
                    seeds=seeds,
                    epochs=epochs,
                    classifier=classifier,
                    seed=seed,
                    label="refold",
                )
            )
    found = {}
    for column, observable in enumerate(inputs.observables):
        name, own = observable.name, edges[observable.name]
        truth = Counts.of(scenario.truth[name], scenario.weight, own)
        if expected is not None:
            truth = Counts(own, expected(scenario, observable), np.zeros(len(own) + 1))
        prior = Counts.of(inputs.truth[inputs.fiducial, column], inputs.weight[inputs.fiducial], own)
        data = Counts.of(inputs.data_reco[:, column], inputs.data_weight, own)
        found[name] = compare(
            sums.histograms[name],
            truth,
            prior,
            response_of(inputs, column, own, ratio),
            data,
            coarse[name],
            seed=seed_for(seed, name),
        )
    return found


def _columns(table: EventTable, role: str) -> dict[str, np.ndarray]:
    """The columns that the scenarios need; data have no truth columns."""
    levels = ("truth_", "reco_") if role == "simulation" else ("reco_",)
    values = [c for c in table.columns if c.startswith(levels) and ":" not in c and not is_jagged(c)]
    flags = ["pass_truth", "pass_reco", "process"] if role == "simulation" else ["pass_reco"]
    return table.read([*values, *flags, "weight", "event_id", "split"])
