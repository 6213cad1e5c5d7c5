"""The contract of generative models."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from truthward.errors import ConfigError
from truthward.learn.ode import FIXED, Solver, integrate


class GenerativeModel(nn.Module, ABC):
    """p(x | condition) for x of shape (B, D) and conditions of shape (B, C), C from 0 on.

    x and condition come scaled to order one, best each column standard normal (`learn.quantile`, `learn.scaling`). One
    time convention: t = 0 is noise, t = 1 is data. A subclass takes options by keyword, with literal defaults, and two
    that the program gives: `dimensions` and `conditions`.

    Attributes:
        dimensions: D.
        conditions: C.
        LIKELIHOOD: whether `log_prob` is tractable.
        CONDITIONAL: whether it is p(x | condition) event by event; false where it maps distributions alone.
        PAIRED: whether `loss` takes x and condition as a pair, to which the event's weight belongs; false where it
            pairs anew, and weights reach x alone.
    """

    LIKELIHOOD: bool = False
    CONDITIONAL: bool = True
    PAIRED: bool = True

    def __init__(self, *, dimensions: int, conditions: int) -> None:
        super().__init__()
        if dimensions < 1 or conditions < 0:
            raise ConfigError(
                f"{type(self).__name__}: dimensions = {dimensions}, conditions = {conditions} given; at least 1 and 0 "
                "are needed"
            )
        self.dimensions = dimensions
        self.conditions = conditions
        self.nats = 1.0

    @abstractmethod
    def loss(self, x: Tensor, condition: Tensor) -> Tensor:
        """Loss per event, (B, D) and (B, C) -> (B,), without weights and differentiable.

        Its random numbers come from the global generator. It works inside of `learn.stack.Stack`
        (torch.func.vmap with equal random numbers for all members).
        """

    @abstractmethod
    def sample(self, condition: Tensor, noise: Tensor | None = None) -> Tensor:
        """Draw one event for each row of `condition` (B, C) -> (B, D), without gradients.

        Args:
            condition: (B, C); its length says how many events are drawn, also where C is 0.
            noise: (B, D) standard normal; the same noise gives the same events (common random numbers).
        """

    def probe(self, x: Tensor, condition: Tensor) -> Tensor:
        """A function in which two trainings can be told apart, (B, D) and (B, C) -> (B, K), differentiable; under equal
        random numbers it is the same function for all members of a stack. By default the log-density, or what the loss
        has in its place.
        """
        return -self.loss(x, condition)[:, None]

    def log_prob(self, x: Tensor, condition: Tensor) -> Tensor:
        """log p(x | condition), (B, D) and (B, C) -> (B,), nats.

        Raises:
            ConfigError: where LIKELIHOOD is false.
        """
        raise ConfigError(f"{type(self).__name__} has no tractable density; choose a model whose LIKELIHOOD is true")


class Transport(GenerativeModel):
    """A model that carries noise (t = 0) to data (t = 1) along dx/dt = v(x, t, condition).

    A subclass gives `loss` and `velocity`; sampling, the density and the choice of a solver are here.

    Args:
        dimensions: D. conditions: C.
        solver: solver of the flow in time. midpoint and heun are of second order, rk4 is of fourth order; dopri5
            chooses its own steps.
        steps: equal steps of midpoint, heun and rk4.
        tolerance: absolute and relative tolerance of dopri5.
        batch: events that are carried at once, so that the activations stay in the processor's cache.
        precision: number format of the velocity while sampling; the events themselves stay in fp32. bf16 takes about
            half the time on processors that have it, with batches of 4096, and a multiple of it on others.
    """

    LIKELIHOOD = True

    def __init__(
        self,
        *,
        dimensions: int,
        conditions: int,
        solver: Solver = "midpoint",
        steps: int = 6,
        tolerance: float = 1e-4,
        batch: int = 2048,
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> None:
        super().__init__(dimensions=dimensions, conditions=conditions)
        if min(steps, batch) < 1 or not tolerance > 0:
            raise ConfigError(
                f"{type(self).__name__}: steps {steps}, batch {batch}, tolerance {tolerance} given; at least 1, 1 and "
                "above 0 is needed"
            )
        # A normal likelihood of D velocities x - e, each with the variance that no network removes: for standard normal
        # x and e it is 2 - (2t - 1)^2 / (t^2 + (1 - t)^2), or pi / 2 on average over t. The loss is a mean over D.
        self.nats = dimensions / math.pi
        self.solver: Solver = solver
        self.steps, self.tolerance, self.batch, self.precision = steps, tolerance, batch, precision

    @abstractmethod
    def velocity(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """v(x, t, condition): (B, D), (B, 1) and what `encode` makes of (B, C) -> (B, D)."""

    def encode(self, condition: Tensor) -> Tensor:
        """What a velocity needs of the condition, (B, C) -> (B, ...): done once for all steps of an event."""
        return condition

    def sample(self, condition: Tensor, noise: Tensor | None = None) -> Tensor:
        """(B, C) -> (B, D); `noise` (B, D) is where the events start."""
        if noise is None:
            noise = torch.randn(condition.shape[0], self.dimensions, device=condition.device, dtype=condition.dtype)
        parts = zip(noise.split(self.batch), condition.split(self.batch), strict=True)
        reduced = torch.autocast(noise.device.type, torch.bfloat16, enabled=self.precision == "bf16")
        with torch.inference_mode(), reduced:
            found = [self._carried(x, c, 0.0, 1.0) for x, c in parts]
        # Joined outside: a training would refuse tensors of inference mode.
        with torch.no_grad():
            return torch.cat(found)

    def log_prob(self, x: Tensor, condition: Tensor) -> Tensor:
        """log p(x | condition), (B, D), (B, C) -> (B,), by the instantaneous change of variables with the exact trace
        of dv/dx (1810.01367, eq. 2).

        Solved backwards by rk4 with `steps` steps, or by an adaptive `solver`: where 6 steps of midpoint draw good
        events, they were seen to give a density that integrates to 1.15, and those of rk4 one to 1.01.
        """
        parts = zip(x.split(self.batch), condition.split(self.batch), strict=True)
        return torch.cat([self._log_prob(x, c) for x, c in parts])

    def _log_prob(self, x: Tensor, condition: Tensor) -> Tensor:
        basis = torch.eye(self.dimensions, device=x.device, dtype=x.dtype)
        encoded = self.encode(condition)

        def with_trace(state: Tensor, t: float | Tensor) -> Tensor:
            at = self._at(t, state)

            def v(x: Tensor) -> Tensor:
                return self.velocity(x, at, encoded)

            value, pull = torch.func.vjp(v, state[:, :-1])[:2]
            # One pull-back for each dimension gives a row of dv/dx of every event.
            rows = torch.func.vmap(pull)(basis[:, None].expand(-1, len(state), -1))[0]
            return torch.cat([value, torch.einsum("dbd->b", rows)[:, None]], dim=-1)

        state = torch.cat([x, torch.zeros_like(x[:, :1])], dim=-1)
        solver: Solver = "rk4" if self.solver in FIXED else self.solver
        state = integrate(
            with_trace, state, solver=solver, steps=self.steps, tolerance=self.tolerance, start=1.0, end=0.0
        )
        return self._log_start(state[:, :-1], condition) + state[:, -1]

    def _log_start(self, x: Tensor, condition: Tensor) -> Tensor:
        """Log density (B,) of where the events start; noise alone starts standard normal."""
        return -0.5 * (x.square() + math.log(2.0 * math.pi)).sum(-1)

    def _carried(self, x: Tensor, condition: Tensor, start: float, end: float) -> Tensor:
        if not len(x):
            return x
        encoded = self.encode(condition)
        return integrate(
            lambda x, t: self.velocity(x, self._at(t, x), encoded).to(x.dtype),
            x,
            solver=self.solver,
            steps=self.steps,
            tolerance=self.tolerance,
            start=start,
            end=end,
        )

    @staticmethod
    def _at(t: float | Tensor, x: Tensor) -> Tensor:
        """A time for each event, (B, 1)."""
        return torch.as_tensor(t, device=x.device, dtype=x.dtype).expand(x.shape[0], 1)
