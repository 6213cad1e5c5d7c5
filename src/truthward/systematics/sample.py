"""Samples for the systematics: simulated events in categories with values at both levels, and the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from truthward.errors import InputError
from truthward.events.contract import SIGNAL, is_jagged
from truthward.events.table import EventTable
from truthward.study.variations import variation_of

CATEGORIES: dict[str, tuple[str, ...]] = {
    "matched": ("truth", "reco"),
    "misses": ("truth",),
    "fakes": ("reco",),
    "background": ("reco",),
}
"""Category of an event -> levels at which it has values; each event that is used is in one category."""

DERIVED = ("_raw", "_sigma_systematic", "_sigma_statistical")
"""Endings of the columns that the calibration adds: functions of other columns, without more information."""


@dataclass(frozen=True)
class Simulated:
    """N simulated events.

    They have a weight (N,), values of the unfolded observables at truth and reco level (N, D), and the masks (N,) of
    `CATEGORIES`, which are exclusive.
    """

    table: EventTable
    weight: np.ndarray
    truth: np.ndarray
    reco: np.ndarray
    masks: dict[str, np.ndarray]

    @classmethod
    def load(cls, table: EventTable, names: Sequence[str]) -> Simulated:
        """Read a sample with these observables."""
        found = table.read(["weight", "process"])
        signal = found["process"] == SIGNAL
        (passed, truth), (accepted, reco) = (table.level(level, names) for level in ("truth", "reco"))
        masks = {
            "matched": signal & passed & accepted,
            "misses": signal & passed & ~accepted,
            "fakes": signal & ~passed & accepted,
            "background": ~signal & accepted,
        }
        return cls(table, found["weight"], truth, reco, masks)

    @property
    def fiducial(self) -> np.ndarray:
        """Whether each event is fiducial, (N,) bool."""
        return self.masks["matched"] | self.masks["misses"]

    def reweighted(self, factor: np.ndarray) -> np.ndarray:
        """The weights (N,), those of fiducial events times a factor (n,)."""
        weight = self.weight.copy()
        weight[self.fiducial] *= factor
        return weight

    def values(self, level: str, names: Sequence[str], where: np.ndarray, key: str) -> np.ndarray:
        """Values (n, D) of further columns of a level, for the events of a mask.

        Raises:
            InputError: a missing column, or values that are not finite; it names the `key` of the config.
        """
        return _finite(self.table, level, names, where, key)


@dataclass(frozen=True)
class Measured:
    """M data events that pass at reco level: weight (M,), and the mask (of all rows) that chose them."""

    table: EventTable
    weight: np.ndarray
    accepted: np.ndarray

    @classmethod
    def load(cls, table: EventTable) -> Measured:
        """Read the data.

        Raises:
            InputError: no event passes.
        """
        found = table.read(["weight", "pass_reco"])
        accepted = found["pass_reco"]
        if not accepted.any():
            raise InputError(f"{table.path}: no event passes at reco level; loosen the selection")
        return cls(table, found["weight"][accepted], accepted)

    def values(self, names: Sequence[str], key: str) -> np.ndarray:
        """Reco values (M, D); like `Simulated.values`."""
        return _finite(self.table, "reco", names, self.accepted, key)


def shared_columns(simulation: EventTable, data: EventTable) -> list[str]:
    """Names of the reco columns of both samples, without those that the calibration derives from other columns."""
    both = [c for c in simulation.columns if c in data.columns and c.startswith("reco_")]
    names = [c.removeprefix("reco_") for c in both if not (is_jagged(c) or variation_of(c))]
    derived = {f"{name}{ending}" for name in names for ending in DERIVED}
    return [name for name in names if name not in derived]


def _finite(table: EventTable, level: str, names: Sequence[str], where: np.ndarray, key: str) -> np.ndarray:
    _, values = table.level(level, names)
    values = values[where]
    bad = ~np.isfinite(values)
    if bad.any():
        name = names[int(np.flatnonzero(bad.any(axis=0))[0])]
        raise InputError(
            f"{table.path}: {key}: {level}_{name} is not finite in {bad.any(axis=1).sum()} of {len(values)} events "
            "that need it; give these events a finite value, or remove the column"
        )
    return values
