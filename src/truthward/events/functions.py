"""Functions that an expression may call, over flat (numpy) and jagged (awkward) branches alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np

from truthward.study.syntax import ARGUMENTS

Values = Any
"""(N,) numpy array, or awkward array of lists of numbers."""


def _where(condition: Values, yes: Values, no: Values) -> Values:
    if any(isinstance(part, ak.Array) for part in (condition, yes, no)):
        return ak.where(condition, yes, no)
    return np.where(condition, yes, no)


def _count(values: Values) -> Values:
    return ak.to_numpy(ak.num(values, axis=1))


def _sum(values: Values) -> Values:
    return ak.to_numpy(ak.sum(values, axis=1))


FUNCTIONS: dict[str, Callable[..., Values]] = {
    name: getattr(np, name) for name in ARGUMENTS if name not in ("where", "count", "sum")
} | {"where": _where, "count": _count, "sum": _sum}
"""Name -> function; `syntax.ARGUMENTS` has the number of its arguments."""


def _dtype(values: Values) -> np.dtype:
    if isinstance(values, ak.Array):
        # An empty slice is a cheap way to get the type of the numbers in the lists.
        return ak.to_numpy(ak.flatten(values[:0], axis=None)).dtype
    return np.asarray(values).dtype


def double(values: Values) -> Values:
    """Numbers and conditions as float64; TypeError for text."""
    if _dtype(values).kind not in "fiub":
        raise TypeError("text where a number is needed")
    return ak.values_astype(values, np.float64) if isinstance(values, ak.Array) else np.asarray(values, np.float64)


def is_condition(values: Values) -> bool:
    """Whether the values are true or false."""
    return _dtype(values).kind == "b"


def place_of(values: Values, place: int) -> np.ndarray:
    """Element `place` of each event's list as (N,) float64, NaN where the list is shorter; TypeError for text."""
    if not isinstance(values, ak.Array):
        raise TypeError("an index such as [0] needs a branch with a list per event")
    # An element of a text would be the code of a letter.
    values = double(values)
    long = ak.to_numpy(ak.num(values, axis=1)) > place
    result = np.full(len(long), np.nan)
    result[long] = ak.to_numpy(values[long][:, place])
    return result
