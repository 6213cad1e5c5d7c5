"""The base class of all generators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

PROCESSES = ("signal", "background")
"""The integer `process` of an event is an index of this tuple."""


class Generator(ABC):
    """Makes accepted events, block by block. A block depends only on the options and its seed.

    `PROVIDES` names the observables that exist at both levels, and `PROVIDES_TRUTH` those that exist only at truth
    level. `PARTICLE_LEVEL` says which particles are stable at truth level; it is "" if there are no particles. A block
    is a dictionary of columns. Each row is an event that is in the acceptance of at least one level:

    - `truth_<obs>`, `reco_<obs>` (n,) float32, -99 where the flag of that level is false;
    - `pass_truth`, `pass_reco` (n,) bool; `process` (n,) int32, see `PROCESSES`;
    - `weight` (n,) float64; the sum over all blocks of the sample is the expected yield of the sample;
    - `reco_<obs>__<systematic>__<i>`, `pass_reco__...`, `weight__...` if it makes variations (option `systematics`);
    - jagged `truth_constituents_*`, `reco_constituents_*` (n, var) float32 if the generator has them.
    """

    STATES = ("PROVIDES",)

    PROVIDES: tuple[str, ...] = ()
    PROVIDES_TRUTH: tuple[str, ...] = ()
    PARTICLE_LEVEL: str = ""

    @property
    def observables(self) -> tuple[str, ...]:
        """Names of the observables that its events have: `PROVIDES`, or the part that the options ask for."""
        return self.PROVIDES

    @abstractmethod
    def block(self, events: int, *, total: int, seed: int) -> dict[str, Any]:
        """Exactly `events` accepted events from `seed`; the whole sample has `total` accepted events."""
