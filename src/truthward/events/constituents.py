"""Constituents of an event table as one padded array, the input of networks for sets."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import awkward as ak
import numpy as np

from truthward.errors import ConfigError
from truthward.events.table import EventTable

log = logging.getLogger(__name__)

CHARGED, PHOTON, NEUTRAL = 1, 2, 3
CHARGED_IDS = (11, 13, 15, 211, 321, 2212, 3112, 3222, 3312, 3334)
"""|PDG code| of the charged particles that reach a detector."""

ROWS = 16384


def hardest(table: EventTable, level: str, limit: int = 30) -> np.ndarray:
    """The hardest constituents of each event, padded.

    Columns: pt (GeV), eta, phi, and a code. The code is 1 for a charged particle, 2 for a photon and 3 for others, from
    `pid`. It is 1 for all if the table has no `pid`, and 0 for padding. If an event has more than `limit` constituents,
    the `limit` - 1 hardest are kept. The others are merged into one: summed pt, pt-weighted direction, and minus their
    number as code. So no momentum is lost, and the multiplicity is known.

    Args:
        level: "truth" or "reco". limit: P, at least 1.

    Returns:
        (N, P, 4) float32, by falling pt, padded with zeros; NaN where the level's flag is false.

    Raises:
        ConfigError: `limit` below 1. InputError: the table has no constituents at that level.
    """
    if limit < 1:
        raise ConfigError(f"constituents: {limit} given; at least 1 is needed")
    prefix = f"{level}_constituents_"
    columns = [f"{prefix}{name}" for name in ("pt", "eta", "phi")]
    columns += [c for c in (f"{prefix}pid",) if c in table.columns]
    out = np.empty((table.num_rows, limit, 4), dtype=np.float32)
    first = total = merged = events = 0
    for batch in table.batches([*columns, f"pass_{level}"], rows=ROWS):
        passed = batch[f"pass_{level}"]
        rows = out[first : first + len(passed)]
        rows[~passed] = np.nan
        counts, rows[passed] = _padded({c.removeprefix(prefix): batch[c][passed] for c in columns}, limit)
        first += len(passed)
        total += int(counts.sum())
        over = counts > limit
        merged += int((counts[over] - limit + 1).sum())
        events += int(over.sum())
    log.info(
        "%s: %d constituents at %s level, %d of them merged in %d events that have more than %d",
        table.path,
        total,
        level,
        merged,
        events,
        limit,
    )
    return out


def _padded(columns: Mapping[str, Any], limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Number of constituents (n,) and the array (n, P, 4) of events that pass."""
    counts = ak.to_numpy(ak.num(columns["pt"], axis=1)).astype(np.int64)
    flat = {name: ak.to_numpy(ak.flatten(values, axis=1)).astype(np.float64) for name, values in columns.items()}
    owner = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((-flat["pt"], owner))
    flat = {name: values[order] for name, values in flat.items()}
    rank = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    alone = (rank < limit - 1) | (counts[owner] <= limit)
    rows = np.zeros((len(counts), limit, 4), dtype=np.float32)
    values = [flat["pt"], flat["eta"], flat["phi"], _codes(flat.get("pid"), len(owner))]
    rows[owner[alone], rank[alone]] = np.stack(values, axis=1)[alone]
    over = counts > limit
    pt, eta, phi, _ = (v[~alone] for v in values)

    def summed(weights: np.ndarray) -> np.ndarray:
        return np.bincount(owner[~alone], weights, minlength=len(counts))[over]

    whole = summed(pt)
    azimuth = np.arctan2(summed(pt * np.sin(phi)), summed(pt * np.cos(phi)))
    rows[over, -1] = np.stack([whole, summed(pt * eta) / whole, azimuth, -(counts[over] - limit + 1)], axis=1)
    return counts, rows


def _codes(pid: np.ndarray | None, size: int) -> np.ndarray:
    if pid is None:
        return np.full(size, CHARGED)
    return np.where(pid == 22, PHOTON, np.where(np.isin(np.abs(pid), CHARGED_IDS), CHARGED, NEUTRAL))
