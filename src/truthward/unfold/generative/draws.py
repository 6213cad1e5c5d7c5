"""The inputs of a generative unfolding as its networks see them, and draws of truth events for data events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from truthward.events.hashing import uniform
from truthward.learn.quantile import QuantileTransform
from truthward.learn.scaling import RankScaling
from truthward.learn.stack import Stack
from truthward.models.base import GenerativeModel
from truthward.study.plugins import build
from truthward.study.seeds import seed_for
from truthward.unfold.generative.conditions import Medians
from truthward.unfold.inputs.arrays import Inputs


class Scaled:
    """Truth and reco values as networks see them, by scalings fitted to the nominal sample, or by those of `like`.

    The columns that a model generates are standard normal. The value of an atom (an integer, a failed splitting) is
    placed at random within the atom's interval of probability, so that the inverse gives the exact value. The columns
    that a network only sees have the scaling of all networks. It makes K inputs from D columns; the first D are normal
    scores. Rows follow the masks of the inputs: n_m matched events, n_f fiducial, n_r reconstructed, M data. others:
    mask (N,) of the measured fakes and background; by default all reconstructed ones.

    Attributes:
        size: D; given: K at reco level, for the observables and the features.
        truth: (n_f, K'), fiducial truth as classifiers see it; reco: (n_r, K); data: (M, K);
        shown_truth, shown_reco: the scalings; target_map: between the model's columns and their own units.
        medians: the condition of models in addition to the reco values;
        matched_fiducial, matched_reco: masks of the matched events among the fiducial and the reconstructed events.
    """

    medians: Medians

    def __init__(
        self,
        inputs: Inputs,
        seed: int,
        condition: Mapping[str, Any] | None = None,
        *,
        others: np.ndarray | None = None,
        like: Scaled | None = None,
    ) -> None:
        self.seed, self.size = seed, len(inputs.names)
        self.medians = Medians(
            inputs,
            condition or {},
            inputs.fixed if others is None else others,
            seed_for(inputs.seed, "medians"),
            like=None if like is None else like.medians,
        )
        declared, integer = [o.atoms for o in inputs.observables], [o.integer for o in inputs.observables]
        fiducial, matched, passed = inputs.fiducial, inputs.matched, inputs.pass_reco
        if like is None:
            truth = _weighted(inputs.truth, inputs.weight, fiducial)
            reco = _weighted(inputs.seen("reco"), inputs.weight, passed)
            data = torch.from_numpy(inputs.seen("data")), torch.from_numpy(inputs.data_weight)
            # Features have no declared atoms: a value that many events share is found as an atom.
            atoms = [*declared, *[()] * (data[0].shape[1] - self.size)]
            self.shown_truth = RankScaling(self.size, atoms=declared).fit(truth)
            self.shown_reco = RankScaling(len(atoms), atoms=atoms).fit(reco, data)
            self.target_map = QuantileTransform(self.size, atoms=declared, integer=integer).fit(*truth)
        else:
            self.shown_truth, self.shown_reco, self.target_map = like.shown_truth, like.shown_reco, like.target_map
        self.given = self.shown_reco.inputs
        self.place = self._uniform(inputs.event_id[matched], "place").float().clamp(max=1.0 - 2.0**-24)
        self.matched_truth = torch.from_numpy(inputs.truth[matched])
        if self.medians.columns and like is None:
            given = self.medians.simulated(inputs.reco[None, passed], inputs.weight[passed, None])[:, 0]
            weight = torch.from_numpy(inputs.weight[matched])
            relative = QuantileTransform(self.size, atoms=declared, integer=integer)
            self.target_map = relative.fit(self._relative(given), weight)
        self.truth = self.shown_truth(torch.from_numpy(inputs.truth[fiducial]))
        self.reco = self.shown_reco(torch.from_numpy(inputs.seen("reco")[passed]))
        self.data = self.shown_reco(torch.from_numpy(inputs.seen("data")))
        self.matched_fiducial, self.matched_reco = matched[fiducial], matched[passed]

    def shifted(self, members: Sequence[Inputs]) -> Tensor:
        """Reco values (n_r, E, K) of members, if each member has its own."""
        return torch.stack([self.shown_reco(torch.from_numpy(m.seen("reco")[m.pass_reco])) for m in members], dim=1)

    def target(self, condition: Tensor) -> Tensor:
        """The model's columns for the matched events: (n_m, D), or (n_m, E, D) if members have their own condition."""
        if condition.ndim == 2:
            return self.target_map(self._relative(condition[:, self.given :]), self.place)
        own = [self.target_map(self._relative(c[:, self.given :]), self.place) for c in condition.unbind(1)]
        return torch.stack(own, dim=1)

    def truth_of(self, events: Tensor, condition: Tensor) -> Tensor:
        """Generated columns (n, D) given (n, C), converted to their own units, within the range of the simulation."""
        found, given = self.target_map.inverse(events), condition[:, self.given :]
        if not self.medians.columns:
            return found
        # A median may move an event slightly out of the fiducial region, where no efficiency is known.
        low, high = self.matched_truth.amin(dim=0), self.matched_truth.amax(dim=0)
        return (found + given * self.medians.steps).clamp(low, high)

    def _relative(self, given: Tensor) -> Tensor:
        return self.matched_truth - given * self.medians.steps if self.medians.columns else self.matched_truth

    def noise(self, event_id: np.ndarray, draw: int, *, even: bool = False) -> Tensor:
        """Standard normal numbers (n, D) of a draw. They depend only on the data event, so replicas share them.

        even: spread the numbers of an event evenly, which reduces the noise of sampling (randomly shifted points of a
        Kronecker sequence, with the steps of the largest minimal distance by Roberts 2018). The draws of even number
        and the draws of odd number are then two such sets, independent of each other.
        """
        u = self._uniform(event_id, "draw", draw % 2 if even else draw)
        if even:
            ratio = 2.0
            for _ in range(60):
                ratio = (1.0 + ratio) ** (1.0 / (self.size + 1))
            u = (u + draw // 2 * ratio ** -torch.arange(1.0, self.size + 1.0, dtype=u.dtype)) % 1.0
        return torch.special.ndtri((u + 2.0**-54).clamp(max=1.0 - 2.0**-53)).float()

    def draw(self, generator: GenerativeModel, data: Tensor, noise: Tensor) -> Tensor:
        """Truth events (n, D) in their own units for data events (n, D + F), scaled like `data`."""
        return self.truth_of(generator.sample(data, noise), data)

    def _uniform(self, event_id: np.ndarray, *labels: object) -> Tensor:
        columns = [uniform(event_id, seed_for(self.seed, *labels, c)) for c in range(self.size)]
        return torch.from_numpy(np.stack(columns, axis=1))


@dataclass(frozen=True)
class MeasuredEvents:
    """The measured events for E members: the data, or the data and the background to subtract.

    event_id, held: (n,), held out in trainings; reco: (n, K), or (n, E, K) if members have their own, as networks see
    it; weight: (n, E), negative for events to subtract.
    """

    event_id: np.ndarray
    held: np.ndarray
    reco: Tensor
    weight: np.ndarray

    def of(self, e: int) -> Tensor:
        """Reco values (n, K) of a member."""
        return self.reco if self.reco.ndim == 2 else self.reco[:, e]

    def member(self, e: int) -> MeasuredEvents:
        """The measured events of one member, without events of weight zero."""
        chosen = np.flatnonzero(self.weight[:, e])
        return MeasuredEvents(
            self.event_id[chosen],
            self.held[chosen],
            self.of(e)[torch.from_numpy(chosen)],
            self.weight[chosen, e : e + 1],
        )


def drawn(scaled: Scaled, flows: Stack, condition: Tensor, event_id: np.ndarray, count: int) -> Tensor:
    """`count` draws of each of n events from each member, (count n, E, K'), as classifiers see them.

    condition: (n, C), or (n, E, C) if members have their own condition.
    """
    flows.eval()
    noise = [scaled.noise(event_id, k, even=True) for k in range(count)]
    if condition.ndim == 2:
        events = torch.cat([flows.each("sample", condition, n) for n in noise], dim=1)
    else:
        own = [(e if flows.members > 1 else 0, c) for e, c in enumerate(condition.unbind(1))]
        events = torch.stack([torch.cat([flows.one(m, "sample", c, n) for n in noise]) for m, c in own])
    each = [condition] * len(events) if condition.ndim == 2 else condition.unbind(1)
    given = [torch.cat([c] * count) for c in each]
    return torch.stack([scaled.shown_truth(scaled.truth_of(e, c)) for e, c in zip(events, given, strict=True)], 1)


def model_of(model: dict[str, Any], size: int, given: int, state: dict[str, Tensor] | None = None) -> GenerativeModel:
    """The generative model of `size` truth observables for this number of inputs; new, or with a trained state."""
    found = build("models", model, dimensions=size, conditions=given)
    if state is None:
        return found
    found.load_state_dict(state)
    return found.eval()


def _weighted(values: np.ndarray, weight: np.ndarray, chosen: np.ndarray) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(values[chosen]), torch.from_numpy(weight[chosen])
