"""The unfolding stage: the nominal of a method, then its replicas, shared among jobs."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from truthward.errors import ConfigError
from truthward.events.table import EventTable
from truthward.events.unfolded import Family, family, rows_of, weight_columns, write_unfolded
from truthward.learn.checkpoint import load_arrays, save_arrays
from truthward.run import launch
from truthward.study.plugins import build
from truthward.study.seeds import seed_for
from truthward.unfold.contract import Result, Unfolder
from truthward.unfold.inputs.arrays import NOMINAL, NONE, Inputs, Replica
from truthward.unfold.inputs.streamed import Blocks
from truthward.unfold.known_truth import compared

if TYPE_CHECKING:
    from truthward.run.provenance import Record
    from truthward.study.observable import Observable

log = logging.getLogger("truthward.unfold")


def unfold_all(
    unfolder: Unfolder, inputs: Inputs | Blocks, replicas: Sequence[Replica], *, seed: int, state: Path | None = None
) -> Result:
    """The nominal unfolding and then its `replicas`, in memory: one result with all weight columns."""
    blocks = inputs if isinstance(inputs, Blocks) else [inputs]
    first = unfolder.unfold(inputs, [NOMINAL], seed=seed, state=state)
    if not replicas:
        return first
    first.rows = list(first.rows)
    others = unfolder.unfold(inputs, replicas, seed=seed, nominal=first.trained, state=state)
    if pseudo := [r for r in replicas if next(iter(blocks)).kind_of(r) == "closure"]:
        others.rows = compared(others.rows, first.rows, blocks, pseudo)
    every = [NOMINAL, *replicas]

    def rows() -> Iterator[Mapping[str, np.ndarray]]:
        left, right = list(first.rows), list(others.rows)
        common = [b for b in right if "block" not in b or not b["block"].any()]
        # The draws of the nominal have weights of replicas if any replica responds; all other draws come afterwards.
        yield from ({**a, **b} for a, b in zip(left, common, strict=True)) if common else left
        for batch in right:
            if "block" in batch and batch["block"].any():
                own = next(number for number, replica in enumerate(every) if replica.column() in batch)
                yield {**batch, "block": np.full_like(batch["block"], own)}

    return Result(list(rows()), [*first.history, *others.history], first.iterations, first.extra, first.trained)


def replicas_of(job: int, jobs: int, families: Mapping[str, int]) -> list[Replica]:
    """The replicas of one of `jobs` jobs, dealt in turn, so that each job has its share of every family.

    >>> [str(r) for r in replicas_of(0, 2, {"data_bootstrap": 3})]
    ['data_bootstrap:0', 'data_bootstrap:2']

    Raises:
        ConfigError: more jobs than replicas.
    """
    every = [Replica(name, i) for name, count in families.items() for i in range(count)]
    if not 0 <= job < jobs <= len(every):
        raise ConfigError(
            f"jobs: job {job} of {jobs} given for {len(every)} replicas; set `jobs` to {len(every)} at most"
        )
    return every[job::jobs]


def write_part(
    output: str | Path,
    result: Result,
    replicas: Sequence[Replica],
    *,
    unfolder: Unfolder,
    method: str,
    kind: str,
    observables: Sequence[str],
    families: Mapping[str, Family],
    record: Record,
) -> None:
    """Write the replicas of one job, as `events.unfolded.gather` reads them."""
    write_unfolded(
        output,
        _numbered(result.rows, families),
        method=method,
        kind=kind,
        observables=observables,
        joint=unfolder.joint,
        families=families,
        history=result.history,
        record=record,
        part={name: [r.index for r in replicas if r.family == name] for name in families},
        nominal=NOMINAL in replicas,
        iterations=result.iterations,
        extra=result.extra | {"fakes": unfolder.fakes},
    )


def _numbered(rows: Iterable[Mapping[str, np.ndarray]], families: Mapping[str, Family]) -> Iterator[Mapping[str, Any]]:
    """Rows of stacked blocks with the numbers of the whole result, because a method sees only its job's replicas."""
    columns = weight_columns(families)
    for batch in rows:
        if "block" not in batch or not batch["block"].any():
            yield batch
            continue
        own = next(columns.index(name) for name in batch if name in columns)
        yield {**batch, "block": np.full_like(batch["block"], own)}


def unfold_nominal(*, trained: str | Path, output: str | Path, record: Record, **task: Any) -> None:
    """Make the nominal unfolding of a method; see `unfold_part` for the arguments.

    Args:
        output: its part of the result; trained: arrays from which the replicas start (safetensors).
    """
    made = _Task(**task)
    result = made.unfold([NOMINAL], None)
    made.write(output, result, [NOMINAL], record)
    save_arrays(trained, result.trained, provenance=record.finish(events_out=len(result.trained)))
    made.done()


def unfold_part(
    *,
    job: int,
    jobs: int,
    nominal: str | Path,
    output: str | Path,
    record: Record,
    part: str | Path | None = None,
    **task: Any,
) -> None:
    """Make one job's replicas of one method and write them to `output`; then remove the resume states.

    Args:
        job, jobs: number of this job, and number of jobs; nominal: trained arrays of the nominal unfolding; part: its
            part of the result, needed if a systematic is of kind closure.
        entry: `{"kind": ..., option: ...}`; method: its name in the config.
        data, simulation: event tables.
        observables: observables of the study; the method may use only some of them.
        families: name -> number of replicas; families without replicas are left out. kinds: systematic -> "closure" or
            "regularisation", for those of these kinds.
        seed: seed of the study; state: folder for resuming; key: digest of spec and code.
    """
    made = _Task(**task)
    replicas = replicas_of(job, jobs, {name: f.count for name, f in made.families.items()})
    made.require(replicas)
    log.info("%s: job %d of %d, %d replicas of %s", made.method, job + 1, jobs, len(replicas), ", ".join(made.names))
    result = made.unfold(replicas, load_arrays(nominal))
    made.compare(result, replicas, part)
    made.write(output, result, replicas, record)
    made.done()


def unfold_posterior(*, events: int, draws: int, output: str | Path, record: Record, **task: Any) -> None:
    """Write the draws of `Unfolder.posterior` for held-out simulated events; see there, and `unfold_part`."""
    made = _Task(**task)
    found = made.unfolder.posterior(
        made.inputs, events=events, draws=draws, seed=made.seed, state=made.folder, key=made.key
    )
    save_arrays(
        output, found, provenance=record.finish(events_in=found["events"].item(), events_out=len(found["event_id"]))
    )
    made.done()


class _Task:
    """One method on one pair of event tables."""

    def __init__(
        self,
        entry: Mapping[str, Any],
        *,
        method: str,
        data: str | Path,
        simulation: str | Path,
        observables: Sequence[Observable],
        families: Mapping[str, int],
        seed: int,
        state: str | Path | None,
        key: str,
        kinds: Mapping[str, str] = NONE,
    ) -> None:
        self.method, self.kind, self.key = method, entry["kind"], key
        self.families = {name: family(name, count) for name, count in families.items() if count}
        self.unfolder: Unfolder[Inputs | Blocks] = build("unfold", dict(entry))
        chosen = self.unfolder.observables or [o.name for o in observables]
        if unknown := sorted(set(chosen) - {o.name for o in observables}):
            known = ", ".join(o.name for o in observables)
            raise ConfigError(f"unfold.methods.{method}.observables: {unknown[0]!r} is not one of {known}")
        self.names = [o.name for o in observables if o.name in chosen]
        self.inputs = self._inputs(EventTable(data), EventTable(simulation), observables, kinds, seed)
        self.seed = seed_for(seed, "unfold", method)
        self.folder = None if state is None else Path(state)
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)

    def _inputs(
        self,
        data: EventTable,
        simulation: EventTable,
        observables: Sequence[Observable],
        kinds: Mapping[str, str],
        seed: int,
    ) -> Inputs | Blocks:
        """Both tables in memory; or in blocks, if there are too many rows and the method does not need all at once."""
        chosen, rows = [o for o in observables if o.name in self.names], data.num_rows + simulation.num_rows
        if self.unfolder.streams(rows):
            return Blocks.streamed(
                data,
                simulation,
                chosen,
                seed=seed,
                buffer=self.unfolder.buffer,
                features=self.unfolder.features,
                kinds=kinds,
            )
        held = 4.0 * rows * (2 * len(simulation.observables) + 6 + 8 * self.unfolder.constituents)
        installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if 2 * held > installed:
            log.warning(
                "%s: holds all events in memory, %.1f GB of %.1f GB; omnifold is a method that reads them in blocks",
                self.method,
                held / 1e9,
                installed / 1e9,
            )
        more = {"constituents": self.unfolder.constituents} if self.unfolder.constituents else {}
        return Inputs.load(data, simulation, chosen, seed=seed, features=self.unfolder.features, kinds=kinds, **more)

    def require(self, replicas: Sequence[Replica]) -> None:
        """Check the variations now and not after an hour of training."""
        for replica in replicas:
            if replica.family.startswith("systematic:"):
                (self.inputs.require if isinstance(self.inputs, Blocks) else self.inputs.varied)(replica)

    @property
    def blocks(self) -> Iterable[Inputs]:
        return self.inputs if isinstance(self.inputs, Blocks) else [self.inputs]

    def compare(self, result: Result, replicas: Sequence[Replica], nominal: str | Path | None) -> None:
        """Compare unfolded pseudo-data with their truth, given the file of the nominal result."""
        if pseudo := [r for r in replicas if next(iter(self.blocks)).kind_of(r) == "closure"]:
            if nominal is None:
                raise ConfigError(f"{pseudo[0]}: pseudo-data are compared with the nominal result; give its part")
            result.rows = compared(result.rows, rows_of(nominal), self.blocks, pseudo)

    def unfold(self, replicas: Sequence[Replica], nominal: Mapping[str, np.ndarray] | None) -> Result:
        return self.unfolder.unfold(
            self.inputs, replicas, seed=self.seed, nominal=nominal, state=self.folder, key=self.key
        )

    def write(self, output: str | Path, result: Result, replicas: Sequence[Replica], record: Record) -> None:
        write_part(
            output,
            result,
            replicas,
            unfolder=self.unfolder,
            method=self.method,
            kind=self.kind,
            observables=self.names,
            families=self.families,
            record=record,
        )

    def done(self) -> None:
        """Remove the resume states, since the results are written."""
        if self.folder and not launch.rank():
            shutil.rmtree(self.folder)
