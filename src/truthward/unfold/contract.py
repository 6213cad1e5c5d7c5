"""What every unfolding method is given, and what it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from truthward.errors import ConfigError
from truthward.unfold.inputs.arrays import NONE, Features, Inputs, Replica
from truthward.unfold.inputs.streamed import Blocks


@dataclass
class Result:
    """What a method returns: rows for `write_unfolded`, diagnostics, and the number of iterations where it has one.

    Weight columns of the rows are named by `Replica.column`. history: JSON-able dictionaries; each names its `replica`.
    extra: further metadata. trained: of the nominal unfolding, name -> array, what its replicas start from.
    """

    rows: Iterable[Mapping[str, np.ndarray]]
    history: list[dict[str, Any]]
    iterations: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    trained: dict[str, np.ndarray] = field(default_factory=dict)


class Unfolder(ABC):
    """A method of unfolding. Options are keyword-only constructor arguments with literal defaults.

    `joint`: one set of weights for all observables, or one for each of them. `observables`: names of those that it
    unfolds, empty for all of the study. `fakes`: taken as an absolute number, or as a share of the signal.
    `constituents`: how many constituents of each level it looks at, hardest first.
    `buffer`: rows of both tables that it holds in memory at once, where it can do with less than all.
    `features`: columns by level that its networks see beside the observables, and that it does not unfold. A method
    that takes some has an option `features` whose default names the levels.
    """

    STATES = ("joint",)

    joint: bool
    observables: Sequence[str] = ()
    fakes: Literal["absolute", "share"] = "absolute"
    constituents: int = 0
    buffer: int = 0
    features: Features = NONE

    def streams(self, rows: int) -> bool:
        """Whether both tables, of so many rows, come as `Blocks` instead of as `Inputs`, which hold all of them."""
        return False

    @abstractmethod
    def unfold(
        self,
        inputs: Inputs | Blocks,
        replicas: Sequence[Replica],
        *,
        seed: int,
        nominal: Mapping[str, np.ndarray] | None = None,
        state: Path | None = None,
        key: str = "",
    ) -> Result:
        """Unfold once for each of `replicas`: the nominal by itself, or any others given what it has trained.

        Args:
            inputs: the nominal inputs, or blocks of them where the method `streams`; `inputs.varied(replica)` gives
                those of a replica.
            replicas: `[NOMINAL]`, or any subset of the others. A replica's numbers depend on the nominal and on
                (family, index, seed) alone, never on the others.
            seed: of everything that is drawn; initial weights are shared by all families but `initialisation`.
            nominal: `Result.trained` of the nominal unfolding; None where that is the one to be made.
            state: folder for resume states; a repeated call takes up where an interrupted one stopped.
            key: digest of spec and code that the states belong to.
        """

    def posterior(
        self, inputs: Inputs, *, events: int, draws: int, seed: int, state: Path | None = None, key: str = ""
    ) -> dict[str, np.ndarray]:
        """Draws of the truth given reco, under the simulation's prior, for simulated events that no training has seen.

        Args:
            inputs: as of `unfold`. events: at most, drawn by a hash of their ids; draws: K of each.
            seed, state, key: as of `unfold`.

        Returns:
            event_id, weight: (n,); truth.<observable>: (n,) and draws.<observable>: (n, K), in its unit; conditional:
            (1,) whether they are meant as posterior, or false where a method maps distributions; events: (1,) how many
            there are.

        Raises:
            ConfigError: the method draws no truth events.
        """
        raise ConfigError(f"{type(self).__name__} draws no truth events, so it has no posterior to judge")
