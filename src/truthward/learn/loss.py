"""Losses that find their gradients themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor


class OwnGradient(ABC):
    """A loss per event that can also find the gradient of its weighted sum, without automatic derivatives.

    `learn.fit` uses `gradient` if `start` allows it, and else the derivative of `__call__`. Both are the same numbers,
    up to rounding.
    """

    @abstractmethod
    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """The losses (E, B) of a batch."""

    @abstractmethod
    def start(self) -> Tensor | None:
        """Prepare for a training of the network where it is now.

        Returns:
            The memory (E P,) of all gradients, of which `grad` of the parameters are views; None if there is no own
            gradient.
        """

    @abstractmethod
    def gradient(self, x: Tensor, target: Tensor, factors: Tensor) -> Tensor:
        """Put the gradient of the sum of factor (E, B) times loss into `grad` of all parameters.

        Returns:
            The losses (E, B), without derivatives.
        """
