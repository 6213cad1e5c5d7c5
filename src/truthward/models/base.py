"""The contract of generative models."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from truthward.errors import ConfigError


class GenerativeModel(nn.Module, ABC):
    """p(x | condition) for x of shape (B, D) and conditions of shape (B, C), C from 0 on.

    x and condition come scaled to order one, best each column standard normal (`learn.quantile`, `learn.scaling`). One
    time convention: t = 0 is noise, t = 1 is data. A subclass takes options by keyword, with literal defaults, and two
    that the program gives: `dimensions` and `conditions`.

    Attributes:
        dimensions: D.
        conditions: C.
        LIKELIHOOD: whether `log_prob` is tractable.
    """

    LIKELIHOOD: bool = False

    def __init__(self, *, dimensions: int, conditions: int) -> None:
        super().__init__()
        if dimensions < 1 or conditions < 0:
            raise ConfigError(
                f"{type(self).__name__}: dimensions = {dimensions}, conditions = {conditions} given; 1 and 0 at least"
            )
        self.dimensions = dimensions
        self.conditions = conditions

    @abstractmethod
    def loss(self, x: Tensor, condition: Tensor) -> Tensor:
        """Loss per event, (B, D) and (B, C) -> (B,), without weights and differentiable.

        Its random numbers come from the global generator. It works inside of `learn.replicas.Stack`
        (torch.func.vmap with equal random numbers for all members).
        """

    @abstractmethod
    def sample(self, condition: Tensor, noise: Tensor | None = None) -> Tensor:
        """Draw one event for each row of `condition` (B, C) -> (B, D), without gradients.

        Args:
            condition: (B, C); its length says how many events are drawn, also where C is 0.
            noise: (B, D) standard normal; the same noise gives the same events (common random numbers).
        """

    def log_prob(self, x: Tensor, condition: Tensor) -> Tensor:
        """log p(x | condition), (B, D) and (B, C) -> (B,), nats.

        Raises:
            ConfigError: where LIKELIHOOD is false.
        """
        raise ConfigError(f"{type(self).__name__} has no tractable density; choose a model whose LIKELIHOOD is true")
