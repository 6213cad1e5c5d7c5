"""Acceptance: conditions on an event's own columns; an event that fails is no longer accepted at that level."""

from __future__ import annotations

from collections.abc import Mapping

import awkward as ak
import numpy as np

from truthward.errors import ConfigError, InputError, nearest
from truthward.events.contract import Batch, flags, is_jagged, refuse_nonfinite
from truthward.events.expression import Expression
from truthward.study.columns import check_selection, level_of
from truthward.study.variations import variation_of


class AppliedSelection:
    """The conditions of both levels, such as {"truth": "truth_jet_pt > 150", "reco": "abs(reco_jet_eta) < 3"}.

    The truth condition defines the fiducial region, so it may read only `truth_*`; the reco condition only `reco_*`.

    Args:
        conditions: level -> expression over columns of that level; None, or no entry, for no condition.

    Raises:
        ConfigError: what `columns.check_selection` refuses.
    """

    def __init__(self, conditions: Mapping[str, str | None]) -> None:
        check_selection(conditions)
        self._conditions = {level: Expression(text) for level, text in conditions.items() if text is not None}

    @property
    def applied(self) -> dict[str, str]:
        """Level -> expression, for the metadata."""
        return {level: condition.text for level, condition in self._conditions.items()}

    def apply(self, batch: Batch) -> Batch:
        """The batch with the flags of failing events set to false. Only accepted events are tested.

        If a variation shifts a column of the reco condition, the shifted values are tested. The variation then gets its
        own flag `pass_reco:<systematic>:<index>`, and copies of the reco columns that it does not shift: an event that
        only the variation accepts needs values of all of them.

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
            columns[f"pass_{level}"] = self._passing(batch, level, f"pass_{level}", {})
            if level == "reco":
                columns |= self._varied(batch, condition)
        return batch.like(columns)

    def _varied(self, batch: Batch, condition: Expression) -> dict[str, np.ndarray]:
        """Flags of the variations that the condition concerns, and the columns that come with them."""
        columns: dict[str, np.ndarray] = {}
        plain = [c for c in batch if level_of(c) == "reco" and not is_jagged(c) and not variation_of(c)]
        varied = [v for c in batch if (v := variation_of(c)) and v.base != "weight"]
        for systematic, index in sorted({(v.systematic, v.index) for v in varied}):
            end = f":{systematic}:{index}"
            shifted = {name: name + end for name in condition.names if name + end in batch}
            flag = f"pass_reco{end}"
            if flag not in batch and not shifted:
                continue
            if flag not in batch:
                columns |= {c + end: batch[c] for c in plain if c + end not in batch}
            elif unshifted := sorted(condition.names - set(shifted)):
                raise InputError(
                    f"{batch.source}: selection.reco: no column {unshifted[0]}{end}, but the events that pass "
                    f"{flag} need it; map it (to the nominal branch if the variation does not change it)"
                )
            columns[flag] = self._passing(batch, "reco", flag if flag in batch else "pass_reco", shifted)
        return columns

    def _passing(self, batch: Batch, level: str, flag: str, shifted: Mapping[str, str]) -> np.ndarray:
        """(N,) bool: events of `flag` that fulfil the condition, with the columns `shifted` in place of others."""
        condition = self._conditions[level]
        mask = flags(batch[flag], batch, flag)
        asked = batch.take(mask)
        asked = asked.like({name: asked[shifted.get(name, name)] for name in asked})
        for name in sorted(condition.names):
            if isinstance(asked[name], np.ndarray):
                refuse_nonfinite(asked[name], asked, shifted.get(name, name), f"where {flag} is true")
        found = condition.evaluate(asked)
        if isinstance(found, ak.Array):
            raise InputError(
                f"{batch.source}: selection.{level}: {condition.text!r} is a list per event; take "
                "one element (name[0]), or map a column of one number per event"
            )
        value = np.asarray(found)
        if value.dtype.kind != "b":
            raise ConfigError(f"selection.{level}: {condition.text!r} is a number; write a condition such as > 150")
        passing = np.zeros(len(mask), dtype=bool)
        passing[mask] = value
        return passing
