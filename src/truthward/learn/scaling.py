"""The scaling of all network inputs: normal scores of ranks, learned from a sample and saved with the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from truthward.errors import InputError
from truthward.learn.knots import knots_of, normal, padded

ROWS = 65536
"""Number of rows that are scaled at once, because many intermediate results are in double precision."""

SPIKES = 8
"""Largest number of spikes of a column that get their own input."""

Sample = tuple[Tensor, Tensor | None]
"""Values (N, D), and weights (N,), or (N, D) if columns are absent in some events; None: all weights are one."""


class RankScaling(nn.Module):
    """x (..., D) -> inputs of a network (..., K), K >= D.

    The first D inputs are normal scores of the columns' ranks in the sample of the fit. Then follows an input of 0 or 1
    for each value that stands out, and for each column with missing values.

    It is `learn.quantile.QuantileTransform` without random numbers; both use the same knots (`learn.knots`). A unit, a
    shift, or any other monotone map of a column changes nothing. Tails and single far values do not decide what a
    network can see.

    Rules:
        - Between two of 64 weighted quantiles, equidistant in the score, a score is linear in x.
        - Equal values, and so integers, have the score of their middle rank.
        - Some atoms have their own input, which is 1 only for them, so that the network can separate them from the
          continuum. These are declared atoms that occur in the sample, and atoms that were found with at least 0.1% of
          the weight and ten times the weight of their neighbours.
        - Beyond the ends the score grows as ln(1 + ln(1 + t)), with t in units of the last stretch. So values outside
          are still ordered, and never far away.
        - A missing value is NaN. If allowed, it has score 0 and its own input; if not, it is refused.
        - Only the relative absolute values of weights count; events of weight zero are ignored.

    Args:
        size: D. atoms: declared values, one list for each column; () if there are none.
        spikes: whether atoms get their own inputs. Without them and without missing values, K is D.
        missing: whether values may be missing.

    Attributes:
        size: D. inputs: K, known after it is fitted or loaded.
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
        """Rebuild from its `state_dict`, as arrays."""
        state = {n: torch.as_tensor(a) for n, a in arrays.items()}
        found = cls(len(state["x_knots"]), missing=len(state["missing_columns"]) > 0)
        found.load_state_dict(state)
        return found

    def fit(self, *samples: Sample) -> RankScaling:
        """Take the ranks from all samples together; each sample has the same total weight, whatever its yield is.

        If two samples are compared, give both: a network should see every region in which one of them has events.

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
            # In a column with a single value nothing can stand out.
            spikes += [(c, v) for v in knots.spikes[:SPIKES]] if self.spikes and len(tables[-1][0]) > 1 else []
        self.x_knots, self.scores = (padded([t[i] for t in tables]) for i in (0, 1))
        self.widths = torch.stack([t[2] for t in tables]).float()
        self.spike_columns = torch.tensor([c for c, _ in spikes], dtype=torch.int64)
        self.spike_values = torch.tensor([v for _, v in spikes], dtype=torch.float32)
        self.missing_columns = torch.nonzero(absent.any(0)).squeeze(1)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., K) float32. Do this once for a table, not in each pass of a network.

        Raises:
            InputError: a value is not finite, or is missing in a column that had no missing values in the fit.
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
        """Only the scores, (N, D) -> (N, D), without checks: it runs inside networks and under vmap."""
        xk, zk, widths = self.x_knots.double(), self.scores.double(), self.widths.double()
        v = x.float().double().transpose(-1, -2).contiguous()
        # The sum has the dimension of the members if there is one: a search in shared values would warn of copies.
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
        # The numbers of knots and of spikes come from the data, so buffers take the sizes that were saved.
        for name, buffer in self.named_buffers():
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name], device=buffer.device))
        super()._load_from_state_dict(state_dict, prefix, *args)


def _middles(x: Tensor, z: Tensor, ends: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Knots (K,) that strictly rise, their scores, and the widths beyond the ends.

    An atom has two knots in the table. Here it has one, with the score in the middle of its interval.
    """
    values, place = torch.unique(x, return_inverse=True)
    p = torch.special.ndtr(z)
    low, high = (torch.zeros_like(values).scatter_reduce_(0, place, p, r, include_self=False) for r in ("amin", "amax"))
    first = torch.zeros_like(values).scatter_reduce_(0, place, z, "amin", include_self=False)
    scores = torch.where(high > low, torch.tensor(normal(0.5 * (low + high)), dtype=torch.float64), first)
    if len(values) == 1:
        # There is no unit here: every other value is far from this value.
        return values, scores, torch.full((2,), torch.finfo(torch.float32).tiny, dtype=torch.float64)
    # Beyond an atom there is no stretch, so the unit is the distance to the next value.
    steps = torch.stack([values[1] - values[0], values[-1] - values[-2]])
    return values, scores, torch.where(ends > 0, ends, steps)
