"""The profile of a sample: its columns by rank, numbers of events, and sums of weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from truthward.events.contract import ROLES, SIGNAL, is_jagged, level_of
from truthward.events.hashing import uniform
from truthward.events.table import EventTable
from truthward.ingest.sameness import lowest, row_hash
from truthward.study.observable import Observable
from truthward.study.seeds import seed_for
from truthward.study.variations import variation_of

SAMPLE = 500_000
"""Largest mean number of accepted events of a table for ranks; counts and extremes use all events."""
PADDING = (-99.0, -999.0, -9999.0)
"""Common values in files for a missing value."""


@dataclass
class Column:
    """One observable at one level in the accepted events of one sample, without events of weight zero.

    values, weights: (n,), of a random part of the events; covered: (n,) bool, whether a truth event is also
    reconstructed. count, inside: number of events, and of events in the observable's range, both without atoms.
    at_atoms: declared atom -> number of events. odd: some values that are not whole, if the observable is declared as
    integer. padding: value outside of the range -> number of events.
    """

    sample: str
    level: str
    observable: Observable
    values: np.ndarray = field(default_factory=lambda: np.empty(0))
    weights: np.ndarray = field(default_factory=lambda: np.empty(0))
    covered: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=bool))
    pieces: list[tuple[np.ndarray, ...]] = field(default_factory=list)
    count: int = 0
    inside: int = 0
    at_atoms: dict[float, int] = field(default_factory=dict)
    odd: list[float] = field(default_factory=list)
    least: float = math.inf
    most: float = -math.inf
    padding: dict[float, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The table's column."""
        return f"{self.level}_{self.observable.name}"

    def add(self, x: np.ndarray, weight: np.ndarray, covered: np.ndarray, kept: np.ndarray) -> None:
        """Add some accepted events, (n,) each; the `kept` ones become part of the sample."""
        for value in self.observable.atoms:
            self.at_atoms[value] = self.at_atoms.get(value, 0) + int((x == np.float32(value)).sum())
        atom = np.isin(x, np.array(self.observable.atoms, dtype=np.float32))
        x, weight, covered, kept = (a[~atom] for a in (x, weight, covered, kept))
        low, high = self.observable.range
        self.count += x.size
        if self.observable.integer and not self.odd:
            self.odd = x[x != np.floor(x)][:3].tolist()
        self.inside += int(((x >= low) & (x <= high)).sum())
        if x.size:
            self.least, self.most = min(self.least, float(x.min())), max(self.most, float(x.max()))
        for value in PADDING:
            if not low <= value <= high and (n := int((x == value).sum())):
                self.padding[value] = self.padding.get(value, 0) + n
        self.pieces.append((x[kept].astype(float), weight[kept], covered[kept]))

    @property
    def atomic(self) -> int:
        """Events at any declared atom."""
        return sum(self.at_atoms.values())

    def close(self) -> None:
        """Finish, after all events were added."""
        self.values, self.weights, self.covered = map(np.concatenate, zip(*self.pieces, strict=True))
        self.pieces = []

    def of_all(self, count: int) -> int:
        """Scale a number of events in the sample to the whole table."""
        return round(count * self.count / max(1, self.values.size))


@dataclass
class Profile:
    """The profile of one sample: its columns, (level, observable) -> `Column`, and sums of weights at reco level.

    background: sums of weights and squared weights of processes that are not signal, also part of the other sums.
    weights: the smallest and the largest weight. rows: (n,) hashes of the observables at reco level, see
    `sameness.lowest`; the kept share of all hashes depends on the number of rows only. pairs: observable -> (2, m),
    truth and reco values of a random part of the events with both levels, without atoms.
    """

    name: str
    table: EventTable
    columns: dict[tuple[str, str], Column]
    total: float = 0.0
    squares: float = 0.0
    background: tuple[float, float] = (0.0, 0.0)
    absolute: float = 0.0
    largest: float = 0.0
    weights: tuple[float, float] = (math.inf, -math.inf)
    rows: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    pairs: dict[str, np.ndarray] = field(default_factory=dict)
    accepted: dict[str, int] = field(default_factory=dict)
    others: dict[str, dict[float, int]] = field(default_factory=dict)

    @property
    def unflagged(self) -> list[str]:
        """Levels at which every event counts as accepted, because no flag is mapped."""
        return [flag.removeprefix("pass_") for flag in self.table.metadata.get("unflagged", [])]


def profile_of(name: str, table: EventTable, observables: Sequence[Observable], seed: int) -> Profile:
    levels = ROLES[table.role]
    profile = Profile(name, table, {(v, o.name): Column(name, v, o) for v in levels for o in observables})
    profile.accepted = dict.fromkeys(levels, 0)
    rows: list[np.ndarray] = []
    pairs: dict[str, list[np.ndarray]] = {o.name: [] for o in observables if len(levels) > 1}
    for batch, masks, kept in _accepted(profile, levels, seed):
        reco, weight = masks["reco"], batch["weight"]
        rows.append(lowest(row_hash([batch[f"reco_{o.name}"][reco] for o in observables]), SAMPLE / table.num_rows))
        for observable in observables if pairs else ():
            both = masks["truth"] & reco & kept
            pair = np.stack([batch[f"{level}_{observable.name}"][both] for level in levels])
            at_atom = np.isin(pair, np.array(observable.atoms, dtype=np.float32)).any(axis=0)
            pairs[observable.name].append(pair[:, ~at_atom])
        if reco.any():
            low, high = float(weight[reco].min()), float(weight[reco].max())
            profile.weights = min(profile.weights[0], low), max(profile.weights[1], high)
        own = np.abs(weight[reco])
        profile.total += float(weight[reco].sum())
        profile.squares += float(np.square(own).sum())
        other = weight[reco & (batch["process"] != SIGNAL)]
        profile.background = profile.background[0] + float(other.sum()), profile.background[1] + float(other @ other)
        profile.absolute += float(own.sum())
        profile.largest = max(profile.largest, float(own.max(initial=0.0)))
        for level, mask in masks.items():
            profile.accepted[level] += int(mask.sum())
        for (level, _), column in profile.columns.items():
            mask = masks[level]
            column.add(batch[column.name][mask], weight[mask], reco[mask], kept[mask])
        own_columns = {column.name for column in profile.columns.values()}
        for other, at in ((c, v) for c in batch if (v := level_of(c)) and c not in own_columns):
            x, counts = batch[other][masks[at]], profile.others.setdefault(other, {})
            for value in PADDING:
                if n := int((x == value).sum()):
                    counts[value] = counts.get(value, 0) + n
    profile.rows = np.concatenate(rows)
    profile.pairs = {name: np.concatenate(pieces, axis=1) for name, pieces in pairs.items()}
    for column in profile.columns.values():
        column.close()
    return profile


def _accepted(
    profile: Profile, levels: Sequence[str], seed: int
) -> Iterator[tuple[Mapping[str, np.ndarray], dict[str, np.ndarray], np.ndarray]]:
    """Batches, with masks of the events accepted at each level (signal only at truth level) and of a random part."""
    table = profile.table
    padded = [c for c in table.columns if level_of(c) in profile.unflagged and not is_jagged(c) and not variation_of(c)]
    names = dict.fromkeys([*(c.name for c in profile.columns.values()), *padded])
    flags = [f"pass_{level}" for level in levels]
    for batch in table.batches([*names, *flags, "weight", "process", "event_id"]):
        some = batch["weight"] != 0
        masks = {level: batch[f"pass_{level}"] & some for level in levels}
        if "truth" in masks:
            masks["truth"] &= batch["process"] == SIGNAL
        share = SAMPLE / table.num_rows
        kept = np.ones(some.size, dtype=bool)
        if share < 1:
            kept = uniform(batch["event_id"], seed_for(seed, "ingest", profile.name)) < share
        yield batch, masks, kept
