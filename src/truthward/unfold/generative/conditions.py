"""The condition of a generative model in addition to the event: a median over the sample to which the event belongs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from truthward.errors import ConfigError, DivergedError
from truthward.events.effective_size import effective_size
from truthward.events.hashing import uniform
from truthward.study.seeds import seed_for
from truthward.unfold.inputs.arrays import Inputs

SUBSETS = 128
"""Number of random subsets of each group; events get the medians of these subsets."""


class Medians:
    """The batch-wise condition of 2501.12363 (section 4).

    The model is trained on simulations with several values of a parameter. The median of an observable over the whole
    sample tells it which of these values the sample is like.

    In training, an event gets the weighted median of a random subset of a sample of its own value. The subset is as
    large as the data (by Kish's effective size), so the model sees medians that fluctuate like the median of the data.
    When it draws from data, all events get the weighted median of the data. Both medians are of the reco values of
    everything that is measured. So the sample of one value has its matched events and also the fakes and the background
    that the data hold, in the proportion of the whole simulation. The data could be weighted with their share of
    matched events instead. But this share is learned on all values and would pull the median towards their average.
    Each replica computes its medians anew, with its own weights and reco values.

    A spectrum whose peak moves with the parameter is hard to learn as a function of a single number. So the model draws
    truth values of that observable relative to `steps` times the median, which is added afterwards. If the model then
    ignores the condition, the peak still moves. The step is the one that makes the spectrum of all values sharpest,
    that is, the peaks overlap best. It is 0 for a discrete observable.

    Args:
        inputs: inputs of the nominal unfolding. others: mask (N,) of the measured fakes and background.
        seed: seed of the subsets.
        like: the nominal instance, if `inputs` are of a replica with another acceptance; its scale is used.
        option: {"median": an unfolded observable, "by": truth column that holds the parameter}; empty: no condition.

    Raises:
        ConfigError: an unknown observable or column, or a column with a single value.

    Attributes:
        steps: (D,), shift of the truth values for one unit of the condition.
        columns: 1; or 0 without a condition, and then the other attributes do not exist.
    """

    centre: float
    scale: float

    def __init__(
        self, inputs: Inputs, option: Mapping[str, Any], others: np.ndarray, seed: int, *, like: Medians | None = None
    ) -> None:
        self.columns, self.steps = len(option) // 2, torch.zeros(len(inputs.names))
        if not option:
            return
        for name, known in ((option["median"], inputs.names), (option["by"], list(inputs.carried))):
            if name not in known:
                raise ConfigError(f"condition: {name!r} is not one of {', '.join(known)}")
        self.place = inputs.names.index(option["median"])
        ids, matched = inputs.event_id[inputs.matched], inputs.matched
        values, self.group = np.unique(inputs.carried[option["by"]][matched], return_inverse=True)
        passed = inputs.pass_reco
        self.matched, self.others = np.flatnonzero(matched[passed]), np.flatnonzero(others[passed])
        if len(values) < 2 or not np.isfinite(values).all():
            raise ConfigError(
                f"condition: truth_{option['by']} has the values {', '.join(f'{v:g}' for v in values[:5])} in the "
                "simulation; at least two different, finite values are needed"
            )
        self.seed, self.weight = seed, inputs.weight[passed]
        self.size = float(effective_size(inputs.data_weight))
        self.subset = (uniform(ids, seed_for(seed, "subset")) * SUBSETS).astype(np.int64)
        if like is not None:
            self.centre, self.scale, self.steps = like.centre, like.scale, like.steps
            return
        nominal = inputs.reco[passed, self.place]
        medians = [weighted_median(nominal[rows], w)[0] for rows, w in self._samples(self.weight[:, None])]
        self.centre, self.scale = float(np.mean(medians)), float(np.std(medians))
        observable = inputs.observables[self.place]
        if not (observable.integer or observable.atoms):
            distance = (np.array(medians) - self.centre)[self.group]
            share = sharpest(inputs.truth[matched, self.place], distance, inputs.weight[matched])
            self.steps[self.place] = share * self.scale

    def simulated(self, reco: np.ndarray, weight: np.ndarray) -> Tensor:
        """The condition of the matched events, (n_m, E, 1), scaled to order one.

        Args:
            reco: (E or 1, n_r, D), reconstructed events of each member or of all; weight: (n_r, E).
        """
        found = np.zeros((len(self.matched), weight.shape[1], 1))
        nominal, samples = self._samples(self.weight[:, None]), self._samples(weight)
        for number, ((_, expected), (rows, own)) in enumerate(zip(nominal, samples, strict=True)):
            rng = np.random.default_rng(seed_for(self.seed, "counts", number))
            counts = rng.poisson(self.size / effective_size(expected[:, 0]), (len(rows), SUBSETS)).astype(np.float32)
            given = np.flatnonzero(self.group == number)
            for e in range(weight.shape[1]):
                values = reco[e if len(reco) > 1 else 0, rows, self.place]
                found[given, e, 0] = weighted_median(values, counts * own[:, e, None])[self.subset[given]]
        return self._scaled(found)

    def measured(self, reco: np.ndarray, weight: np.ndarray) -> Tensor:
        """The condition of the measured events of each member, (E, 1).

        Args:
            reco: (E or 1, n, D), in their own units; weight: (n, E).
        """
        found = [
            weighted_median(reco[e if len(reco) > 1 else 0, :, self.place], weight[:, e : e + 1])
            for e in range(weight.shape[1])
        ]
        return self._scaled(np.stack(found))

    def _samples(self, weight: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Rows and weights (n, E) of a sample for each value, from reconstructed events with weights (n_r, E)."""
        found = []
        for value in range(self.group.max() + 1):
            own = self.matched[self.group == value]
            share = weight[own].sum(axis=0) / weight[self.matched].sum(axis=0)
            rows = np.concatenate([own, self.others])
            found.append((rows, np.concatenate([weight[own], share * weight[self.others]])))
        return found

    def _scaled(self, medians: np.ndarray) -> Tensor:
        return torch.from_numpy(((medians - self.centre) / self.scale).astype(np.float32))


def sharpest(values: np.ndarray, distance: np.ndarray, weight: np.ndarray) -> float:
    """The s in [0, 2] for which the density of values - s distance is sharpest, all (N,).

    Sharpest means that the integral of the squared density is largest.
    """
    low, high = np.quantile(values, [0.02, 0.98])
    edges = np.linspace(low, high, 81)
    shares = np.linspace(0.0, 2.0, 41)
    peaked = [(np.histogram(values - s * distance, edges, weights=weight)[0] ** 2).sum() for s in shares]
    return float(shares[np.argmax(peaked)])


def beside(events: Tensor, found: Tensor) -> Tensor:
    """Events (n, D) with the common condition (columns,) appended."""
    return torch.cat([events, found.expand(len(events), -1)], dim=-1)


def weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The value below which half of the weight lies, (N,) and (N, K) -> (K,).

    It is linear between the middles of the events' weights.

    >>> weighted_median(np.array([3.0, 1.0, 2.0]), np.array([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]])).tolist()
    [2.0, 2.5]

    Raises:
        DivergedError: weights whose sum is not positive.
    """
    order = np.argsort(values, kind="stable")
    ordered, w = values[order].astype(np.float64), weights[order].astype(np.float64)
    total = w.sum(axis=0)
    if not (total > 0.0).all():
        raise DivergedError(f"condition: weights of a median sum to {total.min():.3g}; more than 0 is needed")
    middle = (np.cumsum(w, axis=0) - 0.5 * w) / total
    found = np.empty(len(total))
    for k in range(len(total)):
        # Negative weights make the sum fall: only a new maximum of the sum counts.
        rising = w[:, k] > 0.0
        found[k] = np.interp(0.5, np.maximum.accumulate(middle[rising, k]), ordered[rising])
    return found
