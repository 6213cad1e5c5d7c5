"""What a generative model is given beside the event: a median over the sample that the event is of."""

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
"""Random subsets of each group whose medians its events are given."""


class Medians:
    """The batch-wise condition of 2501.12363 (section 4): a model that is trained on simulations of several values of a
    parameter is told, by the median of an observable over the whole sample, which of them the sample is like.

    In training an event is given the weighted median of a random subset of a sample of its own value, as large as the
    data are (by Kish's effective size), so that the model sees medians that fluctuate as that of the data does; drawing
    from data, all events are given the weighted median of the data. Both are of the reco values of all that is
    measured: a sample of one value has its matched events and, in the proportion of the whole simulation, the fakes and
    the background that the data hold too. A median of the data with their share of matched events as weights would be
    pulled to that of all values, on which this share is learned. They are computed anew for each replica, with the
    replica's weights and reco values.

    A spectrum whose peak goes with the parameter is hard to learn as a function of a single number. So the model draws
    truth values of that observable relative to `steps` times the median, which is added afterwards: a model that does
    not heed what it is told is then one that moves the peak along. The share is the one that makes the spectrum of all
    values sharpest, which lays the peaks upon one another. It is 0 for an observable that is discrete.

    Args:
        inputs: of the nominal unfolding. others: mask (N,) of the fakes and background among what is measured.
        seed: of the subsets.
        like: that of the nominal, where `inputs` are of a replica of another acceptance: its scale is kept.
        option: {"median": an unfolded observable, "by": truth column that holds the parameter}; empty for no condition.

    Raises:
        ConfigError: an unknown observable or column, or a column of a single value.

    Attributes:
        steps: (D,), by how much the truth values go with one unit of what is given.
        columns: 1; 0 without a condition, and nothing else is then to be asked of it.
    """

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
        """What the matched events are given, (n_m, E, 1), scaled to order one.

        Args:
            reco: (E or 1, n_r, D), reconstructed events of the members or of all; weight: (n_r, E).
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
        """What the measured events of each member are given, (E, 1).

        Args:
            reco: (E or 1, n, D), in their own units; weight: (n, E).
        """
        found = [
            weighted_median(reco[e if len(reco) > 1 else 0, :, self.place], weight[:, e : e + 1])
            for e in range(weight.shape[1])
        ]
        return self._scaled(np.stack(found))

    def _samples(self, weight: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Rows and weights (n, E) of a sample of each value, of reconstructed events with weights (n_r, E)."""
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
    """The share s in [0, 2] that makes the density of values - s distance sharpest, in the integral of its square:
    (N,) each."""
    edges = np.linspace(*np.quantile(values, [0.02, 0.98]), 81)
    shares = np.linspace(0.0, 2.0, 41)
    peaked = [(np.histogram(values - s * distance, edges, weights=weight)[0] ** 2).sum() for s in shares]
    return float(shares[np.argmax(peaked)])


def beside(events: Tensor, found: Tensor) -> Tensor:
    """Events (n, D) with what all of them are given, (columns,), at their end."""
    return torch.cat([events, found.expand(len(events), -1)], dim=-1)


def weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Where half of the weight lies below, (N,) and (N, K) -> (K,): linear between the middles of the events' weights.

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
        # Negative weights step back: only where the sum reaches a new height does it count.
        rising = w[:, k] > 0.0
        found[k] = np.interp(0.5, np.maximum.accumulate(middle[rising, k]), ordered[rising])
    return found
