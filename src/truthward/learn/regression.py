"""The loss of stacks of generative models, with the gradient of dense networks written out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from truthward.learn.dense import DensePass
from truthward.learn.loss import OwnGradient
from truthward.learn.nets import MLP
from truthward.learn.stack import Stack


class StackLoss(OwnGradient):
    """`loss` of all members of a stack of generative models.

    A model may train nothing but a dense network `network`, by the squared distance of its outputs to targets, mean
    over dimensions. It then has a method `regression`, and the gradient is found without automatic derivatives.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._pass: DensePass | None = None

    def __call__(self, x: Tensor, condition: Tensor) -> Tensor:
        """Losses (E, B) for x (B, D) and conditions (B, C); or (B, T, D) and (B, T, C) for T sets of E / T members."""
        each, own = zip(*map(self._arranged, (x, condition)), strict=True)
        return self.stack.call("loss", *each, own=own)

    def start(self) -> Tensor | None:
        """See OwnGradient."""
        model: Any = self.stack.template
        if not (hasattr(model, "regression") and isinstance(model.network, MLP)):
            return None
        self._pass = DensePass(list(self.stack.parameters()), model.network.activation)
        return self._pass.gradient

    def gradient(self, x: Tensor, condition: Tensor, factors: Tensor) -> Tensor:
        """See OwnGradient; x and condition as in a call."""
        assert self._pass is not None
        model: Any = self.stack.template
        inputs, target = model.regression(self._arranged(x)[0], self._arranged(condition)[0])
        losses, scale = torch.empty_like(factors), 2.0 / target.shape[-1]

        def slope(members: slice, outputs: Tensor) -> Tensor:
            off = outputs - (target[members] if target.ndim == 3 else target)
            torch.mean(off.square(), -1, out=losses[members])
            return off.mul_(scale * factors[members].unsqueeze(-1))

        self._pass.run(inputs, slope)
        return losses

    def _arranged(self, x: Tensor) -> tuple[Tensor, bool]:
        """Values (B, K) that all members share; or (E, B, K), and True."""
        if x.ndim == 2 or x.shape[1] == 1:
            return x.reshape(len(x), x.shape[-1]), False
        return x.movedim(1, 0).repeat_interleave(self.stack.members // x.shape[1], 0), True
