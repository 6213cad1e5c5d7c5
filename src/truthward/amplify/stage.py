"""The amplify stage: a surrogate sampled far beyond its training statistics, and what the sample is worth."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from truthward.amplify.study import amplification_study
from truthward.amplify.worth import multinomial, predicted_mse
from truthward.artefact import write_json
from truthward.errors import InputError
from truthward.events.split import TEST, TRAIN
from truthward.events.table import EventTable
from truthward.provenance import Record
from truthward.sampling import draws, load_members, write_draws
from truthward.seeds import seed_for

log = logging.getLogger("truthward.amplify")

STATEMENT = (
    "This sample is worth n_equivalent events, not as many as it has rows. Errors come from the spread of its members "
    "(truthward.amplify.member_covariance), never from the square root of the number of sampled events."
)


class Cells:
    """Regions of each column of a surrogate: cells of about equal probability on the training part.

    Args:
        table: the simulation.
        columns: `truth_<observable>`, `reco_<observable>`.
        cells: cells a column, at most; fewer where atoms or integers make quantiles coincide.
    """

    def __init__(self, table: EventTable, columns: Sequence[str], cells: int) -> None:
        read = table.read([*columns, "weight", "split"])
        self.edges: dict[str, np.ndarray] = {}
        self.test: dict[str, np.ndarray] = {}
        self.tested: dict[str, float] = {}
        train, held = read["split"] == TRAIN, read["split"] == TEST
        weight = read["weight"]
        for column in columns:
            there = np.isfinite(read[column])
            values = read[column][there & train]
            if not (there & held).any() or not values.size:
                raise InputError(f"{table.path}: {column}: no event in the test or training part to hold against")
            inner = np.unique(np.quantile(values, np.arange(1, cells) / cells).astype(np.float32))
            self.edges[column] = inner[inner > values.min()]
            w = weight[there & held]
            self.test[column] = self.counts(column, read[column][there & held], w) / w.sum()
            self.tested[column] = float(w.sum() ** 2 / np.square(w).sum())
        w = weight[train & np.isfinite(np.stack([read[c] for c in columns])).any(0)]
        self.trained = float(w.sum() ** 2 / np.square(w).sum())

    def counts(self, column: str, values: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
        """Sum of weights in each cell, (Q,), for values (N,)."""
        cell = np.searchsorted(self.edges[column], values, side="right")
        return np.bincount(cell, weight, minlength=len(self.edges[column]) + 1)


def amplify_surrogate(
    model: str | Path,
    simulation: str | Path,
    *,
    factor: float = 10.0,
    cells: int = 10,
    calibration: float,
    seed: int,
    record: Record,
    output: str | Path,
) -> dict[str, Any]:
    """Draw `factor` times the training events of the simulation into an event table that says what it is worth.

    The MSE of each column's cell probabilities is estimated twice: from the members' spread, times `calibration`; and
    from the test part, which no member has seen: sum of (surrogate - test)^2 less the test sample's own variance, bias
    included but blurred by that sample's size. The larger one counts, for each column and for the sum over columns.

    Args:
        model: checkpoint of the surrogate.
        simulation: event table it was trained on.
        factor: events drawn for each event of training.
        cells: regions of each column.
        calibration: true over predicted MSE of the study on a known target; below 1 it is not used.

    Returns:
        n_equivalent, its lower end where the test sample's error goes against it, G and details by column.
    """
    members, _ = load_members(model)
    table = EventTable(simulation)
    regions = Cells(table, members[0].columns, cells)
    events = max(round(factor * regions.trained), len(members))
    counted = {c: np.zeros((len(members), len(p))) for c, p in regions.test.items()}

    def stream() -> Iterator[dict[str, Any]]:
        for batch in draws(members, events, seed=seed_for(seed, "amplify", "surrogate")):
            for column, counts in counted.items():
                counts[batch["member"][0]] += regions.counts(column, batch[column][np.isfinite(batch[column])])
            yield batch

    facts: dict[str, Any] = {}

    def state() -> dict[str, Any]:
        facts.update(_worth(counted, regions, max(calibration, 1.0)))
        facts.update({"events": events, "factor": factor, "members": len(members), "statement": STATEMENT})
        return {"members": len(members), "amplification": facts}

    metadata = write_draws(output, members, stream(), record=record, extra=state)
    return {**facts, "sum_of_weights": metadata["provenance"]["sum_of_weights"]}


def _worth(counted: dict[str, np.ndarray], regions: Cells, calibration: float) -> dict[str, Any]:
    columns = {}
    total = np.zeros(4)
    for column, counts in counted.items():
        p, n = regions.test[column], regions.tested[column]
        fractions = counts / counts.sum(1, keepdims=True)
        drawn = counts.sum(1).mean()
        # What the members' finite samples alone cost is the least, wherever the estimate of a few members falls.
        spread = max(float(predicted_mse(fractions, drawn)), multinomial(p) / counts.sum()) * calibration
        difference = fractions.mean(0) - p
        # Variance of a sum of squares of multinomial deviations with covariance V: 2 tr V^2 + 4 d V d.
        covariance = (np.diag(p) - np.outer(p, p)) / n
        from_test = float(np.square(difference).sum() - np.trace(covariance))
        error = float(np.sqrt(2 * np.square(covariance).sum() + 4 * difference @ covariance @ difference))
        mse = max(spread, from_test)
        total += [multinomial(p), spread, from_test, error]
        columns[column] = {
            "n_equivalent": multinomial(p) / mse,
            "n_equivalent_low": multinomial(p) / max(spread, from_test + error),
            "n_equivalent_by_spread": multinomial(p) / spread,
            "mse_from_spread": spread,
            "mse_from_test": from_test,
            "mse_from_test_sigma": error,
            "edges": [float(e) for e in regions.edges[column]],
        }
    # Summed before the larger one is taken: the maximum of each column would pick the noise of the test sample. Its
    # errors are added linearly, since the columns are of the same events.
    best, worst = (total[0] / max(total[1], total[2] + sign * total[3]) for sign in (0, 1))
    return {
        "n_equivalent": float(best),
        "n_equivalent_low": float(worst),
        "n_train": regions.trained,
        "n_equivalent_by_spread": float(total[0] / total[1]),
        "G": float(best / regions.trained),
        "G_low": float(worst / regions.trained),
        "G_by_spread": float(total[0] / total[1] / regions.trained),
        "calibration": calibration,
        "columns": columns,
    }


def amplify_stage(
    model: str | Path,
    simulation: str | Path,
    entry: dict[str, Any],
    *,
    factor: float = 10.0,
    training_sets: int = 6,
    training_events: int = 500,
    members: int = 4,
    steps: int = 1200,
    seed: int,
    record: Record,
    state: Path | None = None,
    key: str = "",
    table_path: str | Path,
    summary_path: str | Path,
) -> dict[str, Any]:
    """The study on a known target with the surrogate's kind of model, then the amplified sample; returns the summary.

    Args:
        model: checkpoint of the surrogate.
        simulation: event table it was trained on.
        entry: the surrogate's entry of the config.
        factor: events drawn for each event of training.
        training_sets, training_events, members, steps: of the study.
    """
    started = time.perf_counter()
    study = amplification_study(
        entry,
        training_sets=training_sets,
        training_events=training_events,
        members=members,
        steps=steps,
        seed=seed,
        state=state,
        key=key,
    )
    # The study's point nearest to the factor: both are limited by what was drawn in the same way.
    nearest = min(study["curve"], key=lambda point: abs(np.log(point["multiple"] / factor)))
    sample = amplify_surrogate(
        model,
        simulation,
        factor=factor,
        calibration=nearest["calibration"]["value"],
        seed=seed,
        record=record,
        output=table_path,
    )
    log.info(
        "amplify: %d events drawn are worth %.0f (at least %.0f), G = %.2f",
        sample["events"], sample["n_equivalent"], sample["n_equivalent_low"], sample["G"],
    )  # fmt: skip
    summary = {
        "study": study,
        "sample": sample,
        "seconds": round(time.perf_counter() - started, 2),
        "provenance": record.finish(events_out=sample["events"], sum_w=sample["sum_of_weights"]),
    }
    write_json(summary_path, summary)
    return summary
