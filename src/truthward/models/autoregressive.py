"""Autoregressive density: the columns are drawn one after the other, each given the columns before it."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from truthward.errors import ConfigError
from truthward.learn.nets import ACTIVATIONS
from truthward.models.base import GenerativeModel

FARTHEST, HALVINGS = 16.0, 28
"""The search for a quantile starts at |x| = FARTHEST and halves the interval HALVINGS times: down to 1e-7."""


class Autoregressive(GenerativeModel):
    """p(x | c) = prod_d p(x_d | x_1 ... x_{d-1}, c), each factor a mixture of Gaussians (JetGPT, 2305.10475, sec. 2.3).

    One masked network gives all mixtures. It has direct connections from input to output (MADE, 1502.03509, secs. 3
    and 4). The density needs one call of the network, and a draw needs one call for each column. x_d is the quantile
    of its mixture at the probability Phi(noise_d), found by bisection.

    Args:
        dimensions: D, given by the program.
        conditions: C, given by the program.
        components: number of Gaussians in each mixture.
        width: number of nodes in each hidden layer.
        depth: number of hidden layers.
        activation: function between the hidden layers.
        batch: events that are drawn at once, so that the activations stay in the processor's cache.
    """

    LIKELIHOOD = True
    BOUNDS = ((">= 1", "components width depth batch"),)

    def __init__(
        self,
        *,
        dimensions: int,
        conditions: int,
        components: int = 8,
        width: int = 128,
        depth: int = 2,
        activation: Literal["relu", "gelu", "silu", "tanh"] = "relu",
        batch: int = 4096,
    ) -> None:
        super().__init__(dimensions=dimensions, conditions=conditions)
        if min(components, depth, batch) < 1 or width < dimensions:
            raise ConfigError(
                f"autoregressive: components {components}, width {width}, depth {depth}, batch {batch} given; at least "
                f"1, {dimensions} (a unit for each column), 1 and 1 are needed"
            )
        self.components, self.batch = components, batch
        # A unit sees only units of its own degree or lower. Column d has degree d, its mixture has degree d - 1.
        given = torch.cat([torch.arange(1, dimensions + 1), torch.zeros(conditions, dtype=torch.long)])
        asked = torch.arange(dimensions).repeat_interleave(3 * components)
        layers: list[nn.Module] = []
        seen = given
        for _ in range(depth):
            own = torch.arange(width) % dimensions
            layers += [Masked(seen, own), ACTIVATIONS[activation]()]
            seen = own
        self.network, self.direct = nn.Sequential(*layers, Masked(seen, asked)), Masked(given, asked)

    def loss(self, x: Tensor, condition: Tensor) -> Tensor:
        """-log p(x | condition), (B, D), (B, C) -> (B,)."""
        return -self.log_prob(x, condition)

    def log_prob(self, x: Tensor, condition: Tensor) -> Tensor:
        """log p(x | condition), (B, D), (B, C) -> (B,), exact; see `GenerativeModel`."""
        share, mean, width = self._mixtures(x, condition)
        pull = (x[..., None] - mean) / width
        each = share.log_softmax(-1) - 0.5 * pull.square() - width.log()
        return each.logsumexp(-1).sum(-1) - 0.5 * self.dimensions * math.log(2.0 * math.pi)

    @torch.no_grad()
    def sample(self, condition: Tensor, noise: Tensor | None = None) -> Tensor:
        """(B, C) -> (B, D); the quantiles at the probabilities Phi(noise), noise (B, D), are drawn."""
        if noise is None:
            noise = torch.randn(condition.shape[0], self.dimensions, device=condition.device, dtype=condition.dtype)
        return torch.cat(
            [self._drawn(z, c) for z, c in zip(noise.split(self.batch), condition.split(self.batch), strict=True)]
        )

    def _drawn(self, noise: Tensor, condition: Tensor) -> Tensor:
        columns = [torch.zeros_like(z) for z in noise.unbind(-1)]
        for d, z in enumerate(noise.unbind(-1)):
            columns[d] = _quantile(z, *(m[:, d] for m in self._mixtures(torch.stack(columns, -1), condition)))
        return torch.stack(columns, -1)

    def _mixtures(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the shares, means and widths, (B, D, K) each. Mixture d depends on the columns before column d."""
        given = torch.cat([x, condition], -1)
        found = (self.network(given) + self.direct(given)).to(x.dtype)
        share, mean, width = found.unflatten(-1, (self.dimensions, 3, self.components)).unbind(-2)
        # Components that start at the same place would move together.
        start = torch.linspace(-2.0, 2.0, self.components, device=x.device, dtype=x.dtype)
        return share, mean + start, softplus(width) + 1e-3


class Masked(nn.Linear):
    """A linear layer: outputs of degree `own` see only inputs of the same degree or lower."""

    mask: Tensor

    def __init__(self, seen: Tensor, own: Tensor) -> None:
        super().__init__(len(seen), len(own))
        self.register_buffer("mask", (own[:, None] >= seen).float())

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        return linear(x, self.mask * self.weight, self.bias)


def _quantile(z: Tensor, share: Tensor, mean: Tensor, width: Tensor) -> Tensor:
    """The x (B,) at which the mixtures (B, K) have the cumulative probability Phi(z) (B,)."""
    # Integrate from the nearer end: in single precision 1 - Phi(6) has a value, but Phi(6) rounds to 1.
    side = torch.where(z > 0.0, -1.0, 1.0).to(z)
    wanted, share = torch.special.ndtr(side * z), share.softmax(-1)
    low, high = torch.full_like(z, -FARTHEST), torch.full_like(z, FARTHEST)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        found = (share * torch.special.ndtr(side[:, None] * (middle[:, None] - mean) / width)).sum(-1)
        below = side * found < side * wanted
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return 0.5 * (low + high)
