"""Acceptance: conditions on an event's own columns; an event that fails is no longer accepted at that level."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from truthward.errors import ConfigError, InputError
from truthward.events.contract import Batch, flags, nearest, refuse_nonfinite
from truthward.events.expression import Expression


class Selection:
    """The conditions of both levels, such as {"truth": "truth_jet_pt > 150", "reco": "abs(reco_jet_eta) < 3"}.

    The truth condition defines the fiducial region, so it may read `truth_*` alone, and the other `reco_*` alone.

    Args:
        conditions: level -> expression over columns of that level; None or no entry leaves the level as it is.

    Raises:
        ConfigError: an unknown level, or a column of the other level.
    """

    def __init__(self, conditions: Mapping[str, str | None]) -> None:
        for level in conditions:
            if level not in ("truth", "reco"):
                raise ConfigError(f"selection.{level}: no such level; valid: truth, reco")
        self._conditions = {level: Expression(text) for level, text in conditions.items() if text is not None}
        for level, condition in self._conditions.items():
            for name in sorted(condition.names):
                if not name.startswith(f"{level}_"):
                    raise ConfigError(
                        f"selection.{level}: {name} is not of this level; use columns named {level}_<name>"
                    )

    @property
    def applied(self) -> dict[str, str]:
        """Level -> expression, as it goes into the metadata."""
        return {level: condition.text for level, condition in self._conditions.items()}

    def apply(self, batch: Batch) -> Batch:
        """The batch with the flags of failing events cleared. Only accepted events are asked.

        Raises:
            InputError: an unknown column, one that is not finite in an accepted event, or an expression that is no
                condition.
        """
        columns = dict(batch)
        for level, condition in self._conditions.items():
            if f"pass_{level}" not in batch:
                continue
            for name in condition.names - set(batch):
                raise InputError(f"{batch.source}: selection.{level}: no column {name}; {nearest(name, batch)}")
            mask = flags(batch[f"pass_{level}"], batch, f"pass_{level}")
            asked = batch.take(mask)
            for name in sorted(condition.names):
                if isinstance(asked[name], np.ndarray):
                    refuse_nonfinite(asked[name], asked, name, f"where pass_{level} is true")
            value = np.asarray(condition.evaluate(asked))
            if value.dtype.kind != "b":
                raise ConfigError(f"selection.{level}: {condition.text!r} is a number; write a condition such as > 150")
            cleared = np.zeros(len(mask), dtype=bool)
            cleared[mask] = value
            columns[f"pass_{level}"] = cleared
        return batch.like(columns)
