"""Lists per event: their types, and elements of them by place, by index and by condition.

All parts of an expression are in one form: a number; (N,) numpy, one value per event; or awkward, where no list is of a
fixed length or missing. A missing element is None, in its own type, until a number or a condition is asked for.
"""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

Values = Any
"""A number, (N,) numpy array, or awkward array of lists of numbers or records."""

RECORD, TEXT, UNKNOWN = "records", "text", "nothing"


class Unfit(Exception):
    """Values do not fit an operation: the reason, and what would."""

    def __init__(self, reason: str, valid: str) -> None:
        super().__init__(reason, valid)
        self.reason, self.valid = reason, valid


def _is_text(layout: ak.contents.Content) -> bool:
    return layout.parameter("__array__") in ("string", "bytestring", "char", "byte")


def _leaf(values: ak.Array) -> ak.contents.Content:
    """What is in the innermost lists."""
    layout = values.layout
    while (layout.is_list or layout.is_option or layout.is_indexed) and not _is_text(layout):
        layout = layout.content
    return layout


def type_of(values: Values) -> str:
    """Numpy's kind of the numbers (f, i, u or b), or `RECORD`, `TEXT` (or any other), or `UNKNOWN` (there are none)."""
    if not isinstance(values, ak.Array):
        kind = np.asarray(values).dtype.kind
        return kind if kind in "fiub" else TEXT
    leaf = _leaf(values)
    if leaf.is_unknown:
        return UNKNOWN
    if leaf.is_numpy and not _is_text(leaf) and leaf.dtype.kind in "fiub":
        return leaf.dtype.kind
    return RECORD if leaf.is_record else TEXT


def depth(values: Values) -> int:
    """How many lists are around each element; 0 for one value per event."""
    return values.layout.purelist_depth - 1 if isinstance(values, ak.Array) else 0


def formed(values: Values) -> Values:
    """The values in the form of all parts of an expression. Raises Unfit for text."""
    if isinstance(values, np.ndarray) and (isinstance(values, np.ma.MaskedArray) or values.ndim > 1):
        values = ak.from_numpy(values)
    if type_of(values) == TEXT:
        raise Unfit("text where a number is needed", "name a branch of numbers")
    if not isinstance(values, ak.Array):
        return values
    values = ak.from_regular(values, axis=None)
    for axis in range(depth(values)):
        values = ak.fill_none(values, [], axis=axis)
    return _flat(values)


def _flat(values: Values) -> Values:
    """One number per event as numpy, unless some may be missing."""
    if not isinstance(values, ak.Array) or depth(values) or type_of(values) in (RECORD, UNKNOWN) or _may_lack(values):
        return values
    return ak.to_numpy(values)


def _may_lack(values: Values) -> bool:
    """Whether elements may be missing. It depends on the type and not on the values: chunks of a file agree."""
    if not isinstance(values, ak.Array):
        return False
    layout = values.layout
    while layout.is_list or (layout.is_indexed and not layout.is_option):
        layout = layout.content
    return layout.is_option


def _typed(values: ak.Array, dtype: type, missing: float) -> Values:
    values = ak.values_astype(values, dtype, including_unknown=True)
    return _flat(ak.fill_none(values, dtype(missing), axis=-1))


def double(values: Values) -> Values:
    """Numbers and conditions as float64; what is missing is NaN. Raises Unfit for vectors."""
    if type_of(values) == RECORD:
        raise Unfit("a vector where a number is needed", "take an attribute, such as .pt")
    return _typed(values, np.float64, np.nan) if isinstance(values, ak.Array) else np.asarray(values, np.float64)


def condition(values: Values) -> Values:
    """True or false; what is missing is false. Raises Unfit for numbers and vectors."""
    if (kind := type_of(values)) not in ("b", UNKNOWN):
        given = "a vector" if kind == RECORD else "a number"
        raise Unfit(f"{given} where a condition is needed", "conditions are joined as (a > 1) & (b < 2)")
    return _typed(values, np.bool_, False) if isinstance(values, ak.Array) else values


def whole(values: Values) -> Values:
    """Whole numbers in their own type. Raises Unfit for others."""
    if type_of(values) not in ("i", "u", UNKNOWN):
        raise Unfit(
            "numbers with fractions, or conditions, where whole numbers are needed", "name a branch of whole numbers"
        )
    return values


def bit(values: Values, place: int) -> Values:
    """Whether a bit of whole numbers is set, in their own precision; false for what is missing."""
    number = np.uint64 if type_of(values) == "u" else np.int64
    leaf = _leaf(values) if isinstance(values, ak.Array) else values
    if place >= (size := 8 * getattr(leaf, "dtype", np.dtype(number)).itemsize):
        raise Unfit(f"no bit {place} in numbers of {size} bits", f"the last one is {size - 1}")
    return ((_typed(ak.Array(values), number, 0) >> number(place)) & number(1)) == 1


def finished(values: Values) -> Values:
    """What an expression gives: numbers or conditions, without missing elements. Raises Unfit for vectors."""
    return double(values) if type_of(values) == RECORD or _may_lack(values) else _flat(values)


def listed(values: Values, what: str) -> ak.Array:
    """The values, if they are lists. Raises Unfit for one value per event."""
    if not depth(values):
        raise Unfit(f"{what} needs a branch with a list per event", "this is one value per event")
    return values


def element(values: ak.Array, place: int) -> Values:
    """Element `place` of the list of each event, from its end if negative; missing where the list is shorter."""
    count = ak.to_numpy(ak.num(values, axis=1))
    return partner(values, np.full(len(count), place) if place >= 0 else count + place)


def partner(values: ak.Array, index: Values) -> Values:
    """The element of an event's list that each index of the event names; missing for one below 0 or beyond the end."""
    count = ak.to_numpy(ak.num(values, axis=1))
    content = ak.flatten(values, axis=1).layout
    # The wrap of the largest unsigned numbers is below 0: missing, as they are.
    place = _typed(ak.Array(whole(index)), np.int64, -1)
    found = ak.Array(ak.where((place >= 0) & (place < count), np.cumsum(count) - count + place, -1))

    def taken(layout: ak.contents.Content, **_: Any) -> ak.contents.Content | None:
        if not layout.is_numpy:
            return None
        return ak.contents.IndexedOptionArray.simplified(ak.index.Index64(layout.data), content)

    return formed(ak.transform(taken, found))


def kept(values: ak.Array, mask: Values) -> Values:
    """The elements for which a condition on each of them is true."""
    return values[_alike(values, condition(mask), "the condition")]


def ranked(values: ak.Array, by: Values) -> Values:
    """Each list of elements in falling order of `by`; NaN comes last, and equal ones keep their order."""
    key = _alike(values, double(by), "the order")
    key = ak.where(np.isnan(key), -np.inf, key)
    return values[ak.argsort(key, axis=-1, ascending=False, stable=True)]


def _alike(values: ak.Array, other: Values, what: str) -> Values:
    """The other one, if it has a value for each element of the lists, or of their lists. Raises Unfit if not."""
    if not 0 < depth(other) <= depth(values):
        raise Unfit(f"{what} is not one value for each element of the list", "compute it from lists of the same length")
    for axis in range(1, depth(other) + 1):
        lengths = [ak.to_numpy(ak.flatten(ak.num(part, axis=axis), axis=None)) for part in (values, other)]
        if (bad := np.flatnonzero(lengths[0] != lengths[1])).size:
            one, two = (int(length[bad[0]]) for length in lengths)
            raise Unfit(
                f"{what} has another length than the list, such as {two} values for {one} elements",
                "lists need equal lengths in each event",
            )
    return other
