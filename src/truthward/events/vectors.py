"""Four-vectors in expressions, per event or in lists: made, added, and asked for an attribute, by the library `vector`.

A vector is a record with the fields of one of `COORDINATES`; it may have others. Components are in double precision.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import awkward as ak
import numpy as np
from vector.backends.awkward import behavior

from truthward.errors import nearest
from truthward.events.lists import RECORD, Unfit, Values, depth, double, formed, listed, type_of
from truthward.study.signatures import ATTRIBUTES

COORDINATES = (("pt", "eta", "phi", "mass"), ("pt", "eta", "phi", "energy"), ("px", "py", "pz", "energy"))
_CARTESIAN = COORDINATES[-1]


def made(names: tuple[str, ...], *components: Values) -> Values:
    """Vectors of their components."""
    if not any(getattr(part, "ndim", 0) for part in components):
        raise Unfit("a vector of numbers alone", "name a branch for one of them at least")
    return ak.zip(dict(zip(names, components, strict=True)), with_name="Momentum4D", behavior=behavior)


def from_angles(pt: Values, eta: Values, phi: Values, mass: Values) -> Values:
    """Vectors of transverse momentum, pseudorapidity, azimuth and mass."""
    return made(COORDINATES[0], pt, eta, phi, mass)


def from_momenta(px: Values, py: Values, pz: Values, energy: Values) -> Values:
    """Vectors of momenta and energy."""
    return made(_CARTESIAN, px, py, pz, energy)


def attribute(values: Values, name: str) -> Values:
    """A field of records in its own type, or else what the vectors have of that name."""
    if type_of(values) != RECORD:
        raise Unfit(f"only vectors have attributes such as .{name}; a number is", "leave it out")
    if name in values.fields:
        return formed(values[name])
    if name in ATTRIBUTES:
        return _of_vectors(values, name)
    raise Unfit(f"no attribute or field {name}", nearest(name, {*values.fields, *ATTRIBUTES}))


def summed(left: Values, right: Values, operation: Callable[[Values, Values], Values]) -> Values:
    """Sum or difference of vectors."""
    if type_of(left) != RECORD or type_of(right) != RECORD:
        raise Unfit("a vector and a number have no sum or difference", "take an attribute, such as .pt")
    parts = (operation(_of_vectors(left, name), _of_vectors(right, name)) for name in _CARTESIAN)
    return from_momenta(*parts)


def total(values: Values) -> Values:
    """Sum of the vectors in each list; of none, all components are 0."""
    listed(values, "sum")
    return from_momenta(*(ak.sum(_of_vectors(values, name), axis=-1) for name in _CARTESIAN))


def _of_vectors(values: Values, name: str) -> Values:
    """An attribute in double precision; NaN where a component is NaN or the vector is missing."""
    for names in COORDINATES:
        if set(names) <= set(values.fields):
            parts = [double(formed(values[each])) for each in names]
            if any(depth(part) != depth(values) for part in parts):
                break
            found = getattr(made(names, *parts), name)
            # The library has an eta of 0 for a vector of NaN.
            lacking = reduce(np.logical_or, (np.isnan(part) for part in parts))
            return double(ak.where(lacking, np.nan, found))
    raise Unfit(
        f"records with the fields {', '.join(values.fields)[:80]} are no vectors",
        f"numbers named {'; or '.join(', '.join(names) for names in COORDINATES)} are needed",
    )
