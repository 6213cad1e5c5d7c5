"""The surrogate stage: an ensemble of generative models of (truth, reco), trained on the simulation."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from truthward.errors import InputError
from truthward.events.bootstrap import poisson_weights
from truthward.events.split import TEST, VALIDATION
from truthward.events.table import EventTable
from truthward.learn import checkpoint
from truthward.learn.fit import History, Settings
from truthward.learn.members import train_members
from truthward.learn.stack import Stack
from truthward.records.surrogate import Corrected, Facts, Sampled, SurrogateSummary
from truthward.run.artefact import write_json
from truthward.run.provenance import Record
from truthward.study import plugins
from truthward.study.generative_members import Uncertainty
from truthward.study.observable import Observable
from truthward.study.seeds import seed_for
from truthward.surrogate.correction import correct
from truthward.surrogate.drawing import LEVELS, SurrogateModel, draws, load_members, write_draws
from truthward.surrogate.section import Correction

log = logging.getLogger("truthward.surrogate.stage")


@dataclass(frozen=True)
class TrainingSample:
    """Events of some parts of the simulation that pass at one level at least.

    Attributes:
        values: (N, 2 K) observables, first truth then reco, 0 where absent.
        category: (N,) index into `categories`, pairs of process and pattern.
        weight: (N,) float64.
        event_id: (N,) uint64.
        held: (N,) bool, validation part.
        total: yield of all parts of the simulation.
        rows: number of events in the whole simulation that pass at one level at least.
    """

    values: Tensor
    category: Tensor
    categories: list[tuple[str, str]]
    weight: Tensor
    event_id: np.ndarray
    held: Tensor
    total: float
    rows: int

    @classmethod
    def read(cls, table: EventTable, names: Sequence[str], *, test: bool = False) -> TrainingSample:
        """Read the training and validation parts of an event table, or its test part; only the columns `names`."""
        truth, reco = (table.level(level, names) for level in LEVELS)
        rest = table.read(["weight", "event_id", "split", "process"])
        passing = truth[0] | reco[0]
        keep = passing & ((rest["split"] == TEST) == test)
        pattern = np.array(["fake", "miss", "both"])[np.where(truth[0], 1 + reco[0], 0)]
        process = rest["process"]
        categories = sorted({(str(p), str(q)) for p, q in zip(process[passing], pattern[passing], strict=True)})
        category = np.zeros(len(process), dtype=np.int64)
        for index, (p, q) in enumerate(categories):
            category[(process == p) & (pattern == q)] = index
        values = np.concatenate([truth[1][keep], reco[1][keep]], 1)
        absent = ~np.repeat(np.stack([truth[0][keep], reco[0][keep]], 1), len(names), 1)
        return cls(
            values=torch.from_numpy(np.where(absent, np.float32(0), values)),
            category=torch.from_numpy(category[keep]),
            categories=categories,
            weight=torch.from_numpy(rest["weight"][keep].astype(np.float64)),
            event_id=rest["event_id"][keep],
            held=torch.from_numpy(rest["split"][keep] == VALIDATION),
            # The yield includes the events that are kept for tests.
            total=float(rest["weight"][passing].sum()),
            rows=int(passing.sum()),
        )


def bootstraps(sample: TrainingSample, uncertainty: Uncertainty, seed: int) -> Tensor:
    """How often each member has each event, (N, members) float64; validation events occur once in every member."""
    counts = torch.ones(len(sample.weight), uncertainty.members, dtype=torch.float64)
    if uncertainty.bootstrap:
        for m in range(uncertainty.members):
            drawn = poisson_weights(sample.event_id, seed=seed, family="surrogate", index=m)
            counts[:, m] = torch.where(sample.held, counts[:, m], torch.from_numpy(drawn).double())
    return counts


def train_surrogate(
    simulation: str | Path,
    observables: Sequence[Observable],
    model: dict[str, Any],
    *,
    uncertainty: Uncertainty,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    record: Record,
    state: Path | None = None,
    key: str = "",
    output: str | Path,
) -> tuple[History, Facts]:
    """Train the members of a surrogate on the training part of the simulation, and write them as a checkpoint.

    The checkpoint has the modules `member0`, `member1`, ...

    In an ensemble each member learns everything from its own Poisson bootstrap of the events: the yields of the
    categories, the quantile transform and the network. It also has its own initial weights. So the spread of the
    members is the spread of repeated trainings. Without `bootstrap` members differ only by initial weights, and the
    spread does not include the statistical error of the events. If members are drawn from a posterior, all have the
    events and the transform of the one network, and yields from their own bootstraps. The best epoch is chosen on the
    validation part, without bootstrap.

    Args:
        simulation: event table.
        observables: the observables to model, at both levels.
        model: entry of the config. uncertainty: number and kind of the members.
        state: folder for resume state; `key` is the digest of spec and code.

    Returns:
        The losses, and facts for the summary: numbers of events, yields of each category and member.

    Raises:
        InputError: a category whose weights sum to less than zero, or no event to train on.
    """
    table = EventTable(simulation)
    sample = TrainingSample.read(table, [o.name for o in observables])
    train = ~sample.held
    if not train.any():
        raise InputError(
            f"{simulation}: no event of the training part passes at any level; simulate more events, or loosen the "
            "selection"
        )
    arguments: dict[str, Any] = {
        "model": model,
        "observables": [o.model_dump(mode="json") for o in observables],
        "categories": [list(c) for c in sample.categories],
        "selection": dict(table.metadata.get("selection", {})),
    }
    counts = bootstraps(sample, uncertainty, seed)
    used = torch.where(train, sample.weight, torch.zeros_like(sample.weight))[:, None]
    yields = _yields(sample, used * counts, str(simulation))
    fluctuations = counts if uncertainty.kind == "ensemble" else torch.ones_like(counts[:, :1])
    trainings = [SurrogateModel(**arguments) for _ in range(uncertainty.trainings)]
    z = torch.empty(len(train), len(trainings), sample.values.shape[1])
    for t, one in enumerate(trainings):
        # The same random numbers for all members, so that they differ only by their bootstraps.
        generator = torch.Generator().manual_seed(seed_for(seed, "surrogate", "atoms"))
        z[:, t] = one.prepare(sample.values, sample.category, used[:, 0] * fluctuations[:, t], generator)

    def factory() -> nn.Module:
        return plugins.build("models", model, dimensions=z.shape[2], conditions=len(sample.categories))

    stack, history = train_members(
        factory,
        uncertainty,
        z,
        nn.functional.one_hot(sample.category, len(sample.categories)).float(),
        sample.weight[:, None] * fluctuations,
        Settings(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate),
        events=float(used.sum() ** 2 / used.square().sum()),
        seeds=[seed_for(seed, "surrogate", "initial", t) for t in range(len(trainings))],
        seed=seed_for(seed, "surrogate", "fit"),
        validation=sample.held,
        label=f"surrogate {model['kind']}, {uncertainty.kind} of {uncertainty.members} members",
        state=state / "surrogate.pt" if state else None,
        state_key=key,
    )
    members = _members(trainings, stack, yields)
    w = sample.weight[train]
    checkpoint.save(
        output,
        {f"member{m}": member for m, member in enumerate(members)},
        recipe={"class": "truthward.surrogate.drawing:SurrogateModel", "arguments": arguments},
        provenance=record.finish(
            events_in=table.num_rows, events_out=len(w), sum_w=float(w.sum()), sum_w2=float(w.square().sum())
        ),
    )
    return history, {
        "training_events": len(w),
        "training_events_effective": float(w.sum() ** 2 / w.square().sum()),
        "yield": sample.total,
        "rows": sample.rows,
        "member_yields": {
            "/".join(c): [float(member.yields[i]) for member in members] for i, c in enumerate(sample.categories)
        },
    }


def _yields(sample: TrainingSample, weights: Tensor, where: str) -> Tensor:
    """Yields (categories, members) of weights (N, members); their mean over members is scaled to the sample's yield."""
    yields = torch.zeros(len(sample.categories), weights.shape[1], dtype=torch.float64)
    yields.index_add_(0, sample.category, weights)
    if (yields < 0).any():
        odd, m = divmod(int(yields.argmin()), yields.shape[1])
        raise InputError(
            f"{where}: the weights of {'/'.join(sample.categories[odd])} events sum to {float(yields[odd, m]):.3g} in "
            "the training part; a positive sum is needed: simulate more events, or check `weight`"
        )
    return yields * (sample.total * yields.shape[1] / yields.sum())


def _members(trainings: list[SurrogateModel], stack: Stack, yields: Tensor) -> list[SurrogateModel]:
    """The members with the trained states, and with their own yields."""
    members = [copy.deepcopy(trainings[m % len(trainings)]) for m in range(yields.shape[1])]
    for m, member in enumerate(members):
        member.model.load_state_dict(stack.state_of(m))
        member.yields.copy_(yields[:, m])
    return members


def sample_surrogate(
    model: str | Path,
    events: int,
    *,
    seed: int,
    record: Record,
    output: str | Path,
    weigh: Callable[[list[SurrogateModel], list[dict[str, Any]]], Corrected] | None = None,
) -> Sampled:
    """Draw `events` events from a trained ensemble into an event table with the column `member`.

    Args:
        weigh: changes the weights of all batches in place before they are written, and returns a report.

    Returns:
        Facts for the summary: events, sum of weights, events per second; the report of `weigh` as `correction`.
    """
    members, _ = load_members(model)
    started = time.perf_counter()
    batches = draws(members, events, seed=seed_for(seed, "surrogate", "sample"))
    correction = None
    if weigh:
        every = list(batches)
        waited = time.perf_counter()
        correction = weigh(members, every)
        started += time.perf_counter() - waited
        batches = iter(every)
    metadata = write_draws(output, members, batches, record=record, extra=lambda: {"members": len(members)})
    return {
        "events": events,
        "sum_of_weights": metadata["provenance"]["sum_of_weights"],
        "events_per_second": round(events / (time.perf_counter() - started), 1),
        "correction": correction,
    }


def surrogate_stage(
    simulation: str | Path,
    observables: Sequence[Observable],
    model: dict[str, Any],
    *,
    uncertainty: Uncertainty,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    correction: Correction | None = None,
    seed: int,
    record: Record,
    state: Path | None = None,
    key: str = "",
    model_path: str | Path,
    samples_path: str | Path,
    summary_path: str | Path,
) -> SurrogateSummary:
    """Train, draw as many events as the simulation has, and correct their weights if `correction` is given.

    It writes the summary and returns it.
    """
    started = time.perf_counter()
    history, facts = train_surrogate(
        simulation,
        observables,
        model,
        uncertainty=uncertainty,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        record=record,
        state=state,
        key=key,
        output=model_path,
    )
    seconds = round(time.perf_counter() - started, 2)
    log.info("surrogate: trained in %.1f s; drawing %d events", seconds, facts["rows"])
    weigh = None
    if correction:
        table, names = EventTable(simulation), [o.name for o in observables]
        sample = TrainingSample.read(table, names)
        weigh = partial(
            correct,
            training=sample,
            weights=(sample.weight[:, None] * bootstraps(sample, uncertainty, seed)).numpy(),
            test=TrainingSample.read(table, names, test=True),
            settings=correction,
            seed=seed_for(seed, "surrogate", "correction"),
            state=state / "correction.pt" if state else None,
            key=key,
        )
    samples = sample_surrogate(model_path, facts["rows"], seed=seed, record=record, output=samples_path, weigh=weigh)
    summary: SurrogateSummary = {
        "kind": model["kind"],
        "members": uncertainty.members,
        "uncertainty": uncertainty.model_dump(),
        "training": {**facts, "seconds": seconds},
        "history": {"train": history.train, "validation": history.validation, "best": history.best},
        "samples": samples,
        "provenance": record.finish(
            events_in=facts["training_events"], events_out=samples["events"], sum_w=samples["sum_of_weights"]
        ),
    }
    write_json(summary_path, summary)
    return summary
