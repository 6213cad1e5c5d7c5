"""What every generator is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

PROCESSES = ("signal", "background")
"""Meaning of the integer `process` of an event: its place in this tuple."""


class Generator(ABC):
    """Makes accepted events, block by block; a block is a pure function of the options and its seed.

    `PROVIDES` names the observables that exist at both levels, `PROVIDES_TRUTH` those that no detector sees;
    `PARTICLE_LEVEL` says which particles are stable at truth level, "" where there are no particles. A block is a
    dictionary of columns, one row an event that is in the acceptance of at least one level:

    - `truth_<obs>`, `reco_<obs>` (n,) float32, -99 where the flag of that level is false;
    - `pass_truth`, `pass_reco` (n,) bool; `process` (n,) int32, see `PROCESSES`;
    - `weight` (n,) float64, its sum over the blocks of the whole sample being the sample's expected yield;
    - `reco_<obs>__<systematic>__<i>`, `pass_reco__...`, `weight__...` where it makes variations (option `systematics`);
    - jagged `truth_constituents_*`, `reco_constituents_*` (n, var) float32 where the generator has them.
    """

    STATES = ("PROVIDES",)

    PROVIDES: tuple[str, ...] = ()
    PROVIDES_TRUTH: tuple[str, ...] = ()
    PARTICLE_LEVEL: str = ""

    @property
    def observables(self) -> tuple[str, ...]:
        """Names of the observables that its events have: `PROVIDES`, or as many of them as its options ask for."""
        return self.PROVIDES

    @abstractmethod
    def block(self, events: int, *, total: int, seed: int) -> dict[str, Any]:
        """Exactly `events` accepted events from `seed`, of the `total` of their sample."""
