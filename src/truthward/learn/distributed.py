"""Run one training in several processes: each computes its share of every batch, and sums are over all processes.

The mean loss and its gradient are for the whole batch, which has `batch_size` rows per process. So n processes give the
same loss curve as one process with an n-fold batch, up to rounding. If the loss uses random numbers, each process draws
others, from its own seed. Then the curve agrees only statistically, but it is reproducible for the same n.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from truthward.study.seeds import seed_for


def join() -> None:
    """Connect to the other processes if torchrun started this one; the first training does this for all later ones."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        atexit.register(dist.destroy_process_group)


def rank() -> int:
    """Rank of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def share(batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The rows of a batch that belong to this process; the last tensor of a batch is the weights.

    If there are fewer rows than processes, the other processes take a row of weight zero, so that all take part in the
    sum.
    """
    if world() == 1:
        return batch
    own = tuple(t.tensor_split(world())[rank()] for t in batch)
    return own if len(own[-1]) else (*(t[:1] for t in batch[:-1]), torch.zeros_like(batch[-1][:1]))


def sum_over_processes(tensors: Sequence[Tensor]) -> None:
    """Replace tensors of one type by their sums over the processes, all in one exchange."""
    if world() > 1:
        flat = torch.cat([t.flatten() for t in tensors])
        dist.all_reduce(flat)
        for t, total in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            t.copy_(total.view_as(t))


def of_all(tensor: Tensor) -> list[Tensor]:
    """The tensors of all processes, which have equal shapes."""
    found = [torch.empty_like(tensor) for _ in range(world())]
    if world() == 1:
        return [tensor]
    dist.all_gather(found, tensor)
    return found


def own_seed(seed: int) -> int:
    """The seed itself in the first process, and a derived seed in each other process."""
    return seed_for(seed, "process", rank()) if rank() else seed
