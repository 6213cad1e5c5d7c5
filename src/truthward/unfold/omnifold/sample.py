"""The arrays for OmniFold's two steps, and how the re-weighted simulation folds to the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from typing import Literal

import numpy as np
import torch
from scipy.sparse import csr_matrix

from truthward.learn.scaling import RankScaling, Sample
from truthward.ratio.constituents import JetScaling
from truthward.unfold.inputs.arrays import Inputs, Replica
from truthward.unfold.inputs.streamed import Blocks
from truthward.unfold.stop.rules import Bins

PIECE = 8192
"""Number of simulated events of a piece: few enough that the arrays of many members stay in the cache."""

Scaling = tuple[RankScaling, RankScaling] | tuple[JetScaling, JetScaling] | None
"""The scalings of the networks' inputs, at reco and at truth level; None for boosted trees, which need none."""


class OmnifoldBlock:
    """The arrays of E replicas that differ only by their weights; n fiducial events, M data events.

    reco: M data, matched, fakes, background, in this order. The rows are scaled and include the features, (rows, K).
    For constituents they are (rows, P, F). truth: all fiducial events (n, ...);
    matched_truth: the matched ones of them. weight: (n, E). matched: (n,) bool, the
    matched events of the training. matched_weight, fake_weight, background_weight, data_weight: (..., E), weights of
    the training. reco_held, truth_held: (rows,) and (matched,) bool, held out in trainings.

    Args:
        varied: inputs of each member; reco values and acceptance of the first are used for all.
        train: (N,) bool, simulated events that the chain may see; the others only get a weight from it. The weights of
            events that it sees are scaled up by N / sum(train), so that they represent all.
        scaling: see `scaling_of`; networks of constituents scale their inputs themselves.
        single: whether weights have single precision.
    """

    def __init__(
        self, varied: Sequence[Inputs], *, train: np.ndarray, hold_out: bool, scaling: Scaling, single: bool = False
    ) -> None:
        inputs = varied[0]
        fiducial = inputs.fiducial
        levels = [mask & train for mask in (inputs.matched, inputs.fakes, inputs.background)]
        self.inputs, self.levels = inputs, levels
        truth, reco, data = (
            [inputs.constituents[n] for n in ("truth", "reco", "data")]
            if scaling and isinstance(scaling[0], JetScaling)
            else [inputs.seen("truth"), inputs.seen("reco"), inputs.seen("data")]
        )
        self.reco = torch.from_numpy(np.concatenate([data, *(reco[mask] for mask in levels)]))
        self.truth = torch.from_numpy(np.ascontiguousarray(truth[fiducial]))
        if scaling and isinstance(scaling[0], RankScaling):
            self.reco, self.truth = scaling[0](self.reco), scaling[1](self.truth)
        self.matched = levels[0][fiducial]
        # Made once, because a step asks for it in each iteration.
        self.matched_truth = self.truth if self.matched.all() else self.truth[torch.from_numpy(self.matched)]
        precision = np.float32 if single else np.float64
        # Weights of the trained events represent all events.
        scale = precision(len(train) / max(train.sum(), 1))
        self.weight = _columns([v.weight[fiducial] for v in varied], precision)
        self.matched_weight, self.fake_weight, self.background_weight = (
            _columns([v.weight[mask] for v in varied], precision) * scale for mask in levels
        )
        self.data_weight = _columns([v.data_weight for v in varied], precision)
        held = inputs.validation & hold_out
        self.reco_held = np.concatenate([inputs.data_validation & hold_out, *(held[mask] for mask in levels)])
        self.truth_held = held[levels[0]]
        self._cells: dict[str, csr_matrix] = {}
        # Of a piece: the block that it is a part of, and its rows there.
        self._part: tuple[OmnifoldBlock, dict[str, np.ndarray]] | None = None

    def cells(self, level: Literal["truth", "reco", "data"], bins: Bins) -> csr_matrix:
        """`Bins.cells` of the fiducial truth; of matched, fakes and background at reco level; or of the data."""
        if level not in self._cells:
            inputs = self.inputs
            if self._part is not None:
                whole, rows = self._part
                self._cells[level] = whole.cells(level, bins)[rows[level]]
                return self._cells[level]
            if level == "truth":
                values = inputs.truth[inputs.fiducial]
            elif level == "reco":
                values = np.concatenate([inputs.reco[mask] for mask in self.levels])
            else:
                values = inputs.data_reco
            self._cells[level] = bins.cells(values)
        return self._cells[level]

    def counts(self, replica: Replica) -> tuple[np.ndarray, np.ndarray]:
        """`Inputs.counts` of the events of both steps, (rows,) and (matched,)."""
        data, simulation = self.inputs.counts(replica)
        return np.concatenate([data, *(simulation[mask] for mask in self.levels)]), simulation[self.levels[0]]

    def pieces(self) -> list[OmnifoldBlock]:
        """Parts of this block with their share of all kinds of events."""
        count = -(-len(self.inputs.weight) // PIECE)
        kinds = self.data_weight, self.matched_weight, self.fake_weight, self.background_weight
        starts = np.cumsum([0, *map(len, kinds)])
        # The matched events of a piece are those among its fiducial events.
        fiducial, matched = _edges(len(self.weight), count), np.concatenate([[0], np.cumsum(self.matched)])
        edges = [_edges(len(w), count) for w in kinds]
        edges[1] = matched[fiducial]
        found = []
        for k in range(count):
            piece, rows = copy(self), slice(*fiducial[k : k + 2])
            data, *simulated = own = [slice(*e[k : k + 2]) for e in edges]
            at = np.concatenate([start + np.arange(o.start, o.stop) for start, o in zip(starts, own, strict=False)])
            piece.reco, piece.reco_held = self.reco[torch.from_numpy(at)], self.reco_held[at]
            piece.truth, piece.matched = self.truth[rows], self.matched[rows]
            piece.matched_truth, piece.truth_held = self.matched_truth[simulated[0]], self.truth_held[simulated[0]]
            piece.weight = self.weight[rows]
            piece.data_weight, piece.matched_weight, piece.fake_weight, piece.background_weight = (
                w[part] for w, part in zip(kinds, own, strict=True)
            )
            after = at[data.stop - data.start :] - len(self.data_weight)
            levels = {
                "truth": np.arange(rows.start, rows.stop),
                "reco": after,
                "data": np.arange(data.start, data.stop),
            }
            piece._cells, piece._part = {}, (self, levels)
            found.append(piece)
        return found


class OmnifoldSample:
    """Blocks of both samples for E replicas. A single block is kept; several blocks are made again each time.

    Args:
        replicas: the members. scaling: see `scaling_of`.
        train: for a single block, see `OmnifoldBlock`; None: all events.
        hold_out: whether the validation events are held out in trainings.
        single: whether weights have single precision.
    """

    def __init__(
        self,
        blocks: Blocks,
        replicas: Sequence[Replica],
        scaling: Scaling,
        *,
        train: np.ndarray | None = None,
        hold_out: bool = False,
        single: bool = False,
    ) -> None:
        self.pilot, self.buffer, self.members, self.hold_out = blocks.pilot, blocks.buffer, len(replicas), hold_out
        self._blocks, self._replicas, self.train, self._scaling = blocks, replicas, train, scaling
        self._single = single
        self._kept = [self._made(0)] if len(blocks) == 1 else []

    def counts(self, replica: Replica) -> list[np.ndarray]:
        """`OmnifoldBlock.counts` of all blocks, for each step."""
        return [np.concatenate(step) for step in zip(*(block.counts(replica) for block in self), strict=True)]

    def divide(self) -> None:
        """Turn a single block into pieces, which are blocks of their own."""
        if self._kept:
            self._kept = self._kept[0].pieces()

    @property
    def kept(self) -> bool:
        """Whether all blocks are in memory, and the same objects each time."""
        return bool(self._kept)

    def __len__(self) -> int:
        return len(self._kept or self._blocks)

    def __getitem__(self, block: int) -> OmnifoldBlock:
        return self._kept[block] if self._kept else self._made(block)

    def __iter__(self) -> Iterator[OmnifoldBlock]:
        return map(self.__getitem__, range(len(self)))

    def _made(self, block: int) -> OmnifoldBlock:
        inputs = self._blocks[block]
        train = np.ones(len(inputs.weight), dtype=bool) if self.train is None else self.train
        varied = [inputs.varied(r) for r in self._replicas]
        return OmnifoldBlock(varied, train=train, hold_out=self.hold_out, scaling=self._scaling, single=self._single)


def _columns(columns: Sequence[np.ndarray], precision: type[np.floating]) -> np.ndarray:
    """Columns (n,) as an array (n, E)."""
    found = np.empty((len(columns[0]), len(columns)), precision)
    for e, column in enumerate(columns):
        found[:, e] = column
    return found


def _edges(events: int, count: int) -> np.ndarray:
    """First events of `count` equal parts, and the end, (count + 1,)."""
    return events * np.arange(count + 1) // count


class Refold:
    """Coarse bins of all observables at reco level, at quantiles of the data: they test how an iteration folds to it.

    In coarse bins the chi2 has a statistical meaning. Differences within the bins, or in quantities that are not among
    the observables, are not seen. Features are not tested, because truth weights cannot move a feature that has no
    counterpart at truth level.
    """

    def __init__(self, pilot: Inputs, members: int) -> None:
        self.bins = Bins(pilot.data_reco)
        # Weights and squared weights of the simulation, then of the data.
        self._contents = np.zeros((4, self.bins.size, members))

    def clear(self) -> None:
        """Empty the contents, for the next iteration."""
        self._contents = np.zeros_like(self._contents)

    def add(self, block: OmnifoldBlock, simulated: np.ndarray) -> None:
        """Add a block, with weights (rows, E) of its matched events, fakes and background."""
        reco, data = block.cells("reco", self.bins), block.cells("data", self.bins)
        for k, (cells, w) in enumerate(((reco, simulated), (data, block.data_weight))):
            self._contents[2 * k] += self.bins.filled(cells, w)
            self._contents[2 * k + 1] += self.bins.filled(cells, w**2)

    def chi2(self) -> tuple[np.ndarray, int]:
        """Chi2 (E,) of simulation against data, summed over the observables, and its number of terms.

        The observables are correlated and were fitted, so a small chi2 proves nothing.
        """
        simulated, squares, data, data_squares = self._contents
        variance = data_squares + squares
        used = variance > 0
        terms = np.divide((simulated - data) ** 2, variance, out=np.zeros_like(variance), where=used)
        return terms.sum(axis=0), int(used[:, 0].sum())


def scaling_of(inputs: Inputs, *, constituents: bool) -> Scaling:
    """Scalings from the nominal sample: at reco level, with equal weight of data and simulation, and at truth level."""
    if constituents:
        levels = inputs.constituents
        both = np.concatenate([levels["data"], levels["reco"][inputs.pass_reco]])
        fiducial_truth = levels["truth"][inputs.fiducial]
        return JetScaling().fit(torch.from_numpy(both)), JetScaling().fit(torch.from_numpy(fiducial_truth))
    passed, fiducial = inputs.pass_reco, inputs.fiducial

    def sample(x: np.ndarray, weight: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        # Use only which events there are, not their weights: weights may belong to events outside a fold.
        return torch.from_numpy(x), torch.from_numpy(weight != 0)

    data = sample(inputs.seen("data"), inputs.data_weight)
    reco = sample(inputs.seen("reco")[passed], inputs.weight[passed])
    truth = sample(inputs.seen("truth")[fiducial], inputs.weight[fiducial])
    # Features have no declared atoms: a value that many events share is found as an atom.
    atoms = [o.atoms for o in inputs.observables]

    def fitted(*samples: Sample) -> RankScaling:
        size = samples[0][0].shape[1]
        return RankScaling(size, atoms=[*atoms, *[()] * (size - len(atoms))]).fit(*samples)

    return fitted(data, reco), fitted(truth)
