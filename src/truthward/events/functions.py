"""Functions that an expression may call, over flat (numpy) and jagged (awkward) branches alike.

Those over lists reduce the innermost list. NaN in it makes the result NaN, or a place of -1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import awkward as ak
import numpy as np

from truthward.events import vectors
from truthward.events.lists import RECORD, Unfit, Values, bit, depth, double, formed, listed, ranked, type_of
from truthward.study.signatures import FUNCTIONS as SIGNATURES


def _where(condition: Values, yes: Values, no: Values) -> Values:
    if any(isinstance(part, ak.Array) for part in (condition, yes, no)):
        return ak.where(condition, yes, no)
    return np.where(condition, yes, no)


def _either(*parts: Values) -> Values:
    """The first of them that is finite; an event must have one, so that no comparison is with NaN."""
    found = reduce(lambda rest, part: _where(np.isfinite(part), part, rest), reversed(parts))
    lacking = int(ak.sum(~np.isfinite(found), axis=None)) if np.ndim(found) else int(not np.isfinite(found))
    if lacking:
        raise Unfit(f"either has no finite value in {lacking} places", "name a branch that has one, such as 0")
    return found


def _count(values: Values) -> Values:
    return formed(ak.num(listed(values, "count"), axis=depth(values)))


def _sum(values: Values) -> Values:
    if type_of(values) == RECORD:
        return vectors.total(values)
    return formed(ak.sum(double(listed(values, "sum")), axis=-1))


def _mean(values: Values) -> Values:
    return np.divide(_sum(listed(values, "mean")), _count(values))


def _extreme(name: str) -> Callable[[Values], Values]:
    def found(values: Values) -> Values:
        lacking = formed(ak.any(np.isnan(listed(values, name)), axis=-1))
        return _where(lacking, np.nan, double(getattr(ak, name)(values, axis=-1)))

    return found


def _place(name: str) -> Callable[[Values], Values]:
    def found(values: Values) -> Values:
        lacking = formed(ak.any(np.isnan(listed(values, name)), axis=-1))
        return _where(lacking, -1, formed(ak.fill_none(getattr(ak, name)(values, axis=-1), -1, axis=-1)))

    return found


def _truth(name: str) -> Callable[[Values], Values]:
    return lambda values: formed(getattr(ak, name)(listed(values, name), axis=-1))


def _first(values: Values) -> Values:
    return ak.firsts(listed(values, "first"), axis=depth(values))


def _sort(values: Values, by: Values | None = None) -> Values:
    if by is None and type_of(values) == RECORD:
        raise Unfit("vectors have no order", "say by what, as sort(jets, jets.pt)")
    return ranked(listed(values, "sort"), values if by is None else by)


def _delta_phi(one: Values, two: Values) -> Values:
    angle = one - two
    angle = angle - 2 * np.pi * np.floor((angle + np.pi) / (2 * np.pi))
    # A rounding must not leave [-pi, pi).
    return _where(angle >= np.pi, -np.pi, np.maximum(angle, -np.pi))


def _delta_r(eta1: Values, phi1: Values, eta2: Values, phi2: Values) -> Values:
    return np.hypot(eta1 - eta2, _delta_phi(phi1, phi2))


FUNCTIONS: dict[str, Callable[..., Values]] = {
    "where": _where,
    "either": _either,
    "count": _count,
    "sum": _sum,
    "mean": _mean,
    **{name: _extreme(name) for name in ("min", "max")},
    **{name: _place(name) for name in ("argmin", "argmax")},
    **{name: _truth(name) for name in ("any", "all")},
    "first": _first,
    "sort": _sort,
    "delta_phi": _delta_phi,
    "delta_r": _delta_r,
    "bit": lambda values, place: bit(values, int(place)),
    "p4": vectors.from_angles,
    "pxpypze": vectors.from_momenta,
}
FUNCTIONS |= {name: getattr(np, name) for name in SIGNATURES if name not in FUNCTIONS}
"""Name -> function; `signatures.FUNCTIONS` says what it takes and gives."""
