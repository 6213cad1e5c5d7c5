"""One chunk of a simulated sample: blocks of events from a generator into a ROOT TTree."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from truthward.errors import ConfigError
from truthward.physics.generators.base import PROCESSES, Generator
from truthward.physics.observables import ABSENT
from truthward.run.artefact import atomic
from truthward.run.provenance import Record
from truthward.simulate.section import BLOCK
from truthward.study.seeds import seed_for

SECONDS_BETWEEN_LINES = 10.0
log = logging.getLogger("truthward")


def blocks_of(events: int, *, chunk: int, chunks: int, block: int = BLOCK) -> list[tuple[int, int]]:
    """The blocks of a chunk, as (index of the block in the sample, its number of events).

    A sample is a fixed sequence of blocks, and a chunk is a part of it: the number of chunks changes no event.

    >>> blocks_of(2500, chunk=0, chunks=2), blocks_of(2500, chunk=1, chunks=2)
    ([(0, 1000)], [(1, 1000), (2, 500)])

    Raises:
        ConfigError: more chunks than blocks, or chunk is not in 0 ... chunks - 1.
    """
    if events < 1 or not 0 <= chunk < chunks:
        raise ConfigError(
            f"simulate: {events} events, chunk {chunk} of {chunks} given; at least one event, and a chunk from 0 to "
            "chunks - 1, are needed"
        )
    count = -(-events // block)
    if chunks > count:
        raise ConfigError(
            f"simulate: {events} events in {chunks} chunks; a chunk needs a block of {block} events: "
            f"use at most {count} chunks"
        )
    return [(b, min(block, events - b * block)) for b in range(chunk * count // chunks, (chunk + 1) * count // chunks)]


def simulate(
    generator: Generator,
    *,
    path: str | Path,
    events: int,
    seed: int,
    sample: str,
    chunk: int,
    chunks: int,
    record: Record,
    block: int = BLOCK,
) -> None:
    """Write one chunk of a sample of `events` accepted events as the TTree `events`, atomically, block by block.

    Branches: those of `Generator`, with jagged constituents as `<level>_constituents_{pt,eta,phi,pid}` under one
    counter `n<level>_constituents`; `process` (place in PROCESSES); run, lumi, event: `run` is a number for the
    sample's name, `lumi` the block and `event` the place in the sample: the same three whatever the chunks.
    Values are -99 where the flag of that level is false. The key `provenance` holds JSON (TObjString).

    Args:
        generator: see `generators`.
        path: of the ROOT file.
        events: accepted events of the *whole sample*, of which this chunk makes its share.
        seed: of the study; a block's own is `seed_for(seed, "simulate", sample, <block>)`.
        sample: name of the sample.
        chunk, chunks: which of how many.
        record: opened when the stage started.
        block: events a block; another value is another sample.

    Raises:
        ConfigError: more chunks than blocks.
    """
    todo = blocks_of(events, chunk=chunk, chunks=chunks, block=block)
    wanted = sum(size for _, size in todo)
    run = 1 + seed_for(0, "run", sample) % 999_999
    clock = Progress(f"{sample} chunk {chunk + 1} of {chunks}", wanted)
    done, sum_w, sum_w2 = 0, 0.0, 0.0
    with atomic(path) as temporary, uproot.recreate(temporary) as file:
        tree = None
        for index, size in todo:
            columns = generator.block(size, total=events, seed=seed_for(seed, "simulate", sample, index))
            columns["run"] = np.full(size, run, dtype=np.uint32)
            columns["lumi"] = np.full(size, index, dtype=np.uint32)
            columns["event"] = (index * block + np.arange(size)).astype(np.uint64)
            branches = _branches(columns)
            if tree is None:
                # `file["events"] = ...` would write an RNTuple.
                tree = file.mktree("events", {name: _type(values) for name, values in branches.items()})
            tree.extend(branches)
            done += size
            sum_w += float(columns["weight"].sum())
            sum_w2 += float((columns["weight"] ** 2).sum())
            clock.advance(done)
        provenance = record.finish(events_in=0, events_out=done, sum_w=sum_w, sum_w2=sum_w2)
        extra: dict[str, Any] = {"particle_level": generator.PARTICLE_LEVEL} if generator.PARTICLE_LEVEL else {}
        extra |= {"sample": sample, "chunk": chunk, "chunks": chunks, "processes": list(PROCESSES), "absent": ABSENT}
        file["provenance"] = json.dumps(provenance | extra, sort_keys=True, allow_nan=False)


def _branches(columns: dict[str, Any]) -> dict[str, Any]:
    """Columns with the jagged ones of a level zipped, so that they share one counter branch."""
    branches = {name: values for name, values in columns.items() if "_constituents_" not in name}
    for level in ("truth", "reco"):
        stem = f"{level}_constituents"
        if parts := {n.removeprefix(f"{stem}_"): v for n, v in columns.items() if n.startswith(f"{stem}_")}:
            branches[stem] = ak.zip(parts)
    return branches


def _type(values: Any) -> Any:
    """What `mktree` wants to know of a branch."""
    return values.dtype if isinstance(values, np.ndarray) else ak.type(values).content


class Progress:
    """One log line every ten seconds: events done, rate, remaining time."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total = what, total
        self.started = self.last = time.perf_counter()

    def advance(self, done: int) -> None:
        """Log that `done` events are generated."""
        now = time.perf_counter()
        if now - self.last < SECONDS_BETWEEN_LINES and done < self.total:
            return
        self.last = now
        rate = done / max(now - self.started, 1e-9)
        left = (self.total - done) / rate
        log.info("%s: %d of %d events, %.0f a second, %.0f s left", self.what, done, self.total, rate, left)
