"""Bayesian networks: a distribution of weights instead of weights, by mean-field variational inference."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from truthward.errors import ConfigError
from truthward.learn.stack import Call

Layers = Literal["all", "last"]


class Variational(nn.Module):
    """A model whose linear layers have normal weights, q(w) = prod N(mean, sigma^2), learned with

        loss per event = E_q[loss of the model] + KL(q, prior) / (nats N),    prior = prod N(0, width^2),

    for N effective training events (Bayes by backprop 1505.05424; for generative networks 2104.04543, eq. 6). The KL
    term is part of the loss of each event. So the sum over N events counts it once, for any batch size. If the loss is
    a negative log-likelihood divided by nats, q approximates the Bayesian posterior, without tempering.

    E_q is estimated by flipout (1803.04386): all events share one draw of |w - mean|, and each event has its own signs
    for the inputs and outputs of a layer. So each event has the exact distribution of weights, also if a layer is
    applied to several tokens of an event, and the noise of the gradient falls with the batch size. The first axis of
    the input of a layer must be the events.

    Parameters other than weights and biases of linear layers have no uncertainty. The means are the parameters of
    `module`. This wrapper adds a spread to it, and `posterior` returns plain models.

    Args:
        module: has `loss(x, condition) -> (B,)`.
        events: N, sum(w)^2 / sum(w^2) of the training weights.
        layers: all linear layers, or only the last one of the module and of each chain (`nn.Sequential`) in it.
        prior: standard deviation of each constant, and of each weight in units of 1 / sqrt(inputs of its layer).
        initial: sigma of each weight at the start, in units of 1 / sqrt(inputs of its layer).
        nats: negative log-likelihood per unit of the loss.
        without: name of a part whose weights are not random, because the loss does not depend on it; empty for none.

    Raises:
        ConfigError: the module has no linear layer; a number that is not positive.
    """

    module: Any  # a model with its own `loss`

    def __init__(
        self,
        module: nn.Module,
        *,
        events: float,
        layers: Layers = "all",
        prior: float = 5.0,
        initial: float = 0.1,
        nats: float = 1.0,
        without: str = "",
    ) -> None:
        super().__init__()
        if not min(events, prior, initial, nats) > 0:
            raise ConfigError(
                f"variational: events {events}, prior {prior}, initial {initial}, nats {nats} given; above 0 is needed"
            )
        self.module = module
        self.scale = nats * events
        if not (chosen := _linear(module, layers, without)):
            raise ConfigError(f"variational: {type(module).__name__} has no linear layer to give a distribution")
        self.spread: list[str] = []
        self.width: list[float] = []
        self.log_sigma = nn.ParameterList()
        self._reached: set[str] = set()
        self._drawing = False
        for name, layer in chosen.items():
            slots = []
            for leaf, mean in layer.named_parameters():
                slots.append((leaf, len(self.spread)))
                self.spread.append(f"{name}.{leaf}" if name else leaf)
                unit = 1.0 / math.sqrt(layer.in_features)
                self.width.append(prior * (unit if leaf == "weight" else 1.0))
                self.log_sigma.append(nn.Parameter(torch.full_like(mean, math.log(initial * unit))))
            layer.register_forward_hook(self._hook(name, Call(layer, "forward"), slots))
        self._chosen = set(chosen)

    def loss(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, D), (B, C) -> (B,), see the class; with a new draw of weights each time.

        Raises:
            ConfigError: the model uses the weights of a layer without calling the layer, so that no draw reaches them.
        """
        self._reached, self._drawing = set(), True
        try:
            value = self.module.loss(x, condition)
        finally:
            self._drawing = False
        if missed := self._chosen - self._reached:
            raise ConfigError(f"variational: {type(self.module).__name__} does not call its layers {sorted(missed)}")
        return value + self.kl() / self.scale

    def kl(self) -> Tensor:
        """KL(q, prior), nats, a scalar."""
        parameters = dict(self.module.named_parameters())
        total: Any = 0.0
        for name, width, log_sigma in zip(self.spread, self.width, self.log_sigma, strict=True):
            mean, ratio = parameters[name] / width, log_sigma - math.log(width)
            total = total + (0.5 * ((2.0 * ratio).exp() + mean.square() - 1.0) - ratio).sum()
        return total

    @torch.no_grad()
    def posterior(self, count: int, seed: int) -> list[dict[str, Tensor]]:
        """States of `count` plain models with weights drawn from q, as `load_state_dict` of the module needs them."""
        generator = torch.Generator().manual_seed(seed)
        states = []
        for _ in range(count):
            state = {name: t.detach().clone() for name, t in self.module.state_dict().items()}
            for name, log_sigma in zip(self.spread, self.log_sigma, strict=True):
                draw = torch.randn(log_sigma.shape, generator=generator).to(log_sigma)
                state[name] += log_sigma.exp() * draw
            states.append(state)
        return states

    def _hook(self, name: str, plain: nn.Module, slots: list[tuple[str, int]]):
        def add_draw(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor | None:
            if not self._drawing:
                return None
            self._reached.add(name)
            (x,) = inputs
            draw = {
                f"module.{leaf}": self.log_sigma[i].exp()
                * torch.randn(self.log_sigma[i].shape, device=x.device, dtype=x.dtype)
                for leaf, i in slots
            }
            return output + torch.func.functional_call(plain, draw, (x * _signs(x),)) * _signs(output)

        return add_draw


def _signs(like: Tensor) -> Tensor:
    """+1 or -1 at random for each event and the last axis, in a shape that broadcasts to `like` (B, ..., K)."""
    shape = (like.shape[0], *[1] * (like.ndim - 2), like.shape[-1])
    return torch.randint(0, 2, shape, device=like.device, dtype=like.dtype) * 2 - 1


def _linear(module: nn.Module, layers: Layers, without: str) -> dict[str, nn.Linear]:
    """Linear layers by name, in order, except those in the part `without`."""
    every = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}
    if without:
        every = {name: layer for name, layer in every.items() if name.partition(".")[0] != without}
    if layers == "all" or not every:
        return every
    chains = [name for name, chain in module.named_modules() if isinstance(chain, nn.Sequential)]
    ends = {next(reversed(every))}
    for chain in chains:
        own = [name for name in every if name.startswith(f"{chain}." if chain else "")]
        inside = any(chain.startswith(f"{other}." if other else "") for other in chains if other != chain)
        if own and not inside:
            ends.add(own[-1])
    return {name: layer for name, layer in every.items() if name in ends}
