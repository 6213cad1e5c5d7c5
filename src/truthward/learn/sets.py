"""Networks of sets: the result does not depend on the order of the elements, nor on the padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from truthward.learn.attention import Block
from truthward.learn.nets import ACTIVATIONS, MLP, Activation

TYPICAL = 16.0
"""Sums over elements are divided by this number, which keeps them of order one."""


class DeepSets(nn.Module):
    """Sum over elements of a network of each, then a network of the sum (Deep Sets 1703.06114; jets 1810.05165).

    Elements are summed, not averaged, because their number matters. The last layer starts at zero.

    Args:
        features: F, number of features of each element; context: G, number of features of the set as a whole.
        width: width of every layer; depth: number of hidden layers before the sum, and after it.
    """

    def __init__(
        self, features: int, context: int, *, width: int = 64, depth: int = 2, activation: Activation = "gelu"
    ) -> None:
        super().__init__()
        # The layer after the last activation is linear. It commutes with the sum, so it is computed once for a set.
        self.element = MLP(features, width, width=width, depth=depth - 1, activation=activation)
        self.activation = ACTIVATIONS[activation]()
        self.whole = MLP(width + context, 1, width=width, depth=depth, activation=activation, zero_last=True)

    def forward(self, elements: Tensor, mask: Tensor, context: Tensor) -> Tensor:
        """Elements (B, P, F), mask (B, P), true for real elements, and context (B, G) -> logit (B,)."""
        each = self.activation(self.element(elements))
        return self.whole(torch.cat([_sum(each, mask), context], dim=-1)).squeeze(-1)


class ParticleAttention(nn.Module):
    """A transformer of elements, whose attention is biased by features of pairs (Particle Transformer, 2202.03772).

    Blocks are pre-norm. The bias is a linear function of the features of pairs, shared by all blocks. The features are
    logarithms, so the attention depends on powers. Elements are summed at the end. The last layer starts at zero.

    Args:
        features: F, number of features of each element; context: G, of the set as a whole; pairs: K, of each pair.
        width: size of the representation of an element, a multiple of `heads`; depth: number of blocks.
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
        # No constant, because a softmax does not depend on it.
        self.bias = nn.Linear(pairs, heads, bias=False)
        self.blocks = nn.ModuleList(Block(width, heads, activation) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.whole = MLP(width + context, 1, width=2 * width, depth=1, activation=activation, zero_last=True)

    def forward(self, elements: Tensor, mask: Tensor, context: Tensor, pairs: Tensor) -> Tensor:
        """Like `DeepSets`, with pairs (B, K, P, P) -> logit (B,)."""
        # A finite number, so that a set without elements averages over its padding and does not give NaN.
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
