"""Learn the probability of a label, P(label | x), from weighted events: an efficiency or a share of signal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from truthward.errors import DivergedError
from truthward.learn.fit import History, Settings, fit
from truthward.learn.nets import Activation
from truthward.ratio.classifier import balanced, classifier_of, logits, stack_of
from truthward.ratio.response import ratio_response

BOUND = 15.0
"""Soft limit of the logits. In a region with a negative sum of weights the loss has no minimum, and the logits would go
to infinity there and nearby."""

REACH = 30.0
"""Largest shift of the logits in the calibration; beyond it a probability is zero or one in double precision."""


class _Network(TypedDict):
    width: int
    depth: int
    activation: Activation


class Probability:
    """P(label | x) of E members, with absolute weights: the classes keep their yields and are not balanced.

    For each member one sum over its training events is exact: sum_i w_i P(x_i) = sum_i w_i label_i. If 1 / P is
    needed, it is the sum over labelled events sum_i w_i label_i / P(x_i) = sum_i w_i. In this case 1 / P is never
    larger than its maximum over the labelled events, because a network extrapolates where it has seen no such event.
    If all events with a weight have the same label, the probability is exactly 0 or 1 and no network is trained.
    Signed weights are used as they are. The cross entropy is linear in them, so its expectation and its minimum are
    those of the density that the weights describe.

    Args:
        inputs: D, scaled beforehand (`learn.scaling`); seeds: initial weights, one for each member.

    Attributes:
        shift: (E,), the shift of all logits that makes the sum exact: it shows how wrong the trained networks were.
        lowest: (E,), the lower bound on P if 1 / P is needed; otherwise 0.
    """

    def __init__(
        self, inputs: int, seeds: Sequence[int], *, width: int = 32, depth: int = 2, activation: Activation = "gelu"
    ) -> None:
        self.inputs, self.members = inputs, len(seeds)
        self.options: _Network = {"width": width, "depth": depth, "activation": activation}
        self.offset, self.shift, self.lowest = np.zeros(self.members), np.zeros(self.members), np.zeros(self.members)
        self.constant: float | None = None
        self.stack = stack_of(inputs, list(seeds), **self.options)
        self._logits: Callable[[Tensor], np.ndarray] = partial(logits, self.stack)

    def member(self, m: int) -> Probability:
        """One member as a separate instance."""
        single = Probability(self.inputs, [0], **self.options)
        single.stack.load_member(0, self.stack.state_of(m))
        single.offset, single.constant = self.offset[m : m + 1].copy(), self.constant
        single.lowest = self.lowest[m : m + 1].copy()
        return single

    def arrays(self) -> dict[str, np.ndarray]:
        """The only member as named arrays; the constant is NaN if there is no constant."""
        constant = np.array([np.nan if self.constant is None else self.constant])
        own = {"|offset": self.offset, "|lowest": self.lowest, "|constant": constant}
        return {n: t.numpy() for n, t in self.stack.state_of(0).items()} | own

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], **network: Any) -> Probability:
        """Rebuild from `arrays`; `network` has the same options as before."""
        found = cls(arrays["network.layers.0.weight"].shape[1], [0], **network)
        found.stack.load_member(0, {n: torch.from_numpy(a) for n, a in arrays.items() if not n.startswith("|")})
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
            x: (N, D), or (N, E, D) if every member has its own inputs.
            label: (N,) bool; weights: (N, E), of any sign; held_out: (N,) bool, rows that choose the epoch.
                None: train on all rows.
            inverse: whether the sum of 1 / P is made exact, instead of the sum of P.

        Raises:
            DivergedError: if the events with the label, or the events without, have no positive sum of weights.
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
        self._impose(x, label, weights, inverse, name)
        return history

    def respond(
        self,
        x: Tensor,
        label: np.ndarray,
        weights: np.ndarray,
        settings: Settings,
        *,
        held_out: np.ndarray | None,
        name: str,
        inverse: bool = False,
    ) -> Probability:
        """The response of the only member to other weights, without a training; see `ratio.response`.

        Args:
            x: (N, D). weights: (N, E), first the weights of the training. label, settings, held_out, inverse: those of
                the training.

        Returns:
            An instance with E members, the first equal to this one. It cannot be trained or stored.

        Raises:
            DivergedError: as `train`.
        """
        found = copy(self)
        found.members = weights.shape[1]
        found.offset, found.shift, found.lowest = np.zeros((3, found.members))
        if self.constant is not None:
            return found
        network = classifier_of(self.inputs, **self.options)
        network.load_state_dict(self.stack.state_of(0))
        used = np.ones(len(label), dtype=bool) if held_out is None else ~held_out
        shares = balanced(weights, label, ~used)[used]
        pieces = [(x[torch.from_numpy(used)], label[used], shares)]
        found._logits = ratio_response(network, pieces, len(shares), settings, label=name)
        found._impose(x, label, weights, inverse, name)
        return found

    def __call__(self, x: Tensor) -> np.ndarray:
        """P at x (N, D) or (N, E, D) -> (N, E) float64."""
        if self.constant is not None:
            return np.full((len(x), self.members), self.constant)
        return np.maximum(_sigmoid(_bounded(self._logits(x)) + self.offset), self.lowest)

    def _impose(self, x: Tensor, label: np.ndarray, weights: np.ndarray, inverse: bool, name: str) -> None:
        """Calibrate the offsets, so that the sum of P or of 1 / P is exact."""
        found = _bounded(self._logits(x))
        yes, no = weights[label].sum(axis=0), weights[~label].sum(axis=0)
        self.offset = np.log(yes / no)
        if inverse:
            self._calibrate_inverse(found[label], weights[label], no, name)
        else:
            self._calibrate(found, weights, yes, name)

    def _calibrate(self, found: np.ndarray, weights: np.ndarray, yes: np.ndarray, name: str) -> None:
        """Shift the offsets by bisection so that the sum of P is exact."""
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
        """Shift the offsets so that the sum of 1 / P = 1 + exp(-logit) over the labelled events is the yield of all."""
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
