"""The systematics stage: add a column of weights to the simulation for each mistake that it may have."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from truthward.errors import InputError
from truthward.events.contract import Batch
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.records.systematics import SystematicsSummary, Varied
from truthward.run.artefact import write_json
from truthward.run.provenance import Record
from truthward.study.observable import Observable
from truthward.study.seeds import seed_for
from truthward.study.variations import seen_and_tilted, tilt_of
from truthward.systematics.alternative import as_alternative
from truthward.systematics.closure import pseudo_data, truth_weights
from truthward.systematics.hidden import as_in_data, tilted
from truthward.systematics.sample import Measured, Simulated

log = logging.getLogger("truthward.systematics")


def vary(
    simulation: EventTable,
    data: EventTable | None,
    systematics: Mapping[str, Mapping[str, Any]],
    alternatives: Mapping[str, EventTable],
    *,
    output: str | Path,
    summary_out: str | Path,
    observables: Sequence[Observable],
    features: Mapping[str, Sequence[str]] | None = None,
    seed: int,
    record: Record,
    epochs: int = 30,
    batch_size: int = 512,
) -> dict[str, Varied]:
    """Write the simulation with columns `weight:<source>:<i>`; they are full weights, not factors.

    Kind alternative: see `alternative.as_alternative`. closure: see `closure.pseudo_data`. hidden: see
    `hidden.as_in_data` and `hidden.tilted`. The samples are held in memory.

    Args:
        simulation: event table. data: event table, for closure and hidden; None if neither is used.
        systematics: name -> {"kind"} and, if it has them, "sample", "columns" and "size", see `section.Systematic`.
        alternatives: sample -> event table of another simulation, with the same calibration.
        output: event table to write. summary_out: JSON to write, after it.
        features: level -> what networks see in addition to the observables; the density of an alternative includes it.
        seed: seed of the study. epochs, batch_size: of the classifiers of alternative and closure.

    Returns:
        For each source the results of its kind, including warnings in words.

    Raises:
        InputError: a category that one of the samples lacks, or a column that is missing or not finite.
        DivergedError: a training, or weights that are not finite or have no positive sum.
    """
    names = [o.name for o in observables]
    options: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size}
    nominal, others = Simulated.load(simulation, names), {n: Simulated.load(t, names) for n, t in alternatives.items()}
    measured = None if data is None else Measured.load(data)
    log.info(
        "%d simulated events are held in memory", simulation.num_rows + sum(t.num_rows for t in alternatives.values())
    )

    @cache
    def known() -> tuple[Measured, np.ndarray]:
        """The data, and nu at the truth of the fiducial events; computed once, if a source needs it."""
        if measured is None:
            raise InputError("systematics: kinds closure and hidden need data; give a sample of role data")
        return measured, truth_weights(nominal, measured, names, seed=seed_for(seed, "systematics", "truth"))

    weights: dict[str, np.ndarray] = {}
    summary: dict[str, Varied] = {}
    for name, entry in systematics.items():
        options["classifier"] = entry.get("classifier", "dense")
        own, (seen, tilts) = seed_for(seed, "systematics", name), seen_and_tilted(entry.get("columns", []))
        if entry["kind"] == "alternative":
            weights[f"weight:{name}:0"], summary[name] = as_alternative(
                nominal, others[entry["sample"]], name=name, seed=own, features=features, **options
            )
        elif entry["kind"] == "closure":
            target, nu = known()
            weights[f"weight:{name}:0"], summary[name] = pseudo_data(
                nominal, target, nu, name=name, seed=own, **options
            )
        if seen:
            target, nu = known()
            weights[f"weight:{name}:0"], summary[name] = as_in_data(
                nominal, target, nu, seen, names, name=name, seed=own
            )
        for column in tilts:
            source = tilt_of(name, column)
            pair, summary[source] = tilted(
                nominal,
                column,
                name=name,
                size=entry.get("size"),
                other=others.get(entry.get("sample", "")),
                seed=seed_for(own, column),
            )
            weights |= {f"weight:{source}:{i}": w for i, w in enumerate(pair)}
    for source, found in summary.items():
        for text in found["warnings"]:
            log.warning("%s: %s", source, text)
    write_table(
        output,
        _rows(simulation, weights),
        observables=simulation.metadata["observables"],
        role=simulation.role,
        selection=simulation.metadata["selection"],
        record=record,
        source=str(simulation.path),
        origin=simulation.metadata.get("origin"),
    )
    content: SystematicsSummary = {
        "systematics": summary,
        "provenance": record.finish(events_in=simulation.num_rows),
    }
    write_json(summary_out, content)
    return summary


def _rows(simulation: EventTable, weights: Mapping[str, np.ndarray]) -> Iterator[Batch]:
    first = 0
    for batch in simulation.batches():
        last = first + len(batch["weight"])
        yield batch.like({**batch, **{name: weight[first:last] for name, weight in weights.items()}})
        first = last
