"""OmniFold: iterative unbinned reweighting of the simulation."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from truthward.errors import ConfigError
from truthward.learn.scaling import RankScaling
from truthward.ratio.boosted_trees import TreeOptions
from truthward.unfold.contract import Result, Unfolder
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica
from truthward.unfold.inputs.streamed import Blocks
from truthward.unfold.omnifold.groups import Groups
from truthward.unfold.omnifold.iterations import Rules
from truthward.unfold.omnifold.options import NetworkOptions, ReplicaOptions, TrainingOptions
from truthward.unfold.omnifold.sample import Scaling, scaling_of
from truthward.unfold.omnifold.steps import STEPS, OmnifoldRecipe
from truthward.unfold.stop.balance import BOOTSTRAPS, Balance, balance, by_iteration, pseudo_replica
from truthward.unfold.stop.rules import StopOptions, StopRule, watched

log = logging.getLogger("truthward.unfold")


class Omnifold(Unfolder):
    """OmniFold with acceptance, fakes and background (1911.09107; acceptance and fakes as in 2105.04448).

    nu(t) is a factor on the weights of the simulation's truth. It is one at the start. Each iteration has two steps:

    1. Reco level: learn omega(r) = data / simulation, with absolute yields. In the simulation, the matched events have
       the weight w nu(t). Fakes and background keep their own weight w: they are an absolute component that no
       iteration changes. With `fakes: share`, the fakes have the weight w (data - background) / (matched + fakes) of
       the first iteration.
    2. Truth level: learn nu'(t) = E[nu(t) omega(r) | t] from the matched events only, with the weights w. Then apply it
       to all fiducial events, including the misses. In bins this is n'(t) = n(t) E[omega | t, reconstructed], the
       formula of iterative Bayesian unfolding. So the efficiency enters exactly once.

    In each step, the sum of the ratio over the sample of this step is known exactly. The ratio is scaled to this sum.
    The history shows how far the networks were off. The networks of the nominal unfolding are kept for the replicas.

    Replicas: with `replicas: {by: response}`, bootstraps are the response of the nominal networks to the weights, see
    `ratio.response` and `ratio.leaf_response`. With `by: training`, they are trained anew, with the initial weights and
    the order of batches of the nominal unfolding. Replicas of `initialisation` and `combined` have their own initial
    weights and batches. Boosted trees have neither, but they choose splits. A replica of `initialisation` chooses them
    with a Poisson count for each event, the same in all iterations, and fills the leaves with the nominal weights, see
    `ratio.refilled`. One of `combined` is trained with both samples resampled, so it chooses its splits anew.
    Systematics move events, so they are always trained. A systematic of kind regularisation makes half and twice the
    iterations. It takes over the iterations that the nominal unfolding has trained.

    UniFold is `observables: [one]`. MultiFold is any list of observables. OmniFold in the narrow sense is `inputs:
    constituents`.

    Args:
        observables: the observables that are unfolded jointly; empty: all observables of the study.
        features: {reco: [names], truth: [names]}: columns that the classifiers of a level see in addition to the
            observables. They are not unfolded. A feature at reco level is a quantity on which the detector's response
            depends. Its distribution may differ between data and simulation, if it does not depend on the truth.
            Refolding uses only the observables and does not know of this difference. A feature that depends on the
            truth belongs at truth level too. There it is re-weighted like an observable, but it is neither watched nor
            shown.
        inputs: what the classifiers see: the observables, or the hardest `constituents` of the jet at each level.
        iterations: largest number of iterations; each has both steps.
        stop: the rule that ends the iterations.
        classifier: of both steps: "dense", a network, or "boosted_trees", for observables; "deep_sets" or "attention"
            for constituents.
        network: the classifiers, if they are networks.
        trees: the classifiers, if they are boosted trees.
        training: the trainings of networks.
        fakes: "absolute": their simulated number at each r. "share": their simulated share of the signal at each r.
            This is right if their rate is proportional to the rate of the signal.
        background: "expected": it is a part of the prediction to which the data are compared. "subtract": it is
            subtracted from the data with negative weights. "positive": it is subtracted from the data by weights
            between 0 and 1 (`ratio.positive`). All keep the yield. If there may be more background than data somewhere,
            the ratio of "subtract" has no bound: use "positive".
        calibrate: "none", or "isotonic": a monotone map, learned on held-out events, corrects the logits
            (`ratio.reliability`).
        folds: 0, or the number of chains of a cross-fit. Each event then gets its weight from a chain that never saw it
            in any iteration. The cost is one unfolding for each chain.
        replicas: how the replicas are computed.
        buffer: largest number of rows of simulation and data in memory. A row takes up to 1.4 kB with stacks of 50. If
            there are more rows, blocks are read from the tables when they are needed. A training then holds this number
            of rows and shuffles them; boosted trees hold the inputs of all rows. The values that belong to single
            events lie in files beside the resume state. They take 4 bytes for each simulated event, twice for each
            replica of a stack and once for each replica of the job.
    """

    joint = True
    BOUNDS = ((">= 1", "iterations buffer"), ("= 0 or >= 2", "folds"))
    MOVED = (("network.kind", "classifier"),)

    def __init__(
        self,
        *,
        observables: list[str] = [],  # noqa: B006 (schemas are literals; only read)
        features: dict[str, list[str]] = {"reco": [], "truth": []},  # noqa: B006
        inputs: Literal["observables", "constituents"] = "observables",
        iterations: int = 5,
        stop: StopOptions = StopOptions(rule="fixed", tolerance=0.1),
        classifier: Literal["dense", "deep_sets", "attention", "boosted_trees"] = "dense",
        network: NetworkOptions = NetworkOptions(),
        trees: TreeOptions = TreeOptions(),
        training: TrainingOptions = TrainingOptions(),
        fakes: Literal["absolute", "share"] = "absolute",
        background: Literal["expected", "subtract", "positive"] = "expected",
        calibrate: Literal["none", "isotonic"] = "none",
        folds: int = 0,
        replicas: ReplicaOptions = ReplicaOptions(),
        buffer: int = 2_000_000,
    ) -> None:
        self.sets = inputs == "constituents"
        if self.sets != (classifier in ("deep_sets", "attention")):
            raise ConfigError(
                f"omnifold: the classifier {classifier} does not take {inputs}; deep_sets and attention take "
                "constituents, dense and boosted_trees take observables"
            )
        if self.sets and any(features.values()):
            raise ConfigError("omnifold: `inputs: constituents` takes no features; remove `features`")
        self.fakes, self.features = fakes, dict(features)
        self.observables, self.constituents = tuple(observables), network.constituents if self.sets else 0
        self.rules = Rules(StopRule(iterations, stop.rule, stop.tolerance), fakes, background)
        sizes = {"width": network.width, "depth": network.depth, "activation": network.activation}
        self.boosted = classifier == "boosted_trees"
        self.recipe = OmnifoldRecipe(
            training,
            {} if self.boosted else {"network": classifier, **sizes},
            isotonic=calibrate == "isotonic",
            boosted=self.boosted,
            trees=trees,
        )
        self.buffer = buffer
        self.folds, self.respond, self.stack = folds, replicas.by == "response", replicas.stack

    def streams(self, rows: int) -> bool:
        """See `Unfolder.streams`.

        Raises:
            ConfigError: there are more rows than `buffer`, and an option needs all events in memory.
        """
        if rows <= self.buffer:
            return False
        whole = {
            "inputs: constituents": self.sets,
            "background: positive": self.rules.background == "positive",
            "calibrate: isotonic": self.recipe.isotonic,
            "folds": self.folds > 0,
        }
        if asked := [name for name, needed in whole.items() if needed]:
            raise ConfigError(
                f"omnifold: {asked[0]} needs all events in memory, but the tables have {rows} rows and `buffer` allows "
                f"{self.buffer}; raise `buffer` to {rows}, or remove that option"
            )
        return True

    def unfold(
        self,
        inputs: Inputs | Blocks,
        replicas: Sequence[Replica],
        *,
        seed: int,
        nominal: Mapping[str, np.ndarray] | None = None,
        state: Path | None = None,
        key: str = "",
    ) -> Result:
        """See `Unfolder.unfold`."""
        blocks = inputs if isinstance(inputs, Blocks) else Blocks.whole(inputs)
        groups = self._groups(replicas)
        if len(blocks) > 1:
            columns = 2 * (1 + max(map(len, groups))) + len(replicas)
            log.info("omnifold: at most %.1f GB of scratch files", 4e-9 * columns * blocks.simulated)
        started, history = time.monotonic(), []
        trained: dict[str, np.ndarray] = {}
        scaling, found, options = self._scaling(blocks.pilot, nominal), None, self
        if nominal is None and self.rules.stop.stop == "closure":
            found = self._balance(blocks, scaling, seed, state, key)
            options = self._exactly(found.chosen)
        job = Groups(options, blocks, scaling, nominal, seed, state, key)
        for number, group in enumerate(groups):
            entries, trained = job.unfold(group)
            history += entries
            done = sum(map(len, groups[: number + 1]))
            remaining = (time.monotonic() - started) / done * (len(replicas) - done)
            log.info("omnifold: %d of %d unfoldings done, about %.0f s remain", done, len(replicas), remaining)
        chosen = [int(n) for n in (trained if nominal is None else nominal)["iterations"]]
        stopping = self.rules.stop.stated(max(chosen)) | (found.stated() if found else {}) | {"of_folds": chosen}
        kept = trained | self._arrays(job.scaling) if nominal is None else {}
        return Result(
            job.rows(groups), history, max(chosen), {"stopping": stopping, "watched": watched(blocks.pilot)}, kept
        )

    def _scaling(self, pilot: Inputs, nominal: Mapping[str, np.ndarray] | None) -> Scaling:
        """The scaling of the nominal unfolding. Networks of constituents contain theirs, so here it is made again."""
        if self.boosted:
            return None
        if nominal is None or self.sets:
            return scaling_of(pilot, constituents=self.sets)
        reco, truth = (
            RankScaling.of_arrays({n.removeprefix(p): a for n, a in nominal.items() if n.startswith(p)})
            for p in (f"scaling.{level}." for level in STEPS)
        )
        return reco, truth

    def _arrays(self, scaling: Scaling) -> dict[str, np.ndarray]:
        """The scaling as arrays, from which `_scaling` rebuilds it."""
        if scaling is None or self.sets:
            return {}
        return {
            f"scaling.{level}.{n}": t.numpy()
            for level, s in zip(STEPS, scaling, strict=True)
            for n, t in s.state_dict().items()
        }

    def _exactly(self, iterations: int) -> Omnifold:
        """The same method with exactly this number of iterations."""
        other = copy(self)
        other.rules = replace(self.rules, stop=self.rules.stop.exactly(iterations))
        return other

    def _balance(self, blocks: Blocks, scaling: Scaling, seed: int, state: Path | None, key: str) -> Balance:
        """Bias and variance of each iteration, from an unfolding of pseudo-data with known truth."""
        pseudo = pseudo_replica(blocks.pilot)
        place = None if state is None else state / "pseudo_data"
        if place:
            place.mkdir(exist_ok=True)
        options = self._exactly(self.rules.stop.iterations)
        options.folds, options.respond = 0, True
        sample = Blocks(
            lambda n: blocks[n].varied(pseudo),
            len(blocks),
            blocks.pilot,
            simulated=blocks.simulated,
            buffer=blocks.buffer,
        )
        history, trained = Groups(options, sample, scaling, None, seed, place, key).unfold([NOMINAL])
        boots = [Replica("data_bootstrap", i) for i in range(BOOTSTRAPS)]
        others, _ = Groups(options, sample, scaling, trained, seed, place, key).unfold(boots)
        found = balance(blocks, blocks.pilot, *by_iteration(history, others))
        log.info("omnifold: %d of %d iterations balance bias and variance", found.chosen, len(found.bias))
        return found

    def by_weights(self, replica: Replica) -> bool:
        """Whether a replica differs from the nominal by weights alone, with the same events and initial weights."""
        return replica.family in ("data_bootstrap", "mc_bootstrap")

    def _groups(self, replicas: Sequence[Replica]) -> list[list[Replica]]:
        """Bootstraps in stacks. Other replicas stay alone, since they have their own events or order of batches."""
        boots = [r for r in replicas if self.by_weights(r)]
        groups = [boots[i : i + self.stack] for i in range(0, len(boots), self.stack)]
        return groups + [[r] for r in replicas if not any(r in group for group in groups)]
