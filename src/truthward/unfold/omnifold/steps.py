"""How OmniFold finds the logits of its two steps: by training, or as the response of what the nominal has trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from truthward.learn.fit import History, Settings, fit_source
from truthward.learn.source import Arrays, Source, Stream
from truthward.learn.stack import Stack
from truthward.ratio.classifier import classifier_of, logits, ratio_loss, stack_of
from truthward.ratio.reliability import Isotonic
from truthward.ratio.response import mean_response, ratio_response
from truthward.ratio.reweight import mean_loss
from truthward.study.seeds import seed_for
from truthward.unfold.omnifold.options import TrainingOptions
from truthward.unfold.omnifold.sample import Scaling

STEPS = ("reco", "truth")
BATCHES = 32
"""An epoch has as many at least: of a small sample batches are smaller, or nothing would be learned in an epoch."""


@dataclass(frozen=True)
class OmnifoldRecipe:
    """Options of all trainings, those of the classifier, and whether its logits are calibrated."""

    training: TrainingOptions
    network: dict[str, Any]
    isotonic: bool

    @property
    def holds_out(self) -> bool:
        """Whether events are held out: for the choice of the epoch, or for the calibration."""
        return bool(self.training.patience) or self.isotonic

    def settings(self, iteration: int, rows: int) -> Settings:
        """Those of one iteration on so many rows: fewer epochs where a training goes on, at a rate that falls."""
        training = self.training
        return Settings(
            epochs=training.later_epochs if iteration and training.start == "warm" else training.epochs,
            batch_size=max(1, min(training.batch_size, rows // BATCHES)),
            learning_rate=training.learning_rate * training.annealing**iteration,
            patience=training.patience,
            precision=training.precision,
        )


@dataclass(frozen=True)
class StepEvents:
    """What a step learns from, block by block.

    read: number -> x (n, ...), what is learned there, (n,) bool for classes and (n, E) for a ratio, over its mean;
    weights (n, E), of balanced classes, or of unit mean; and which events are held out, (n,) bool.
    counts: (blocks, 2), how many are trained upon and held out. buffer: see `Blocks`.
    """

    read: Callable[[int], tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]]
    counts: np.ndarray
    buffer: int

    @property
    def rows(self) -> int:
        """How many there are."""
        return int(self.counts.sum())

    @property
    def used(self) -> int:
        """How many are trained upon."""
        return int(self.counts[:, 0].sum())

    def trained(self) -> Iterator[tuple[Tensor, np.ndarray, np.ndarray]]:
        """x, target and weights of what is trained upon, block by block."""
        for number in range(len(self.counts)):
            yield self._part(number, held=False)

    def source(self, members: int, label: str) -> Source:
        """For a training: a single block in memory, others with a shuffled buffer."""
        if len(self.counts) == 1:
            x, target, weights, held = self.read(0)
            data = (x, torch.from_numpy(target.astype(np.float32)))
            return Arrays(data, torch.from_numpy(weights), torch.from_numpy(held), label=label)

        def part(held: bool, number: int) -> tuple[Tensor, ...]:
            x, *others = self._part(number, held=held)
            # A buffer may hold less than a block, in which one class comes after the other.
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
    """The logits of a step: at any x (n, ...) -> (n, E), and what corrects them; diagnostics name -> (E,)."""

    logits: Callable[[Tensor], np.ndarray]
    diagnostics: dict[str, Any] = field(default_factory=dict)
    correct: Callable[[np.ndarray], np.ndarray] = lambda found: found


class Steps(Protocol):
    """Finds the logits of both steps in any iteration."""

    def reco(self, events: StepEvents, iteration: int) -> Logits:
        """Of the ratio of the classes, balanced."""

    def truth(self, events: StepEvents, iteration: int) -> Logits:
        """Of E[ratio | truth] less the logarithm of the mean ratio."""


class TrainingSteps:
    """E classifiers a step, trained together; `arrays` keeps what those of the first member have learned.

    known: such arrays of a single member with the same seed. The iterations that they have are not trained again.
    """

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
        self.recipe, self.scaling, self.members, self.known = recipe, scaling, members, known or {}
        self.seed, self.name, self.state, self.key = seed, name, state, key
        self.arrays: dict[str, np.ndarray] = {}
        self.stacks = [self._fresh(step) for step in range(2)]

    def reco(self, events: StepEvents, iteration: int) -> Logits:
        """See `Steps`."""
        return self._trained(0, iteration, events)

    def truth(self, events: StepEvents, iteration: int) -> Logits:
        """See `Steps`."""
        return self._trained(1, iteration, events)

    def _trained(self, step: int, iteration: int, events: StepEvents) -> Logits:
        if iteration and self.recipe.training.start == "cold":
            self.stacks[step] = self._fresh(step)
        stack, name = self.stacks[step], STEPS[step]
        label = f"{self.name}, iteration {iteration + 1}, {name}"
        if known := _of_step(self.known, iteration, name):
            stack.load_member(0, {n: torch.from_numpy(a) for n, a in known.items() if not n.startswith("isotonic.")})
            return Logits(partial(logits, stack, label=self.name), correct=_correction(self.recipe, known))
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
            calibration = self._calibration(step, events)
            kept |= {f"isotonic.{n}": a[:1] for n, a in calibration.arrays().items()}
            found.correct = calibration
        self.arrays |= {f"{iteration}.{name}.{n}": a for n, a in kept.items()}
        return found

    def _calibration(self, step: int, events: StepEvents) -> Isotonic:
        """From the events that were held out, all in one block."""
        x, target, weights, held = events.read(0)
        x, target, weights = x[torch.from_numpy(held)], target[held], weights[held]
        above = weights * (target[:, None] if step == 0 else target)
        below = weights - above if step == 0 else weights
        return Isotonic.fit(logits(self.stacks[step], x, label=self.name), above, below)

    def _fresh(self, step: int) -> Stack:
        seeds = [seed_for(self.seed, "initial", step)] * self.members
        return stack_of(self.scaling[step], seeds, **self.recipe.network)

    def _losses(self, fitted: History, step: int) -> dict[str, np.ndarray]:
        """Losses of the epoch that is used; the held-out one where there is a held-out sample."""
        name, best = STEPS[step], [(epoch, member) for member, epoch in enumerate(fitted.best)]
        losses = {"loss": fitted.train} | ({"held_out_loss": fitted.validation} if self.recipe.holds_out else {})
        found = {f"{n}_{name}": np.array([v[epoch][member] for epoch, member in best]) for n, v in losses.items()}
        return found | {f"epochs_{name}": np.array([epoch + 1 for epoch, _ in best])}


class ResponseSteps:
    """Members whose weights alone differ from those of the nominal, which is the first: nothing is trained.

    Their logits are those of the nominal's networks with last layers that answer to the weights; see `ratio.response`.
    """

    def __init__(self, recipe: OmnifoldRecipe, scaling: Scaling, arrays: Mapping[str, np.ndarray]) -> None:
        self.recipe, self.scaling, self.arrays = recipe, scaling, arrays

    def reco(self, events: StepEvents, iteration: int) -> Logits:
        """See `Steps`."""
        network, correct = self._trained(0, iteration)
        return Logits(
            ratio_response(network, events.trained(), events.used, self._longest(iteration, events.rows)),
            correct=correct,
        )

    def truth(self, events: StepEvents, iteration: int) -> Logits:
        """See `Steps`."""
        network, correct = self._trained(1, iteration)
        return Logits(
            mean_response(network, events.trained(), events.used, self._longest(iteration, events.rows)),
            correct=correct,
        )

    def _longest(self, iteration: int, rows: int) -> Settings:
        """Settings of the training that made the networks: of a warm start the first, the later ones only refine."""
        return self.recipe.settings(iteration if self.recipe.training.start == "cold" else 0, rows)

    def _trained(self, step: int, iteration: int) -> tuple[nn.Module, Any]:
        own = _of_step(self.arrays, iteration, STEPS[step])
        network = classifier_of(self.scaling[step], **self.recipe.network)
        network.load_state_dict({n: torch.from_numpy(a) for n, a in own.items() if not n.startswith("isotonic.")})
        return network.eval(), _correction(self.recipe, own)


def _of_step(arrays: Mapping[str, np.ndarray], iteration: int, name: str) -> dict[str, np.ndarray]:
    prefix = f"{iteration}.{name}."
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


def _correction(recipe: OmnifoldRecipe, arrays: Mapping[str, np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """What a step's logits are corrected by."""
    if not recipe.isotonic:
        return lambda found: found
    return Isotonic.from_arrays({n.removeprefix("isotonic."): a for n, a in arrays.items()})
