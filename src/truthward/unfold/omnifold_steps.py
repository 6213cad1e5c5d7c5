"""How OmniFold finds the logits of its two steps: by training, or as the response of what the nominal has trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import nn

from truthward.learn.fit import History, Settings
from truthward.learn.replicas import Stack
from truthward.ratio.classifier import SATURATED, balanced, classifier_of, logits, stack_of, train_ratio
from truthward.ratio.reliability import Isotonic, class_reliability, reliability
from truthward.ratio.response import mean_response, ratio_response
from truthward.ratio.reweight import train_mean
from truthward.seeds import seed_for
from truthward.unfold.omnifold_sample import Sample

STEPS = ("reco", "truth")
BATCHES = 32
"""An epoch has as many at least: of a small sample batches are smaller, or nothing would be learned in an epoch."""
Scaling = tuple[tuple[nn.Module, int], tuple[nn.Module, int]]
"""Scaling and number of the inputs at reco and at truth level."""


@dataclass(frozen=True)
class Recipe:
    """Options of all trainings; `network` are those of the classifier."""

    epochs: int
    later_epochs: int
    batch_size: int
    learning_rate: float
    annealing: float
    start: Literal["warm", "cold"]
    network: dict[str, Any]
    isotonic: bool
    patience: int
    precision: Literal["fp32", "bf16"]

    @property
    def holds_out(self) -> bool:
        """Whether events are held out: for the choice of the epoch, or for the calibration."""
        return bool(self.patience) or self.isotonic

    def settings(self, iteration: int, rows: int) -> Settings:
        """Those of one iteration on so many rows: fewer epochs where a training goes on, at a rate that falls."""
        return Settings(
            epochs=self.later_epochs if iteration and self.start == "warm" else self.epochs,
            batch_size=max(1, min(self.batch_size, rows // BATCHES)),
            learning_rate=self.learning_rate * self.annealing**iteration,
            patience=self.patience,
            precision=self.precision,
        )


@dataclass
class Found:
    """Logits (rows, E) of a step, and diagnostics: name -> (E,), or a list for the first members alone.

    judged: (rows,) bool, events that were held out and can judge the classifier; None where there are none.
    """

    logits: np.ndarray
    diagnostics: dict[str, Any]
    judged: np.ndarray | None = None


class Steps(Protocol):
    """Finds the logits of both steps in any iteration."""

    def reco(self, sample: Sample, iteration: int, numerator: np.ndarray, weights: np.ndarray) -> Found:
        """Of the ratio numerator / others, balanced, at sample.reco; weights (rows, E)."""

    def truth(self, sample: Sample, iteration: int, ratio: np.ndarray) -> Found:
        """Of E[ratio | truth] less the logarithm of the mean ratio, at sample.truth; ratio (matched, E)."""


class Training:
    """E classifiers a step, trained together; `arrays` keeps what those of the first member have learned."""

    def __init__(
        self,
        recipe: Recipe,
        scaling: Scaling,
        members: int,
        *,
        seed: int,
        name: str,
        state: Path | None,
        key: str,
    ) -> None:
        self.recipe, self.scaling, self.members = recipe, scaling, members
        self.seed, self.name, self.state, self.key = seed, name, state, key
        self.arrays: dict[str, np.ndarray] = {}
        self.stacks = [self._fresh(step) for step in range(2)]

    def reco(self, sample: Sample, iteration: int, numerator: np.ndarray, weights: np.ndarray) -> Found:
        """See `Steps`."""
        stack, held = self._start(0, iteration), sample.reco_held if self.recipe.holds_out else None
        settings = self.recipe.settings(iteration, len(weights))
        fitted = train_ratio(stack, sample.reco, numerator, weights, settings, held_out=held,
                             **self._common(iteration, 0))  # fmt: skip
        found = logits(stack, sample.reco, label=self.name)
        even = balanced(weights, numerator, np.zeros(len(weights), dtype=bool))
        above, below = even * numerator[:, None], even * ~numerator[:, None]
        judged = np.ones(len(found), dtype=bool) if held is None else held
        corrected = self._finish(0, iteration, found, (found[judged], above[judged], below[judged]))
        curve = class_reliability(corrected[judged, 0], numerator[judged], weights[judged, 0])
        return Found(corrected, self._losses(fitted, 0) | _saturated(found, 0) | {"reliability_reco": [curve]}, held)

    def truth(self, sample: Sample, iteration: int, ratio: np.ndarray) -> Found:
        """See `Steps`."""
        stack, held = self._start(1, iteration), sample.truth_held if self.recipe.holds_out else None
        weights, rows = sample.matched_weight, torch.from_numpy(sample.matched)
        settings = self.recipe.settings(iteration, len(weights))
        offset, fitted = train_mean(stack, sample.truth[rows], ratio, weights, settings, held_out=held,
                                    **self._common(iteration, 1))  # fmt: skip
        found = logits(stack, sample.truth, label=self.name)
        judged = np.ones(len(weights), dtype=bool) if held is None else held
        seen, scaled = found[sample.matched][judged], (ratio / np.exp(offset))[judged]
        found = self._finish(1, iteration, found, (seen, weights[judged] * scaled, weights[judged]))
        curve = reliability(np.exp(found[sample.matched][judged, 0]), scaled[:, 0], weights[judged, 0])
        return Found(found, self._losses(fitted, 1) | _saturated(found, 1) | {"reliability_truth": [curve]})

    def _fresh(self, step: int) -> Stack:
        seeds = [seed_for(self.seed, "initial", step)] * self.members
        return stack_of(*self.scaling[step], seeds, **self.recipe.network)

    def _start(self, step: int, iteration: int) -> Stack:
        if iteration and self.recipe.start == "cold":
            self.stacks[step] = self._fresh(step)
        return self.stacks[step]

    def _common(self, iteration: int, step: int) -> dict[str, Any]:
        name = STEPS[step]
        return {
            "seed": seed_for(self.seed, "batches", iteration, name),
            "label": f"{self.name}, iteration {iteration + 1}, {name}",
            "state": None if self.state is None else self.state.with_name(f"{self.state.name}.{iteration}.{name}.pt"),
            "key": self.key,
        }

    def _finish(
        self, step: int, iteration: int, found: np.ndarray, events: tuple[np.ndarray, np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """Keep what was learned; correct the logits where the calibration is asked for."""
        kept = {n: t.numpy() for n, t in self.stacks[step].state_of(0).items()}
        if self.recipe.isotonic:
            calibration = Isotonic.fit(*events)
            kept |= {f"isotonic.{n}": a[:1] for n, a in calibration.arrays().items()}
            found = calibration(found)
        self.arrays |= {f"{iteration}.{STEPS[step]}.{n}": a for n, a in kept.items()}
        return found

    def _losses(self, fitted: History, step: int) -> dict[str, np.ndarray]:
        """Losses of the epoch that is used; the held-out one where there is a held-out sample."""
        name, best = STEPS[step], [(epoch, member) for member, epoch in enumerate(fitted.best)]
        losses = {"loss": fitted.train} | ({"held_out_loss": fitted.validation} if self.recipe.holds_out else {})
        found = {f"{n}_{name}": np.array([v[epoch][member] for epoch, member in best]) for n, v in losses.items()}
        return found | {f"epochs_{name}": np.array([epoch + 1 for epoch, _ in best])}


class Response:
    """Members whose weights alone differ from those of the nominal, which is the first: nothing is trained.

    Their logits are those of the nominal's networks with last layers that answer to the weights; see `ratio.response`.
    """

    def __init__(self, recipe: Recipe, scaling: Scaling, arrays: Mapping[str, np.ndarray]) -> None:
        self.recipe, self.scaling, self.arrays = recipe, scaling, arrays

    def reco(self, sample: Sample, iteration: int, numerator: np.ndarray, weights: np.ndarray) -> Found:
        """See `Steps`."""
        network, calibration = self._trained(0, iteration)
        held = sample.reco_held if self.recipe.holds_out else None
        settings = self._longest(iteration, len(weights))
        found = ratio_response(network, sample.reco, numerator, weights, settings, held_out=held)
        return Found(calibration(found), _saturated(found, 0), held)

    def truth(self, sample: Sample, iteration: int, ratio: np.ndarray) -> Found:
        """See `Steps`."""
        network, calibration = self._trained(1, iteration)
        held = sample.truth_held if self.recipe.holds_out else None
        settings, weights = self._longest(iteration, len(ratio)), sample.matched_weight
        found = mean_response(network, sample.truth, sample.matched, ratio, weights, settings, held_out=held)
        return Found(calibration(found), _saturated(found, 1))

    def _longest(self, iteration: int, rows: int) -> Settings:
        """Settings of the training that made the networks: of a warm start the first, the later ones only refine."""
        return self.recipe.settings(iteration if self.recipe.start == "cold" else 0, rows)

    def _trained(self, step: int, iteration: int) -> tuple[nn.Module, Any]:
        prefix = f"{iteration}.{STEPS[step]}."
        own = {n.removeprefix(prefix): a for n, a in self.arrays.items() if n.startswith(prefix)}
        network = classifier_of(*self.scaling[step], **self.recipe.network)
        network.load_state_dict({n: torch.from_numpy(a) for n, a in own.items() if not n.startswith("isotonic.")})
        if not self.recipe.isotonic:
            return network.eval(), lambda found: found
        return network.eval(), Isotonic.from_arrays({n.removeprefix("isotonic."): a for n, a in own.items()})


def _saturated(found: np.ndarray, step: int) -> dict[str, np.ndarray]:
    return {f"saturated_{STEPS[step]}": (np.abs(found) > SATURATED).sum(axis=0)}
