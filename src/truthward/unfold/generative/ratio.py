"""The classifier of a step of prior removal, for E members: networks that the next step continues, or boosted trees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from truthward.ratio.boosted_trees import BinnedEvents, TreeOptions, Trees
from truthward.ratio.classifier import balanced, classifier_of, logits, stack_of, train_ratio
from truthward.ratio.leaf_response import leaf_response
from truthward.ratio.response import ratio_response
from truthward.unfold.generative.posterior import GenerativeRecipe

TREES = TreeOptions()


class Ratio(Protocol):
    """Learns the ratio of two balanced classes for E members."""

    def train(
        self, x: Tensor, numerator: np.ndarray, weights: np.ndarray, held_out: np.ndarray | None, **common: Any
    ) -> None:
        """Train with x (N, D) or (N, E, D), numerator (N,) and weights (N, E); `common`: see `Members.common`."""

    def logits(self, x: Tensor, label: str) -> np.ndarray:
        """Logits (N, E) at x (N, D) or (N, E, D)."""

    def state(self) -> dict[str, Tensor]:
        """The state of the first member."""


class NetworkRatio:
    """Networks in one stack. Each step continues those of the step before."""

    def __init__(self, recipe: GenerativeRecipe, inputs: int, seeds: list[int]) -> None:
        self._recipe, self._stack = recipe, stack_of(inputs, seeds, **recipe.network)

    def train(
        self, x: Tensor, numerator: np.ndarray, weights: np.ndarray, held_out: np.ndarray | None, **common: Any
    ) -> None:
        """See `Ratio`."""
        name = common.pop("name")
        train_ratio(self._stack, x, numerator, weights, self._recipe.ratio, held_out=held_out, label=name, **common)

    def logits(self, x: Tensor, label: str) -> np.ndarray:
        """See `Ratio`."""
        return logits(self._stack, x, label=label)

    def state(self) -> dict[str, Tensor]:
        """See `Ratio`."""
        return self._stack.state_of(0)


class TreeRatio:
    """Trees for each member. Each step grows them from zero, because its ratio is close to one."""

    def __init__(self, members: int) -> None:
        self._members = members
        self._grown: list[Trees] = []

    def train(
        self, x: Tensor, numerator: np.ndarray, weights: np.ndarray, held_out: np.ndarray | None, **common: Any
    ) -> None:
        """See `Ratio`. Held-out events train no tree."""
        held = np.zeros(len(x), dtype=bool) if held_out is None else held_out
        total, label = balanced(weights, numerator, held), common["name"]
        shared = BinnedEvents(x, TREES, label=label) if x.ndim == 2 else None
        self._grown = []
        for e in range(self._members):
            events = shared or BinnedEvents(x[:, e], TREES, label=label)
            w = total[:, e]
            self._grown.append(events.grow(w, w * numerator, TREES.trees, held_out=held, label=label)[0])

    def logits(self, x: Tensor, label: str) -> np.ndarray:
        """See `Ratio`."""
        return np.stack([trees(x if x.ndim == 2 else x[:, e]) for e, trees in enumerate(self._grown)], axis=1)

    def state(self) -> dict[str, Tensor]:
        """See `Ratio`."""
        return {"trees": torch.from_numpy(self._grown[0].array())}


def ratio_of(recipe: GenerativeRecipe, inputs: int, seeds: list[int]) -> Ratio:
    """Untrained classifiers, one for each seed."""
    return TreeRatio(len(seeds)) if recipe.boosted else NetworkRatio(recipe, inputs, seeds)


def respond(
    recipe: GenerativeRecipe,
    state: dict[str, Tensor],
    x: Tensor,
    numerator: np.ndarray,
    weights: np.ndarray,
    *,
    label: str,
) -> Callable[[Tensor], np.ndarray]:
    """The response of a trained classifier to the weights (N, E) of balanced classes, the nominal ones first.

    It gives logits (n, E) at any places (n, D).
    """
    if recipe.boosted:
        total = weights.astype(np.float32)
        pieces, trees = [(x, total, total * numerator[:, None], None)], Trees.from_array(state["trees"].numpy())
        return leaf_response(trees, lambda: pieces, len(x), TREES.learning_rate, label=label)
    network = classifier_of(x.shape[1], **recipe.network)
    network.load_state_dict(state)
    return ratio_response(network, [(x, numerator, weights)], len(x), recipe.ratio, label=label)
