"""Find the logits of OmniFold's two steps: by training, or as the response of the trained nominal networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from truthward.learn.fit import History, Settings, fit_source
from truthward.learn.scaling import RankScaling
from truthward.learn.source import Arrays, Source, Stream
from truthward.learn.stack import Stack
from truthward.ratio.base import LogRatio
from truthward.ratio.boosted_trees import TreeOptions
from truthward.ratio.classifier import classifier_of, logits, ratio_loss, stack_of
from truthward.ratio.constituents import JetScaling
from truthward.ratio.reliability import Isotonic
from truthward.ratio.response import mean_response, ratio_response
from truthward.ratio.reweight import mean_loss
from truthward.study.seeds import seed_for
from truthward.unfold.omnifold.options import TrainingOptions
from truthward.unfold.omnifold.sample import Scaling

STEPS = ("reco", "truth")
RECO, TRUTH = 0, 1
"""Places in `STEPS`, and in all that has an entry for each step."""
BATCHES = 32
"""Smallest number of batches in an epoch. In a small sample batches are smaller, so that an epoch still learns."""


@dataclass(frozen=True)
class OmnifoldRecipe:
    """Options of all trainings and of the classifiers, and whether the logits are calibrated.

    boosted: whether the classifiers are boosted trees with the options `trees`, instead of networks.
    """

    training: TrainingOptions
    network: dict[str, Any]
    isotonic: bool
    boosted: bool
    trees: TreeOptions

    @property
    def holds_out(self) -> bool:
        """Whether events are held out: for the end of a training, or for the calibration."""
        return bool(self.trees.patience if self.boosted else self.training.patience) or self.isotonic

    def settings(self, iteration: int, rows: int) -> Settings:
        """Settings of one iteration: a continued training has fewer epochs, and the rate falls with the iteration."""
        training = self.training
        return Settings(
            epochs=training.later_epochs if iteration and training.start == "warm" else training.epochs,
            batch_size=max(1, min(training.batch_size, rows // BATCHES)),
            learning_rate=training.learning_rate * training.annealing**iteration,
            patience=training.patience,
            precision=training.precision,
        )


Rows = tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]
"""Events of a block: inputs, target, weights, and which are held out; see `StepEvents`."""


@dataclass(frozen=True)
class StepEvents:
    """The events of a step, block by block.

    read: number -> x (n, ...); the target, which is (n,) bool for classes, or a ratio (n, E) divided by its mean;
    weights (n, E), with balanced classes or unit mean; and which events are held out, (n,) bool.
    counts: (blocks, 2), numbers of events for training and held out. buffer: see `Blocks`.
    kept: whether `read` gives the same x each time.
    """

    read: Callable[[int], Rows]
    counts: np.ndarray
    buffer: int
    kept: bool = False

    @property
    def rows(self) -> int:
        """Number of all events."""
        return int(self.counts.sum())

    @property
    def used(self) -> int:
        """Number of events for training."""
        return int(self.counts[:, 0].sum())

    def trained(self) -> Iterator[tuple[Tensor, np.ndarray, np.ndarray]]:
        """x, target and weights of the events for training, block by block."""
        for number in range(len(self.counts)):
            yield self._part(number, held=False)

    def whole(self, *, x: bool) -> tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]:
        """The events of all blocks: x (rows, ...), target, weights and which are held out; without `x`, no inputs."""
        parts = [self.read(number) for number in range(len(self.counts))]
        if len(parts) == 1:
            return parts[0]
        inputs, *others = zip(*parts, strict=True)
        target, weights, held = (np.concatenate(o) for o in others)
        return torch.cat(inputs) if x else inputs[0], target, weights, held

    def source(self, members: int, label: str) -> Source:
        """The source of a training: a single block in memory, or several blocks with a shuffled buffer."""
        if len(self.counts) == 1:
            x, target, weights, held = self.read(0)
            return Arrays(
                (x, torch.from_numpy(target.astype(np.float32))),
                torch.from_numpy(weights),
                torch.from_numpy(held),
                label=label,
            )

        def part(held: bool, number: int) -> tuple[Tensor, ...]:
            x, *others = self._part(number, held=held)
            # A buffer may hold less than a block, and in a block one class comes after the other.
            order = torch.randperm(len(x), generator=torch.Generator().manual_seed(number))
            return x[order], *(torch.from_numpy(o.astype(np.float32))[order] for o in others)

        tables = self.counts.T.tolist()
        return Stream(
            tables[:1],
            lambda _, number: part(False, number),
            buffer=self.buffer,
            members=members,
            held_tables=tables[1:],
            read_held=lambda _, number: part(True, number),
            label=label,
        )

    def _part(self, number: int, *, held: bool) -> tuple[Tensor, np.ndarray, np.ndarray]:
        x, target, weights, mask = self.read(number)
        chosen = mask if held else ~mask
        return (x, target, weights) if chosen.all() else (x[torch.from_numpy(chosen)], target[chosen], weights[chosen])


@dataclass
class Logits:
    """The logits of a step: a function of x, (n, ...) -> (n, E), a correction of them; diagnostics name -> (E,).

    The function of a response has a second argument, the first row that is computed.
    """

    logits: Callable[..., np.ndarray]
    diagnostics: dict[str, Any] = field(default_factory=dict)
    correct: Callable[[np.ndarray], np.ndarray] = lambda found: found


class Steps(Protocol):
    """Finds the logits of both steps in any iteration. `trains`: whether each member has classifiers of its own."""

    trains: bool

    def find(self, step: int, events: StepEvents, iteration: int) -> Logits:
        """Logits of the ratio of the balanced classes for RECO.

        For TRUTH they are of E[ratio | truth], minus the logarithm of the mean ratio.
        """


class TrainingSteps:
    """E classifiers for each step, trained together; `arrays` keeps the trained networks of the first member.

    known: such arrays of a single member with the same seed. Iterations that they contain are not trained again.
    """

    trains = True

    def __init__(
        self,
        recipe: OmnifoldRecipe,
        scaling: Scaling,
        members: int,
        *,
        seed: int,
        name: str,
        state: Path | None,
        key: str,
        known: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.recipe, self.members, self.known = recipe, members, known or {}
        self.scaling = _scalings(scaling)
        self.seed, self.name, self.state, self.key = seed, name, state, key
        self.arrays: dict[str, np.ndarray] = {}
        self.stacks = [self._fresh(step) for step in range(2)]

    def find(self, step: int, events: StepEvents, iteration: int) -> Logits:
        """See `Steps`."""
        if iteration and self.recipe.training.start == "cold":
            self.stacks[step] = self._fresh(step)
        stack, name = self.stacks[step], STEPS[step]
        label = f"{self.name}, iteration {iteration + 1}, {name}"
        if known := of_step(self.known, iteration, name):
            stack.load_member(0, {n: torch.from_numpy(a) for n, a in known.items() if not n.startswith("isotonic.")})
            return Logits(partial(logits, stack, label=self.name), correct=correction(self.recipe, known))
        fitted = fit_source(
            stack,
            (ratio_loss, mean_loss)[step](stack),
            events.source(self.members, label),
            self.recipe.settings(iteration, events.rows),
            seed=seed_for(self.seed, "batches", iteration, name),
            label=label,
            state=None if self.state is None else self.state.with_name(f"{self.state.name}.{iteration}.{name}.pt"),
            state_key=self.key,
        )
        kept = {n: t.numpy() for n, t in stack.state_of(0).items()}
        found = Logits(partial(logits, stack, label=self.name), self._losses(fitted, step))
        if self.recipe.isotonic:
            found.correct = isotonic = calibration(found.logits, step, events)
            kept |= {f"isotonic.{n}": a[:1] for n, a in isotonic.arrays().items()}
        self.arrays |= {f"{iteration}.{name}.{n}": a for n, a in kept.items()}
        return found

    def _fresh(self, step: int) -> Stack[LogRatio]:
        seeds = [seed_for(self.seed, "initial", step)] * self.members
        return stack_of(self.scaling[step], seeds, **self.recipe.network)

    def _losses(self, fitted: History, step: int) -> dict[str, np.ndarray]:
        """Losses of the epoch that is used; also the held-out loss if there is a held-out sample."""
        name, best = STEPS[step], [(epoch, member) for member, epoch in enumerate(fitted.best)]
        losses = {"loss": fitted.train} | ({"held_out_loss": fitted.validation} if self.recipe.holds_out else {})
        found = {f"{n}_{name}": np.array([v[epoch][member] for epoch, member in best]) for n, v in losses.items()}
        return found | {f"epochs_{name}": np.array([epoch + 1 for epoch, _ in best])}


class ResponseSteps:
    """Members that differ from the nominal, which is the first, only by weights: nothing is trained.

    Their logits are the linear response of the nominal networks to the weights; see `ratio.response`.
    """

    trains = False

    def __init__(self, recipe: OmnifoldRecipe, scaling: Scaling, arrays: Mapping[str, np.ndarray]) -> None:
        self.recipe, self.scaling, self.arrays = recipe, _scalings(scaling), arrays

    def find(self, step: int, events: StepEvents, iteration: int) -> Logits:
        """See `Steps`."""
        own = of_step(self.arrays, iteration, STEPS[step])
        network = classifier_of(self.scaling[step], **self.recipe.network)
        network.load_state_dict({n: torch.from_numpy(a) for n, a in own.items() if not n.startswith("isotonic.")})
        # The training that made the networks; after a warm start this is the first training.
        settings = self.recipe.settings(iteration if self.recipe.training.start == "cold" else 0, events.rows)
        respond = (ratio_response, mean_response)[step]
        found = respond(network.eval(), events.trained(), events.used, settings)
        return Logits(found, correct=correction(self.recipe, own))


def _scalings(scaling: Scaling) -> tuple[RankScaling, RankScaling] | tuple[JetScaling, JetScaling]:
    """The scalings, which every network needs."""
    if scaling is None:
        raise TypeError("a network needs the scalings of its inputs")
    return scaling


def calibration(found: Callable[[Tensor], np.ndarray], step: int, events: StepEvents) -> Isotonic:
    """The correction of logits from the held-out events, all in one block."""
    x, target, weights, held = events.read(0)
    x, target, weights = x[torch.from_numpy(held)], target[held], weights[held]
    above = weights * (target[:, None] if step == RECO else target)
    below = weights - above if step == RECO else weights
    return Isotonic.fit(found(x), above, below)


def of_step(arrays: Mapping[str, np.ndarray], iteration: int, name: str) -> dict[str, np.ndarray]:
    prefix = f"{iteration}.{name}."
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


def correction(recipe: OmnifoldRecipe, arrays: Mapping[str, np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """The correction of a step's logits."""
    if not recipe.isotonic:
        return lambda found: found
    return Isotonic.from_arrays({n.removeprefix("isotonic."): a for n, a in arrays.items()})
