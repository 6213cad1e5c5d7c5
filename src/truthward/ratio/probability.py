"""Probabilities of a label, P(label | x), from weighted events: efficiencies, and the share of signal in a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from truthward.errors import DivergedError
from truthward.learn.fit import History, Settings, fit
from truthward.learn.nets import Activation
from truthward.ratio.classifier import logits, stack_of

BOUND = 15.0
"""Soft limit of the logits: in a region with a negative sum of weights the loss has no minimum, and the logits there
and nearby would go to infinity."""

REACH = 30.0
"""Largest shift of the logits in the calibration; beyond it a probability is zero or one in double precision."""


class Probability:
    """P(label | x) of E members, from absolute weights: with the classes as they are, nothing is balanced.

    A sum is exact for each member over the events that it was trained with: sum_i w_i P(x_i) = sum_i w_i label_i, or
    where 1 / P is what is needed, sum_i w_i label_i / P(x_i) = sum_i w_i. 1 / P is then at most the largest one of
    these labelled events: where none was seen a network extrapolates, and its inverse may be anything.
    Where all events of any weight have the same label the probability is exactly 0 or 1 and no network is involved.
    Signed weights are used as they are: the cross entropy is linear in them, so that its expectation, and with it the
    minimum, is that of the density they stand for.

    Args:
        inputs: D, scaled beforehand (`learn.scaling`); seeds: initial weights, one a member.

    Attributes:
        shift: (E,), by which all logits were moved to impose that sum: how much the trained networks were off.
        lowest: (E,), the bound on P where 1 / P is what is needed; 0 otherwise.
    """

    def __init__(
        self, inputs: int, seeds: Sequence[int], *, width: int = 32, depth: int = 2, activation: Activation = "gelu"
    ) -> None:
        self.inputs, self.members = inputs, len(seeds)
        self.options = {"width": width, "depth": depth, "activation": activation}
        self.offset, self.shift, self.lowest = np.zeros(self.members), np.zeros(self.members), np.zeros(self.members)
        self.constant: float | None = None
        self.stack = stack_of(inputs, list(seeds), **self.options)

    def start_from(self, other: Probability) -> None:
        """Take over the networks of another, member by member, or those of its only member for all."""
        for m in range(self.members):
            self.stack.load_member(m, other.stack.state_of(m if other.members > 1 else 0))

    def member(self, m: int) -> Probability:
        """One member by itself."""
        single = Probability(self.inputs, [0], **self.options)
        single.stack.load_member(0, self.stack.state_of(m))
        single.offset, single.constant = self.offset[m : m + 1].copy(), self.constant
        single.lowest = self.lowest[m : m + 1].copy()
        return single

    def arrays(self) -> dict[str, np.ndarray]:
        """The only member as named arrays; NaN for a constant that is none."""
        constant = np.array([np.nan if self.constant is None else self.constant])
        own = {"|offset": self.offset, "|lowest": self.lowest, "|constant": constant}
        return {n: t.numpy() for n, t in self.stack.state_of(0).items()} | own

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], **network: Any) -> Probability:
        """Back from `arrays`; `network` as it was made with."""
        found = cls(arrays["network.layers.0.weight"].shape[1], [0], **network)
        state = {n: torch.from_numpy(a) for n, a in arrays.items() if not n.startswith("|")}
        found.stack.load_member(0, state)
        constant = float(arrays["|constant"][0])
        found.offset, found.lowest = arrays["|offset"], arrays["|lowest"]
        found.constant = None if np.isnan(constant) else constant
        return found

    def train(
        self,
        x: Tensor,
        label: np.ndarray,
        weights: np.ndarray,
        settings: Settings,
        *,
        seed: int,
        held_out: np.ndarray | None,
        name: str,
        inverse: bool = False,
        state: Path | None = None,
        key: str = "",
    ) -> History | None:
        """Train all members.

        Args:
            x: (N, D), or (N, E, D) where every member has its own inputs.
            label: (N,) bool; weights: (N, E), of any sign; held_out: (N,) bool, rows that choose the epoch;
                None trains on all.
            inverse: whether it is the sum of 1 / P that is exact.

        Raises:
            DivergedError: where the weights of either label do not sum to something positive.
        """
        seen = label[(weights != 0).any(axis=1)]
        if seen.all() or not seen.any():
            self.constant, self.shift = float(seen.any()), np.zeros(self.members)
            return None
        self.constant, self.lowest = None, np.zeros(self.members)
        yes, no = weights[label].sum(axis=0), weights[~label].sum(axis=0)
        if not ((yes > 0) & (no > 0)).all():
            raise DivergedError(
                f"{name}: the weights of the {label.sum()} events that have the label sum to {yes.min():.3g}, of the "
                f"{(~label).sum()} others to {no.min():.3g}; a probability needs both positive"
            )
        self.offset = np.log(yes / no)
        offset = torch.from_numpy(self.offset.astype(np.float32))[:, None]
        own = x.ndim == 3

        def loss(x: Tensor, target: Tensor) -> Tensor:
            found = self.stack.call("forward", x.transpose(0, 1) if own else x, own=(own,))
            logit = offset.to(x.device) + BOUND * torch.tanh(found / BOUND)
            return softplus(logit) - target * logit

        target = torch.from_numpy(label.astype(np.float32))
        held = None if held_out is None else torch.from_numpy(held_out)
        history = fit(
            self.stack,
            loss,
            (x, target),
            torch.from_numpy(weights),
            settings,
            seed=seed,
            validation=held,
            label=name,
            state=state,
            state_key=key,
        )
        found = _bounded(logits(self.stack, x, label=name))
        if inverse:
            self._calibrate_inverse(found[label], weights[label], no, name)
        else:
            self._calibrate(found, weights, yes, name)
        return history

    def __call__(self, x: Tensor) -> np.ndarray:
        """(N, D), or (N, E, D) -> (N, E) float64."""
        if self.constant is not None:
            return np.full((len(x), self.members), self.constant)
        return np.maximum(_sigmoid(_bounded(logits(self.stack, x)) + self.offset), self.lowest)

    def _calibrate(self, found: np.ndarray, weights: np.ndarray, yes: np.ndarray, name: str) -> None:
        """Shift the offsets so that the mean is exact, by bisection."""
        low, high = np.full(self.members, -REACH), np.full(self.members, REACH)

        def excess(shift: np.ndarray) -> np.ndarray:
            return (weights * _sigmoid(found + shift)).sum(axis=0) - yes

        if not ((excess(low) < 0) & (excess(high) > 0)).all():
            raise DivergedError(
                f"{name}: no shift of the logits gives the labelled events their yield; check the weights"
            )
        for _ in range(50):
            middle = 0.5 * (low + high)
            above = excess(middle) > 0
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        self.shift, self.offset = 0.5 * (low + high) - self.offset, 0.5 * (low + high)

    def _calibrate_inverse(self, found: np.ndarray, weights: np.ndarray, no: np.ndarray, name: str) -> None:
        """Shift the offsets so that 1 / P = 1 + exp(-logit), over the labelled events, makes up for the others."""
        odds = (weights * np.exp(-found)).sum(axis=0)
        if not (odds > 0).all():
            raise DivergedError(
                f"{name}: no shift of the logits gives 1 / P of the labelled events the yield of all; check the weights"
            )
        self.shift, self.offset = np.log(odds / no) - self.offset, np.log(odds / no)
        self.lowest = _sigmoid(np.where(weights != 0, found, np.inf).min(axis=0) + self.offset)


def _bounded(logit: np.ndarray) -> np.ndarray:
    return BOUND * np.tanh(logit / BOUND)


def _sigmoid(logit: np.ndarray) -> np.ndarray:
    return torch.sigmoid(torch.from_numpy(logit)).numpy()
