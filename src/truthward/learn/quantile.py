"""Transform columns of any distribution to standard normal ones and back, by the probability integral transform."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from truthward.errors import InputError
from truthward.learn.knots import LIMIT, knots_of, padded


class QuantileTransform(nn.Module):
    """x (N, D) <-> z (N, D), each column of z standard normal on the sample that it was fitted to.

    The distributional transform (Rueschendorf, J. Stat. Plan. Inference 139 (2009) 3921): z = Phi^-1(F(x-) + u P(x))
    with u uniform. An atom has the interval [F(x-), F(x)] of probability. The inverse of the whole interval is exactly
    that value, so a model of z also describes the probability of the atom. Continuous stretches are linear in z between
    `knots` weighted quantiles, which are equidistant in z.

    Rules:
        - Values are compared in single precision, as event tables store them.
        - In an integer column each value of the sample is an atom. Another value gets the z of the gap in which it
          lies, and returns as one of the ends of the gap.
        - Atoms that were not declared are found (`learn.knots`): a value with at least 1e-4 of the weight and 20
          events, and a smallest or largest value that 3 events share, which is a limit.
        - Beyond a continuous end both directions continue linearly with the slope of the last stretch, up to |z| = 8.
          Beyond an end that is an atom, a value counts as that atom.
        - Only the absolute values of weights count: a distribution function of signed weights need not be monotone,
          and the map need only be invertible. The model's own signed weights take care of the sign. Events of weight
          zero are ignored.

    Args:
        columns: D.
        knots: largest number of quantile knots of each continuous stretch.
        atoms: one list of values for each column; () if there are none.
        integer: whether each column holds integers; () if there are none.
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
        self.columns, self.knots = columns, knots
        self.atoms = [tuple(a) for a in atoms] or [()] * columns
        self.integer = [bool(i) for i in integer] or [False] * columns
        if len(self.atoms) != columns or len(self.integer) != columns or knots < 2:
            raise InputError(
                f"quantile transform of {columns} columns: {len(self.atoms)} lists of atoms, {len(self.integer)} "
                f"integer flags, {knots} knots given; one of each per column, and at least 2 knots, are needed"
            )
        # Before the fit: the identity on [-1, 1], continued linearly.
        self.register_buffer("x_knots", torch.tensor([-1.0, 1.0]).repeat(columns, 1))
        self.register_buffer("z_knots", torch.tensor([-1.0, 1.0]).repeat(columns, 1))
        self.register_buffer("slopes", torch.ones(columns, 2))

    def fit(self, x: Tensor, weights: Tensor | None = None) -> QuantileTransform:
        """Take the quantiles from `x` (N, D) with `weights` (N,), or (N, D) if columns are absent in some events.

        Raises:
            InputError: no event of non-zero weight, a value that is not finite, or a fraction in an integer column.
        """
        w = torch.ones(len(x)) if weights is None else weights
        w = (w if w.ndim == 2 else w[:, None]).double().abs().expand(len(x), self.columns)
        tables = [
            knots_of(
                x[:, c],
                w[:, c],
                name=f"quantile transform: column {c}",
                knots=self.knots,
                atoms=self.atoms[c],
                integer=self.integer[c],
            )
            for c in range(self.columns)
        ]
        self.x_knots, self.z_knots = padded([t.x for t in tables]), padded([t.z for t in tables])
        self.slopes = torch.stack([t.ends for t in tables]).float()
        return self

    def forward(self, x: Tensor, u: Tensor) -> Tensor:
        """(N, D) -> (N, D) standard normal; `u` (N, D) uniform on [0, 1) places a value in the interval of its atom.

        Raises:
            InputError: a value is not finite.
        """
        if not torch.isfinite(x).all():
            raise InputError(
                f"quantile transform: {int((~torch.isfinite(x)).sum())} of {x.numel()} values are not finite"
            )
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
        # Rounding must not move an atom into the interval of its neighbour: its own interval is [low, high).
        below = torch.nextafter(high.float(), torch.full_like(high, -torch.inf, dtype=torch.float32))
        atom = torch.minimum(torch.maximum(within, low.float()), below)
        z = torch.where(high > low, atom, low.float())
        # Strictly between two knots, `last` is the lower one and `first` the upper one.
        x0, x1 = xk.gather(1, last), xk.gather(1, first)
        share = (v - x0) / torch.where(x1 > x0, x1 - x0, torch.ones_like(v))
        z = torch.where(here, z, (high + share * (low - high)).float())
        down, up = (torch.where(s == 0, torch.ones_like(s), s) for s in (slopes[:, :1], slopes[:, 1:]))
        z = torch.where(v < lowest, (zk[:, :1] + (v - lowest) / down).float(), z)
        z = torch.where(v > highest, (zk[:, -1:] + (v - highest) / up).float(), z)
        return z.clamp(-LIMIT, LIMIT).T.contiguous()

    def log_slope(self, x: Tensor) -> Tensor:
        """ln dz/dx at x, (N, D) -> (N, D): the log of the factor on a density in z; piecewise constant.

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
                "atoms, which have a probability but no density; use a histogram of a sample"
            )
        return torch.where(beyond, -end.log(), dz.log() - dx.log()).float().T.contiguous()

    def inverse(self, z: Tensor) -> Tensor:
        """(N, D) -> (N, D) in the units of the data; atoms and integers are exact."""
        xk, zk, slopes = self.x_knots.double(), self.z_knots.double(), self.slopes.double()
        y = z.float().double().clamp(-LIMIT, LIMIT).T.contiguous()
        left = (torch.searchsorted(zk, y, right=True) - 1).clamp(0, zk.shape[1] - 2)
        z0, z1 = zk.gather(1, left), zk.gather(1, left + 1)
        x0, x1 = xk.gather(1, left), xk.gather(1, left + 1)
        share = torch.where(z1 > z0, (y - z0) / torch.where(z1 > z0, z1 - z0, torch.ones_like(y)), torch.ones_like(y))
        x = x0 + share * (x1 - x0)
        x = torch.where(y < zk[:, :1], xk[:, :1] + slopes[:, :1] * (y - zk[:, :1]), x)
        x = torch.where(y > zk[:, -1:], xk[:, -1:] + slopes[:, 1:] * (y - zk[:, -1:]), x)
        # In the gap between two integers take the nearer one, so that no fraction is returned.
        whole = torch.where(share < 0.5, x0, x1)
        integer = torch.tensor(self.integer, device=z.device)[:, None]
        return torch.where(integer, whole, x).float().T.contiguous()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        # The number of knots comes from the data, so the buffers take the size that was saved.
        for name in ("x_knots", "z_knots"):
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name], device=self.slopes.device))
        super()._load_from_state_dict(state_dict, prefix, *args)
