"""The block against torch's own attention."""

from __future__ import annotations

import torch

from truthward.learn.attention import Block


def test_attention_is_that_of_torch():
    torch.manual_seed(1)
    block = Block(8, 2, "gelu", others=True).double()
    x, others, bias = (torch.randn(*s).double() for s in ((5, 3, 8), (5, 4, 8), (5, 2, 3, 7)))
    keys = block.keys(others)
    query, own = block.project(block.norm(x)).tensor_split([8], -1)

    def heads(part: torch.Tensor) -> torch.Tensor:
        return part.reshape(5, -1, 2, 4).transpose(1, 2)

    key, value = torch.cat([own, keys], 1).split(8, -1)
    mixed = torch.nn.functional.scaled_dot_product_attention(heads(query), heads(key), heads(value), attn_mask=bias)
    expected = x + block.out(mixed.transpose(1, 2).reshape(5, 3, 8))
    expected = expected + block.dense(block.norm(expected))
    torch.testing.assert_close(block(x, bias=bias, others=keys), expected)
    assert (block(x, others=keys) - expected).abs().max() > 1e-3
    assert (block(x) - block(x, others=keys)).abs().max() > 1e-3


def test_large_scores_stay_finite():
    block = Block(8, 2, "gelu")
    x = torch.randn(5, 3, 8)
    assert torch.isfinite(block(x, bias=torch.full((5, 2, 3, 3), 500.0))).all()
    assert torch.isfinite(block(x, bias=torch.full((5, 2, 3, 3), -1e4))).all()
