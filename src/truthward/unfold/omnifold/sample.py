"""The arrays that OmniFold's two steps work on, and how what they make of them folds to the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from truthward.learn.scaling import RankScaling
from truthward.ratio.constituents import JetScaling
from truthward.unfold.inputs.arrays import Inputs, Replica
from truthward.unfold.inputs.streamed import Blocks
from truthward.unfold.stop.rules import Bins

Scaling = tuple[RankScaling, RankScaling] | tuple[JetScaling, JetScaling]
"""What scales the networks' inputs, at reco and at truth level."""


class OmnifoldBlock:
    """The arrays of E replicas that differ by their weights alone; n fiducial events, M of data.

    Rows of reco: M data, matched, fakes, background, in this order, scaled with the features (rows, K), or for
    constituents (rows, P, F).
    truth: of all fiducial events (n, ...); weight: (n, E). matched: (n,) bool, those that the chain is trained with;
    matched_weight, fake_weight, background_weight, data_weight: (..., E), of what it is trained with.
    reco_held, truth_held: held out in trainings, (rows,) and (matched,) bool.

    Args:
        varied: inputs of each member; reco values and acceptance of the first are those of all.
        train: (N,) bool, simulated events that the chain may see; the others only get a weight from it. The weights of
            those that it sees are scaled up by N / sum(train), so that they stand for all.
        scaling: see `scaling_of`; networks of constituents scale them themselves.
    """

    def __init__(self, varied: Sequence[Inputs], *, train: np.ndarray, hold_out: bool, scaling: Scaling) -> None:
        inputs = varied[0]
        fiducial = inputs.fiducial
        levels = [mask & train for mask in (inputs.matched, inputs.fakes, inputs.background)]
        self.inputs, self.levels = inputs, levels
        truth, reco, data = (
            [inputs.constituents[n] for n in ("truth", "reco", "data")]
            if isinstance(scaling[0], JetScaling)
            else [inputs.seen("truth"), inputs.seen("reco"), inputs.seen("data")]
        )
        self.reco = torch.from_numpy(np.concatenate([data, *(reco[mask] for mask in levels)]))
        self.truth = torch.from_numpy(np.ascontiguousarray(truth[fiducial]))
        if isinstance(scaling[0], RankScaling):
            self.reco, self.truth = scaling[0](self.reco), scaling[1](self.truth)
        self.matched = levels[0][fiducial]
        scale = len(train) / max(train.sum(), 1)
        self.weight = np.stack([v.weight[fiducial] for v in varied], axis=1)
        self.matched_weight, self.fake_weight, self.background_weight = (
            scale * np.stack([v.weight[mask] for v in varied], axis=1) for mask in levels
        )
        self.data_weight = np.stack([v.data_weight for v in varied], axis=1)
        held = inputs.validation & hold_out
        self.reco_held = np.concatenate([inputs.data_validation & hold_out, *(held[mask] for mask in levels)])
        self.truth_held = held[levels[0]]


class OmnifoldSample:
    """Blocks of both samples for E replicas; a single block is kept, others are made each time.

    Args:
        replicas: the members. scaling: see `scaling_of`.
        train: of the single block, see `OmnifoldBlock`; None for all.
        hold_out: whether the validation events are held out in trainings.
    """

    def __init__(
        self,
        blocks: Blocks,
        replicas: Sequence[Replica],
        scaling: Scaling,
        *,
        train: np.ndarray | None = None,
        hold_out: bool = False,
    ) -> None:
        self.pilot, self.buffer, self.members, self.hold_out = blocks.pilot, blocks.buffer, len(replicas), hold_out
        self._blocks, self._replicas, self.train, self._scaling = blocks, replicas, train, scaling
        self._kept = self._made(0) if len(blocks) == 1 else None

    def __len__(self) -> int:
        return len(self._blocks)

    def __getitem__(self, block: int) -> OmnifoldBlock:
        return self._kept or self._made(block)

    def __iter__(self) -> Iterator[OmnifoldBlock]:
        return map(self.__getitem__, range(len(self)))

    def _made(self, block: int) -> OmnifoldBlock:
        inputs = self._blocks[block]
        train = np.ones(len(inputs.weight), dtype=bool) if self.train is None else self.train
        varied = [inputs.varied(r) for r in self._replicas]
        return OmnifoldBlock(varied, train=train, hold_out=self.hold_out, scaling=self._scaling)


class Refold:
    """Coarse bins of all observables at reco level, quantiles of the data's: how well an iteration folds to the data.

    What is coarse has a chi2 that means something; what is finer than these bins, or not among the observables, goes
    unseen. Features are not looked at: no weight of truth can move what has no counterpart there.
    """

    def __init__(self, pilot: Inputs, members: int) -> None:
        self.bins = Bins(pilot.data_reco)
        # Weights and squared weights of the simulation, then of the data.
        self._contents = np.zeros((4, self.bins.size, members))

    def clear(self) -> None:
        """Empty the contents, for the next iteration."""
        self._contents = np.zeros_like(self._contents)

    def add(self, block: OmnifoldBlock, simulated: np.ndarray) -> None:
        """Fill a block, with weights (rows, E) of its matched events, fakes and background."""
        values = np.concatenate([block.inputs.reco[mask] for mask in block.levels])
        for k, (x, w) in enumerate(((values, simulated), (block.inputs.data_reco, block.data_weight))):
            both = self.bins.filled(x, np.concatenate([w, w**2], axis=1))
            self._contents[2 * k : 2 * k + 2] += np.stack(np.split(both, 2, axis=1))

    def chi2(self) -> tuple[np.ndarray, int]:
        """Chi2 (E,) of simulation against data, summed over the observables, and its number of terms. Observables are
        correlated, and were fitted: a small one proves nothing."""
        simulated, squares, data, data_squares = self._contents
        variance = data_squares + squares
        used = variance > 0
        terms = np.divide((simulated - data) ** 2, variance, out=np.zeros_like(variance), where=used)
        return terms.sum(axis=0), int(used[:, 0].sum())


def scaling_of(inputs: Inputs, *, constituents: bool) -> Scaling:
    """Scaling at reco level, from data and simulation alike, and at truth level, of the nominal sample for all."""
    if constituents:
        levels = inputs.constituents
        reco = np.concatenate([levels["data"], levels["reco"][inputs.pass_reco]])
        truth = levels["truth"][inputs.fiducial]
        return JetScaling().fit(torch.from_numpy(reco)), JetScaling().fit(torch.from_numpy(truth))
    passed, fiducial = inputs.pass_reco, inputs.fiducial

    def sample(x: np.ndarray, weight: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        # Which events are there, not what they weigh: that may be a secret of a fold.
        return torch.from_numpy(x), torch.from_numpy(weight != 0)

    data = sample(inputs.seen("data"), inputs.data_weight)
    reco = sample(inputs.seen("reco")[passed], inputs.weight[passed])
    truth = sample(inputs.seen("truth")[fiducial], inputs.weight[fiducial])
    # Of features nothing is declared: what many events share is found to be an atom.
    atoms = [o.atoms for o in inputs.observables]
    levels = ((data, reco), (truth,))
    columns = [[*atoms, *[()] * (s[0][0].shape[1] - len(atoms))] for s in levels]
    return tuple(RankScaling(len(c), atoms=c).fit(*s) for c, s in zip(columns, levels, strict=True))
