"""Columns of any distribution <-> standard normal ones: the randomised probability integral transform."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from truthward.errors import InputError

LIMIT = 8.0
"""Largest |z|: probability 6e-16 a side, where double precision ends."""

TIE, TIE_COUNT = 1e-4, 20
"""An undeclared value with at least this share of the weight and this many events is an atom all the same."""

LIMIT_COUNT = 3
"""Events that share the smallest or the largest value, from which on it is a limit and so an atom."""


class QuantileTransform(nn.Module):
    """x (N, D) <-> z (N, D), each column of z standard normal on the sample it was fitted to.

    The distributional transform (Rueschendorf, J. Stat. Plan. Inference 139 (2009) 3921): z = Phi^-1(F(x-) + u P(x))
    with u uniform. An atom owns the interval [F(x-), F(x)] of probability; all of it comes back as exactly that value,
    so whoever models z models the atom's probability too. Continuous stretches are linear in z between `knots`
    weighted quantiles that lie equidistantly in z.

    Rules:
        - Values are compared in single precision, as event tables hold them.
        - In an integer column each value seen is an atom. A value that was never seen gets the z of the gap it falls in
          and comes back as one of the gap's ends.
        - Atoms that nobody declared are found: a value with at least TIE of the weight and TIE_COUNT events, and a
          smallest or largest value that LIMIT_COUNT events share, which is a limit.
        - Beyond a continuous end both directions go on linearly with the slope of the last stretch, up to |z| = 8.
          Beyond an end that is an atom a value counts as that atom.
        - Weights enter by magnitude: a signed distribution function need not be monotone, and the map need only be
          invertible; what is negative is left to the model's own signed weights. Events of weight zero are not seen.

    Args:
        columns: D.
        knots: quantile knots of each continuous stretch, at most.
        atoms: one list of values a column; () for none anywhere.
        integer: whether a column is one of integers; () for none.
    """

    x_knots: Tensor
    z_knots: Tensor
    slopes: Tensor

    def __init__(
        self,
        columns: int,
        *,
        knots: int = 64,
        atoms: Sequence[Sequence[float]] = (),
        integer: Sequence[bool] = (),
    ) -> None:
        super().__init__()
        self.columns = columns
        self.knots = knots
        self.atoms = [tuple(a) for a in atoms] or [()] * columns
        self.integer = [bool(i) for i in integer] or [False] * columns
        if len(self.atoms) != columns or len(self.integer) != columns or knots < 2:
            raise InputError(
                f"quantile transform of {columns} columns: {len(self.atoms)} lists of atoms, {len(self.integer)} "
                f"integer flags, {knots} knots; one of each a column and at least 2 knots are needed"
            )
        # Until it is fitted: the identity on [-1, 1], continued linearly.
        self.register_buffer("x_knots", torch.tensor([-1.0, 1.0]).repeat(columns, 1))
        self.register_buffer("z_knots", torch.tensor([-1.0, 1.0]).repeat(columns, 1))
        self.register_buffer("slopes", torch.ones(columns, 2))

    def fit(self, x: Tensor, weights: Tensor | None = None) -> QuantileTransform:
        """Take the quantiles from `x` (N, D) with `weights` (N,), or (N, D) where columns are absent in some events.

        Raises:
            InputError: no event of non-zero weight, a value that is not finite, or a fraction in an integer column.
        """
        w = torch.ones(len(x)) if weights is None else weights
        w = (w if w.ndim == 2 else w[:, None]).double().abs().expand(len(x), self.columns)
        tables = []
        for c in range(self.columns):
            seen = w[:, c] != 0
            column, weight = x[seen, c].float().double(), w[seen, c]
            bad = int((~torch.isfinite(column)).sum() + (~torch.isfinite(weight)).sum())
            if len(column) == 0 or bad:
                raise InputError(
                    f"quantile transform: column {c}: {len(column)} events of non-zero weight, {bad} values not finite"
                )
            tables.append(self._table(column, weight, c))
        size = max(len(t[0]) for t in tables)
        # A repeated last knot is a stretch of no width: it changes nothing.
        self.x_knots = torch.stack([torch.cat([t[0], t[0][-1:].expand(size - len(t[0]))]) for t in tables]).float()
        self.z_knots = torch.stack([torch.cat([t[1], t[1][-1:].expand(size - len(t[1]))]) for t in tables]).float()
        self.slopes = torch.stack([t[2] for t in tables]).float()
        return self

    def forward(self, x: Tensor, u: Tensor) -> Tensor:
        """(N, D) -> (N, D) standard normal; `u` (N, D) uniform on [0, 1) places a value within its atom's interval.

        Raises:
            InputError: a value is not finite.
        """
        if not torch.isfinite(x).all():
            raise InputError(f"quantile transform: {int((~torch.isfinite(x)).sum())} of {x.numel()} values not finite")
        xk, zk, slopes = self.x_knots.double(), self.z_knots.double(), self.slopes.double()
        lowest, highest = xk[:, :1], xk[:, -1:]
        v = x.float().double().T.contiguous()
        v = torch.where((slopes[:, :1] == 0) & (v < lowest), lowest, v)
        v = torch.where((slopes[:, 1:] == 0) & (v > highest), highest, v)
        first = torch.searchsorted(xk, v).clamp(max=xk.shape[1] - 1)
        last = (torch.searchsorted(xk, v, right=True) - 1).clamp(min=0)
        here = xk.gather(1, first) == v
        low, high = zk.gather(1, first), zk.gather(1, last)
        p0, p1 = torch.special.ndtr(low), torch.special.ndtr(high)
        within = torch.special.ndtri(p0 + u.double().T * (p1 - p0)).clamp(-LIMIT, LIMIT).float()
        # Rounding must not push an atom over the border into its neighbour: its interval is [low, high).
        below = torch.nextafter(high.float(), torch.full_like(high, -torch.inf, dtype=torch.float32))
        atom = torch.minimum(torch.maximum(within, low.float()), below)
        z = torch.where(high > low, atom, low.float())
        # Strictly between two knots, `last` is the one below and `first` the one above.
        x0, x1 = xk.gather(1, last), xk.gather(1, first)
        share = (v - x0) / torch.where(x1 > x0, x1 - x0, torch.ones_like(v))
        z = torch.where(here, z, (high + share * (low - high)).float())
        down, up = (torch.where(s == 0, torch.ones_like(s), s) for s in (slopes[:, :1], slopes[:, 1:]))
        z = torch.where(v < lowest, (zk[:, :1] + (v - lowest) / down).float(), z)
        z = torch.where(v > highest, (zk[:, -1:] + (v - highest) / up).float(), z)
        return z.clamp(-LIMIT, LIMIT).T.contiguous()

    def log_slope(self, x: Tensor) -> Tensor:
        """ln dz/dx at x, (N, D) -> (N, D): what a density in z is multiplied by; piecewise constant.

        Raises:
            InputError: a value is an atom or an integer, which has a probability and no density.
        """
        xk, zk = self.x_knots.double(), self.z_knots.double()
        v = x.float().double().T.contiguous()
        first = torch.searchsorted(xk, v).clamp(max=xk.shape[1] - 1)
        after = torch.searchsorted(xk, v, right=True)
        atom = (xk.gather(1, first) == v) & (zk.gather(1, (after - 1).clamp(min=0)) > zk.gather(1, first))
        after = after.clamp(1, xk.shape[1] - 1)
        dx, dz = (k.gather(1, after) - k.gather(1, after - 1) for k in (xk, zk))
        end = torch.where(v < xk[:, :1], self.slopes[:, :1], self.slopes[:, 1:]).double()
        beyond = (v < xk[:, :1]) | (v >= xk[:, -1:])
        odd = atom | (beyond & (end == 0)) | torch.tensor(self.integer, device=x.device)[:, None]
        if odd.any():
            column = int(odd.any(1).nonzero()[0])
            raise InputError(
                f"quantile transform: column {column}: {int(odd[column].sum())} of {len(x)} values are integers or "
                "atoms, which have a probability and no density; histogram a sample"
            )
        return torch.where(beyond, -end.log(), dz.log() - dx.log()).float().T.contiguous()

    def inverse(self, z: Tensor) -> Tensor:
        """(N, D) -> (N, D) in the units of the data; atoms and integers exactly."""
        xk, zk, slopes = self.x_knots.double(), self.z_knots.double(), self.slopes.double()
        y = z.float().double().clamp(-LIMIT, LIMIT).T.contiguous()
        left = (torch.searchsorted(zk, y, right=True) - 1).clamp(0, zk.shape[1] - 2)
        z0, z1 = zk.gather(1, left), zk.gather(1, left + 1)
        x0, x1 = xk.gather(1, left), xk.gather(1, left + 1)
        share = torch.where(z1 > z0, (y - z0) / torch.where(z1 > z0, z1 - z0, torch.ones_like(y)), torch.ones_like(y))
        x = x0 + share * (x1 - x0)
        x = torch.where(y < zk[:, :1], xk[:, :1] + slopes[:, :1] * (y - zk[:, :1]), x)
        x = torch.where(y > zk[:, -1:], xk[:, -1:] + slopes[:, 1:] * (y - zk[:, -1:]), x)
        # In the gap between two integers: to the nearer end, so that no fraction is ever returned.
        whole = torch.where(share < 0.5, x0, x1)
        integer = torch.tensor(self.integer, device=z.device)[:, None]
        return torch.where(integer, whole, x).float().T.contiguous()

    def _table(self, x: Tensor, w: Tensor, column: int) -> tuple[Tensor, Tensor, Tensor]:
        """Knots (x, z) of one column, both non-decreasing, and dx/dz beyond its ends (0: an atom ends it)."""
        values, place, counts = torch.unique(x, return_inverse=True, return_counts=True)
        mass = torch.zeros(len(values), dtype=torch.float64).index_add_(0, place, w)
        share = mass / mass.sum()
        upper = share.cumsum(0)
        lower = upper - share
        if self.integer[column]:
            if (values != values.round()).any():
                odd = float(x[x != x.round()][0])
                raise InputError(f"quantile transform: column {column} is declared integer and holds {odd}")
            atomic = torch.ones(len(values), dtype=torch.bool)
        else:
            declared = torch.tensor(self.atoms[column], dtype=torch.float32).double()
            atomic = torch.isin(values, declared) | ((share >= TIE) & (counts >= TIE_COUNT)) | (len(values) == 1)
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
                zs += _normal([p0, p1])
            else:
                xk, zk = self._stretch(values[start:stop], (lower + upper)[start:stop] / 2, p0, p1, len(x))
                if start == 0:
                    ends[0] = (xk[1] - xk[0]) / (zk[1] - zk[0])
                if stop == len(values):
                    ends[1] = (xk[-1] - xk[-2]) / (zk[-1] - zk[-2])
                xs += xk
                zs += zk
        z = torch.tensor(zs, dtype=torch.float64).cummax(0).values
        return torch.tensor(xs, dtype=torch.float64), z, torch.tensor(ends, dtype=torch.float64)

    def _stretch(self, values: Tensor, middle: Tensor, p0: float, p1: float, events: int) -> tuple[list, list]:
        """Knots of one continuous stretch with probabilities p0 to p1; `middle` is F at each of its distinct values."""
        if len(values) == 1:  # One event between two atoms: a stretch needs a width.
            spread = max(abs(float(values[0])), 1.0) * 1e-6
            values = torch.stack([values[0] - spread, values[0] + spread])
            middle = torch.tensor([p0 + 0.25 * (p1 - p0), p1 - 0.25 * (p1 - p0)], dtype=torch.float64)
        # An outer end keeps its value's own F, half an event from 0 or 1; an inner one lies on the atom's border.
        inner_low, inner_high = p0 > 0.1 / events, p1 < 1 - 0.1 / events
        ends = _normal([p0 if inner_low else float(middle[0]), p1 if inner_high else float(middle[-1])])
        z = torch.linspace(ends[0], ends[1], min(self.knots, len(values)), dtype=torch.float64)
        p = torch.special.ndtr(z)
        right = torch.searchsorted(middle, p).clamp(1, len(middle) - 1)
        share = ((p - middle[right - 1]) / (middle[right] - middle[right - 1])).clamp(0, 1)
        x = (values[right - 1] + share * (values[right] - values[right - 1])).float().double()
        x[0], x[-1] = values[0], values[-1]
        if inner_high:
            # One step of single precision below the atom's border: the largest value must not come back as the atom.
            z[-1] = torch.nextafter(z[-1].float(), torch.tensor(-torch.inf)).double()
        keep = torch.cat([torch.tensor([True]), (x[1:-1] > x[0]) & (x[1:-1] < x[-1]), torch.tensor([True])])
        keep[1:-1] &= (x[1:-1] > x[:-2]) & (z[1:-1] < z[-1])
        return x[keep].tolist(), z[keep].tolist()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        # The number of knots comes from the data: the buffers take the size that was saved.
        for name in ("x_knots", "z_knots"):
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name], device=self.slopes.device))
        super()._load_from_state_dict(state_dict, prefix, *args)


def _normal(p: list[float]) -> list[float]:
    """Normal quantiles, rounded to single precision and held within the limit."""
    z = torch.special.ndtri(torch.tensor(p, dtype=torch.float64).clamp(0, 1)).clamp(-LIMIT, LIMIT)
    return z.float().double().tolist()
