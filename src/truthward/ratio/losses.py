"""The losses of stacks of density ratios, with the gradient of dense networks written out."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from truthward.learn.dense import DensePass
from truthward.learn.loss import OwnGradient
from truthward.learn.stack import Stack
from truthward.ratio.base import LogRatio


class LogisticLoss(OwnGradient):
    """`LogRatio.loss` or, if `soft`, `LogRatio.soft_loss` of all members of a stack.

    As a function of the logit l both are c softplus(l) - t l, with the derivative c sigmoid(l) - t. c is 1 for classes
    t, and 1 + t for ratios t.
    """

    def __init__(self, stack: Stack[LogRatio], *, soft: bool) -> None:
        self.stack, self.soft = stack, soft
        self._pass: DensePass | None = None

    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Losses (E, B) for x (B, ...), shared or (B, E, ...), and the class (B,), 0 or 1, or the ratios (B, E)."""
        own = self._own(x)
        inputs = x.transpose(0, 1) if own else x
        if self.soft:
            return self.stack.call("soft_loss", inputs, target.T, own=(own, True))
        return self.stack.call("loss", inputs, target, own=(own, False))

    def start(self) -> Tensor | None:
        """See OwnGradient: only a plain dense network has a gradient here."""
        network = self.stack.template.dense
        if network is None:
            return None
        self._pass = DensePass(list(self.stack.parameters()), network.activation)
        return self._pass.gradient

    def gradient(self, x: Tensor, target: Tensor, factors: Tensor) -> Tensor:
        """See OwnGradient; x and target as in a call."""
        assert self._pass is not None
        losses = torch.empty_like(factors)
        targets = target.T if self.soft else target.expand(len(factors), -1)

        def slope(members: slice, outputs: Tensor) -> Tensor:
            logit, t = outputs.squeeze(-1), targets[members]
            value, found = softplus(logit), torch.sigmoid(logit)
            if self.soft:
                value.mul_(1.0 + t)
                found.mul_(1.0 + t)
            torch.sub(value, t * logit, out=losses[members])
            return found.sub_(t).mul_(factors[members]).unsqueeze(-1)

        self._pass.run(x.transpose(0, 1) if self._own(x) else x, slope)
        return losses

    def _own(self, x: Tensor) -> bool:
        """Whether every member has its own inputs."""
        return x.ndim > 1 + self.stack.template.event_dims
