"""The arrays that OmniFold's two steps work on, and what is watched in them from one iteration to the next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from truthward.learn.scaling import Standardise
from truthward.ratio.constituents import JetScaling
from truthward.unfold.arrays import Inputs

COARSE = 10
"""Bins of equal population of each observable in which iterations are compared with each other and with the data."""


class Sample:
    """The arrays of E replicas that differ by their weights alone; n fiducial events, M of data.

    Rows of reco: M data, matched, fakes, background, in this order, (rows, D) or (rows, P, F) for constituents.
    truth: of all fiducial events (n, ...); weight: (n, E). matched: (n,) bool, those that the chain is trained with;
    matched_weight, fake_weight, background_weight, data_weight: (..., E), of what it is trained with.

    Args:
        inputs: reco values and acceptance, shared by all members; weights of each: one of `varied`.
        train: (N,) bool, simulated events that the chain may see; the others only get a weight from it. The weights of
            those that it sees are scaled up by N / sum(train), so that they stand for all.
        constituents: look at the constituents rather than at the observables.
    """

    def __init__(self, inputs: Inputs, varied: Sequence[Inputs], *, train: np.ndarray, constituents: bool) -> None:
        fiducial = inputs.fiducial
        levels = [mask & train for mask in (inputs.matched, inputs.fakes, inputs.background)]
        self.inputs, self.levels = inputs, levels
        truth, reco, data = (
            [inputs.constituents[n] for n in ("truth", "reco", "data")]
            if constituents
            else [inputs.truth, inputs.reco, inputs.data_reco]
        )
        self.reco = torch.from_numpy(np.concatenate([data, *(reco[mask] for mask in levels)]))
        self.truth = torch.from_numpy(np.ascontiguousarray(truth[fiducial]))
        self.matched = levels[0][fiducial]
        scale = len(train) / train.sum()
        self.weight = np.stack([v.weight[fiducial] for v in varied], axis=1)
        self.matched_weight, self.fake_weight, self.background_weight = (
            scale * np.stack([v.weight[mask] for v in varied], axis=1) for mask in levels
        )
        self.data_weight = np.stack([v.data_weight for v in varied], axis=1)
        held = inputs.validation
        self.reco_held = np.concatenate([inputs.data_validation, *(held[mask] for mask in levels)])
        self.truth_held = held[levels[0]]
        self.members = len(varied)


class Watch:
    """Coarse bins of all observables at both levels: how far an iteration moved, and how well it folds to the data.

    Edges are quantiles of the nominal fiducial simulation, and of the data. What is coarse has a chi2 that means
    something; what is finer than these bins, or not among the observables, goes unseen.
    """

    def __init__(self, sample: Sample) -> None:
        inputs = sample.inputs
        fiducial = inputs.fiducial
        self.truth = [_binned(x, x) for x in inputs.truth[fiducial].T]
        rows = [inputs.reco[mask] for mask in sample.levels]
        self.data = [_binned(x, x) for x in inputs.data_reco.T]
        self.reco = [_binned(np.concatenate([r[:, d] for r in rows]), x) for d, x in enumerate(inputs.data_reco.T)]

    def contents(self, weight: np.ndarray) -> np.ndarray:
        """Truth bins of all observables (D B, E) for weights (n, E) of the fiducial events."""
        return np.concatenate([_filled(place, weight) for place in self.truth])

    def change(self, before: np.ndarray, after: np.ndarray, sample: Sample) -> np.ndarray:
        """Root mean square (E,) over all bins of after - before in units of the data's statistical error.

        That error is the one of a detector which loses events but moves none: a bin of content n in which a share e is
        reconstructed holds n e data events of mean weight <d> = sum d^2 / sum d, and sigma = sqrt(n <d> / e). The true
        one is larger, so that a tolerance in these units is on the safe side.
        """
        mean = (sample.data_weight**2).sum(axis=0) / sample.data_weight.sum(axis=0)
        matched = np.zeros_like(sample.weight)
        matched[sample.matched] = sample.matched_weight
        share = self.contents(matched) / self.contents(sample.weight)
        variance = np.abs(after) * mean / np.abs(share).clip(min=1e-3)
        used = variance > 0
        square = np.divide((after - before) ** 2, variance, out=np.zeros_like(after), where=used)
        return np.sqrt(square.sum(axis=0) / used.sum(axis=0))

    def refold(self, simulated: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, int]:
        """Chi2 (E,) of simulated (rows, E) against data weights (M, E) in the reco bins, summed over the observables,
        and its number of terms. Observables are correlated, and were fitted: a small one proves nothing."""
        chi2, terms = np.zeros(simulated.shape[1]), 0
        for place, own in zip(self.reco, self.data, strict=True):
            distance = _filled(place, simulated) - _filled(own, data)
            variance = _filled(own, data**2) + _filled(place, simulated**2)
            used = variance > 0
            chi2 += np.divide(distance**2, variance, out=np.zeros_like(distance), where=used).sum(axis=0)
            terms += int(used[:, 0].sum())
        return chi2, terms


def scaling_of(inputs: Inputs, *, constituents: bool) -> tuple[tuple[nn.Module, int], tuple[nn.Module, int]]:
    """Scaling and number of network inputs at reco and at truth level, from the nominal sample: all share it."""
    if constituents:
        levels = inputs.constituents
        reco, truth = np.concatenate([levels["data"], levels["reco"][inputs.pass_reco]]), levels["truth"]
    else:
        reco, truth = np.concatenate([inputs.data_reco, inputs.reco[inputs.pass_reco]]), inputs.truth
    found = []
    for x in (reco, truth[inputs.fiducial]):
        scaling = JetScaling() if constituents else Standardise(x.shape[1])
        found.append((scaling.fit(torch.from_numpy(x)), x.shape[1]))
    return found[0], found[1]


def _binned(x: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Bin (N,) of each x among the quantiles of `reference`; fewer bins where many values are equal."""
    return np.searchsorted(np.unique(np.quantile(reference, np.linspace(0, 1, COARSE + 1)[1:-1])), x, side="right")


def _filled(place: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Sums of weight (N, E) in bins, (B, E)."""
    return np.stack([np.bincount(place, w, minlength=COARSE) for w in weight.T], axis=1)
