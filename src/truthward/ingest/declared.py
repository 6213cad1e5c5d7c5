"""Check columns against their declaration in the config: integers, atoms, bins, and the precision of float32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from truthward.events.bins import binned
from truthward.ingest.bulk import quantiles
from truthward.ingest.profile import Column

FEW_BINS = 5
"""With fewer bins, it is normal that one of them has nearly all events."""
CROWDED = 200
"""With at most this many different values, neighbouring numbers of single precision are no coincidence."""


def odd(c: Column) -> str:
    """A text if a column that is declared as integers has other values, else empty."""
    if not c.odd:
        return ""
    shown = ", ".join(f"{v:.6g}" for v in c.odd)
    return f"{c.name} is declared `integer: true`, but has values such as {shown}; remove `integer`"


def coarse(c: Column) -> Iterator[str]:
    """Flags of a column that single precision or the declared bins cannot resolve."""
    if c.values.size < 100:
        return
    low, high = np.quantile(c.values, [0.16, 0.84])
    step = float(np.spacing(np.float32(np.abs(c.values).max())))
    known = np.unique(c.values)
    # Few different values at the smallest possible distance: single precision has rounded others to them.
    crowded = known.size < CROWDED and np.diff(known).min(initial=np.inf) <= 1.01 * step
    if crowded or (high > low and step > 0.02 * (high - low)):
        yield (
            f"{c.name} ({quantiles(c.values)}) is stored in single precision, with steps of {step:.3g} at such values; "
            f"subtract a constant in the map (`{c.name}: <branch> - {np.median(c.values):.6g}`)"
        )
    edges = np.array(c.observable.edges)
    counts = binned(c.values, c.observable.edges)
    if len(counts) >= FEW_BINS and counts.max() > 0.98 * c.values.size:
        at = int(counts.argmax())
        yield (
            f"{counts[at] / c.values.size:.1%} of the events have {c.name} in one of {len(counts)} bins, "
            f"[{edges[at]:g}, {edges[at + 1]:g}], so histograms show almost no shape; check the unit, narrow `range`, "
            "or set `scale: log`"
        )


def unused_atoms(columns: Sequence[Column]) -> Iterator[str]:
    """Flags of the declared atoms of an observable that no event of any sample has."""
    for value in columns[0].observable.atoms:
        if sum(c.count + c.atomic for c in columns) >= 1000 and not any(c.at_atoms.get(value) for c in columns):
            yield (
                f"observables.{columns[0].observable.name}: no event of any sample has the declared atom {value:g}; "
                "check its value in the files, and whether an expression of the map changes it"
            )


def empty_atoms(measured: Column, simulated: Column) -> Iterator[str]:
    """Flags of the atoms that the data have and the simulation lacks."""
    total = measured.count + measured.atomic
    for value, count in measured.at_atoms.items():
        # If both had the same distribution, an atom without any simulated event would be very unlikely.
        expected = count / total * (simulated.count + simulated.atomic)
        if count >= 10 and expected >= 10 and not simulated.at_atoms.get(value):
            yield (
                f"{count} of {total} events have {measured.name} at the atom {value:g}, but no event of "
                f"{simulated.sample} is there: the result is extrapolated there"
            )
