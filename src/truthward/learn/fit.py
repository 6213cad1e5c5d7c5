"""The training loop: the only place with an optimiser."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from truthward.errors import DivergedError
from truthward.learn.device import keep_memory, moved, placed, set_rng_state, training_device
from truthward.learn.distributed import join, own_seed, rank, share, sum_over_processes, world
from truthward.learn.finite import EVERY, Losses
from truthward.learn.loss import OwnGradient
from truthward.learn.optimiser import AdamW, clip, learning_rate
from truthward.learn.resume import Interrupted, load_state, save_state, signals
from truthward.learn.run import History, Run, Settings
from truthward.learn.source import Arrays, Source
from truthward.study.seeds import seed_for

__all__ = ["History", "Settings", "fit", "fit_source"]

log = logging.getLogger("truthward.fit")


def fit(
    module: nn.Module,
    loss: Callable[..., Tensor],
    data: tuple[Tensor, ...],
    weights: Tensor,
    settings: Settings,
    *,
    seed: int,
    validation: Tensor | None = None,
    label: str = "training",
    state: Path | None = None,
    state_key: str = "",
    state_seconds: float = 30.0,
) -> History:
    """Minimise the weighted mean loss.

    On return `module` has the weights of its best epoch; without a validation sample, those of the last epoch.

    Args:
        module: the network, trained in place. A stack has the member axis first in every parameter.
        loss: `loss(*batch) -> (B,)`, or (E, B) for a stack. It is per event: the weights enter only here.
        data: tensors of N rows that are indexed together.
        weights: (N,), or (N, E) for a stack; any sign; scaled to unit mean over the training rows, once.
        seed: seed of the order of the batches and of random numbers inside the loss, for each epoch.
        validation: (N,) bool, rows held out for the choice of the epoch.
        state: file for resuming. A repeated call after an interruption gives the same result (on a CPU).
        state_key: digest of spec and code; a state with another key is refused.

    Raises:
        DivergedError: a loss is not finite, with the count; or the weights of the training rows sum to zero or less.
        Interrupted: by SIGTERM or SIGUSR1; the state was saved.
        StaleError: the state belongs to another spec or other code.
    """
    return fit_source(
        module,
        loss,
        Arrays(data, weights, validation, label=label),
        settings,
        seed=seed,
        label=label,
        state=state,
        state_key=state_key,
        state_seconds=state_seconds,
    )


def fit_source(
    module: nn.Module,
    loss: Callable[..., Tensor],
    source: Source,
    settings: Settings,
    *,
    seed: int,
    label: str = "training",
    state: Path | None = None,
    state_key: str = "",
    state_seconds: float = 30.0,
) -> History:
    """Like `fit`, with rows from any source; `loss` does not get the weights, the last tensor of a batch.

    It uses the GPU of the process if there is one, so `loss` must take the device from its arguments. With torchrun, n
    processes share batches of n `batch_size` rows, and all return the same result.

    Raises:
        As `fit`, and as the source.
    """
    keep_memory()
    join()
    device = training_device()
    source.place(device)
    with placed(module, device), signals() as caught:
        saver = _Saver(state, state_key, state_seconds, caught, device)
        loop = _Loop(module, loss, source, settings, seed, label, device, saver)
        done = load_state(state, state_key, module, loop.optimiser, loop.run) if state else False
        loop.start()
        while not done and loop.run.epoch < settings.epochs and loop.run.active.any():
            loop.train()
            loop.validate()
            loop.tell()
        module.eval()
        if not done:
            loop.finish()
    return loop.run.history


class _Saver:
    """The resume state of a training, and the signals that end it."""

    def __init__(self, path: Path | None, key: str, seconds: float, caught: list[int], device: torch.device) -> None:
        self.path, self.key, self.seconds, self.caught, self.device = path, key, seconds, caught, device
        self.last = time.monotonic()

    @property
    def late(self) -> bool:
        """Whether to save now; the first process decides for all."""
        return self.path is not None and rank() == 0 and time.monotonic() - self.last >= self.seconds

    def save(self, loop: _Loop, *, done: bool = False) -> None:
        if self.path:
            save_state(self.path, self.key, loop.module, loop.optimiser, loop.run, done=done)
            self.last = time.monotonic()


class _Loop:
    """One training: its optimiser, its state, and the epochs with training and validation rows."""

    def __init__(
        self,
        module: nn.Module,
        loss: Callable[..., Tensor],
        source: Source,
        settings: Settings,
        seed: int,
        label: str,
        device: torch.device,
        saver: _Saver,
    ) -> None:
        self.module, self.loss, self.source, self.settings = module, loss, source, settings
        self.seed, self.label, self.device, self.saver = seed, label, device, saver
        self.per_batch = settings.batch_size * world()
        self.per_epoch = math.ceil(source.rows / self.per_batch)
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.ones = torch.ones(source.members, device=device)
        self.optimiser = AdamW(self.parameters, settings.weight_decay)
        self.reduced = settings.precision == "bf16"
        self.losses = Losses()
        whole = not self.reduced and all(p.requires_grad for p in module.parameters())
        self.own = loss if isinstance(loss, OwnGradient) and whole else None
        self.flat = self.own.start() if self.own else None
        self.run = Run(source.members, self.parameters, settings)

    @property
    def steps(self) -> int:
        """Number of steps, including those of an earlier call."""
        return self.run.epoch * self.per_epoch + self.run.step

    def start(self) -> None:
        self.started, self.first_step = time.monotonic(), self.steps

    def gradients(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Like `mean_loss`, and leave the gradients in the parameters."""
        if self.own is None or self.flat is None:
            for p in self.parameters:
                p.grad = None
            value, per_event = self.mean_loss(batch)
            value.backward(self.ones)
            return value.detach(), per_event
        x, target, weights = moved(share(batch), self.device)
        factors = weights.T / len(batch[-1])
        per_event = self.own.gradient(x, target, factors)
        return (per_event * factors).sum(1), per_event

    def mean_loss(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """The contribution of this process to the mean over the batch, (E,), and the losses of its events."""
        own = moved(share(batch), self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16) if self.reduced else nullcontext():
            per_event = self.loss(*own[:-1])
        per_event = per_event.float().reshape(self.source.members, -1)
        return (per_event * own[-1].T).sum(1) / len(batch[-1]), per_event.detach()

    def train(self) -> None:
        """Do one epoch, or the rest of it; Interrupted after a signal."""
        run, epoch_seed = self.run, seed_for(self.seed, "epoch", self.run.epoch)
        if run.step == 0:
            torch.manual_seed(own_seed(epoch_seed))
            run.running = torch.zeros(self.source.members, dtype=torch.float64)
        else:
            set_rng_state(run.rng[rank()], self.device)
        run.running = run.running.to(self.device)
        self.module.train()
        for batch in self.source.batches(self.per_batch, seed=epoch_seed, skip=run.step):
            stop, late = self.step(batch)
            if stop or late:
                self.losses.look()
                self.saver.save(self)
            if stop:
                raise Interrupted(self.saver.caught, self.saver.path)
        self.losses.look()

    def step(self, batch: tuple[Tensor, ...]) -> tuple[bool, bool]:
        """Do one step of the optimiser. Return whether there was a signal, and whether to save now.

        Several processes ask each other only after some steps, because the answer must be waited for.
        """
        run = self.run
        rate = learning_rate(self.settings.learning_rate, self.steps / (self.per_epoch * self.settings.epochs))
        value, per_event = self.gradients(batch)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        together = gradients if self.flat is None else [self.flat]
        sum_over_processes([value, *together])
        self.losses.add(f"{self.label}: epoch {run.epoch}, batch {run.step}", value, per_event)
        clip(together if self.source.members == 1 else gradients, self.settings.clip, self.source.members)
        self.optimiser.step(rate)
        run.running.add_(value, alpha=len(batch[0]))
        run.step += 1
        if self.losses.due:
            self.losses.look()
        if world() == 1:
            return bool(self.saver.caught), self.saver.late
        return self.notices() if run.step % EVERY == 0 or run.step == self.per_epoch else (False, False)

    def notices(self) -> tuple[bool, bool]:
        """Whether there was a signal, and whether to save now, in any process."""
        found = torch.tensor([float(len(self.saver.caught)), float(self.saver.late)], device=self.device)
        # If processes saved or stopped at different steps, they would wait forever.
        sum_over_processes([found])
        stop, late = found.tolist()
        return stop > 0, late > 0

    def validate(self) -> None:
        """Compute the losses of the held-out rows; this ends the epoch."""
        self.module.eval()
        run, source = self.run, self.source
        with torch.no_grad():
            torch.manual_seed(own_seed(seed_for(self.seed, "validation")))
            held = torch.zeros(source.members, dtype=torch.float64, device=self.device)
            for batch in source.held_batches(16384):
                value, per_event = self.mean_loss(batch)
                sum_over_processes([value])
                self.losses.add(f"{self.label}: epoch {run.epoch}, validation", value, per_event)
                held.add_(value, alpha=len(batch[0]))
                if self.losses.due:
                    self.losses.look()
            self.losses.look()
            train, held = run.running.cpu() / source.rows, held.cpu() / max(source.held, 1)
            run.close_epoch(train, held, source.held > 0, self.parameters)

    def tell(self) -> None:
        run, epochs = self.run, self.settings.epochs
        left = self.per_epoch * epochs - self.steps
        remaining = (time.monotonic() - self.started) / max(self.steps - self.first_step, 1) * left
        losses = f"loss {run.history.train[-1][0]:.5f}"
        if self.source.held:
            losses += f", validation {run.history.validation[-1][0]:.5f}"
        log.info("%s: epoch %d/%d, %s, at most %.0f s remain", self.label, run.epoch, epochs, losses, remaining)

    def finish(self) -> None:
        """Restore the best epoch of each member, and save the end of the training."""
        self.run.restore_best(self.parameters)
        if bad := sum(int((~torch.isfinite(p)).sum()) for p in self.parameters):
            # The loss of the last step was finite, but its gradient was not.
            raise DivergedError(f"{self.label}: {bad} network parameters are not finite; lower `learning_rate`")
        self.saver.save(self, done=True)
        stop = torch.tensor([float(len(self.saver.caught))], device=self.device)
        sum_over_processes([stop])
        if stop:
            raise Interrupted(self.saver.caught, self.saver.path)
