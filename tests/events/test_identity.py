"""Repeated ids are found exactly, whether all ids are held in memory or most of them lie in a file."""

from __future__ import annotations

import numpy as np
import pytest

from truthward.errors import InputError
from truthward.events.identity import Ids, combine, mix


def search(folder, batches, **options):
    with Ids(folder, **options) as seen:
        for batch in batches:
            seen.add(batch)
        seen.refuse_duplicates("in.root")
        return seen


@pytest.mark.parametrize("crowded", [True, False])
@pytest.mark.parametrize("repeated", [[], [3], [0, 999, 7, 7]])
def test_the_file_finds_what_memory_finds(tmp_path, crowded, repeated):
    ids = np.arange(1000, dtype=np.uint64) if crowded else mix(np.arange(1000, dtype=np.uint64))
    # Far from the first of their kind: in another run of the file, or in none yet.
    batches = np.array_split(np.concatenate([ids, ids[repeated]]), 9)
    messages = []
    for bound in (10**6, 150):
        if not repeated:
            search(tmp_path, batches, bound=bound)
            continue
        with pytest.raises(InputError) as caught:
            search(tmp_path, batches, bound=bound)
        messages.append(str(caught.value))
    assert not repeated or messages[0] == messages[1]
    assert all(f"{len(repeated)} of {1000 + len(repeated)} rows" in message for message in messages)
    assert list(tmp_path.iterdir()) == []


def test_memory_holds_no_more_than_the_bound(tmp_path):
    with Ids(tmp_path, bound=100) as seen:
        for k in range(50):
            seen.add(np.arange(60 * k, 60 * (k + 1), dtype=np.uint64))
            assert sum(waiting.size for waiting in seen._waiting) <= 100
        assert max(part.size for part in seen._classes()) < 60
    assert seen._file.closed


def splitmix(value: int) -> int:
    """SplitMix64 in whole numbers of any size, from the paper."""
    z = (value + 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def test_ids_are_those_of_the_numbers_in_their_order():
    rng = np.random.default_rng(1)
    run, lumi, event = (rng.integers(0, high, 500).astype(np.uint64) for high in (2**20, 2**63, 2**40))
    expected = [
        splitmix(splitmix(splitmix(int(a)) ^ int(b)) ^ int(c)) for a, b, c in zip(run, lumi, event, strict=True)
    ]
    assert combine(run, lumi, event).tolist() == expected
    # (run 1, event 2) and (run 2, event 1) are two events.
    first, second = np.array([1, 2, 3]), np.array([2, 1, 3])
    assert combine(first, second)[0] != combine(second, first)[0]
    assert combine(first, second)[2] == combine(second, first)[2]
    grid = np.indices((40, 40, 40)).reshape(3, -1)
    assert len(np.unique(combine(*grid))) == 40**3
