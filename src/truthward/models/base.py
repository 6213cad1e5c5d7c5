"""The interface of all generative models, and the base class of those that follow a flow in time."""

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

    x and condition are scaled to order one; best is a standard normal in each column (`learn.quantile`,
    `learn.scaling`). In all models t = 0 is noise and t = 1 is data. A subclass takes its options by keyword, with
    literal defaults. The program gives two more arguments: `dimensions` and `conditions`.

    Attributes:
        dimensions: D.
        conditions: C.
        LIKELIHOOD: whether `log_prob` is tractable.
        CONDITIONAL: true if the model learns p(x | condition) for each event, false if it only maps one distribution
            to another.
        PAIRED: true if `loss` takes x and condition of the same event, so that the event's weight belongs to both;
            false if it forms new pairs, so that the weight acts on x only.
        STUDENT: name of the part that `loss` does not train, but `learn.distil` afterwards; empty if there is none.
    """

    LIKELIHOOD: bool = False
    CONDITIONAL: bool = True
    PAIRED: bool = True
    STUDENT: str = ""

    def __init__(self, *, dimensions: int, conditions: int) -> None:
        super().__init__()
        if dimensions < 1 or conditions < 0:
            raise ConfigError(
                f"{type(self).__name__}: dimensions = {dimensions}, conditions = {conditions} given; at least 1 and 0 "
                "are needed"
            )
        self.dimensions, self.conditions = dimensions, conditions
        self.nats = 1.0

    @abstractmethod
    def loss(self, x: Tensor, condition: Tensor) -> Tensor:
        """Loss per event, (B, D) and (B, C) -> (B,), without weights and differentiable.

        Its random numbers come from the global generator. It works inside `learn.stack.Stack` (torch.func.vmap with
        the same random numbers for all members).
        """

    @abstractmethod
    def sample(self, condition: Tensor, noise: Tensor | None = None) -> Tensor:
        """Draw one event for each row of `condition` (B, C) -> (B, D), without gradients.

        Args:
            condition: (B, C); its length gives the number of events, also if C = 0.
            noise: (B, D) standard normal. The same noise gives the same events (common random numbers).
        """

    def probe(self, x: Tensor, condition: Tensor) -> Tensor:
        """A function that shows the difference between two trainings, (B, D) and (B, C) -> (B, K), differentiable.

        For the same random numbers it is the same function for all members of a stack. The default is minus the loss:
        the log-density, or what the model trains in its place.
        """
        return -self.loss(x, condition)[:, None]

    def log_prob(self, x: Tensor, condition: Tensor) -> Tensor:
        """log p(x | condition), (B, D) and (B, C) -> (B,), in nats.

        Raises:
            ConfigError: if LIKELIHOOD is false.
        """
        raise ConfigError(f"{type(self).__name__} has no tractable density; choose a model whose LIKELIHOOD is true")


class Transport(GenerativeModel):
    """A model that carries noise (t = 0) to data (t = 1) along dx/dt = v(x, t, condition).

    A subclass gives `loss` and `velocity`. This class has sampling, the density and the choice of the solver.

    Args:
        dimensions: D. conditions: C.
        solver: solver of dx/dt = v. midpoint and heun are of second order, rk4 is of fourth order; dopri5 chooses its
            own steps.
        steps: number of equal steps of midpoint, heun and rk4.
        tolerance: absolute and relative tolerance of dopri5.
        batch: events that are carried at once, so that the activations stay in the processor's cache.
        precision: number format of the velocity while sampling; the events stay in fp32. bf16 is faster on processors
            that support it, with batches of some thousand events, and slower on others.
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
        # The normal likelihood of D velocities x - e, each with the variance that no network can remove. For standard
        # normal x and e it is 2 - (2t - 1)^2 / (t^2 + (1 - t)^2), or pi / 2 on average over t. The loss is a mean
        # over D.
        self.nats = dimensions / math.pi
        self.solver: Solver = solver
        self.steps, self.tolerance, self.batch, self.precision = steps, tolerance, batch, precision

    @abstractmethod
    def velocity(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """v(x, t, condition): x (B, D), t (B, 1) and the result of `encode` for (B, C) -> (B, D)."""

    def encode(self, condition: Tensor) -> Tensor:
        """Prepare the condition for `velocity`, (B, C) -> (B, ...): done once for all steps of an event."""
        return condition

    def sample(self, condition: Tensor, noise: Tensor | None = None) -> Tensor:
        """(B, C) -> (B, D); the events start at `noise` (B, D)."""
        if noise is None:
            noise = torch.randn(condition.shape[0], self.dimensions, device=condition.device, dtype=condition.dtype)
        parts = zip(noise.split(self.batch), condition.split(self.batch), strict=True)
        reduced = torch.autocast(noise.device.type, torch.bfloat16, enabled=self.precision == "bf16")
        with torch.inference_mode(), reduced:
            found = [self._carried(x, c, 0.0, 1.0) for x, c in parts]
        # Join outside of inference mode: a training refuses tensors that were made in it.
        with torch.no_grad():
            return torch.cat(found)

    def log_prob(self, x: Tensor, condition: Tensor) -> Tensor:
        """log p(x | condition), (B, D), (B, C) -> (B,).

        It uses the instantaneous change of variables with the exact trace of dv/dx (1810.01367, eq. 2). The equation
        is solved backwards, by rk4 with `steps` steps or by the adaptive `solver`. A density needs rk4: with steps of
        midpoint that are enough to draw good events, the density does not integrate to 1.
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
            # One backward pass for each dimension gives one row of dv/dx of every event.
            rows = torch.func.vmap(pull)(basis[:, None].expand(-1, len(state), -1))[0]
            return torch.cat([value, torch.einsum("dbd->b", rows)[:, None]], dim=-1)

        state = torch.cat([x, torch.zeros_like(x[:, :1])], dim=-1)
        solver: Solver = "rk4" if self.solver in FIXED else self.solver
        state = integrate(
            with_trace, state, solver=solver, steps=self.steps, tolerance=self.tolerance, start=1.0, end=0.0
        )
        return self._log_start(state[:, :-1], condition) + state[:, -1]

    def _log_start(self, x: Tensor, condition: Tensor) -> Tensor:
        """Log density (B,) of the start of the events; the default is the standard normal of the noise."""
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
        """The time of each event, (B, 1)."""
        return torch.as_tensor(t, device=x.device, dtype=x.dtype).expand(x.shape[0], 1)
