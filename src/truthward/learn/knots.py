"""Describe the distribution function of a column by knots: the basis of all scalings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from truthward.errors import InputError

LIMIT = 8.0
"""Largest |z|: probability 6e-16 on each side, the limit of double precision."""

TIE, TIE_COUNT = 1e-4, 20
"""A value that was not declared is also an atom if it has at least this share of the weight and this many events."""

LIMIT_COUNT = 3
"""If at least this many events share the smallest or the largest value, it is a limit, and so an atom."""

SPIKE, ABOVE = 1e-3, 10.0
"""An atom that was not declared is a spike if it has at least this share of the weight and ABOVE times the weight of a
typical neighbour. So integers and rounded values are not spikes."""

NEIGHBOURS = 10
"""A spike is compared with this number of distinct values on each side."""


class Knots(NamedTuple):
    """Non-decreasing x (K,) and normal scores z (K,), float64. An atom has two knots, one for each end of its interval.

    ends: (2,) dx/dz beyond each end, 0 if the end is an atom. spikes: values that many more events share than their
    neighbours; declared ones first, then by falling weight.
    """

    x: Tensor
    z: Tensor
    ends: Tensor
    spikes: list[float]


def knots_of(
    x: Tensor, weights: Tensor, *, name: str, knots: int, atoms: Sequence[float] = (), integer: bool = False
) -> Knots:
    """Weighted quantiles of a column, equidistant in z, and its atoms.

    The result does not depend on units: values are only compared with each other, in single precision, as event tables
    store them. A value far from all others has the score of the last rank.

    Args:
        x: (N,); weights: (N,), of which the absolute values count; events of weight zero are ignored.
        name: name of the column, for errors. knots: largest number for each continuous stretch.
        atoms: declared values. integer: whether every value is an atom.

    Raises:
        InputError: no event of non-zero weight, a value that is not finite, or a fraction in an integer column.
    """
    seen = weights != 0
    column, w = x[seen].float().double(), weights[seen].double().abs()
    bad = int((~torch.isfinite(column)).sum() + (~torch.isfinite(w)).sum())
    if len(column) == 0 or bad:
        raise InputError(
            f"{name}: {len(column)} events have a non-zero weight, {bad} values are not finite; check the inputs"
        )
    values, place, counts = torch.unique(column, return_inverse=True, return_counts=True)
    share = torch.zeros(len(values), dtype=torch.float64).index_add_(0, place, w)
    share /= share.sum()
    upper = share.cumsum(0)
    lower = upper - share
    declared = torch.isin(values, torch.tensor(list(atoms), dtype=torch.float32).double())
    if integer:
        if (values != values.round()).any():
            odd = float(column[column != column.round()][0])
            raise InputError(f"{name} is declared integer, but has the value {odd}; remove `integer`")
        atomic = torch.ones(len(values), dtype=torch.bool)
    else:
        atomic = declared | ((share >= TIE) & (counts >= TIE_COUNT)) | (len(values) == 1)
        for end in (0, -1):
            atomic[end] |= counts[end] >= LIMIT_COUNT
    xs: list[float] = []
    zs: list[float] = []
    ends = [0.0, 0.0]
    border = atomic.clone()
    border[1:] |= atomic[:-1]
    border[0] = True
    starts = torch.nonzero(border).squeeze(1).tolist()
    for start, stop in zip(starts, [*starts[1:], len(values)], strict=True):
        p0, p1 = float(lower[start]), float(upper[stop - 1])
        if atomic[start]:
            xs += [float(values[start])] * 2
            zs += normal([p0, p1])
        else:
            inner = (start > 0, stop < len(values))
            middle = (lower + upper)[start:stop] / 2
            around = values[max(start - 1, 0) : stop + 1]
            xk, zk = _stretch(values[start:stop], middle, (p0, p1), inner, around, knots)
            if not inner[0]:
                ends[0] = (xk[1] - xk[0]) / (zk[1] - zk[0])
            if not inner[1]:
                ends[1] = (xk[-1] - xk[-2]) / (zk[-1] - zk[-2])
            xs += xk
            zs += zk
    z = torch.tensor(zs, dtype=torch.float64).cummax(0).values
    found = torch.zeros_like(atomic) if integer else _stands_out(share, counts)
    order = torch.nonzero(declared | found).squeeze(1)
    order = order[(share + 2.0 * declared)[order].argsort(descending=True, stable=True)]
    return Knots(
        torch.tensor(xs, dtype=torch.float64), z, torch.tensor(ends, dtype=torch.float64), values[order].tolist()
    )


def padded(tables: Sequence[Tensor]) -> Tensor:
    """Tables of different lengths as one, float32: the last knot is repeated, which changes nothing."""
    size = max(2, *map(len, tables))
    return torch.stack([torch.cat([t, t[-1:].expand(size - len(t))]) for t in tables]).float()


def normal(p: Sequence[float] | Tensor) -> list[float]:
    """Normal quantiles, rounded to single precision and kept within the limit."""
    z = torch.special.ndtri(torch.as_tensor(p, dtype=torch.float64).clamp(0, 1)).clamp(-LIMIT, LIMIT)
    return z.float().double().tolist()


def _stands_out(share: Tensor, counts: Tensor) -> Tensor:
    """Whether each of the distinct values (K,) has far more weight than its neighbours."""
    large = torch.nonzero((share >= SPIKE) & (counts >= TIE_COUNT)).squeeze(1)
    found = torch.zeros(len(share), dtype=torch.bool)
    for k in large.tolist():
        beside = torch.cat([share[max(k - NEIGHBOURS, 0) : k], share[k + 1 : k + 1 + NEIGHBOURS]])
        found[k] = len(beside) > 1 and bool(share[k] > ABOVE * beside.median())
    return found


def _stretch(
    values: Tensor,
    middle: Tensor,
    p: tuple[float, float],
    inner: tuple[bool, bool],
    around: Tensor,
    knots: int,
) -> tuple[list[float], list[float]]:
    """Knots of one continuous stretch with probabilities p.

    `middle` is F at each of its distinct values. inner: whether there is an atom on each side. around: the values
    including the atoms.
    """
    if len(values) == 1:  # One value beside an atom: the stretch needs a width.
        step = 1e-3 * float(around.diff().min())
        toward = values.float().repeat(2), torch.tensor([-torch.inf, torch.inf])
        least = torch.nextafter(*toward).double()
        values = torch.stack([torch.minimum(values[0] - step, least[0]), torch.maximum(values[0] + step, least[1])])
        middle = torch.tensor([p[0] + 0.25 * (p[1] - p[0]), p[1] - 0.25 * (p[1] - p[0])], dtype=torch.float64)
    # An outer end keeps the F of its value, half an event from 0 or 1. An inner end lies at the border of the atom.
    ends = normal([p[0] if inner[0] else float(middle[0]), p[1] if inner[1] else float(middle[-1])])
    wanted = torch.special.ndtr(torch.linspace(ends[0], ends[1], min(knots, len(values)), dtype=torch.float64))
    # Existing values, not points between them: so each of the few events in a tail is a knot, even if far apart.
    right = torch.searchsorted(middle, wanted).clamp(1, len(middle) - 1)
    nearest = torch.where(wanted - middle[right - 1] < middle[right] - wanted, right - 1, right)
    nearest[0], nearest[-1] = 0, len(values) - 1
    nearest = torch.unique(nearest)
    x, z = values[nearest], torch.tensor(normal(middle[nearest]), dtype=torch.float64)
    z[0], z[-1] = ends[0], ends[1]
    if inner[1]:
        # One step of single precision below the border of the atom: else the largest value would return as the atom.
        z[-1] = torch.nextafter(z[-1].float(), torch.tensor(-torch.inf)).double()
    keep = torch.ones(len(z), dtype=torch.bool)
    keep[1:-1] = (z[1:-1] > z[:-2]) & (z[1:-1] < z[-1])
    return x[keep].tolist(), z[keep].tolist()
