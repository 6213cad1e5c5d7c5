"""Conditional coupling flow of rational-quadratic splines, known as cINN in particle physics."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from zuko.transforms import MonotonicRQSTransform

from truthward.errors import ConfigError
from truthward.learn.nets import MLP
from truthward.models.base import GenerativeModel

BOUND = 5.0
"""The splines act on [-BOUND, BOUND], and outside is the identity: a normal column has hardly any events there."""

LIMIT = 0.5 * math.log(1e3)
"""Widths, heights and derivatives lie within exp(+-LIMIT), so no bin is a thousand times narrower than another."""


class CouplingFlow(GenerativeModel):
    """An invertible map between data and standard normal noise, trained by maximum likelihood.

    Each coupling moves some columns by monotonic splines on [-5, 5], with the identity outside (Durkan et al.
    1906.04032, eqs. 4 and 5). A network finds the knots from the other columns and the condition (cINN: 2006.06685).
    The bits of a column's index decide which couplings move it (2001.05486, sec. 3.2). So ceil(log2 D) couplings
    separate each pair of columns.

    Args:
        dimensions: D, given by the program.
        conditions: C, given by the program.
        transforms: number of couplings, at least ceil(log2 D) + 1, so that each column is moved and sees each other
            column.
        bins: number of bins in each spline.
        width: number of nodes in each hidden layer of a coupling's network.
        depth: number of hidden layers.
        activation: function between the hidden layers.
        batch: events that are drawn at once, so that the activations stay in the processor's cache.
    """

    LIKELIHOOD = True
    BOUNDS = (
        (">= 1", "transforms width depth batch"),
        (">= 2", "bins"),
    )

    def __init__(
        self,
        *,
        dimensions: int,
        conditions: int,
        transforms: int = 6,
        bins: int = 8,
        width: int = 64,
        depth: int = 2,
        activation: Literal["relu", "gelu", "silu", "tanh"] = "relu",
        batch: int = 4096,
    ) -> None:
        super().__init__(dimensions=dimensions, conditions=conditions)
        bits = (dimensions - 1).bit_length()
        if transforms <= bits or bins < 2 or min(width, depth, batch) < 1:
            raise ConfigError(
                f"coupling_flow: transforms {transforms}, bins {bins}, width {width}, depth {depth}, batch {batch} "
                f"given; at least {bits + 1} (for {dimensions} dimensions), 2, 1, 1 and 1 are needed, in this order"
            )
        self.batch = batch
        networks = {"width": width, "depth": depth, "activation": activation}
        moved = [
            [d for d in range(dimensions) if not bits or (d >> i % bits) & 1 == (i % bits + i // bits) % 2]
            for i in range(transforms)
        ]
        self.couplings = nn.ModuleList(Coupling(m, dimensions, conditions, bins, **networks) for m in moved)

    def loss(self, x: Tensor, condition: Tensor) -> Tensor:
        """-log p(x | condition), (B, D), (B, C) -> (B,)."""
        return -self.log_prob(x, condition)

    def log_prob(self, x: Tensor, condition: Tensor) -> Tensor:
        """log p(x | condition), (B, D), (B, C) -> (B,), exact by the change of variables; see `GenerativeModel`."""
        columns, given = list(x.unbind(-1)), condition.unbind(-1)
        total = -0.5 * self.dimensions * math.log(2.0 * math.pi)
        for coupling in self.couplings:
            columns, change = coupling(columns, given)
            total = total + change
        return total - 0.5 * torch.stack(columns).square().sum(0)

    @torch.no_grad()
    def sample(self, condition: Tensor, noise: Tensor | None = None) -> Tensor:
        """(B, C) -> (B, D); the inverse map starts from `noise` (B, D)."""
        if noise is None:
            noise = torch.randn(condition.shape[0], self.dimensions, device=condition.device, dtype=condition.dtype)
        parts = []
        for x, c in zip(noise.split(self.batch), condition.split(self.batch), strict=True):
            columns, given = list(x.unbind(-1)), c.unbind(-1)
            for coupling in reversed(self.couplings):
                assert isinstance(coupling, Coupling)
                columns = coupling.inverse(columns, given)
            parts.append(torch.stack(columns, -1))
        return torch.cat(parts)


class Coupling(nn.Module):
    """Moves the columns `moved` of x by splines that depend on the other columns and on the condition.

    The coupling of zuko finds these columns from a mask in a buffer, and `torch.func.vmap` refuses this. Here the
    column numbers are known and x is a list of columns (B,), so nothing is gathered or scattered.
    """

    def __init__(self, moved: list[int], dimensions: int, conditions: int, bins: int, **network) -> None:
        super().__init__()
        self.moved, self.kept = moved, [d for d in range(dimensions) if d not in moved]
        self.network = MLP(max(len(self.kept) + conditions, 1), len(moved) * (3 * bins - 1), **network)
        # Not buffers: then every member of a stack would have its own copy.
        self.knots = _knots(bins)

    def forward(self, columns: list[Tensor], given: tuple[Tensor, ...]) -> tuple[list[Tensor], Tensor]:
        """Towards the noise: D columns (B,) of x and C of the condition -> D columns and log |det| (B,)."""
        y, change = self._spline(columns, given).call_and_ladj(torch.stack([columns[d] for d in self.moved], -1))
        return self._with(columns, y), change.sum(-1)

    def inverse(self, columns: list[Tensor], given: tuple[Tensor, ...]) -> list[Tensor]:
        """Towards the data: the inverse of `forward`, without the determinant."""
        return self._with(columns, self._spline(columns, given).inv(torch.stack([columns[d] for d in self.moved], -1)))

    def _spline(self, columns: list[Tensor], given: tuple[Tensor, ...]) -> Spline:
        # If there is nothing to depend on, the network sees a constant.
        seen = [*(columns[d] for d in self.kept), *given] or [torch.ones_like(columns[0])]
        found = self.network(torch.stack(seen, -1)).to(columns[0].dtype).unflatten(-1, (len(self.moved), -1))
        positive = (LIMIT * torch.tanh(found / LIMIT)).exp()
        weight, bias = (t.to(found) for t in self.knots)
        # In bf16 (8 bits) the sums would not rise from knot to knot.
        with torch.autocast(found.device.type, enabled=False):
            return Spline(linear(positive, weight, bias).unflatten(-1, (3, -1)))

    def _with(self, columns: list[Tensor], y: Tensor) -> list[Tensor]:
        new = dict(zip(self.moved, y.unbind(-1), strict=True))
        return [new.get(d, column) for d, column in enumerate(columns)]


class Spline(MonotonicRQSTransform):
    """The spline of zuko at half the cost.

    zuko spends its time on softmax and cumulative sums over few bins, and on three gathers. Here one matrix product
    gives all knots, and one gather gives the knots beside x. Only these are scaled to [-BOUND, BOUND].

    Args:
        knots: (B, d, 3, K + 1): places in x and in y, which rise from 0 to any end, and derivatives.
    """

    def __init__(self, knots: Tensor) -> None:
        super(MonotonicRQSTransform, self).__init__()
        self.knots = knots
        self.scale = 2.0 * BOUND / knots[..., :2, -1:]

    @property
    def horizontal(self) -> Tensor:
        """Edges of the bins in x, (B, d, K + 1), to look x up."""
        return self._ends(0)

    @property
    def vertical(self) -> Tensor:
        """Edges of the bins in y, (B, d, K + 1)."""
        return self._ends(1)

    def bin(self, k: Tensor) -> tuple[Tensor, ...]:
        """For bin k (B, d): whether there is such a bin; x, y and derivative at both edges; mean slope."""
        bins = self.knots.shape[-1] - 1
        inside, k = (k >= 0) & (k < bins), k.clamp(0, bins - 1)[..., None]
        near = self.knots.gather(-1, torch.stack([k, k + 1], -1).expand(*k.shape[:-1], 3, 2))
        ends = near[..., :2, :] * self.scale - BOUND
        (x0, y0), (x1, y1) = (e.unbind(-1) for e in ends.unbind(-1))
        d0, d1 = near[..., 2, :].unbind(-1)
        return inside, x0, x1, y0, y1, d0, d1, (y1 - y0) / (x1 - x0)

    def _ends(self, axis: int) -> Tensor:
        return self.knots[..., axis, :].detach() * self.scale[..., axis, :].detach() - BOUND


def _knots(bins: int) -> tuple[Tensor, Tensor]:
    """Weight (3 (K + 1), 3 K - 1) and bias of the linear map from widths, heights and inner derivatives to `knots`."""
    weight, bias = torch.zeros(3, bins + 1, 3 * bins - 1), torch.zeros(3, bins + 1)
    sums = torch.ones(bins + 1, bins).tril(-1)
    weight[0, :, :bins] = weight[1, :, bins : 2 * bins] = sums
    weight[2, 1:-1, 2 * bins :] = torch.eye(bins - 1)
    bias[2, [0, -1]] = 1.0
    return weight.flatten(0, 1), bias.flatten()
