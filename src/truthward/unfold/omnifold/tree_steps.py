"""Find the logits of OmniFold's two steps with boosted trees: by training, or as the response of the nominal's leaves.

In the reco step each iteration grows trees from zero: the ratio that it learns comes closer to one from one iteration
to the next, so there is nothing to continue. The truth step learns nu, which approaches its final value: there each
iteration continues the trees of the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from torch import Tensor

from truthward.ratio.boosted_trees import BinnedEvents, TreeLosses, Trees
from truthward.ratio.leaf_response import LeafResponse, leaf_response
from truthward.ratio.refilled import refilled
from truthward.unfold.omnifold.steps import (
    RECO,
    STEPS,
    TRUTH,
    Logits,
    OmnifoldRecipe,
    StepEvents,
    calibration,
    correction,
    of_step,
)


class Memory:
    """A function of trees and events that is remembered if the same events come again in each iteration."""

    def __init__(self, function: Callable[[Trees, Tensor], np.ndarray]) -> None:
        self._function = function
        # The trees and the events are kept too, because an identity is unique only among living objects.
        self._known: dict[tuple[int, int], tuple[Trees, Tensor, np.ndarray]] = {}
        self.on = True

    def __call__(self, trees: Trees, x: Tensor) -> np.ndarray:
        known = self._known.get((id(trees), id(x)))
        if known is None:
            return self.keep(trees, x, self._function(trees, x))
        return known[2]

    def keep(self, trees: Trees, x: Tensor, values: np.ndarray) -> np.ndarray:
        """Remember the values, and return them."""
        if self.on:
            self._known[id(trees), id(x)] = trees, x, values
        return values


class TreeSteps:
    """E members, each with its own trees; `arrays` keeps the trees of the first member.

    known: such arrays. Iterations that they contain are not trained again. counts: for each step, factors (rows,) on
    the weights with which the splits are chosen. The leaves are then filled with the weights themselves.
    """

    trains = True

    def __init__(
        self,
        recipe: OmnifoldRecipe,
        members: int,
        *,
        name: str,
        known: Mapping[str, np.ndarray] | None = None,
        counts: Sequence[np.ndarray] | None = None,
    ) -> None:
        self.recipe, self.members, self.name, self.known, self.counts = recipe, members, name, known or {}, counts
        self.arrays: dict[str, np.ndarray] = {}
        self._bins: dict[int, BinnedEvents] = {}
        self._most = [[recipe.trees.trees] * members for _ in STEPS]
        self._grown: list[list[Trees]] = [[] for _ in range(members)]
        self._values = Memory(Trees.__call__)

    def find(self, step: int, events: StepEvents, iteration: int) -> Logits:
        """See `Steps`."""
        name, self._values.on = STEPS[step], events.kept
        before = self._grown if step == TRUTH else [[] for _ in range(self.members)]
        kept = of_step(self.known, iteration, name)
        losses: list[TreeLosses] = []
        if kept:
            known = Trees.from_array(kept["trees"])
            if not iteration and self.recipe.trees.patience:
                self._most[step] = [max(1, known.count)]
            grown = [[*b, known] for b in before]
        else:
            grown, losses = self._train(step, events, iteration, before)
        if step == TRUTH:
            self._grown = grown
        found = Logits(lambda x: np.stack([self._sum(trees, x) for trees in grown], axis=1))
        if kept:
            found.correct = correction(self.recipe, kept)
            return found
        found.diagnostics = self._diagnostics(losses, name)
        made = {"trees": grown[0][-1].array()}
        if self.recipe.isotonic:
            found.correct = isotonic = calibration(found.logits, step, events)
            made |= {f"isotonic.{n}": a[:1] for n, a in isotonic.arrays().items()}
        self.arrays |= {f"{iteration}.{name}.{n}": a for n, a in made.items()}
        return found

    def _train(
        self, step: int, events: StepEvents, iteration: int, before: list[list[Trees]]
    ) -> tuple[list[list[Trees]], list[TreeLosses]]:
        """The trees of each member, those that are continued first, and the losses."""
        options, label = self.recipe.trees, f"{self.name}, iteration {iteration + 1}, {STEPS[step]}"
        counts = None if self.counts is None else self.counts[step]
        again = step == TRUTH or counts is not None
        x, target, weights, held = events.whole(x=again or step not in self._bins)
        if step not in self._bins:
            self._bins[step] = BinnedEvents(x, options, label=self.name)
        # What a later iteration still has to learn is less than the held-out events can show. So only the first one
        # ends by them, and the later ones grow no more trees than it did.
        patience, most = (0 if iteration else options.patience), self._most[step]
        grown, losses = [], []
        for e, continued in enumerate(before):
            total, positive = both_classes(step, target if target.ndim == 1 else target[:, e], weights[:, e])
            start = self._sum(continued, x) if continued else None
            factor = 1.0 if counts is None else counts
            trees, values, loss = self._bins[step].grow(
                total * factor,
                positive * factor,
                min(options.later_trees, most[e]) if iteration else options.trees,
                start=start,
                held_out=held,
                patience=patience,
                label=label,
            )
            if counts is not None:
                trees, values, loss = refilled(
                    trees, x, total, positive, options.learning_rate, start=start, held_out=held, label=label
                )
            self._values.keep(trees, x, values)
            grown.append([*continued, trees])
            losses.append(loss)
        if patience:
            self._most[step] = [max(1, v.trees) for v in losses]
        return grown, losses

    def _sum(self, trees: list[Trees], x: Tensor) -> np.ndarray:
        """The logits (N,) of trees that continue each other, at x (N, D)."""
        return np.sum([self._values(part, x) for part in trees], axis=0)

    def _diagnostics(self, losses: list[TreeLosses], name: str) -> dict[str, np.ndarray]:
        found = {f"loss_{name}": np.array([v.train for v in losses])}
        if self.recipe.holds_out:
            found[f"held_out_loss_{name}"] = np.array([v.held_out for v in losses])
        return found | {f"trees_{name}": np.array([v.trees for v in losses])}


class LeafSteps:
    """Members that differ from the nominal, which is the first, only by weights: no tree is grown.

    Their logits are the response of the nominal's leaves to the weights; see `ratio.leaf_response`.
    """

    trains = False

    def __init__(self, recipe: OmnifoldRecipe, arrays: Mapping[str, np.ndarray]) -> None:
        self.recipe, self.arrays = recipe, arrays
        self._before: LeafResponse | None = None
        self._places = Memory(Trees.places)

    def find(self, step: int, events: StepEvents, iteration: int) -> Logits:
        """See `Steps`."""
        own, self._places.on = of_step(self.arrays, iteration, STEPS[step]), events.kept
        before = self._before if step == TRUTH else None

        def pieces() -> Iterator[tuple[Tensor, np.ndarray, np.ndarray, np.ndarray | None]]:
            for x, target, weights in events.trained():
                given = target if step == TRUTH else target[:, None]
                both = both_classes(step, given.astype(np.float32), weights.astype(np.float32, copy=False))
                yield x, *both, None if before is None else before(x)

        whole = list(pieces()) if events.kept else None
        found = leaf_response(
            Trees.from_array(own["trees"]),
            (lambda: whole) if whole else pieces,
            events.used,
            self.recipe.trees.learning_rate,
            before=before,
            places=self._places,
        )
        if step == TRUTH:
            self._before = found
        return Logits(found, correct=correction(self.recipe, own))


def both_classes(step: int, target: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`total` and `positive` of `ratio.boosted_trees`, from the target and the weights of `StepEvents`."""
    positive = weights * target
    return (weights, positive) if step == RECO else (weights + positive, positive)
