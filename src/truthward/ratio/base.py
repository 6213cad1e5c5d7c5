"""The base of all classifiers as density ratios: a logit, and two losses with their minimum at the log ratio."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn
from torch.nn.functional import softplus


class LogRatio(nn.Module):
    """The logarithm of a density ratio, (B, ...) -> (B,). `event_dims`: dimensions of one event's inputs."""

    event_dims: int

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Inputs of B events -> logit (B,), zero before any training: a ratio of one."""

    def loss(self, x: Tensor, target: Tensor) -> Tensor:
        """Cross entropy (B,) with target 1 for the numerator and 0 for the denominator."""
        logit = self(x)
        return softplus(logit) - target * logit

    def soft_loss(self, x: Tensor, ratio: Tensor) -> Tensor:
        """Cross entropy (B,) whose minimum over weighted events is exp(logit(x)) = E[ratio | x], in one pass.

        Each event stands in both classes: with weight `ratio` in the numerator, with 1 in the other. The ratio may
        have any sign event by event, so long as its conditional mean is positive.
        """
        logit = self(x)
        return ratio * softplus(-logit) + softplus(logit)
