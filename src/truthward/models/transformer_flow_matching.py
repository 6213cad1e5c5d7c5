"""Conditional flow matching with a transformer over observables or particles."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from truthward.errors import ConfigError
from truthward.learn.attention import Block
from truthward.learn.nets import waves
from truthward.models.base import Transport


class TransformerFlowMatching(Transport):
    """Flow matching (see `flow_matching`) with a transformer as velocity: TraCFM (2411.02495, 2501.12363).

    A token is one observable or the columns of one particle. Each token of the condition is embedded and goes through
    an encoder. Each token of x is embedded together with the time. In the decoder it attends to all tokens of x and to
    the encoded condition, in one softmax. A linear head, the same for all tokens, gives the velocity of a token.
    Sampling computes the encoder and the keys of the condition once, not at every step.

    Without `positions` x and the condition are sets. The tokens of an event then have the order of the tokens of the
    noise, and log_prob does not depend on the order.

    Args:
        dimensions: D, given by the program.
        conditions: C, given by the program.
        token: number of columns of x in a token; D is a multiple of it.
        condition_token: number of columns of the condition in a token; C is a multiple of it.
        positions: whether a token knows its position.
        width: size of the representation of a token, a multiple of `heads`.
        heads: number of heads of the attention.
        depth: number of blocks of the decoder.
        encoder: number of blocks of the encoder.
        activation: activation function of the dense layers.
        frequencies: number of sines and cosines of the time that the network sees, see `learn.nets.waves`.
        solver: solver of dx/dt = v; midpoint, heun and rk4 make fixed steps, dopri5 chooses its own.
        steps: number of equal steps of the fixed solvers.
        tolerance: absolute and relative tolerance of dopri5.
        batch: events that are carried at once, so that the activations stay in the processor's cache.
        precision: number format of the velocity while sampling; bf16 is faster on processors that support it.
    """

    BOUNDS = (
        (">= 1", "token condition_token width heads depth steps batch"),
        (">= 0", "encoder frequencies"),
        ("> 0", "tolerance"),
    )

    def __init__(
        self,
        *,
        dimensions: int,
        conditions: int,
        token: int = 1,
        condition_token: int = 1,
        positions: bool = True,
        width: int = 32,
        heads: int = 2,
        depth: int = 2,
        encoder: int = 1,
        activation: Literal["relu", "gelu", "silu", "tanh"] = "relu",
        frequencies: int = 2,
        solver: Literal["midpoint", "heun", "rk4", "dopri5"] = "midpoint",
        steps: int = 6,
        tolerance: float = 1e-4,
        batch: int = 512,
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> None:
        super().__init__(
            dimensions=dimensions,
            conditions=conditions,
            solver=solver,
            steps=steps,
            tolerance=tolerance,
            batch=batch,
            precision=precision,
        )
        if min(token, condition_token, width, heads, depth) < 1 or min(encoder, frequencies) < 0:
            raise ConfigError(
                f"transformer_flow_matching: token {token}, condition_token {condition_token}, width {width}, heads "
                f"{heads}, depth {depth}, encoder {encoder}, frequencies {frequencies} given; at least 1 (encoder, "
                "frequencies: 0) is needed"
            )
        for what, size, name, part in (
            ("dimensions", dimensions, "token", token),
            ("conditions", conditions, "condition_token", condition_token),
            ("width", width, "heads", heads),
        ):
            if size % part:
                raise ConfigError(f"transformer_flow_matching: {what} = {size} is no multiple of {name} = {part}")
        self.token, self.condition_token, self.frequencies = token, condition_token, frequencies
        self.x_embedding = Embedding(token, dimensions // token, width, positions)
        self.time = nn.Linear(1 + 2 * frequencies, width, bias=False)
        self.blocks = nn.ModuleList(Block(width, heads, activation, others=conditions > 0) for _ in range(depth))
        self.head = nn.Linear(width, token)
        if conditions:
            self.condition_embedding = Embedding(condition_token, conditions // condition_token, width, positions)
            self.encoder = nn.ModuleList(Block(width, heads, activation) for _ in range(encoder))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)

    def loss(self, x: Tensor, condition: Tensor) -> Tensor:
        """Squared error of the velocity at a random time, mean over dimensions, (B, D), (B, C) -> (B,)."""
        t = torch.rand(x.shape[0], 1, device=x.device, dtype=x.dtype)
        noise = torch.randn(x.shape, device=x.device, dtype=x.dtype)
        predicted = self.velocity((1.0 - t) * noise + t * x, t, self.encode(condition))
        return (predicted - (x - noise)).square().mean(-1)

    def encode(self, condition: Tensor) -> Tensor:
        """(B, C) -> keys and values of its tokens for each block of the decoder, (B, depth, tokens, 2 width)."""
        if not self.conditions:
            return condition
        tokens = self.condition_embedding(condition)
        for block in self.encoder:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        blocks: Any = self.blocks
        return torch.stack([block.keys(tokens) for block in blocks], dim=1)

    def velocity(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """See `Transport`."""
        tokens = self.x_embedding(x) + self.time(waves(t, self.frequencies))[:, None]
        for i, block in enumerate(self.blocks):
            tokens = block(tokens, others=condition[:, i] if self.conditions else None)
        return self.head(self.norm(tokens)).flatten(-2)


class Embedding(nn.Module):
    """Columns to tokens, (B, T S) -> (B, T, W): a linear map shared by all tokens, and a vector for each position."""

    def __init__(self, size: int, tokens: int, width: int, positions: bool) -> None:
        super().__init__()
        self.size = size
        self.linear = nn.Linear(size, width)
        self.positions = nn.Parameter(torch.randn(tokens, width)) if positions else None

    def forward(self, x: Tensor) -> Tensor:
        found = self.linear(x.unflatten(-1, (-1, self.size)))
        return found if self.positions is None else found + self.positions
