"""What every unfolding method is given, what it returns, and how its replicas are dealt to jobs."""

from __future__ import annotations

import logging
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from truthward.errors import ConfigError
from truthward.events.table import EventTable
from truthward.events.unfolded import Family, family, weight_columns, write_unfolded
from truthward.plugins import build
from truthward.seeds import seed_for
from truthward.unfold.arrays import NOMINAL, Inputs, Replica

if TYPE_CHECKING:
    from truthward.config import Observable
    from truthward.provenance import Record

__all__ = ["NOMINAL", "Inputs", "Replica", "Result", "Unfolder", "replicas_of", "unfold_part", "write_part"]

log = logging.getLogger("truthward.unfold")


@dataclass
class Result:
    """What a method returns: rows for `write_unfolded`, diagnostics, and the number of iterations where it has one.

    Weight columns of the rows are named by `Replica.column`. history: JSON-able dictionaries; each names its `replica`.
    """

    rows: Iterable[Mapping[str, np.ndarray]]
    history: list[dict[str, Any]]
    iterations: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Unfolder(ABC):
    """A method of unfolding. Options are keyword-only constructor arguments with literal defaults.

    `joint`: one set of weights for all observables, or one for each of them.
    """

    joint: bool

    @abstractmethod
    def unfold(
        self, inputs: Inputs, replicas: Sequence[Replica], *, seed: int, state: Path | None = None, key: str = ""
    ) -> Result:
        """Unfold once for each of `replicas`.

        Args:
            inputs: the nominal inputs; `inputs.varied(replica)` gives those of a replica.
            replicas: any subset. A replica's numbers depend on (family, index, seed) alone, never on the others.
            seed: of everything that is drawn; initial weights are shared by all families but `initialisation`.
            state: folder for resume states; a repeated call takes up where an interrupted one stopped.
            key: digest of spec and code that the states belong to.
        """


def replicas_of(job: int, jobs: int, families: Mapping[str, int]) -> list[Replica]:
    """The replicas of one of `jobs` jobs, dealt in turn, so that each has its share of every family.

    >>> [str(r) for r in replicas_of(0, 2, {"data_bootstrap": 3})]
    ['nominal:0', 'data_bootstrap:1']

    Raises:
        ConfigError: more jobs than replicas.
    """
    every = [NOMINAL, *(Replica(name, i) for name, count in families.items() for i in range(count))]
    if not 0 <= job < jobs <= len(every):
        raise ConfigError(f"jobs: job {job} of {jobs} asked for, {len(every)} unfoldings to share; set `jobs` lower")
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
    """Write the replicas of one job, as `events.unfolded.gather` takes them."""
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
        extra=result.extra,
    )


def _numbered(rows: Iterable[Mapping[str, np.ndarray]], families: Mapping[str, Family]) -> Iterator[Mapping[str, Any]]:
    """Rows of stacked blocks with the numbers of the whole result: a method knows but the replicas of its job."""
    columns = weight_columns(families)
    for batch in rows:
        own = [columns.index(name) for name in batch if name in columns]
        stacked = "block" in batch and len(own) == 1
        yield {**batch, "block": np.full_like(batch["block"], own[0])} if stacked else batch


def unfold_part(
    entry: Mapping[str, Any],
    *,
    method: str,
    data: str | Path,
    simulation: str | Path,
    observables: Sequence[Observable],
    families: Mapping[str, int],
    job: int,
    jobs: int,
    seed: int,
    state: str | Path | None,
    key: str,
    output: str | Path,
    record: Record,
) -> None:
    """Make one job's replicas of one method and write them to `output`; then remove the resume states in `state`.

    Args:
        entry: `{"kind": ..., option: ...}`; method: its name in the config.
        data, simulation: event tables.
        families: name -> number of replicas; families of none are left out.
    """
    declared = {name: family(name, count) for name, count in families.items() if count}
    replicas = replicas_of(job, jobs, {name: f.count for name, f in declared.items()})
    unfolder = build("unfold", dict(entry))
    inputs = Inputs.load(EventTable(data), EventTable(simulation), observables, seed=seed)
    for replica in replicas:
        # Found now, not after an hour of training.
        if replica.family.startswith("systematic:") and replica.family.partition(":")[2] not in inputs.variations:
            inputs.varied(replica)
    log.info("%s: job %d of %d, %d unfoldings of %s", method, job + 1, jobs, len(replicas), ", ".join(inputs.names))
    folder = None if state is None else Path(state)
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    result = unfolder.unfold(inputs, replicas, seed=seed_for(seed, "unfold", method), state=folder, key=key)
    names = inputs.names
    write_part(output, result, replicas, unfolder=unfolder, method=method, kind=entry["kind"], observables=names,
               families=declared, record=record)  # fmt: skip
    if folder:
        shutil.rmtree(folder)
