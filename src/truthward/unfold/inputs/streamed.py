"""The inputs of an unfolding in blocks: one block in memory, or blocks read from the tables each time they are used."""

from __future__ import annotations

import logging
import math
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from truthward.errors import InputError
from truthward.events.contract import SIGNAL
from truthward.events.hashing import uniform
from truthward.events.table import EventTable
from truthward.run import launch
from truthward.study.seeds import seed_for
from truthward.unfold.inputs.arrays import NOMINAL, NONE, ROWS, Features, Inputs, Replica, columns_of
from truthward.unfold.inputs.totals import Total, added, refuse, totals
from truthward.unfold.inputs.varied import Vary, variations_of

if TYPE_CHECKING:
    from truthward.study.observable import Observable

PILOT = 200_000
"""Mean number of events of each table in the pilot sample, at most; it sets scalings and coarse bins if not all fit."""

log = logging.getLogger("truthward.unfold")


class Blocks:
    """Both samples in blocks. Each block has its share of the simulation and of the data, so they are mixed alike.

    Attributes:
        pilot: a random part of the events, or all of them if there is only one block.
        simulated: number of simulated events.
        buffer: number of rows of both samples that a training holds at once.
    """

    def __init__(
        self, read: Callable[[int], Inputs], count: int, pilot: Inputs, *, simulated: int, buffer: int = 0
    ) -> None:
        self._read, self._count, self.pilot, self.simulated, self.buffer = read, count, pilot, simulated, buffer

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, block: int) -> Inputs:
        return self._read(block)

    def __iter__(self) -> Iterator[Inputs]:
        return map(self._read, range(self._count))

    def require(self, replica: Replica) -> None:
        """Raise the errors that `Inputs.varied` would raise for all events at once."""
        mine: dict[str, Total] = {}
        nominal: dict[str, Total] = {}
        for block in self:
            mine, nominal = added(mine, totals(block.varied(replica))), added(nominal, totals(block))
        refuse(mine, nominal, replica)

    @classmethod
    def whole(cls, inputs: Inputs) -> Blocks:
        """One block, held in memory."""
        return cls(lambda _: inputs, 1, inputs, simulated=len(inputs.weight))

    @classmethod
    def streamed(
        cls,
        data: EventTable,
        simulation: EventTable,
        observables: Sequence[Observable],
        *,
        seed: int,
        buffer: int,
        features: Features = NONE,
        kinds: Mapping[str, str] = NONE,
    ) -> Blocks:
        """Blocks of at most `ROWS` rows of each table; memory holds only the block that was asked for.

        Raises:
            InputError: a column is missing, no event is left at reco level or in the fiducial region, or no method can
                unfold a total (see `totals.refuse`).
            ConfigError: a feature is unfolded itself.
        """
        tables, columns = (simulation, data), columns_of(simulation, observables, features)
        names = [o.name for o in observables]
        count = math.ceil(max(t.num_rows for t in tables) / ROWS)

        def pieces(block: int) -> list[dict[str, np.ndarray]]:
            bounds = [(t.num_rows * block // count, t.num_rows * (block + 1) // count) for t in tables]
            return [t.between(first, end, c) for t, (first, end), c in zip(tables, bounds, columns, strict=True)]

        def made(pieces: Iterable[Mapping[str, np.ndarray]], variations: Mapping[str, Vary] | None = None) -> Inputs:
            simulated, measured = pieces
            return Inputs.from_columns(
                simulated,
                measured,
                observables,
                seed=seed,
                variations=variations,
                features=features,
                whole=False,
                kinds=kinds,
            )

        def read(block: int) -> Inputs:
            bounds = simulation.num_rows * block // count, simulation.num_rows * (block + 1) // count
            return made(pieces(block), variations_of(simulation, names, bounds, features=features.get("reco", ())))

        kept: tuple[list, list] = ([], [])
        matched, accepted = 0, 0
        sums: dict[str, Total] = {}
        for block in range(count):
            found = pieces(block)
            whole = made(found)
            matched, accepted = matched + int(whole.matched.sum()), accepted + len(whole.data_reco)
            sums = added(sums, totals(whole))
            for part, table, mine in zip(found, tables, kept, strict=True):
                chosen = uniform(part["event_id"], seed_for(seed, "pilot")) < PILOT / table.num_rows
                mine.append({name: values[chosen] for name, values in part.items()})
        if not accepted:
            raise InputError(f"{data.path}: no event passes at reco level; loosen the selection")
        if not matched:
            raise InputError(
                f"{simulation.path}: no event of the process {SIGNAL!r} passes at both levels; loosen the selection, "
                f"or label the process that is unfolded {SIGNAL!r}"
            )
        refuse(sums, sums, NOMINAL)
        pilot = ({name: np.concatenate([p[name] for p in mine]) for name in mine[0]} for mine in kept)
        log.info("%d and %d rows of simulation and data come in %d blocks", *(t.num_rows for t in tables), count)
        return cls(read, count, made(pilot), simulated=simulation.num_rows, buffer=buffer)


class Store:
    """Arrays by name and block: in memory, or as float32 in files that are removed together with the store.

    Files that an interrupted job has left in the folder are removed at the start. They are made again from trainings
    that are finished.

    Args:
        folder: folder of the files; None for memory.

    Attributes:
        precision: of the arrays that are read from files.
    """

    def __init__(self, folder: Path | None) -> None:
        self.precision: type[np.floating] = np.float64
        self._folder = folder
        self._held: dict[tuple[str, int], np.ndarray] = {}
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    @classmethod
    def scratch(cls, state: Path | None) -> Store:
        """Files beside the resume state, or in the system's folder for temporary files if there is no resume state."""
        # All processes but the first have their own folder, which the first one does not remove.
        if state is None or launch.rank():
            return cls(Path(tempfile.mkdtemp(prefix="truthward-")))
        return cls(state / "scratch")

    def __setitem__(self, key: tuple[str, int], values: np.ndarray) -> None:
        if self._folder is None:
            self._held[key] = values
        else:
            np.save(_file(self._folder, key), values.astype(np.float32), allow_pickle=False)

    def __getitem__(self, key: tuple[str, int]) -> np.ndarray:
        if self._folder is None:
            return self._held[key]
        # Read, not mapped: pages of a mapped file count as the job's memory.
        return np.load(_file(self._folder, key), allow_pickle=False).astype(self.precision)


def _file(folder: Path, key: tuple[str, int]) -> Path:
    return folder / f"{key[0]}.{key[1]}.npy"
