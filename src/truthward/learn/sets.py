"""Networks of sets: their answer does not depend on the order of the elements, nor on the padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from truthward.learn.attention import Block
from truthward.learn.nets import ACTIVATIONS, MLP, Activation

TYPICAL = 16.0
"""Sums over elements are given in units of so many, which keeps the pooled numbers of order one."""


class DeepSets(nn.Module):
    """Sum over elements of a network of each, then a network of the sum (Deep Sets 1703.06114; jets 1810.05165).

    Elements are summed, not averaged: their number matters. The last layer starts at zero.

    Args:
        features: F, of each element; context: G, of the set as a whole.
        width: of every layer; depth: hidden layers before the sum, and after it.
    """

    def __init__(
        self, features: int, context: int, *, width: int = 64, depth: int = 2, activation: Activation = "gelu"
    ) -> None:
        super().__init__()
        # The layer that would follow the last activation is linear: it commutes with the sum and is paid once a set.
        self.element = MLP(features, width, width=width, depth=depth - 1, activation=activation)
        self.activation = ACTIVATIONS[activation]()
        self.whole = MLP(width + context, 1, width=width, depth=depth, activation=activation, zero_last=True)

    def forward(self, elements: Tensor, mask: Tensor, context: Tensor) -> Tensor:
        """Elements (B, P, F), mask (B, P) true for real ones, context (B, G) -> logit (B,)."""
        each = self.activation(self.element(elements))
        return self.whole(torch.cat([_sum(each, mask), context], dim=-1)).squeeze(-1)


class ParticleAttention(nn.Module):
    """A transformer of elements, whose attention is biased by features of pairs (Particle Transformer, 2202.03772).

    Blocks are pre-norm. The bias is a linear function of the pairs' features, shared by all blocks: of logarithms, so
    that attention goes with powers of them. Elements are summed at the end. The last layer starts at zero.

    Args:
        features: F, of each element; context: G, of the set as a whole; pairs: K, of each pair.
        width: of the elements' representation, a multiple of `heads`; depth: number of blocks.
    """

    def __init__(
        self,
        features: int,
        context: int,
        pairs: int,
        *,
        width: int = 32,
        depth: int = 2,
        heads: int = 4,
        activation: Activation = "gelu",
    ) -> None:
        super().__init__()
        self.embedding = nn.Linear(features, width)
        # No constant: a softmax does not see it.
        self.bias = nn.Linear(pairs, heads, bias=False)
        self.blocks = nn.ModuleList(Block(width, heads, activation) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.whole = MLP(width + context, 1, width=2 * width, depth=1, activation=activation, zero_last=True)

    def forward(self, elements: Tensor, mask: Tensor, context: Tensor, pairs: Tensor) -> Tensor:
        """As `DeepSets`, with pairs (B, K, P, P) -> logit (B,)."""
        # Finite, so that a set of no elements has a mean of its padding and not NaN.
        closed = -1e4 * (~mask)[:, None, None, :]
        bias = (self.bias.weight @ pairs.flatten(2)).unflatten(2, pairs.shape[2:]) + closed
        x = self.embedding(elements)
        for block in self.blocks:
            x = block(x, bias=bias)
        return self.whole(torch.cat([_sum(self.norm(x), mask), context], dim=-1)).squeeze(-1)


def _sum(elements: Tensor, mask: Tensor) -> Tensor:
    """Sum over the real elements, (B, P, W) -> (B, W), in units of `TYPICAL`."""
    weights = mask.to(elements.dtype)[:, None, :] / TYPICAL
    return (weights @ elements).squeeze(1)
