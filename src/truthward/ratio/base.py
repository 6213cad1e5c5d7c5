"""The base class of all density ratios: a logit, and two losses whose minimum is the log of the ratio."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn
from torch.nn.functional import softplus

from truthward.learn.nets import MLP


class LogRatio(nn.Module):
    """The logarithm of a density ratio, (B, ...) -> (B,). `event_dims`: number of dimensions of one event's inputs."""

    event_dims: int

    @property
    def dense(self) -> MLP | None:
        """The dense network (B, K) -> (B, 1), if the logit is its output and it has all parameters; else None."""
        return None

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Inputs of B events -> logit (B,). Before any training it is zero: a ratio of one."""

    def loss(self, x: Tensor, target: Tensor) -> Tensor:
        """Cross entropy (B,), with target 1 for the numerator and 0 for the denominator."""
        logit = self(x)
        return softplus(logit) - target * logit

    def soft_loss(self, x: Tensor, ratio: Tensor) -> Tensor:
        """Cross entropy (B,) whose minimum over weighted events is exp(logit(x)) = E[ratio | x], in one pass.

        Each event is in both classes: in the numerator with weight `ratio`, in the denominator with weight 1. The ratio
        of an event may have any sign, if the mean ratio at each x is positive.
        """
        logit = self(x)
        return ratio * softplus(-logit) + softplus(logit)
