"""Laws of the sources: an epoch serves each row once, in an order of the seed; a stream does so in bounded memory."""

from __future__ import annotations

import gc
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from truthward.errors import DivergedError, InputError
from truthward.learn.fit import Settings, fit, fit_source
from truthward.learn.nets import MLP
from truthward.learn.source import Arrays, Stream
from truthward.learn.stack import Stack

TABLES = ([40, 0, 25, 35, 7], [10, 20, 3], [60])
ROWS = sum(map(sum, TABLES))
STARTS = [[sum(map(sum, TABLES[:t])) + sum(table[:b]) for b in range(len(table) + 1)] for t, table in enumerate(TABLES)]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


X, W = normal(ROWS, 2), 1.0 + 0.5 * normal(ROWS, 2, seed=1)
W = (W.double() / W.double().mean(0)).float()
OF_TABLE = torch.repeat_interleave(torch.arange(3), torch.tensor([sum(t) for t in TABLES]))


def read(table: int, block: int) -> tuple[Tensor, Tensor, Tensor]:
    rows = slice(STARTS[table][block], STARTS[table][block + 1])
    return torch.arange(ROWS)[rows], X[rows], W[rows]


def stream(buffer: int, **options) -> Stream:
    return Stream(TABLES, read, buffer=buffer, members=2, **options)


def served(source, size: int, seed: int = 1, **options) -> list[Tensor]:
    return [batch[0] for batch in source.batches(size, seed=seed, **options)]


@pytest.mark.parametrize("size", [1, 7, 64, 300])
@pytest.mark.parametrize("buffer", [1, 30, 64, 150, 1000])
def test_an_epoch_serves_each_row_once(buffer, size):
    source = stream(buffer)
    batches = list(source.batches(size, seed=1))
    rows = torch.cat([b[0] for b in batches])
    assert torch.equal(rows.sort().values, torch.arange(ROWS))
    for of_row, column in ((X, 1), (W, 2)):
        assert torch.equal(torch.cat([b[column] for b in batches]), of_row[rows])
    assert [len(b[0]) for b in batches[:-1]] == [size] * ((ROWS - 1) // size)
    assert source.rows == ROWS


@pytest.mark.parametrize("buffer", [64, 1000])
def test_the_seed_decides_the_order(buffer):
    one, again, other = (torch.cat(served(stream(buffer), 7, seed=s)) for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_with_one_round_the_order_is_that_of_a_plain_shuffle():
    plain = Arrays((torch.arange(ROWS), X), W)
    for one, other in zip(plain.batches(16, seed=4), stream(ROWS).batches(16, seed=4), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one[:-1], other[:-1], strict=True))
        torch.testing.assert_close(one[-1], other[-1])
    assert not torch.equal(torch.cat(served(stream(ROWS - 1), 16)), torch.cat(served(stream(ROWS), 16)))


def test_rows_go_far_in_a_stream():
    # Over the epochs every row is as often in the first half as in the second, wherever it lies in its table.
    tables = [[10] * 10, [10] * 10]
    source = Stream(tables, lambda t, b: (100 * t + 10 * b + torch.arange(10), torch.ones(10, 1)), buffer=50, members=1)
    halves = [set(torch.cat(served(source, 10, seed=s))[:100].tolist()) for s in range(60)]
    shares = torch.tensor([sum(row in half for half in halves) / len(halves) for row in range(200)])
    assert shares.min() > 0.2
    assert shares.max() < 0.8


def test_classes_are_mixed_in_proportion():
    rows = [[2000] * 10, [500] * 8]  # four to one
    source = Stream(
        rows, lambda t, _: (torch.full((rows[t][0],), t), torch.ones(rows[t][0], 1)), buffer=3000, members=1
    )
    shares = torch.stack([b[0].float().mean() for b in source.batches(1000, seed=1)])
    assert len(shares) == 24
    # Five standard deviations of a draw of 1,000; shares of rounds that hold whole tables would be 0 or 1.
    assert (shares - 1 / 6).abs().max() < 5 * (5 / 36 / 1000) ** 0.5


@pytest.mark.parametrize("buffer", [30, 64, 1000])
@pytest.mark.parametrize("size", [7, 64])
def test_skipped_batches_leave_the_others_as_they_are(buffer, size):
    for source in (stream(buffer), Arrays((torch.arange(ROWS),), W)):
        whole = served(source, size)
        for skip in (1, len(whole) // 2, len(whole) - 1, len(whole)):
            rest = served(source, size, skip=skip)
            assert len(rest) == len(whole) - skip
            assert all(torch.equal(a, b) for a, b in zip(rest, whole[skip:], strict=True))


@pytest.mark.parametrize("buffer", [100, 400])
def test_memory_stays_flat(buffer):
    """Rows alive at any time: the buffer, some batches, and a block a table, of the many that are read."""
    blocks, rows, size, width = 40, 50, 20, 11  # a width that tells these tensors from all others

    def wide(table: int, block: int) -> tuple[Tensor, Tensor]:
        nonlocal most
        storages = {}
        for thing in gc.get_objects():
            if type(thing) is Tensor and thing.ndim == 2 and thing.shape[1] == width:
                storages[thing.untyped_storage().data_ptr()] = thing.untyped_storage().nbytes() // (4 * width)
        most = max(most, sum(storages.values()) + rows)
        return torch.zeros(rows, width), torch.ones(rows, 1)

    most = 0
    source = Stream([[rows] * blocks, [rows] * blocks], wide, buffer=buffer, members=1)
    assert sum(len(x) for x, _ in source.batches(size, seed=1)) == 2 * blocks * rows
    assert buffer <= most <= buffer + 3 * size + 2 + 2 * rows


def stack() -> Stack:
    return Stack(lambda: MLP(2, 1, width=8, depth=1), [3, 4])


def loss_of(module):
    return lambda row, x: (module.call("forward", x).squeeze(-1) - x[:, 0] * x[:, 1]).square()


SETTINGS = Settings(epochs=3, batch_size=16, learning_rate=1e-2)


class Killed(Exception):
    """Ends a training as a crash does."""


@pytest.mark.parametrize("at", [1, 14, 30])
def test_a_training_on_a_stream_resumes_bit_by_bit(tmp_path, at):
    def train(state, crash=-1):
        module, calls = stack(), 0

        def loss(row: Tensor, x: Tensor) -> Tensor:
            nonlocal calls
            calls += module.training
            if calls - 1 == crash:
                raise Killed
            return loss_of(module)(row, x + 0.1 * torch.randn_like(x))

        source = stream(64, held_tables=TABLES, read_held=read)
        return module, fit_source(module, loss, source, SETTINGS, seed=2, state=state, state_seconds=0.0)

    module, history = train(None)
    with pytest.raises(Killed):
        train(tmp_path / "s.pt", at)
    resumed, again = train(tmp_path / "s.pt")
    assert again == history
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), resumed.parameters(), strict=True))


def test_a_stream_that_fits_trains_as_arrays_do():
    held = torch.arange(ROWS) % 5 == 0
    tables = [[int((~held[a:b]).sum()) for a, b in pairwise(s)] for s in STARTS]
    held_tables = [[int(held[a:b].sum()) for a, b in pairwise(s)] for s in STARTS]
    scaled = (W.double() / W[~held].double().mean(0)).float()

    def part(chosen: Tensor):
        def of(table: int, block: int) -> tuple[Tensor, ...]:
            rows = torch.arange(STARTS[table][block], STARTS[table][block + 1])
            rows = rows[chosen[rows]]
            return rows, X[rows], scaled[rows]

        return of

    one, other = stack(), stack()
    expected = fit(one, loss_of(one), (torch.arange(ROWS), X), W, SETTINGS, seed=2, validation=held)
    source = Stream(tables, part(~held), buffer=ROWS, members=2, held_tables=held_tables, read_held=part(held))
    assert (source.rows, source.held) == (int((~held).sum()), int(held.sum()))
    found = fit_source(other, loss_of(other), source, SETTINGS, seed=2)
    assert found.train == expected.train
    torch.testing.assert_close(torch.tensor(found.validation), torch.tensor(expected.validation), rtol=1e-6, atol=0)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_block_that_changed_is_refused():
    source = Stream([[5, 5]], lambda _, block: (torch.zeros(5 - block), torch.ones(5 - block, 1)), buffer=4, members=1)
    with pytest.raises(InputError, match="block 1 of table 0 has 4 rows, but 5 were announced"):
        list(source.batches(2, seed=1))


def test_nothing_to_serve_is_refused():
    with pytest.raises(InputError, match="no training event"):
        Stream([[0], []], read, buffer=4, members=1)
    with pytest.raises(InputError, match="buffer of 0 rows"):
        stream(0)
    with pytest.raises(DivergedError, match="sum to 0"):
        Arrays((X,), torch.zeros(ROWS))


@pytest.mark.parametrize("columns", [3, 40])
def test_joined_rows_are_those_of_the_tensors(columns):
    """Short rows are gathered from one table, long ones tensor by tensor; both keep shapes and values."""
    number, wide, points = torch.arange(ROWS).float(), normal(ROWS, columns), normal(ROWS, 2, 2)
    source = Arrays((number, wide, points), torch.ones(ROWS))
    seen = []
    for rows, x, p, w in source.batches(33, seed=4):
        assert (rows.ndim, x.shape[1:], p.shape[1:], w.shape[1:]) == (1, (columns,), (2, 2), (1,))
        assert torch.equal(x, wide[rows.long()])
        assert torch.equal(p, points[rows.long()])
        seen.append(rows)
    assert torch.equal(torch.cat(seen).sort().values, number)
    assert len(seen) == -(-ROWS // 33)


def test_rows_go_to_the_device_if_they_fit(monkeypatch):
    """On torch's `meta` device, which has shapes and no values."""
    source = Arrays((X,), W[:, :1])
    source.place(torch.device("meta"))
    assert all(t.is_meta for t in (*source._data._data, source._train, source._held))
    small = Arrays((X,), W[:, :1])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (small._data.bytes, 10**9))
    small.place(torch.device("cuda"))
    assert not any(t.is_meta or t.is_cuda for t in small._data._data)
