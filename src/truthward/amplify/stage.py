"""The amplify stage: sample a surrogate far beyond its training statistics, and state the worth of the sample."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from truthward.amplify.worth import multinomial, predicted_mse
from truthward.errors import IncompleteError, InputError
from truthward.events.bins import cell_of
from truthward.events.split import TEST, TRAIN
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.records import read_record
from truthward.records.amplify import (
    Amplification,
    AmplificationStudy,
    AmplifySummary,
    ColumnWorth,
    Gathered,
    SampleWorth,
)
from truthward.run.artefact import write_json
from truthward.run.provenance import Record
from truthward.study.seeds import seed_for
from truthward.surrogate.drawing import draws, load_members, write_draws

log = logging.getLogger("truthward.amplify")

STATEMENT = (
    "This sample is worth n_equivalent events, not as many as it has rows. Errors come from the spread of its members "
    "(truthward.amplify.member_covariance), never from the square root of the number of sampled events."
)


def trained_events(table: EventTable) -> float:
    """Effective number of events of the simulation on which a surrogate was trained."""
    read = table.read(["weight", "split", "pass_truth", "pass_reco"])
    weight = read["weight"][(read["split"] == TRAIN) & (read["pass_truth"] | read["pass_reco"])]
    return float(weight.sum() ** 2 / np.square(weight).sum())


class Cells:
    """Regions of each column of a surrogate: cells of about equal probability on the training part.

    Args:
        table: the simulation.
        columns: `truth_<observable>`, `reco_<observable>`.
        cells: largest number of cells in a column; there are fewer if atoms or integers make quantiles coincide.
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
                raise InputError(
                    f"{table.path}: {column}: no event in the test part or in the training part; simulate more events"
                )
            inner = np.unique(np.quantile(values, np.arange(1, cells) / cells).astype(np.float32))
            self.edges[column] = inner[inner > values.min()]
            w = weight[there & held]
            self.test[column] = self.counts(column, read[column][there & held], w) / w.sum()
            self.tested[column] = float(w.sum() ** 2 / np.square(w).sum())
        self.trained = trained_events(table)

    def counts(self, column: str, values: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
        """Sum of weights in each cell, (Q,), for values (N,)."""
        return np.bincount(cell_of(values, self.edges[column]), weight, minlength=len(self.edges[column]) + 1)


def draw_chunk(
    model: str | Path,
    simulation: str | Path,
    *,
    factor: float,
    chunk: int,
    chunks: int,
    seed: int,
    record: Record,
    output: str | Path,
) -> None:
    """Draw one chunk of `factor` times the training events of the simulation.

    Args:
        model: checkpoint of the surrogate; simulation: event table on which it was trained.
        factor: number of events drawn for each (effective) event of training, in all chunks together.
        chunk, chunks: this chunk and the number of chunks. All chunks together have the same events for any `chunks`.
        output: event table with the column `member`.
    """
    members, _ = load_members(model)
    events = max(round(factor * trained_events(EventTable(simulation))), len(members))
    batches = draws(members, events, seed=seed_for(seed, "amplify", "surrogate"), chunk=chunk, chunks=chunks)
    share = {"members": len(members), "events": events, "chunk": chunk, "chunks": chunks}
    write_draws(output, members, batches, record=record, extra=lambda: share)


def gather_chunks(
    parts: Sequence[str | Path],
    simulation: str | Path,
    *,
    cells: int = 10,
    calibration: float,
    record: Record,
    output: str | Path,
) -> Gathered:
    """Join all chunks to one event table, with its worth in events.

    The MSE of each column's cell probabilities is estimated in two ways. One is the spread of the members, times
    `calibration`. The other uses the test part, which no member has seen: the sum of (surrogate - test)^2, minus the
    variance of the test sample. It includes the bias, but also the fluctuations of the test sample. The larger estimate
    counts, for each column and for the sum over columns.

    Args:
        parts: results of `draw_chunk`, in any order.
        simulation: event table on which the surrogate was trained.
        cells: regions of each column.
        calibration: true over predicted MSE of the study on a known target; it is not used if below 1.

    Returns:
        n_equivalent, its lower limit from the error of the test sample, G and details for each column.

    Raises:
        IncompleteError: a chunk, or an event of a chunk, is missing.
    """
    tables = sorted((EventTable(part) for part in parts), key=lambda table: table.metadata["chunk"])
    first, events = tables[0].metadata, tables[0].metadata["events"]
    there, rows = [table.metadata["chunk"] for table in tables], sum(table.num_rows for table in tables)
    if there != list(range(first["chunks"])) or rows != events:
        raise IncompleteError(
            f"{output}: chunks {there} of {first['chunks']} with {rows} of {events} events; rerun the rule amplify_draw"
        )
    regions = Cells(
        EventTable(simulation),
        [f"{level}_{name}" for level in ("truth", "reco") for name in tables[0].observables],
        cells,
    )
    counted = {c: np.zeros((first["members"], len(p))) for c, p in regions.test.items()}

    def stream() -> Iterator[dict[str, Any]]:
        for batch in (batch for table in tables for batch in table.batches()):
            for column, counts in counted.items():
                for member in np.unique(batch["member"]):
                    drawn = batch[column][batch["member"] == member]
                    counts[member] += regions.counts(column, drawn[np.isfinite(drawn)])
            yield batch

    stated: list[Amplification] = []

    def state() -> dict[str, Any]:
        found = _worth(counted, regions, max(calibration, 1.0))
        stated.append({**found, "events": events, "members": first["members"], "statement": STATEMENT})
        return {"members": first["members"], "amplification": stated[0]}

    metadata = write_table(
        output,
        stream(),
        observables=first["observables"],
        role="simulation",
        selection=first["selection"],
        record=record,
        extra=state,
    )
    return {**stated[0], "sum_of_weights": metadata["provenance"]["sum_of_weights"]}


def _worth(counted: dict[str, np.ndarray], regions: Cells, calibration: float) -> SampleWorth:
    columns: dict[str, ColumnWorth] = {}
    total = np.zeros(4)
    for column, counts in counted.items():
        p, n = regions.test[column], regions.tested[column]
        fractions = counts / counts.sum(1, keepdims=True)
        drawn = counts.sum(1).mean()
        # At least the noise of the finite samples, even if the estimate from few members is smaller.
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
    # First the sum, then the maximum: the maximum in each column would select the noise of the test sample. The errors
    # are added linearly, since the columns have the same events.
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
    study: str | Path,
    parts: Sequence[str | Path],
    simulation: str | Path,
    *,
    factor: float,
    record: Record,
    table_path: str | Path,
    summary_path: str | Path,
) -> AmplifySummary:
    """Gather the chunks of the amplified sample, state its worth, and return the summary.

    Args:
        study: result of the study on a known target (JSON).
        parts: chunks of the sample; simulation: event table on which the surrogate was trained.
        factor: number of events drawn for each event of training.
    """
    found = read_record(study, AmplificationStudy)
    # The point of the study nearest to the factor: the number of drawn events limits both in the same way.
    nearest = min(found["curve"], key=lambda point: abs(np.log(point["multiple"] / factor)))
    sample = gather_chunks(
        parts, simulation, calibration=nearest["calibration"]["value"], record=record, output=table_path
    )
    log.info(
        "amplify: %d events drawn are worth %.0f (at least %.0f), G = %.2f",
        sample["events"],
        sample["n_equivalent"],
        sample["n_equivalent_low"],
        sample["G"],
    )
    summary: AmplifySummary = {
        "study": found,
        "sample": {**sample, "factor": factor},
        "provenance": record.finish(events_out=sample["events"], sum_w=sample["sum_of_weights"]),
    }
    write_json(summary_path, summary)
    return summary
