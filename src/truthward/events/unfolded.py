"""The result of every unfolder: a weighted truth-level sample with replicas, in Parquet, read by row group.

Columns: `truth_<observable>` float32, `event_id` uint64, perhaps `split` uint8, and weights. Joint methods: `weight`
float64 and `replica:<family>:<index>` float32. Methods that unfold one observable at a time: `weight:<observable>` and
`replica:<observable>:<family>:<index>`. Generative methods stack blocks of drawn events: `block` int32 numbers them.
Block 0 has the draws of the nominal. A replica either weights these draws, or has draws of its own, in the block whose
number is its place in `weight_columns`. Its weights are zero in all other blocks.
Sum of the nominal weights: the unfolded yield in the truth fiducial region.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from truthward.errors import IncompleteError, InputError
from truthward.events.bins import bin_of, single
from truthward.events.families import FAMILIES, Family, Histogram, RankWarning, family, weight_columns
from truthward.events.parquet import Parquet
from truthward.events.unfolded_gather import gather, rows_of
from truthward.events.unfolded_write import write_unfolded

__all__ = [
    "FAMILIES",
    "Family",
    "Histogram",
    "RankWarning",
    "Unfolded",
    "family",
    "gather",
    "rows_of",
    "weight_columns",
    "write_unfolded",
]

Values = str | np.ndarray | Callable[[dict[str, np.ndarray]], np.ndarray]


class Unfolded:
    """A handle on an unfolded sample. It keeps only the metadata in memory.

    Raises:
        InputError: where the file is missing or is no unfolded sample.
        CorruptError: where it is truncated or damaged; also from each method that reads.
        IncompleteError: where it is a part of a fanned-out result, or lacks a weight column.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        keys = ("method", "observables", "joint", "families")
        self._file = Parquet(self.path, what="unfolded sample", way="run the unfolding that makes it", keys=keys)
        self.metadata: dict[str, Any] = self._file.stored
        self.observables: list[str] = self.metadata["observables"]
        self.joint: bool = self.metadata["joint"]
        self.families: dict[str, Family] = {n: Family(**f) for n, f in self.metadata["families"].items()}
        self.columns: list[str] = self._file.schema_arrow.names
        self.num_rows: int = self._file.num_rows
        if self.metadata.get("part") is not None:
            raise IncompleteError(f"{self.path}: this is one part of a result; gather the parts first")
        if missing := [c for o in self._sets() for c in weight_columns(self.families, o) if c not in self.columns]:
            raise IncompleteError(
                f"{self.path}: no column {missing[0]}, but its metadata name it; run the unfolding that makes it again"
            )

    @property
    def truth_observables(self) -> list[str]:
        """All observables of the truth events, including those that were not unfolded."""
        return [c.removeprefix("truth_") for c in self.columns if c.startswith("truth_")]

    def weights(self, observable: str | None = None) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Nominal weights (N,) float64, and for each family its replicas (N, R) float32; all of them in memory.

        Raises:
            InputError: the method has one set of weights per observable, and no unfolded observable was named.
        """
        names = weight_columns(self.families, self._weighted(observable))
        table = self._file.read(names)
        columns = iter([table[name].to_numpy() for name in names])
        nominal = next(columns)
        return nominal, {
            name: np.stack([next(columns) for _ in range(f.count)], axis=1) for name, f in self.families.items()
        }

    def truth(self, names: Sequence[str]) -> np.ndarray:
        """Truth values (N, D) float32 of the named observables."""
        wanted = [self._truth_column(name) for name in names]
        table = self._file.read(wanted)
        return np.stack([table[name].to_numpy() for name in wanted], axis=1)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, np.ndarray]]:
        """The named columns, or all, one row group after another."""
        for number in range(self._file.num_row_groups):
            yield self._group(number, self.columns if columns is None else columns)

    def histogram(
        self, values: Values, edges: np.ndarray, *, density: bool = False, weights_of: str | None = None
    ) -> Histogram:
        """Histogram of the nominal weights and of every replica, row group by row group.

        Args:
            values: an observable's name, an array (N,) in the order of the rows, or a function of the truth columns,
                {observable: (n,) float32} -> (n,).
            edges: (B + 1,), increasing; the last bin includes its upper edge; entries outside are in no bin.
            density: divide by the widths of the bins; the yield is kept.
            weights_of: for methods with one set of weights per observable: the observable whose weights are used. The
                default is the observable of the histogram.

        Raises:
            InputError: for an unknown observable, an array of wrong length, edges that do not increase, values that
                are not finite, or an observable that the method did not unfold and has no weights for.
        """
        edges = np.asarray(edges, dtype=float)
        if edges.ndim != 1 or edges.size < 2 or not (single(edges[1:]) > single(edges[:-1])).all():
            raise InputError("the edges of a histogram must be at least two increasing numbers (in float32)")
        if isinstance(values, np.ndarray) and values.shape != (self.num_rows,):
            raise InputError(
                f"{self.path}: values of shape {values.shape} given for {self.num_rows} events; give one value per "
                "event"
            )
        named = values if isinstance(values, str) else None
        names = weight_columns(self.families, self._weighted(weights_of or named))
        sums = np.zeros((len(names), edges.size - 1))
        for number, start in enumerate(self._starts()):
            x = self._values(values, number, start)
            # Contents beyond the edges go to two bins of their own, which are cut off.
            index = bin_of(x, edges)
            for name, weights in self._group(number, self._nonzero(number, names)).items():
                counts = np.bincount(index, weights=weights, minlength=edges.size + 1)
                sums[names.index(name)] += counts[1:-1]
        rows = iter(sums[1:])
        replicas = {name: np.array([next(rows) for _ in range(f.count)]) for name, f in self.families.items()}
        result = Histogram(edges, sums[0], replicas, self.families)
        return result.density() if density else result

    def _values(self, values: Values, number: int, start: int) -> np.ndarray:
        if isinstance(values, np.ndarray):
            x = values[start : start + self._file.groups[number]]
        elif callable(values):
            group = self._group(number, [f"truth_{name}" for name in self.truth_observables])
            x = np.asarray(values({name.removeprefix("truth_"): column for name, column in group.items()}))
        else:
            x = self._group(number, [self._truth_column(values)])[f"truth_{values}"]
        if not np.isfinite(x).all():
            raise InputError(
                f"{self.path}: {(~np.isfinite(x)).sum()} of {x.size} values are not finite; a histogram needs finite "
                "values"
            )
        return x

    def _sets(self) -> Sequence[str | None]:
        return (None,) if self.joint else self.observables

    def _weighted(self, observable: str | None) -> str | None:
        if self.joint:
            return None
        if observable not in self.observables:
            known = ", ".join(self.observables)
            raise InputError(
                f"{self.path}: {self.metadata['method']} unfolds one observable at a time and has no weights for "
                f"{observable!r}; it has them for: {known}"
            )
        return observable

    def _truth_column(self, name: str) -> str:
        if f"truth_{name}" not in self.columns:
            raise InputError(f"{self.path}: no observable {name!r}; there are: {', '.join(self.truth_observables)}")
        return f"truth_{name}"

    def _group(self, number: int, columns: Sequence[str]) -> dict[str, np.ndarray]:
        table = self._file.read_row_group(number, columns)
        return {name: table[name].to_numpy() for name in columns}

    def _starts(self) -> Iterator[int]:
        start = 0
        for rows in self._file.groups:
            yield start
            start += rows

    def _nonzero(self, number: int, names: Sequence[str]) -> Sequence[str]:
        # Beyond block 0 most weight columns are zero in a row group: only those of its blocks are decoded.
        if "block" not in self.columns:
            return names
        found = np.unique(self._group(number, ["block"])["block"])
        return names if 0 in found else [names[block] for block in found]
