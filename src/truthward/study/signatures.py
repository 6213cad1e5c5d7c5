"""The functions of expressions: what each takes and gives, as far as the text alone can say. Works without numpy."""

from __future__ import annotations

from enum import Flag, auto
from typing import NamedTuple


class Kind(Flag):
    """What a part of an expression may be, per event or in lists; several where the text does not say which.

    A `VECTOR` has the attributes of `ATTRIBUTES` alone, a `RECORD` also fields of its own.
    """

    CONDITION = auto()
    WHOLE = auto()
    NUMBER = auto()
    VECTOR = auto()
    RECORD = auto()


CONDITION, WHOLE, NUMBER, VECTOR = Kind.CONDITION, Kind.WHOLE, Kind.NUMBER, Kind.VECTOR
NUMERIC = CONDITION | WHOLE | NUMBER
"""What has a number; true is 1 and false is 0."""
FOUR = VECTOR | Kind.RECORD
INDEX = CONDITION | WHOLE
ANY = NUMERIC | FOUR

ATTRIBUTES = ("pt", "eta", "phi", "mass", "energy", "px", "py", "pz", "rapidity")
"""What every vector has."""


class Signature(NamedTuple):
    """What the arguments may be, how many of the last may be left out, and the result; None: as the first argument."""

    takes: tuple[Kind, ...]
    gives: Kind | None = NUMBER
    optional: int = 0


_ONE = ("sqrt", "log", "log10", "exp", "sin", "cos", "tan", "arctan", "sinh", "cosh", "tanh", "abs", "floor")
_TWO = ("arctan2", "hypot", "minimum", "maximum")
FUNCTIONS: dict[str, Signature] = {
    **dict.fromkeys(_ONE, Signature((NUMERIC,))),
    **dict.fromkeys(_TWO, Signature((NUMERIC, NUMERIC))),
    "isfinite": Signature((NUMERIC,), CONDITION),
    "where": Signature((CONDITION, NUMERIC, NUMERIC)),
    "either": Signature((NUMERIC,) * 4, optional=2),
    "count": Signature((ANY,), WHOLE),
    "sum": Signature((ANY,), None),
    **dict.fromkeys(("min", "max", "mean"), Signature((NUMERIC,))),
    **dict.fromkeys(("any", "all"), Signature((CONDITION,), CONDITION)),
    **dict.fromkeys(("argmin", "argmax"), Signature((NUMERIC,), WHOLE)),
    "first": Signature((ANY,), None),
    "sort": Signature((ANY, NUMERIC), None, optional=1),
    "delta_phi": Signature((NUMERIC,) * 2),
    "delta_r": Signature((NUMERIC,) * 4),
    "bit": Signature((WHOLE, NUMERIC), CONDITION),
    **dict.fromkeys(("p4", "pxpypze"), Signature((NUMERIC,) * 4, VECTOR)),
}
"""Angles are in radians; `log` is natural."""
RESERVED = frozenset((*_ONE, *_TWO, "isfinite", "where", "count", "sum"))
"""Functions whose names name no branch, unless they are in backticks."""


def added(left: Kind, right: Kind) -> Kind:
    """What a sum or difference may be; nothing for a vector and a number.

    >>> added(VECTOR, ANY) is VECTOR, added(NUMBER, WHOLE) is NUMBER, bool(added(VECTOR, NUMBER))
    (True, True, False)
    """
    numbers = NUMBER if left & NUMERIC and right & NUMERIC else Kind(0)
    return numbers | (VECTOR if left & FOUR and right & FOUR else Kind(0))
