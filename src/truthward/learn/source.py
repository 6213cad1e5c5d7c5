"""Sources of training batches: arrays in memory, or blocks that are read during an epoch."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from truthward.errors import DivergedError, InputError
from truthward.study.seeds import seed_for

Read = Callable[[int, int], tuple[Tensor, ...]]

GATHERED = 65536
"""Number of rows that are gathered at once."""

CPU = torch.device("cpu")

SHUFFLED = 2**24
"""Largest number of rows whose order a GPU takes from the CPU: a longer one takes seconds to draw there."""

JOINED = 16
"""Largest number of values in a row whose tensors are joined: what a processor reads from memory in one piece."""


class Source(ABC):
    """Rows of a training, in batches of tensors; the last tensor of a batch is its weights (b, E).

    Attributes:
        rows: number of training rows; an epoch gives each of them once.
        held: number of rows held out for the choice of the epoch.
        members: E. For each member the weights have unit mean over all training rows.
    """

    rows: int
    held: int
    members: int

    def place(self, device: torch.device) -> None:
        """Keep the rows on the device of the training, if they fit; `batches` then needs no copies from the host."""
        return

    @abstractmethod
    def batches(self, size: int, *, seed: int, skip: int = 0) -> Iterator[tuple[Tensor, ...]]:
        """One epoch, `size` rows at a time in an order drawn from `seed`, without its first `skip` batches.

        The last batch has the remaining rows.
        """

    @abstractmethod
    def held_batches(self, size: int) -> Iterator[tuple[Tensor, ...]]:
        """The rows held out, at most `size` at a time, always in the same order."""


class Arrays(Source):
    """Samples in memory.

    Args:
        data: tensors of N rows that are indexed together.
        weights: (N,) or (N, E), any sign; scaled to unit mean over the training rows.
        validation: (N,) bool, rows held out.

    Raises:
        InputError: all rows are held out.
        DivergedError: weights that are not finite, or that sum to zero or less over the training rows.
    """

    def __init__(
        self, data: Sequence[Tensor], weights: Tensor, validation: Tensor | None = None, *, label: str = "training"
    ) -> None:
        held_out = torch.zeros(len(weights), dtype=torch.bool, device=weights.device)
        held_out = held_out if validation is None else validation.to(weights.device)
        self._train, self._held = torch.nonzero(~held_out).squeeze(1), torch.nonzero(held_out).squeeze(1)
        self.rows, self.held = len(self._train), len(self._held)
        if self.rows == 0:
            raise InputError(f"{label}: no training event is left after the split")
        weights = weights.reshape(len(weights), -1)
        self.members = weights.shape[1]
        self._data = _Rows((*data, _unit_mean(weights, self._train, label)))

    def place(self, device: torch.device) -> None:
        """See Source."""
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else math.inf
        # The other half is for the network, its activations, and the order of the rows.
        if self._data.bytes <= free / 2:
            self._data.to(device)
            self._train, self._held = self._train.to(device), self._held.to(device)

    def batches(self, size: int, *, seed: int, skip: int = 0) -> Iterator[tuple[Tensor, ...]]:
        """See Source."""
        order = _permutation(self.rows, seed, self._train.device)
        return self._data.gathered(self._train[order][skip * size :], size)

    def held_batches(self, size: int) -> Iterator[tuple[Tensor, ...]]:
        """See Source."""
        return self._data.gathered(self._held, size)


class Stream(Source):
    """Samples that do not fit into memory: a shuffled buffer over the blocks of several tables.

    An epoch has K = ceil(rows / buffer) rounds. Each round takes the blocks of every table in an order drawn from the
    seed. It holds a fraction 1/K of the rows of *each* table, so that classes are mixed in proportion. These rows are
    shuffled together and cut into batches, and the remaining rows go into the next round. If there is only one round,
    the order is that of `Arrays` for the joined tables. Memory holds at most the buffer, one batch, and one block of
    each table.

    Args:
        tables: number of training rows of each block of each table; tables may have different numbers of blocks.
        read: read(table, block) -> (tensors..., weights (n, E)) of its training rows. The weights have unit mean over
            all training rows.
        buffer: number of rows held at once.
        members: E.
        held_tables, read_held: the same for the rows held out.

    Raises:
        InputError: no training row, or no buffer; while reading, a block with another number of rows.
    """

    def __init__(
        self,
        tables: Sequence[Sequence[int]],
        read: Read,
        *,
        buffer: int,
        members: int,
        held_tables: Sequence[Sequence[int]] = (),
        read_held: Read | None = None,
        label: str = "training",
    ) -> None:
        self._tables, self._held_tables = [list(t) for t in tables], [list(t) for t in held_tables]
        self._read, self._read_held, self._buffer, self._label = read, read_held, buffer, label
        self.rows = sum(map(sum, self._tables))
        self.held = sum(map(sum, self._held_tables)) if read_held else 0
        self.members = members
        if self.rows == 0:
            raise InputError(f"{label}: no training event is left after the split")
        if buffer < 1:
            raise InputError(f"{label}: a buffer of {buffer} rows given; at least 1 is needed")

    def batches(self, size: int, *, seed: int, skip: int = 0) -> Iterator[tuple[Tensor, ...]]:
        """See Source. Skipped batches are read, because later ones hold their remaining rows, but not gathered."""
        rounds = math.ceil(self.rows / self._buffer)
        orders = [
            _permutation(len(table), seed_for(seed, "blocks", t)).tolist() if rounds > 1 else range(len(table))
            for t, table in enumerate(self._tables)
        ]
        flows = [_Flow(self._blocks(t, order)) for t, order in enumerate(orders)]
        totals = [sum(table) for table in self._tables]
        room = math.ceil(self.rows / rounds) + len(totals) + size
        held: tuple[Tensor, ...] = ()
        left = 0
        for k in range(rounds):
            shares = [total * (k + 1) // rounds - total * k // rounds for total in totals]
            filled = left
            for flow, share in zip(flows, shares, strict=True):
                for piece in flow.take(share):
                    held = held or tuple(p.new_empty((room, *p.shape[1:])) for p in piece)
                    for kept, p in zip(held, piece, strict=True):
                        kept[filled : filled + len(p)] = p
                    filled += len(piece[0])
            order = _permutation(filled, seed if k == 0 else seed_for(seed, "round", k))
            whole = filled if k == rounds - 1 else filled - filled % size
            batches = math.ceil(whole / size)
            rows = _Rows(held, joined=False)
            yield from rows.gathered(order[min(skip, batches) * size : whole], size, at_once=size)
            skip, left = skip - min(skip, batches), filled - whole
            # Through a copy, because source and destination of the remaining rows may overlap.
            for kept in held:
                kept[:left] = kept[order[whole:]]

    def held_batches(self, size: int) -> Iterator[tuple[Tensor, ...]]:
        """See Source."""
        read = self._read_held
        if read is None:
            return
        for t, table in enumerate(self._held_tables):
            for b, rows in enumerate(table):
                if rows:
                    yield from zip(*(p.split(size) for p in self._block(read, t, b, rows)), strict=True)

    def _blocks(self, table: int, order: Sequence[int]) -> Iterator[tuple[Tensor, ...]]:
        for block in order:
            if rows := self._tables[table][block]:
                yield self._block(self._read, table, block, rows)

    def _block(self, read: Read, table: int, block: int, rows: int) -> tuple[Tensor, ...]:
        piece = read(table, block)
        if any(len(p) != rows for p in piece):
            raise InputError(
                f"{self._label}: block {block} of table {table} has {len(piece[0])} rows, but {rows} were announced; "
                "the table changed while it was read: run again"
            )
        return piece


class _Flow:
    """The blocks of a table one after the other, given out in parts."""

    def __init__(self, blocks: Iterator[tuple[Tensor, ...]]) -> None:
        self._blocks = blocks
        self._rest: tuple[Tensor, ...] | None = None

    def take(self, rows: int) -> Iterator[tuple[Tensor, ...]]:
        """The next `rows` rows, in pieces."""
        while rows:
            block = self._rest or next(self._blocks)
            self._rest = tuple(d[rows:] for d in block) if len(block[0]) > rows else None
            piece = tuple(d[:rows] for d in block)
            rows -= len(piece[0])
            yield piece


def _permutation(rows: int, seed: int, device: torch.device = CPU) -> Tensor:
    """An order of the rows on the device. Up to `SHUFFLED` rows it is the one of a CPU."""
    drawn = device if rows > SHUFFLED else CPU
    generator = torch.Generator(drawn).manual_seed(seed)
    return torch.randperm(rows, generator=generator, device=drawn).to(device)


class _Rows:
    """Tensors that are gathered together. Short rows are joined, because each tensor costs an access to the memory."""

    def __init__(self, data: tuple[Tensor, ...], *, joined: bool = True) -> None:
        self._shapes = [d.shape[1:] for d in data]
        self._widths = [math.prod(s) for s in self._shapes]
        short = sum(self._widths) <= JOINED and all(d.dtype == torch.float32 for d in data)
        self._joined = joined and short
        self._data = (torch.cat([d.reshape(len(d), -1) for d in data], dim=1),) if self._joined else data

    @property
    def bytes(self) -> int:
        """Size of all rows."""
        return sum(d.nbytes for d in self._data)

    def to(self, device: torch.device) -> None:
        """Move the rows to a device."""
        self._data = tuple(d.to(device) for d in self._data)

    def gathered(self, index: Tensor, size: int, *, at_once: int = GATHERED) -> Iterator[tuple[Tensor, ...]]:
        """These rows, `size` at a time; gathered for many batches at once."""
        for block in index.split(size * math.ceil(at_once / size)) if len(index) else ():
            rows = tuple(d.index_select(0, block) for d in self._data)
            if self._joined:
                parts = rows[0].split(self._widths, dim=1)
                rows = tuple(p.reshape(len(block), *s) for p, s in zip(parts, self._shapes, strict=True))
            yield from zip(*(r.split(size) for r in rows), strict=True)


def _unit_mean(weights: Tensor, rows: Tensor, label: str) -> Tensor:
    if bad := int((~torch.isfinite(weights)).sum()):
        raise DivergedError(f"{label}: {bad} of {weights.numel()} weights are not finite")
    mean = weights[rows].double().mean(0)
    if (mean <= 0).any():
        raise DivergedError(
            f"{label}: the weights of the training events sum to {float(mean.min()) * len(rows):.3g}; a positive sum "
            "is needed"
        )
    return (weights.double() / mean).float()
