"""Choose the device of a training: the GPU of the process, or the CPU."""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn

from truthward.errors import ConfigError
from truthward.run import launch

log = logging.getLogger("truthward.device")


@cache
def training_device() -> torch.device:
    """The GPU of this process if torch sees one, else the CPU. It warns if the job was given a GPU and has none.

    Raises:
        ConfigError: more processes than GPUs.
    """
    given, own = int(os.environ.get(launch.GIVEN, "0")), launch.rank() or 0
    if not torch.cuda.is_available():
        if given:
            log.warning(
                "%d GPU%s given, but torch sees none: training on the CPU", given, " was" if given == 1 else "s were"
            )
        return torch.device("cpu")
    if own >= torch.cuda.device_count():
        seen = torch.cuda.device_count()
        raise ConfigError(f"resources.gpus: {given} given, but torch sees {seen}; set it to {seen} at most")
    torch.cuda.set_device(own)
    return torch.device("cuda", own)


@contextmanager
def placed(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Put `module` on the device. Afterwards it is on the CPU again, where all other code expects it."""
    module.to(device)
    try:
        yield
    finally:
        module.to("cpu")


def moved(batch: tuple[Tensor, ...], device: torch.device) -> tuple[Tensor, ...]:
    """The tensors of a batch on the device. Pinned memory lets the copy to a GPU run during the previous step."""
    if device.type == "cpu":
        return batch
    if device.type == "cuda":
        batch = tuple(t if t.is_cuda else t.pin_memory() for t in batch)
    return tuple(t.to(device, non_blocking=True) for t in batch)


def rng_state(device: torch.device) -> Tensor:
    """State of the generators that a loss may use: of the CPU and of the GPU, as bytes."""
    state = torch.get_rng_state()
    return torch.cat([state, torch.cuda.get_rng_state(device)]) if device.type == "cuda" else state


def set_rng_state(state: Tensor, device: torch.device) -> None:
    """Restore a state of `rng_state`, which must come from the same kind of device."""
    own = len(torch.get_rng_state())
    torch.set_rng_state(state[:own])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[own:], device)


def keep_memory() -> None:
    """Make the C library keep freed blocks of up to 32 MB, because allocating their pages in each step takes time.

    A library without this switch is not changed.
    """
    try:
        adjust = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    trim_threshold, mmap_threshold = -1, -3
    adjust(trim_threshold, 2**31 - 1)
    adjust(mmap_threshold, 2**25)
