"""A transformer block with attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from truthward.learn.nets import MLP, Activation


class Block(nn.Module):
    """A pre-norm transformer block: attention and a dense layer, each added to its input (1706.03762, 2002.04745).

    Elements attend to each other. In the same softmax they can attend to other elements, whose keys and values are
    given.

    Args:
        width: W, size of the representation of an element, a multiple of the number of heads H (`heads`).
        others: whether there are other elements; `keys` makes their keys and values.
    """

    def __init__(self, width: int, heads: int, activation: Activation, *, others: bool = False) -> None:
        super().__init__()
        self.heads = heads
        # Not affine: the layers that follow it are affine.
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.dense = MLP(width, width, width=2 * width, depth=1, activation=activation)
        self.keys = nn.Linear(width, 2 * width) if others else None

    def forward(self, x: Tensor, *, bias: Tensor | None = None, others: Tensor | None = None) -> Tensor:
        """(B, P, W) -> (B, P, W).

        Args:
            bias: (B, H, P, P), added to the scores.
            others: (B, Q, 2 W), the result of `keys` for Q other elements (B, Q, W).
        """
        query, *seen = self._heads(self.project(self.norm(x)))
        if others is not None:
            seen = [torch.cat(pair, dim=-2) for pair in zip(seen, self._heads(others), strict=True)]
        key, value = seen
        # torch's scaled_dot_product_attention does not run under vmap, and its softmax takes three times as long if
        # rows are short.
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        scores = scores if bias is None else scores + bias
        shares = (scores - scores.detach().amax(-1, keepdim=True)).exp()
        mixed = (shares @ value) / shares.sum(-1, keepdim=True)
        x = x + self.out(mixed.transpose(-2, -3).flatten(-2))
        return x + self.dense(self.norm(x))

    def _heads(self, parts: Tensor) -> tuple[Tensor, ...]:
        """(B, P, K W) -> K of (B, H, P, W / H)."""
        return (
            parts.unflatten(-1, (-1, self.heads, self.out.in_features // self.heads)).permute(2, 0, 3, 1, 4).unbind(0)
        )
