"""Draw in one step: a network that learns where another model carries each noise."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from truthward.errors import ConfigError, StaleError
from truthward.learn.fit import Settings
from truthward.learn.nets import MLP
from truthward.models.base import GenerativeModel
from truthward.study import plugins

KNEE = 0.01
"""Distance, in units of standard normal columns, below which the loss of the student is quadratic."""


class Consistency(GenerativeModel):
    """A student that draws in one step what its teacher, any other model, draws in many.

    A teacher makes the same event of the same noise. So a network can learn this map from pairs of noise and drawn
    event (2101.02388). For a flow in time it is the consistency function f(x_t, t) at pure noise (2303.01469, sec. 3).
    The student is x = noise + network(noise, condition). Its loss is sqrt(|x - teacher|^2 / D + KNEE^2) - KNEE
    (2310.14189, sec. 3.3). A loss without the square cares less about the few events where the map is steep.

    There are two trainings. `loss` trains the teacher alone, as if there were no student. Then `learn.distil` trains
    the student, with conditions of the training events and new noise. The student keeps a mark of the teacher from
    which it learned. If the teacher changes, `sample` refuses to draw until the student has learned again. A student
    that has never learned is not used: then the teacher draws.

    The density is that of the teacher. The events are those of the student, so they differ from this density by the
    student's error, which the log of the training states.

    Args:
        dimensions: D, given by the program.
        conditions: C, given by the program.
        teacher: kind and options of the model that is trained on the events. One that solves a flow in time gains most.
        width: number of nodes in each hidden layer of the student.
        depth: number of hidden layers of the student.
        activation: function between the hidden layers of the student.
        pairs: number of events that the teacher draws for the student.
        epochs: number of epochs of the student's training.
        batch_size: pairs in each step of the student's training.
        learning_rate: learning rate of the student's training.
        batch: events that are drawn at once, so that the activations stay in the processor's cache.
    """

    STUDENT = "student"
    BOUNDS = (
        (">= 1", "width depth pairs epochs batch_size batch"),
        ("> 0", "learning_rate"),
    )

    learned_from: Tensor

    def __init__(
        self,
        *,
        dimensions: int,
        conditions: int,
        teacher: dict = {"kind": "flow_matching"},  # noqa: B006 (schemas are literals; only read)
        width: int = 128,
        depth: int = 3,
        activation: Literal["relu", "gelu", "silu", "tanh"] = "relu",
        pairs: int = 100_000,
        epochs: int = 20,
        batch_size: int = 512,
        learning_rate: float = 4e-3,
        batch: int = 2048,
    ) -> None:
        super().__init__(dimensions=dimensions, conditions=conditions)
        if min(width, depth, pairs, epochs, batch_size, batch) < 1 or not learning_rate > 0:
            raise ConfigError(
                f"consistency: width {width}, depth {depth}, pairs {pairs}, epochs {epochs}, batch_size {batch_size}, "
                f"batch {batch}, learning_rate {learning_rate} given; at least 1 (learning_rate: above 0) is needed"
            )
        plugins.check("models", teacher, "consistency.teacher", given=("dimensions", "conditions"))
        if teacher["kind"] == "consistency":
            raise ConfigError(
                "consistency.teacher: consistency given, which draws in one step already; choose another kind"
            )
        self.teacher: GenerativeModel = plugins.build("models", teacher, dimensions=dimensions, conditions=conditions)
        self.LIKELIHOOD, self.CONDITIONAL, self.PAIRED = (
            self.teacher.LIKELIHOOD,
            self.teacher.CONDITIONAL,
            self.teacher.PAIRED,
        )
        self.nats, self.pairs, self.batch = self.teacher.nats, pairs, batch
        self.settings = Settings(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate)
        self.student = MLP(dimensions + conditions, dimensions, width=width, depth=depth, activation=activation)
        self.register_buffer("learned_from", torch.zeros(1, dtype=torch.int64))

    def loss(self, x: Tensor, condition: Tensor) -> Tensor:
        """Loss of the teacher, (B, D), (B, C) -> (B,)."""
        return self.teacher.loss(x, condition)

    def probe(self, x: Tensor, condition: Tensor) -> Tensor:
        """See `GenerativeModel`: that of the teacher."""
        return self.teacher.probe(x, condition)

    def log_prob(self, x: Tensor, condition: Tensor) -> Tensor:
        """log p(x | condition) of the teacher, (B, D), (B, C) -> (B,); ConfigError if it has no tractable density."""
        return self.teacher.log_prob(x, condition)

    def taught(self, condition: Tensor, noise: Tensor) -> Tensor:
        """What the teacher draws, (B, C) and (B, D) -> (B, D)."""
        return self.teacher.sample(condition, noise)

    def student_loss(self, noise: Tensor, condition: Tensor, target: Tensor) -> Tensor:
        """Distance of the student from `target`, the result of `taught`: (B, D), (B, C), (B, D) -> (B,)."""
        squared = (self._step(noise, condition) - target).square().mean(-1)
        return (squared + KNEE**2).sqrt() - KNEE

    def mark(self) -> Tensor:
        """A number of the teacher's parameters, (1,) int64 and never 0: others have another one.

        Integers wrap around, so the number does not depend on the order of the sum.
        """
        bits = torch.cat(
            [p.detach().float().contiguous().view(torch.int32).flatten() for p in self.teacher.parameters()]
        )
        place = 2 * torch.arange(len(bits), device=bits.device) + 1
        return (bits.long() * place).sum(0, keepdim=True) | 1

    def sample(self, condition: Tensor, noise: Tensor | None = None) -> Tensor:
        """(B, C) -> (B, D); the events start at `noise` (B, D).

        Inside `torch.func.vmap` no value can be tested. There events are NaN where the student did not learn from this
        teacher.

        Raises:
            StaleError: the teacher has changed since the student learned from it.
        """
        if noise is None:
            noise = torch.randn(condition.shape[0], self.dimensions, device=condition.device, dtype=condition.dtype)
        current = self.mark() == self.learned_from
        if torch.func.debug_unwrap(current) is not current:
            with torch.no_grad():
                return torch.where(current, self._step(noise, condition), torch.nan)
        if not current:
            if not self.learned_from:
                return self.teacher.sample(condition, noise)
            raise StaleError(
                "consistency: the teacher was trained after the student had learned from it; run `learn.distil.distil`"
            )
        parts = zip(noise.split(self.batch), condition.split(self.batch), strict=True)
        with torch.inference_mode():
            found = [self._step(z, c) for z, c in parts]
        # Join outside of inference mode: a training refuses tensors that were made in it.
        with torch.no_grad():
            return torch.cat(found)

    def _step(self, noise: Tensor, condition: Tensor) -> Tensor:
        return noise + self.student(torch.cat([noise, condition], dim=-1))
