"""OmniFold: iterative unbinned reweighting of the simulation."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from truthward.errors import ConfigError
from truthward.learn.fit import History, Settings
from truthward.learn.replicas import Stack
from truthward.learn.scaling import Standardise
from truthward.ratio.classifier import SATURATED, logits, stack_of, train_ratio
from truthward.ratio.reweight import auc, normalise, train_mean
from truthward.seeds import seed_for
from truthward.unfold.arrays import effective_size, largest_over_mean
from truthward.unfold.base import Inputs, Replica, Result, Unfolder

log = logging.getLogger("truthward.unfold")


class Omnifold(Unfolder):
    """OmniFold with acceptance and fakes (1911.09107; acceptance and fakes as in 2105.04448).

    nu(t) re-weights the simulation's truth; it is one at the start. Each iteration has two steps:

    1. At reco level omega(r) = data / simulation, with absolute yields. The simulation is the matched events with
       weight w nu(t), plus fakes and background with their own w: an absolute component that no iteration touches
       (or, with `fakes: share`, fakes with w (data - background)/(matched + fakes) as the first iteration found it).
    2. At truth level nu'(t) = E[nu(t) omega(r) | t], over the matched events alone, weighted by w; it is applied to all
       fiducial events, misses included. In bins this is n'(t) = n(t) E[omega | t, reconstructed], the formula of
       iterative Bayesian unfolding: the efficiency enters exactly once.

    The sum of both steps' ratios over their own sample is known exactly and is imposed; by how much the networks were
    off is in the history. The networks of an iteration go on from those of the one before, at a rate lower by
    `annealing`.

    Args:
        iterations: of both steps.
        epochs: of each step in the first iteration; later_epochs: in the others.
        batch_size, learning_rate, width, depth, activation, precision: of both networks.
        annealing: factor on the learning rate from one iteration to the next.
        fakes: "absolute", their simulated number at each r; or "share", their simulated share of the signal at each r,
            which is right where their rate goes with that of the signal. Background is always absolute.
        patience: epochs without improvement on the held-out events after which a step ends; 0 trains on all events, for
            all epochs, so that no statistics are lost.
        stack: replicas that are trained together; changes the speed, not the result.
    """

    joint = True

    def __init__(
        self,
        *,
        iterations: int = 5,
        epochs: int = 6,
        later_epochs: int = 3,
        batch_size: int = 1024,
        learning_rate: float = 6e-3,
        annealing: float = 0.7,
        width: int = 64,
        depth: int = 2,
        activation: Literal["relu", "gelu", "silu", "tanh"] = "gelu",
        fakes: Literal["absolute", "share"] = "absolute",
        patience: int = 0,
        precision: Literal["fp32", "bf16"] = "fp32",
        stack: int = 10,
    ) -> None:
        if min(iterations, epochs, later_epochs, batch_size, stack) < 1:
            raise ConfigError("omnifold: iterations, epochs, later_epochs, batch_size and stack must be at least 1")
        self.iterations, self.epochs, self.later_epochs = iterations, epochs, later_epochs
        self.batch_size, self.learning_rate, self.annealing = batch_size, learning_rate, annealing
        self.network = {"width": width, "depth": depth, "activation": activation}
        self.fakes = fakes
        self.patience, self.precision, self.stack = patience, precision, stack

    def unfold(
        self,
        inputs: Inputs,
        replicas: Sequence[Replica],
        *,
        seed: int,
        nominal: Mapping[str, np.ndarray] | None = None,
        state: Path | None = None,
        key: str = "",
    ) -> Result:
        """See `Unfolder.unfold`. Bootstraps share initial weights and order of batches with the nominal training; each
        replica of `initialisation` has its own of both, and is therefore trained by itself."""
        groups = self._groups(replicas)
        started, columns, history = time.monotonic(), {}, []
        scaling = _scaling(inputs)
        for number, group in enumerate(groups):
            weights, entries = self._train(inputs, group, scaling, seed=seed, state=state, key=key)
            columns |= {r.column(): weights[:, e] for e, r in enumerate(group)}
            history += entries
            done = sum(map(len, groups[: number + 1]))
            remaining = (time.monotonic() - started) / done * (len(replicas) - done)
            log.info("omnifold: %d of %d unfoldings done, about %.0f s remain", done, len(replicas), remaining)
        return Result(inputs.rows(columns), history, self.iterations)

    def _groups(self, replicas: Sequence[Replica]) -> list[list[Replica]]:
        """Replicas that may share a stack: the same order of batches, and reco values all shared or all their own."""
        groups: list[list[Replica]] = []
        for kinds in (("nominal", "data_bootstrap", "mc_bootstrap"), ("systematic",)):
            same = [r for r in replicas if r.family.partition(":")[0] in kinds]
            groups += [same[i : i + self.stack] for i in range(0, len(same), self.stack)]
        return groups + [[r] for r in replicas if r.family == "initialisation"]

    def _train(
        self,
        inputs: Inputs,
        group: list[Replica],
        scaling: tuple[Standardise, Standardise],
        *,
        seed: int,
        state: Path | None,
        key: str,
    ) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """Unfold all replicas of a group: weights w nu(t) of the fiducial events (n, E), and the history."""
        own = group[0].family == "initialisation"
        seed = seed_for(seed, *((group[0].family, group[0].index) if own else ("nominal",)))
        sample = _Sample(inputs, [inputs.varied(r) for r in group], shifted=group[0].family.startswith("systematic:"))
        members = len(group)
        seeds = [[seed_for(seed, "initial", step)] * members for step in range(2)]
        steps = [stack_of(scale, len(inputs.names), s, **self.network) for scale, s in zip(scaling, seeds, strict=True)]
        nu, fake_weight = np.ones((len(sample.weight), members)), sample.fake_weight
        history: list[dict[str, Any]] = []
        name = f"omnifold {group[0]}" + (f" and {members - 1} more" if members > 1 else "")
        tag = hashlib.sha256(" ".join(map(str, group)).encode()).hexdigest()[:12]

        def common(iteration: int, step: str) -> dict[str, Any]:
            return {
                "seed": seed_for(seed, "batches", iteration, step),
                "label": f"{name}, iteration {iteration + 1} of {self.iterations}, {step}",
                "state": None if state is None else state / f"{tag}.{iteration}.{step}.pt",
                "key": key,
            }

        for iteration in range(self.iterations):
            settings = self._settings(iteration)
            # The share of fakes is one of the signal: for the first ratio the background is taken from the data.
            subtract = self.fakes == "share" and iteration == 0
            expected = np.concatenate([sample.weight[sample.matched] * nu[sample.matched], fake_weight])
            omega, first = self._reco_step(sample, steps[0], expected, subtract, settings, common(iteration, "reco"))
            omega, omega_fakes = np.split(omega, [int(sample.matched.sum())])
            if subtract:
                fake_weight = fake_weight * omega_fakes
            new, second = self._truth_step(
                sample, steps[1], nu[sample.matched] * omega, settings, common(iteration, "truth")
            )
            before, nu = (sample.weight * nu).sum(axis=0), new
            unfolded = sample.weight * nu
            checks = {"yield_before": before, "yield": unfolded.sum(axis=0)}
            checks |= {"effective_size": effective_size(unfolded), "largest_over_mean": largest_over_mean(unfolded)}
            per_member = first | second | checks
            history += [
                {"replica": str(r), "iteration": iteration, **{n: float(v[e]) for n, v in per_member.items()}}
                for e, r in enumerate(group)
            ]
        return sample.weight * nu, history

    def _settings(self, iteration: int) -> Settings:
        return Settings(
            epochs=self.later_epochs if iteration else self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate * self.annealing**iteration,
            patience=self.patience,
            precision=self.precision,
        )

    def _reco_step(
        self,
        sample: _Sample,
        stack: Stack,
        expected: np.ndarray,
        subtract: bool,
        settings: Settings,
        common: dict[str, Any],
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """omega at the matched events and fakes, whose weights are `expected` (n, E), and diagnostics.

        The background stands in the denominator, or where `subtract` with negative weights in the numerator.
        """
        data, others = len(sample.data_weight), len(sample.data_weight) + len(expected)
        background = sample.background_weight * (-1.0 if subtract else 1.0)
        weights = np.concatenate([sample.data_weight, expected, background])
        rows = np.arange(len(weights))
        numerator = (rows < data) | ((rows >= others) & subtract)
        held = sample.reco_held if self.patience else None
        fitted = train_ratio(stack, sample.reco, numerator, weights, settings, held_out=held, **common)
        total, simulated = weights[numerator].sum(axis=0), weights[~numerator].sum(axis=0)
        found = logits(stack, sample.reco, label=common["label"])
        omega, off = normalise(found[~numerator] + np.log(total / simulated), weights[~numerator], total)
        judged = np.ones(len(weights), dtype=bool) if held is None else held
        areas = [auc(found[judged, e], numerator[judged], weights[judged, e]) for e in range(found.shape[1])]
        return omega[: len(expected)], {
            **_losses(fitted, "reco", held is not None),
            "auc_reco": np.array(areas),
            "normalisation_reco": off,
            "saturated_reco": (np.abs(found) > SATURATED).sum(axis=0),
        }

    def _truth_step(
        self, sample: _Sample, stack: Stack, ratio: np.ndarray, settings: Settings, common: dict[str, Any]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """nu of all fiducial events (n, E), and diagnostics."""
        weights = sample.weight[sample.matched]
        held = sample.truth_held if self.patience else None
        matched = torch.from_numpy(sample.matched)
        offset, fitted = train_mean(stack, sample.truth[matched], ratio, weights, settings, held_out=held, **common)
        found = logits(stack, sample.truth, label=common["label"])
        total = (weights * ratio).sum(axis=0)
        _, off = normalise(found[sample.matched] + offset, weights, total)
        return np.exp(found + offset - off), {
            **_losses(fitted, "truth", held is not None),
            "normalisation_truth": off,
            "saturated_truth": (np.abs(found) > SATURATED).sum(axis=0),
        }


class _Sample:
    """The arrays of one stack of replicas, n fiducial and M data events, E members.

    reco: (M + matched + fakes + background, D) in this order, or (..., E, D) where reco values are shifted;
    truth: (n, D); weight: (n, E); fake_weight, background_weight, data_weight: (..., E); matched: (n,) bool.
    """

    def __init__(self, inputs: Inputs, varied: list[Inputs], *, shifted: bool) -> None:
        fiducial, levels = inputs.fiducial, (inputs.matched, inputs.fakes, inputs.background)

        def reco(v: Inputs) -> torch.Tensor:
            return torch.from_numpy(np.concatenate([v.data_reco, *(v.reco[mask] for mask in levels)]))

        self.reco = torch.stack([reco(v) for v in varied], dim=1) if shifted else reco(inputs)
        self.truth = torch.from_numpy(np.ascontiguousarray(inputs.truth[fiducial]))
        self.matched = inputs.pass_reco[fiducial]
        self.weight = np.stack([v.weight[fiducial] for v in varied], axis=1)
        self.fake_weight = np.stack([v.weight[levels[1]] for v in varied], axis=1)
        self.background_weight = np.stack([v.weight[levels[2]] for v in varied], axis=1)
        self.data_weight = np.stack([v.data_weight for v in varied], axis=1)
        held = inputs.validation
        self.reco_held = np.concatenate([inputs.data_validation, *(held[mask] for mask in levels)])
        self.truth_held = held[levels[0]]


def _scaling(inputs: Inputs) -> tuple[Standardise, Standardise]:
    """Scaling of the inputs at both levels, from the nominal sample: all replicas share it."""
    reco = np.concatenate([inputs.data_reco, inputs.reco[inputs.pass_reco]])
    size = reco.shape[1]
    return tuple(Standardise(size).fit(torch.from_numpy(x)) for x in (reco, inputs.truth[inputs.fiducial]))


def _losses(fitted: History, step: str, held_out: bool) -> dict[str, np.ndarray]:
    """Losses of the epoch that is used; the held-out one where there is a held-out sample."""
    best = [(epoch, member) for member, epoch in enumerate(fitted.best)]
    losses = {"loss": fitted.train} | ({"held_out_loss": fitted.validation} if held_out else {})
    found = {f"{name}_{step}": np.array([v[epoch][member] for epoch, member in best]) for name, v in losses.items()}
    return found | {f"epochs_{step}": np.array([epoch + 1 for epoch, _ in best])}
