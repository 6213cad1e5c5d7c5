"""Find equal things that should differ: duplicate events, truth and reco values, a variation and the nominal sample.

No histogram shows these mistakes. But errors become too small, closures perfect, and uncertainties zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from truthward.events.identity import combine, mix
from truthward.events.table import EventTable
from truthward.study.variations import variation_of

FEWEST = 20
"""A flag needs this many equal events, and 1% of a sample: fewer can be chance."""
CHANCE = 0.1
"""If the share of equal events by chance is larger, the values are too coarse for this test."""
MANY = 5
"""If more rows of one sample are equal, the value is common, and the rows are not duplicates of one event."""
FACTOR = 2.0
"""If the sum of a variation's weights differs from the nominal sum by more, it may be a factor and no full weight."""


def row_hash(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Hashes (N,) uint64 of the values (N,) of several columns of a table: equal rows have equal hashes."""
    return combine(*(np.asarray(c, dtype=np.float32).view(np.uint32) for c in columns))


def lowest(hashes: np.ndarray, share: float) -> np.ndarray:
    """The hashes in the lowest `share` of all possible hashes. This selects equal rows in any two samples."""
    return hashes if share >= 1 else hashes[hashes < np.uint64(share * 2.0**64)]


def repeated(own: np.ndarray, other: np.ndarray) -> int:
    """Number of repeated rows of a sample, beyond chance.

    own, other: (N,) and (M,) row hashes of two samples. If the samples are independent and have about the same density,
    equal pairs between them are chance. Their number gives the number that is expected within one sample.
    """
    size = own.size
    own, other = _rare(own, other)
    within, across = _pairs(own), _equal(own, other)
    chance = across / max(1, own.size * other.size) * own.size * (own.size - 1) / 2
    return _beyond(within, chance, size)


def shared(own: np.ndarray, other: np.ndarray) -> int:
    """Number of rows of `own` (N,) that are also in `other` (M,), beyond chance: see `repeated`."""
    size = own.size
    own, other = _rare(own, other)
    chance = _pairs(other) / max(1.0, other.size * (other.size - 1) / 2) * own.size * other.size
    return _beyond(_equal(own, other), chance, size)


def _rare(own: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both without rows that many events of one sample have: atoms, whole numbers, rounded values."""
    common = np.concatenate([x[n > MANY] for x, n in (np.unique(h, return_counts=True) for h in (own, other))])
    return own[~np.isin(own, common)], other[~np.isin(other, common)]


def _beyond(found: float, chance: float, size: int) -> int:
    excess = found - chance
    clear = excess > max(FEWEST, 0.01 * size, 2 * chance, 5 * found**0.5)
    return min(size, round(excess)) if clear and chance < CHANCE * size else 0


def _pairs(hashes: np.ndarray) -> float:
    n = np.unique(hashes, return_counts=True)[1].astype(float)
    return float((n * (n - 1) / 2).sum())


def _equal(one: np.ndarray, other: np.ndarray) -> float:
    (x, n), (y, m) = np.unique(one, return_counts=True), np.unique(other, return_counts=True)
    _, i, j = np.intersect1d(x, y, assume_unique=True, return_indices=True)
    return float((n[i].astype(float) * m[j]).sum())


def of_levels(name: str, truth: np.ndarray, reco: np.ndarray) -> Iterator[str]:
    """Flags of an observable (N,) if its truth and reco values are equal or unrelated, for events with both levels."""
    if truth.size < 100 or np.ptp(truth) == 0 or np.ptp(reco) == 0:
        return
    if (same := int((truth == reco).sum())) >= 0.999 * truth.size:
        yield (
            f"truth_{name} and reco_{name} are the same number in {same} of {truth.size} events, as if the detector "
            "measured without error; check the map of branches"
        )
        return
    ranks = np.stack([np.unique(x, return_inverse=True)[1].astype(float) for x in (truth, reco)])
    rho = float(np.corrcoef(ranks)[0, 1])
    if rho < max(0.05, 4 / truth.size**0.5):
        yield (
            f"reco_{name} hardly depends on truth_{name}: their rank correlation is {rho:.2g} in {truth.size} events, "
            "so the result is mostly the prediction of the simulation; check that both branches are the same quantity "
            "of the same event"
        )


def of_variations(table: EventTable) -> Iterator[str]:
    """Flags of a simulation's variations: one without effect, two that are equal, or a factor instead of a weight."""
    varied = {c: v for c in table.columns if (v := variation_of(c))}
    if not varied:
        return
    digests: dict[str, np.uint64] = {}
    sums: dict[str, float] = {}
    for batch in table.batches(list(dict.fromkeys([*varied, *(v.base for v in varied.values())]))):
        assert batch.entries is not None, "tables number their rows"
        places = mix(batch.entries)
        for name, values in batch.items():
            # A sum that depends on the order of the events: it is equal only if all values are equal.
            bits = np.nan_to_num(values.astype(float), nan=np.inf).view(np.uint64)
            digests[name] = digests.get(name, np.uint64(0)) + mix(bits ^ places).sum(dtype=np.uint64)
            sums[name] = sums.get(name, 0.0) + float(values.sum()) if name.startswith("weight") else 0.0
    changed: dict[tuple[str, int], dict[str, np.uint64]] = {}
    for name, variation in varied.items():
        changed.setdefault((variation.systematic, variation.index), {})[variation.base] = digests[name]
        ratio = sums[name] / sums[variation.base] if variation.base == "weight" and sums["weight"] else 1.0
        if not 1 / FACTOR < ratio < FACTOR:
            yield (
                f"{name} sums to {ratio:.4g} times the nominal weights, so it may be a factor; map the full varied "
                f"weight (`{name}: weight * factor`)"
            )
    for (systematic, index), columns in changed.items():
        if all(digest == digests[base] for base, digest in columns.items()):
            yield (
                f"variation {systematic}:{index} is equal to the nominal sample in {', '.join(sorted(columns))}, so "
                "its uncertainty is zero; map the shifted branches"
            )
    for one, two in combinations(sorted(changed), 2):
        if one[0] == two[0] and changed[one] == changed[two]:
            yield f"variations {one[0]}:{one[1]} and {two[0]}:{two[1]} are the same; check that no branch stands twice"
