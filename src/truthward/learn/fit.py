"""THE training loop: the only place with an optimiser."""

from __future__ import annotations

import ctypes
import logging
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from truthward.errors import DivergedError
from truthward.learn.resume import Interrupted, load_state, save_state
from truthward.learn.run import History, Run, Settings
from truthward.learn.source import Arrays, Source
from truthward.seeds import seed_for

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
    """Minimise the weighted mean loss; on return `module` has the weights of its best epoch (the last one, or the
    moving average, where there is no validation sample).

    Args:
        module: what is trained, in place. A stack has the member axis first in every parameter.
        loss: `loss(*batch) -> (B,)`, or (E, B) for a stack. Per event: the weights enter here and nowhere else.
        data: tensors of N rows that are indexed together.
        weights: (N,), or (N, E) for a stack; any sign; scaled to unit mean over the training rows, once.
        seed: order of the batches and random numbers inside the loss, by epoch.
        validation: (N,) bool, rows held out for the choice of the epoch.
        state: file for resuming; an interrupted call that is repeated ends as an uninterrupted one does (CPU).
        state_key: digest of spec and code; a state of another key is refused.

    Raises:
        DivergedError: a loss is not finite, with the count; or the weights of the training rows sum to zero or less.
        Interrupted: SIGTERM or SIGUSR1 came; the state was saved.
        StaleError: the state belongs to another spec or other code.
    """
    source = Arrays(data, weights, validation, label=label)
    return fit_source(module, loss, source, settings, seed=seed, label=label, state=state, state_key=state_key,
                      state_seconds=state_seconds)  # fmt: skip


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
    """As `fit`, of rows that any source serves; `loss` is called without the weights that come last in a batch.

    Raises:
        As `fit`, and what the source does.
    """
    _keep_memory()
    members = source.members
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)
    per_epoch = math.ceil(source.rows / settings.batch_size)
    total = per_epoch * settings.epochs
    run = Run(members, parameters, settings)
    done = load_state(state, state_key, module, optimiser, run) if state else None
    if done:
        module.eval()
        return run.history
    device_type = parameters[0].device.type
    amp = torch.autocast(device_type, dtype=torch.bfloat16, enabled=settings.precision == "bf16")

    def mean_loss(*batch: Tensor, where: str) -> Tensor:
        with amp:
            per_event = loss(*batch[:-1])
        per_event = per_event.float().reshape(members, -1)
        value = (per_event * batch[-1].T).mean(1)
        _refuse_nonfinite(value, per_event, where)
        return value

    last_saved, started, first_step = time.monotonic(), time.monotonic(), run.epoch * per_epoch + run.step
    with _signals() as caught:
        while run.epoch < settings.epochs and run.active.any():
            epoch_seed = seed_for(seed, "epoch", run.epoch)
            if run.step == 0:
                torch.manual_seed(epoch_seed)
                run.running = torch.zeros(members, dtype=torch.float64)
            else:
                torch.set_rng_state(run.rng)
            module.train()
            for batch in source.batches(settings.batch_size, seed=epoch_seed, skip=run.step):
                _set_rate(optimiser, settings, (run.epoch * per_epoch + run.step) / total)
                value = mean_loss(*batch, where=f"{label}: epoch {run.epoch}, batch {run.step}")
                for p in parameters:
                    p.grad = None
                value.sum().backward()
                _clip(parameters, settings.clip, members)
                optimiser.step()
                run.average(parameters)
                run.running += value.detach().double() * len(batch[0])
                run.step += 1
                if state and (caught or time.monotonic() - last_saved >= state_seconds):
                    save_state(state, state_key, module, optimiser, run)
                    last_saved = time.monotonic()
                if caught:
                    raise Interrupted(caught[0], str(state) if state else None)
            module.eval()
            with run.averaged(parameters), torch.no_grad():
                torch.manual_seed(seed_for(seed, "validation"))
                held = torch.zeros(members, dtype=torch.float64)
                for batch in source.held_batches(16384):
                    value = mean_loss(*batch, where=f"{label}: epoch {run.epoch}, validation")
                    held += value.double() * len(batch[0])
                run.close_epoch(run.running / source.rows, held / max(source.held, 1), source.held > 0, parameters)
            steps = run.epoch * per_epoch - first_step
            remaining = (time.monotonic() - started) / max(steps, 1) * (total - run.epoch * per_epoch)
            losses = f"loss {run.history.train[-1][0]:.5f}"
            if source.held:
                losses += f", validation {run.history.validation[-1][0]:.5f}"
            log.info("%s: epoch %d/%d, %s, at most %.0f s remain", label, run.epoch, settings.epochs, losses, remaining)
    run.restore_best(parameters)
    module.eval()
    bad = sum(int((~torch.isfinite(p)).sum()) for p in parameters)
    if bad:
        # The last step's own loss was finite: its gradient was not.
        raise DivergedError(f"{label}: {bad} network parameters are not finite; lower `learning_rate`")
    if state:
        save_state(state, state_key, module, optimiser, run, done=True)
    if caught:
        raise Interrupted(caught[0], str(state) if state else None)
    return run.history


def _keep_memory() -> None:
    """Have the C library keep freed blocks of up to 32 MB: given back and taken anew in each step, their pages cost up
    to a quarter of a training's time. Libraries without this switch do as they please."""
    try:
        adjust = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    trim_threshold, mmap_threshold = -1, -3
    adjust(trim_threshold, 2**31 - 1)
    adjust(mmap_threshold, 2**25)


def _refuse_nonfinite(value: Tensor, per_event: Tensor, where: str) -> None:
    if not math.isfinite(float(value.detach().sum())):
        bad = int((~torch.isfinite(per_event)).sum())
        raise DivergedError(
            f"{where}: {bad} of {per_event.numel()} losses are not finite; lower `learning_rate` or look at the inputs"
        )


def _set_rate(optimiser: torch.optim.Optimizer, settings: Settings, fraction: float) -> None:
    rate = settings.learning_rate
    if settings.schedule == "cosine":
        # A short warm-up: the first steps of Adam are as large as its rate whatever the gradient.
        rate *= min(1.0, (fraction + 1e-9) / 0.03) * 0.5 * (1.0 + math.cos(math.pi * fraction))
    for group in optimiser.param_groups:
        group["lr"] = rate


def _clip(parameters: list[Tensor], limit: float, members: int) -> None:
    """Scale gradients down to norm `limit`, member by member in a stack."""
    if not limit:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    if members == 1:
        norm = float(torch.stack(torch._foreach_norm(gradients)).norm())
        # Not `if norm > limit`: a norm that is not finite has to reach the parameters, where it is found.
        if not norm <= limit:
            torch._foreach_mul_(gradients, limit / (norm + 1e-6))
        return
    norms = torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients]).norm(dim=0)
    scale = (limit / (norms + 1e-6)).clamp(max=1.0)
    for g in gradients:
        g.mul_(scale.reshape(-1, *[1] * (g.ndim - 1)))


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGUSR1 while training, so that the state is saved between two steps."""
    caught: list[int] = []
    previous = {}
    try:
        for number in (signal.SIGTERM, signal.SIGUSR1):
            previous[number] = signal.signal(number, lambda n, _frame: caught.append(n))
    except ValueError:  # Not the main thread: signals are its business.
        previous = {}
    try:
        yield caught
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
