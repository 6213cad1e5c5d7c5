"""THE scaling of network inputs: normal scores of ranks, learned from a sample and saved with the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from truthward.errors import InputError
from truthward.learn.knots import knots_of, normal, padded

ROWS = 65536
"""Rows that are scaled at once: the intermediate results of many are in double precision."""

SPIKES = 8
"""Spikes of a column that get an input of their own, at most."""

Sample = tuple[Tensor, Tensor | None]
"""Values (N, D), and weights (N,), or (N, D) where columns are absent in some events; None for ones."""


class RankScaling(nn.Module):
    """x (..., D) -> inputs of a network (..., K), K >= D: normal scores of the columns' ranks in the sample it was
    fitted to, then an input of 0 and 1 for each value that stands out, and for each column with missing values.

    The face without randomness of `learn.quantile.QuantileTransform`; both read the same knots (`learn.knots`). A unit,
    a shift, or any other monotone map of a column changes nothing, and no tail or single far value decides what a
    network can see.

    Rules:
        - Between two of 64 weighted quantiles, equidistant in the score, a score is linear in x.
        - Equal values have the score of their middle rank; so have integers.
        - Declared atoms that the sample holds, and found ones of at least 0.1% that are ten times as frequent as their
          neighbours, have an input that is 1 for them alone: to the network they are no part of the continuum.
        - Beyond the ends the score goes on as ln(1 + ln(1 + t)), t in units of the last stretch: what lies outside is
          still ordered, and never far away.
        - A missing value is NaN; where it is allowed it has score 0 and an input of its own, else it is refused.
        - Weights enter by magnitude, and only in proportion; events of weight zero are not seen.

    Args:
        size: D. atoms: declared values, one list a column; () for none anywhere.
        spikes: whether atoms get inputs of their own; K is D without them and without missing values.
        missing: whether values may be missing.

    Attributes:
        size: D. inputs: K, known once it is fitted or loaded.
    """

    x_knots: Tensor
    scores: Tensor
    widths: Tensor
    spike_columns: Tensor
    spike_values: Tensor
    missing_columns: Tensor

    def __init__(
        self, size: int, *, atoms: Sequence[Sequence[float]] = (), spikes: bool = True, missing: bool = False
    ) -> None:
        super().__init__()
        self.size, self.spikes, self.missing = size, spikes, missing
        self.atoms = [tuple(a) for a in atoms] or [()] * size
        if len(self.atoms) != size:
            raise InputError(
                f"scaling of {size} columns: {len(self.atoms)} lists of atoms given; one per column is needed"
            )
        self.register_buffer("x_knots", torch.tensor([-1.0, 1.0]).repeat(size, 1))
        self.register_buffer("scores", torch.tensor([-1.0, 1.0]).repeat(size, 1))
        self.register_buffer("widths", torch.ones(size, 2))
        self.register_buffer("spike_columns", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("spike_values", torch.zeros(0))
        self.register_buffer("missing_columns", torch.zeros(0, dtype=torch.int64))

    @property
    def inputs(self) -> int:
        """K."""
        return self.size + len(self.spike_columns) + len(self.missing_columns)

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any]) -> RankScaling:
        """Back from its `state_dict`, as arrays."""
        state = {n: torch.as_tensor(a) for n, a in arrays.items()}
        found = cls(len(state["x_knots"]), missing=len(state["missing_columns"]) > 0)
        found.load_state_dict(state)
        return found

    def fit(self, *samples: Sample) -> RankScaling:
        """Take the ranks from all samples together, which count alike whatever their weights sum to.

        Two samples that are compared are given both: a network is to see where either has events.

        Raises:
            InputError: no event of non-zero weight, or values that are not finite.
        """
        x = torch.cat([x for x, _ in samples])
        w = torch.cat([self._weights(*s) for s in samples])
        absent = torch.isnan(x) if self.missing else torch.zeros_like(x, dtype=torch.bool)
        w = torch.where(absent, 0.0, w)
        bad = int((~torch.isfinite(x) & (w != 0)).sum())
        if bad or not (w != 0).any():
            raise InputError(
                f"scaling: {len(x)} events, {bad} values not finite, {int((w != 0).any(1).sum())} events of non-zero "
                "weight; finite values and at least one such event are needed"
            )
        spikes: list[tuple[int, float]] = []
        tables = []
        for c in range(self.size):
            empty = not (w[:, c] != 0).any()
            column = (x[:1, c].new_zeros(1), w.new_ones(1)) if empty else (x[:, c], w[:, c])
            knots = knots_of(*column, name=f"scaling: column {c}", knots=64, atoms=self.atoms[c])
            tables.append(_middles(knots.x, knots.z, knots.ends))
            # A column of a single value has nothing to stand out from.
            spikes += [(c, v) for v in knots.spikes[:SPIKES]] if self.spikes and len(tables[-1][0]) > 1 else []
        self.x_knots, self.scores = (padded([t[i] for t in tables]) for i in (0, 1))
        self.widths = torch.stack([t[2] for t in tables]).float()
        self.spike_columns = torch.tensor([c for c, _ in spikes], dtype=torch.int64)
        self.spike_values = torch.tensor([v for _, v in spikes], dtype=torch.float32)
        self.missing_columns = torch.nonzero(absent.any(0)).squeeze(1)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., K) float32; to be done once for a table, not in each pass of a network.

        Raises:
            InputError: a value is not finite; or it is missing where none was when it was fitted.
        """
        absent = torch.isnan(x) if len(self.missing_columns) else torch.zeros(1, dtype=torch.bool)
        known = torch.isin(torch.arange(self.size), self.missing_columns)
        bad = ~torch.isfinite(x) & ~(absent & known)
        if bad.any():
            raise InputError(f"scaling: {int(bad.sum())} of {x.numel()} values are not finite")
        flat = x.reshape(-1, self.size)
        found = flat.new_empty((len(flat), self.inputs), dtype=torch.float32)
        for part, rows in zip(found.split(ROWS), flat.split(ROWS), strict=True):
            absent = torch.isnan(rows)
            part[:, : self.size] = self.ranks(torch.where(absent, 0.0, rows)).masked_fill_(absent, 0.0)
            spiked = rows.float()[:, self.spike_columns] == self.spike_values
            part[:, self.size :] = torch.cat([spiked, absent[:, self.missing_columns]], 1)
        return found.reshape(*x.shape[:-1], self.inputs)

    def ranks(self, x: Tensor) -> Tensor:
        """The scores alone, (N, D) -> (N, D), unchecked: what runs inside of a network, and under vmap."""
        xk, zk, widths = self.x_knots.double(), self.scores.double(), self.widths.double()
        v = x.float().double().transpose(-1, -2).contiguous()
        # The sum has the members' dimension where there is one: a search in shared values would complain of copies.
        right = torch.searchsorted(xk, v + 0.0 * xk[..., :1]).clamp(1, xk.shape[-1] - 1)
        x0, x1, z0, z1 = (k.gather(-1, i) for k in (xk, zk) for i in (right - 1, right))
        share = ((v - x0) / torch.where(x1 > x0, x1 - x0, torch.ones_like(v))).clamp(0.0, 1.0)
        below = (xk[:, :1] - v).clamp(min=0.0) / widths[:, :1]
        above = (v - xk[:, -1:]).clamp(min=0.0) / widths[:, 1:]
        z = z0 + share * (z1 - z0) + above.log1p().log1p() - below.log1p().log1p()
        return z.transpose(-1, -2).float().contiguous()

    def _weights(self, x: Tensor, weights: Tensor | None) -> Tensor:
        w = torch.ones(len(x), dtype=torch.float64) if weights is None else weights.double().abs()
        w = (w if w.ndim == 2 else w[:, None]).expand(len(x), self.size)
        total = w.sum() / self.size
        return w / torch.where(total > 0, total, torch.ones_like(total))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        # The numbers of knots and of spikes come from the data: buffers take the sizes that were saved.
        for name, buffer in self.named_buffers():
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name], device=buffer.device))
        super()._load_from_state_dict(state_dict, prefix, *args)


def _middles(x: Tensor, z: Tensor, ends: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Knots (K,) that strictly rise, their scores, and the widths beyond the ends: an atom, which stands twice, gets
    the score in the middle of its interval."""
    values, place = torch.unique(x, return_inverse=True)
    p = torch.special.ndtr(z)
    low, high = (torch.zeros_like(values).scatter_reduce_(0, place, p, r, include_self=False) for r in ("amin", "amax"))
    first = torch.zeros_like(values).scatter_reduce_(0, place, z, "amin", include_self=False)
    scores = torch.where(high > low, torch.tensor(normal(0.5 * (low + high)), dtype=torch.float64), first)
    if len(values) == 1:
        # No unit is known: whatever is not this value is far from it.
        return values, scores, torch.full((2,), torch.finfo(torch.float32).tiny, dtype=torch.float64)
    # Beyond an atom there is no stretch: the unit is the distance to what is next.
    steps = torch.stack([values[1] - values[0], values[-1] - values[-2]])
    return values, scores, torch.where(ends > 0, ends, steps)
