"""An observable, as the config declares it and as every stage uses it."""

from __future__ import annotations

import math
from array import array
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from truthward.study.strict import Strict

LARGEST = 3.4e38
"""About the largest float32."""

PER_BIN = 3
"""Replicas of each bootstrap that a published bin needs. A covariance of B bins from R replicas has a rank of R - 1;
its inverse is too large by (R - 1) / (R - B - 2), for R = 3 B by 1.5, which is corrected for (astro-ph/0608064)."""

SHOWN = ("label", "counts", "published")
"""Attributes of an observable that only figures and tables read."""


@cache
def _edges(low: float, high: float, bins: int, scale: str) -> tuple[float, ...]:
    if scale == "log":
        step = math.log(high / low) / bins
        # Sixteen digits would show the rounding of logarithms: 10.000000000000002 between 1 and 100.
        return (low, *(float(f"{low * math.exp(i * step):.13g}") for i in range(1, bins)), high)
    # Of a double, repr is the decimal that was written; with fractions no rounding is added to it.
    first, last = Fraction(repr(low)), Fraction(repr(high))
    return tuple(float(first + (last - first) * i / bins) for i in range(bins + 1))


class Observable(Strict):
    """One observable: its binning, its display and, if it is not continuous, its special values.

    Attributes:
        name: given by its key in `observables`.
        label: title of the axis, with mathematics between dollar signs; empty for the name.
        unit: of the values, such as GeV; empty for none.
        range: lowest and highest edge of the bins, in `unit`.
        bins: number of bins between them.
        scale: of its axis and of its bins.
        counts: scale of the axis of the contents.
        integer: whether its values are whole numbers.
        atoms: values that carry a probability of their own, such as that of a jet without substructure.
        published: edges of the bins of published tables, among those that `range` and `bins` make; empty for all.
    """

    name: str = ""
    label: str = ""
    unit: str = ""
    range: tuple[float, float]
    bins: int = Field(50, ge=1, le=10_000)
    scale: Literal["linear", "log"] = "linear"
    counts: Literal["linear", "log"] = "linear"
    integer: bool = False
    atoms: tuple[float, ...] = ()
    published: tuple[float, ...] = ()

    @field_validator("range", "atoms", "published", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _ordered(self) -> Observable:
        if not self.range[0] < self.range[1]:
            raise ValueError(f"range {list(self.range)} must increase")
        if self.scale == "log" and self.range[0] <= 0:
            raise ValueError(f"scale log needs a range above zero, got {list(self.range)}")
        if not max(map(abs, self.range)) <= LARGEST:
            raise ValueError(
                f"range {list(self.range)} is too large: event tables hold float32 values, up to {LARGEST:.2g} in size"
            )
        stored = array("f", self.edges)
        if same := [e for e, a, b in zip(self.edges, stored, stored[1:], strict=False) if not a < b]:
            raise ValueError(
                f"range {list(self.range)} in {self.bins} bins: the bin at {same[0]} is too narrow for float32, the "
                "precision of event tables; use fewer bins, or subtract a constant from the observable"
            )
        if self.published:
            self._check_published()
        return self

    def _check_published(self) -> None:
        if len(self.published) < 2 or any(a >= b for a, b in pairwise(self.published)):
            raise ValueError(f"published {list(self.published)} must have at least two edges, in increasing order")
        for edge in self.published:
            if abs(self._nearest(edge) - edge) > 1e-6 * (self.range[1] - self.range[0]):
                raise ValueError(
                    f"published edge {edge:g} is not an edge of the {self.bins} bins of range {list(self.range)}; the "
                    f"nearest edge is {self._nearest(edge):.6g}"
                )

    def _nearest(self, edge: float) -> float:
        return min(self.edges, key=lambda own: abs(own - edge))

    @property
    def published_edges(self) -> list[float]:
        """Edges of the published bins, exactly as in `edges`."""
        return [self._nearest(edge) for edge in self.published] or self.edges

    @property
    def edges(self) -> list[float]:
        """Bin edges, (bins + 1,), in `unit`, as the nearest doubles of the exact decimal numbers.

        Ten bins from 0 to 1 have the edge 0.3, not 0.30000000000000004.
        """
        return list(_edges(*self.range, self.bins, self.scale))

    @property
    def axis(self) -> str:
        """Axis title with the unit in brackets."""
        title = self.label or self.name
        return f"{title} [{self.unit}]" if self.unit else title


def observables_from(entries: list[dict[str, Any]]) -> list[Observable]:
    """Observables from the plain dictionaries of a job's spec."""
    return [Observable(**e) for e in entries]
