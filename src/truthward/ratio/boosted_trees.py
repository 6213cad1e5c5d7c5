"""Learn a density ratio with boosted trees: the sum of regression trees is the log of the ratio (LightGBM).

Trees are grown one after the other (Friedman 2001). Each tree is a Newton step of the loss of `ratio.base.LogRatio`:
with the probability p of the numerator, an event has the gradient `total` p - `positive` and the curvature `total`
p (1 - p). `total` is the weight of the event in both classes and `positive` its weight in the numerator. Two choices
give the two losses:

- classes: total = w, positive = w for the numerator and 0 for the denominator. The logit is the log of the ratio of the
  two densities;
- a mean ratio: total = w (1 + ratio), positive = w ratio. exp(logit) is E[ratio | x].

Both are linear in the weights, so weights of any sign are used as they are. Trees compare values and never multiply
them. So inputs need no scaling, integers and atoms are inputs like any other, and a missing value (NaN) is a value of
its own. There is no random number: the same events give the same trees, for any number of threads.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from truthward.errors import DivergedError, InputError

log = logging.getLogger("truthward.fit")

CURVATURE = 0.25
"""p (1 - p) of an event in the middle between two classes: it turns a number of events into a sum of curvatures."""


@dataclass(frozen=True)
class TreeOptions:
    """Boosted trees as classifiers.

    Args:
        trees: of each training.
        later_trees: of a training that continues another one.
        leaves: of each tree, at most.
        learning_rate: share of each Newton step that is taken.
        smallest_leaf: number of events of unit weight in a leaf, at least.
        bins: of each input, at most; a tree splits at the edges of bins. They hold the same numbers of events.
        patience: a training that starts anew ends after this number of trees without improvement on the held-out
            events, and takes the best number of trees. 0 trains on all events, and grows all trees.
    """

    BOUNDS = (
        (">= 1", "trees later_trees smallest_leaf"),
        (">= 2", "leaves bins"),
        ("> 0", "learning_rate"),
        (">= 0", "patience"),
    )

    trees: int = 10
    later_trees: int = 8
    leaves: int = 63
    learning_rate: float = 0.5
    smallest_leaf: int = 300
    bins: int = 1023
    patience: int = 0


@dataclass(frozen=True)
class TreeLosses:
    """Mean losses of a training: of the events it was trained with, and of those held out (NaN without any)."""

    train: float
    held_out: float
    trees: int


class Trees:
    """Trees of one training, as they are kept: a text of LightGBM, which is neither code nor a pickle."""

    def __init__(self, text: str) -> None:
        import lightgbm  # It takes a second.

        self.text = text
        self._booster = lightgbm.Booster(model_str=text)
        self.count = self._booster.num_trees()

    def __call__(self, x: Tensor | np.ndarray) -> np.ndarray:
        """Their sum at x (N, D) -> (N,) float64."""
        return np.asarray(self._booster.predict(np.asarray(x), raw_score=True, num_threads=torch.get_num_threads()))

    def places(self, x: Tensor | np.ndarray) -> np.ndarray:
        """The leaf of each event in each tree, (N, D) -> (N, T); leaves are numbered through all trees."""
        found = self._booster.predict(np.asarray(x), pred_leaf=True, num_threads=torch.get_num_threads())
        return np.asarray(found, dtype=np.int32).reshape(len(x), self.count) + self.starts[:-1].astype(np.int32)

    def places_in(self, tree: int, x: Tensor | np.ndarray) -> np.ndarray:
        """The leaf of each event in one tree, (N, D) -> (N,); leaves are numbered from 0."""
        threads = torch.get_num_threads()
        found = self._booster.predict(
            np.asarray(x), pred_leaf=True, start_iteration=tree, num_iteration=1, num_threads=threads
        )
        return np.asarray(found, dtype=np.int32).reshape(len(x))

    def with_values(self, values: Sequence[np.ndarray]) -> Trees:
        """The same splits with other values of the leaves, (leaves,) for each tree."""
        import lightgbm

        changed = lightgbm.Booster(model_str=self.text)
        for tree, own in enumerate(values):
            for leaf, value in enumerate(own):
                changed.set_leaf_output(tree, leaf, float(value))
        return Trees(changed.model_to_string())

    @cached_property
    def starts(self) -> np.ndarray:
        """Number of the first leaf of each tree, and the number of all leaves, (T + 1,)."""
        return np.concatenate([[0], np.cumsum(self._sizes())])

    @cached_property
    def values(self) -> np.ndarray:
        """The value of each leaf, (L,)."""
        return np.array([self._booster.get_leaf_output(t, i) for t, n in enumerate(self._sizes()) for i in range(n)])

    def array(self) -> np.ndarray:
        """The text as bytes, for `from_array`."""
        return np.frombuffer(self.text.encode("ascii"), dtype=np.uint8).copy()

    @classmethod
    def from_array(cls, array: np.ndarray) -> Trees:
        """Rebuild from `array`."""
        return cls(array.tobytes().decode("ascii"))

    def _sizes(self) -> list[int]:
        return [max(1, int(tree["num_leaves"])) for tree in self._booster.dump_model()["tree_info"]]


class BinnedEvents:
    """Inputs (N, D) that are sorted into bins once, for any number of trainings with other weights.

    Args:
        x: values, NaN where an input is missing.

    Raises:
        InputError: no event, or values that are infinite.
    """

    def __init__(self, x: Tensor | np.ndarray, options: TreeOptions, *, label: str = "boosted trees") -> None:
        import lightgbm

        values = np.asarray(x)
        if values.ndim != 2 or not len(values):
            raise InputError(f"{label}: the inputs have the shape {values.shape}; events with their inputs are needed")
        if bad := int(np.isinf(values).sum()):
            raise InputError(f"{label}: {bad} inputs are infinite; give finite values, or NaN where one is missing")
        self.options, self.label, self.rows = options, label, len(values)
        self._settings = {
            "objective": "none",
            "boost_from_average": False,
            "num_leaves": options.leaves,
            "learning_rate": options.learning_rate,
            "max_bin": options.bins,
            # Leaves are limited by curvature, which counts weights and not rows: rows may have no weight at all.
            "min_data_in_leaf": 0,
            "min_sum_hessian_in_leaf": CURVATURE * options.smallest_leaf,
            "feature_pre_filter": False,
            "deterministic": True,
            "force_col_wise": True,
            "num_threads": torch.get_num_threads(),
            "verbose": -1,
        }
        self._data = lightgbm.Dataset(values, np.zeros(len(values), np.float32), params=self._settings).construct()

    def grow(
        self,
        total: np.ndarray,
        positive: np.ndarray,
        trees: int,
        *,
        start: np.ndarray | None = None,
        held_out: np.ndarray | None = None,
        patience: int = 0,
        label: str = "boosted trees",
    ) -> tuple[Trees, np.ndarray, TreeLosses]:
        """Grow trees for weights of unit mean.

        Args:
            total, positive: (N,), weight of an event in both classes and in the numerator, of any sign.
            trees: number of trees, at most.
            start: logits (N,) of trees that are continued. None: zero.
            held_out: (N,) bool, events that train no tree.
            patience: number of trees without improvement on the held-out events after which the best number of trees is
                taken. 0: all trees.

        Returns:
            The trees, their sum for all events (N,), and the losses.

        Raises:
            DivergedError: weights that are not finite; or without a positive sum of both classes.
        """
        import lightgbm

        held = np.zeros(self.rows, dtype=bool) if held_out is None else held_out
        both, upper = (torch.from_numpy(np.where(held, 0.0, w).astype(np.float32)) for w in (total, positive))
        for name, found in (("numerator", float(upper.sum())), ("denominator", float((both - upper).sum()))):
            if not 0 < found < np.inf:
                raise DivergedError(
                    f"{label}: the weights of the {name} sum to {found:.3g}; a density ratio needs a finite positive "
                    "sum in both classes"
                )
        base = torch.zeros(self.rows) if start is None else torch.from_numpy(start.astype(np.float32))

        def newton(score: np.ndarray, _: object) -> tuple[np.ndarray, np.ndarray]:
            chance = torch.sigmoid(base + torch.from_numpy(score.astype(np.float32)))
            return (both * chance - upper).numpy(), (both * chance * (1.0 - chance)).numpy()

        def loss(rows: np.ndarray, scores: np.ndarray) -> float:
            return mean_loss(total[rows], positive[rows], (base.numpy() + scores)[rows])

        booster = lightgbm.Booster(self._settings, self._data)
        patience = patience if held.any() else 0
        judged = [loss(held, _scores(booster))] if patience else []
        while booster.num_trees() < trees and not booster.update(fobj=newton):
            if patience:
                judged.append(loss(held, _scores(booster)))
                if len(judged) - 1 - int(np.argmin(judged)) >= patience:
                    break
        for _ in range(booster.num_trees() - int(np.argmin(judged)) if patience else 0):
            booster.rollback_one_iter()
        scores = _scores(booster)
        losses = TreeLosses(loss(~held, scores), loss(held, scores), booster.num_trees())
        if not np.isfinite(losses.train):
            raise DivergedError(f"{label}: the loss is not finite; lower `learning_rate`, or check the inputs")
        log.info("%s: %d trees, loss %.5f", label, losses.trees, losses.train)
        return Trees(booster.model_to_string()), scores, losses


def mean_loss(total: np.ndarray, positive: np.ndarray, logit: np.ndarray) -> float:
    """Mean of the loss of events (N,) with these weights; NaN without any event."""
    if not len(logit):
        return float("nan")
    return float(np.mean(total * np.logaddexp(0.0, logit) - positive * logit))


def _scores(booster: Any) -> np.ndarray:
    """The sum of the trees for the events they were trained with, (N,)."""
    found = []

    def keep(scores: np.ndarray, _: object) -> tuple[str, float, bool]:
        found.append(scores.copy())
        return "scores", 0.0, True

    booster.eval_train(keep)
    return found[0]
