"""The base class of all unfolding methods, and their result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np

from truthward.errors import ConfigError
from truthward.unfold.inputs.arrays import NONE, Features, Inputs, Replica
from truthward.unfold.inputs.streamed import Blocks

Given = TypeVar("Given", bound=Inputs | Blocks)
"""What a method takes: all events as `Inputs`, or also `Blocks` of them."""


@dataclass
class Result:
    """The result of a method: rows for `write_unfolded`, diagnostics, and the number of iterations if it has one.

    `Replica.column` gives the names of the weight columns. history: dictionaries for JSON; each names its `replica`.
    extra: further metadata. trained: arrays of the nominal unfolding by name, from which its replicas start.
    """

    rows: Iterable[Mapping[str, np.ndarray]]
    history: list[dict[str, Any]]
    iterations: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    trained: dict[str, np.ndarray] = field(default_factory=dict)


class Unfolder(ABC, Generic[Given]):
    """A method of unfolding. Options are keyword-only constructor arguments with literal defaults.

    `joint`: whether one set of weights serves all observables, or each observable has its own. `observables`: names of
    the observables that it unfolds; empty: all of the study. `fakes`: whether fakes are an absolute number, or a share
    of the signal. `constituents`: number of constituents that it uses at each level, hardest first.
    `buffer`: number of rows of both tables that it holds in memory at once, if it does not need all of them.
    `features`: columns for each level that its networks see in addition to the observables, and that it does not
    unfold. A method that uses features has an option `features`, and the default of this option names the levels.
    """

    STATES = ("joint",)

    joint: bool
    observables: Sequence[str] = ()
    fakes: Literal["absolute", "share"] = "absolute"
    constituents: int = 0
    buffer: int = 0
    features: Features = NONE

    def streams(self, rows: int) -> bool:
        """Whether both tables, with this number of rows, come as `Blocks` or as `Inputs`, which hold all of them."""
        return False

    @abstractmethod
    def unfold(
        self,
        inputs: Given,
        replicas: Sequence[Replica],
        *,
        seed: int,
        nominal: Mapping[str, np.ndarray] | None = None,
        state: Path | None = None,
        key: str = "",
    ) -> Result:
        """Unfold once for each of `replicas`: either only the nominal, or any others, given the trained nominal.

        Args:
            inputs: the nominal inputs, or blocks of them if the method `streams`; `inputs.varied(replica)` gives the
                inputs of a replica.
            replicas: `[NOMINAL]`, or any subset of the others. The result of a replica depends only on the nominal and
                on (family, index, seed), never on the other replicas.
            seed: seed of all random numbers; all families except `initialisation` share the initial weights.
            nominal: `Result.trained` of the nominal unfolding; None to make the nominal unfolding.
            state: folder for resume states; a repeated call continues where an interrupted one stopped.
            key: digest of spec and code to which the states belong.
        """

    def posterior(
        self, inputs: Given, *, events: int, draws: int, seed: int, state: Path | None = None, key: str = ""
    ) -> dict[str, np.ndarray]:
        """Draws of the truth given reco, with the simulation's prior, for simulated events that no training has seen.

        Args:
            inputs: as for `unfold`. events: largest number of events, chosen by a hash of their ids; draws: K draws of
                each.
            seed, state, key: as for `unfold`.

        Returns:
            event_id, weight: (n,); truth.<observable>: (n,) and draws.<observable>: (n, K), in its unit; conditional:
            (1,) true if they are draws from a posterior, false if the method maps distributions; events: (1,) number
            of events.

        Raises:
            ConfigError: the method draws no truth events.
        """
        raise ConfigError(f"{type(self).__name__} draws no truth events, so it has no posterior to judge")
