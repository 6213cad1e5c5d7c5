"""Damage as disks, networks and interrupted copies do it: seeded, one kind at a time."""

from __future__ import annotations

import random

KINDS = ("bit", "byte", "zeros", "truncate", "append", "duplicate", "swap", "empty")
_ODDS = (8, 4, 4, 4, 2, 3, 3, 1)


def damaged(whole: bytes, label: str) -> tuple[str, bytes]:
    """One mutation of `whole`, drawn from `label`: (its kind, the bytes).

    Half of the places are drawn from the first and last 2 kB, where formats keep what they hang by.
    """
    rng = random.Random(label)
    kind = rng.choices(KINDS, _ODDS)[0]
    data = bytearray(whole)
    start = _place(rng, len(data))
    size = rng.choice((1, 4, 16, 64, 512))
    stop = min(start + size, len(data))
    if kind == "bit":
        data[start] ^= 1 << rng.randrange(8)
    elif kind == "byte":
        data[start] ^= rng.randrange(1, 256)
    elif kind == "zeros":
        data[start:stop] = bytes(stop - start)
    elif kind == "truncate":
        del data[start:]
    elif kind == "append":
        data += rng.randbytes(size)
    elif kind == "duplicate":
        data[start:start] = data[start:stop]
    elif kind == "swap":
        other = _place(rng, len(data))
        first, second = sorted((start, other))
        length = min(size, second - first, len(data) - second)
        data[first : first + length], data[second : second + length] = (
            data[second : second + length],
            data[first : first + length],
        )
    else:
        data.clear()
    return kind, bytes(data)


def _place(rng: random.Random, size: int) -> int:
    edge = min(size, 2048)
    return rng.choice((rng.randrange(size), rng.randrange(size), rng.randrange(edge), size - 1 - rng.randrange(edge)))
