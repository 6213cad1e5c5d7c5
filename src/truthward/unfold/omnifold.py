"""OmniFold: iterative unbinned reweighting of the simulation."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from truthward.errors import ConfigError, DivergedError
from truthward.learn.fit import Settings
from truthward.learn.scaling import RankScaling
from truthward.seeds import seed_for, uniform
from truthward.unfold.background import without_background
from truthward.unfold.base import NOMINAL, Inputs, Replica, Result, Unfolder
from truthward.unfold.closure_rule import BOOTSTRAPS, Balance, balance, by_iteration, pseudo_replica
from truthward.unfold.omnifold_chain import Chain, Rules
from truthward.unfold.omnifold_sample import Block, Sample, Scaling, scaling_of
from truthward.unfold.omnifold_steps import STEPS, Recipe, Response, Training
from truthward.unfold.stopping import Rule, varied_count, watched
from truthward.unfold.streamed import Blocks, Store

log = logging.getLogger("truthward.unfold")

LOST = 0.1
"""A bootstrap halves the effective number of events; far below, a response is none."""


class Omnifold(Unfolder):
    """OmniFold with acceptance, fakes and background (1911.09107; acceptance and fakes as in 2105.04448).

    nu(t) re-weights the simulation's truth; it is one at the start. Each iteration has two steps:

    1. At reco level omega(r) = data / simulation, with absolute yields. The simulation is the matched events with
       weight w nu(t), plus fakes and background with their own w: an absolute component that no iteration touches
       (or, with `fakes: share`, fakes with w (data - background)/(matched + fakes) as the first iteration found it).
    2. At truth level nu'(t) = E[nu(t) omega(r) | t], over the matched events alone, weighted by w; it is applied to all
       fiducial events, misses included. In bins this is n'(t) = n(t) E[omega | t, reconstructed], the formula of
       iterative Bayesian unfolding: the efficiency enters exactly once.

    The sum of both steps' ratios over their own sample is known exactly and is imposed; by how much the networks were
    off is in the history. What the nominal unfolding has trained is kept: replicas start from it.

    Replicas: bootstraps are the response of the nominal's networks to the weights (`replicas: response`, see
    `ratio.response`), or trained anew with the nominal's initial weights and order of batches (`training`). Those of
    `initialisation` and `combined` have initial weights and batches of their own. Systematics, whose events move, are
    always trained; half and twice the iterations, of a systematic of kind regularisation, take over what the nominal
    has trained as far as it goes.

    UniFold is `observables: [one]`, MultiFold any list; OmniFold in the narrow sense has `inputs: constituents`.

    Args:
        observables: that are unfolded, jointly; empty: all of the study.
        features: {reco: [names], truth: [names]}, columns that a level's classifiers see beside the observables, and
            that are not unfolded. Where the detector's response depends on one at reco level, that may be distributed
            otherwise in the data than in the simulation, if it does not go with the truth; refolding, which looks at
            observables alone, does not know. What goes with the truth belongs at truth level too: there it is
            re-weighted as an observable is, but neither watched nor shown.
        inputs: what the classifiers see: the observables, or the jet's `constituents`, the hardest ones of each level.
        network: "dense" for observables; "deep_sets" or "attention" for constituents.
        iterations: of both steps, at most. stop: "fixed" makes them all; "change" ends after the first, from the second
            on, that moves coarse truth bins (`stopping.Watch`) by less than `tolerance` of the data's
            statistical error in the root mean square, for the nominal; replicas make as many. "closure" makes as many
            as balance bias and variance in an unfolding of pseudo-data of known truth (`closure_rule`), which a
            systematic of kind closure provides; it costs one more unfolding, of all iterations.
        epochs: of each step; later_epochs: in the later iterations of a warm start.
        start: "warm" goes on from the networks of the iteration before, "cold" from the initial weights.
        batch_size: at most; an epoch has 32 batches at least. learning_rate, width, depth, activation, precision: of
            both networks.
        annealing: factor on the learning rate from one iteration to the next.
        fakes: "absolute", their simulated number at each r; or "share", their simulated share of the signal at each r,
            which is right where their rate goes with that of the signal.
        background: "expected", part of what the data are compared with; "subtract", taken from the data with negative
            weights; "positive", taken from the data by weights between 0 and 1 (`ratio.positive`). All keep the yield.
            Where there may be more background than data the ratio of "subtract" has no bound: take "positive".
        calibrate: "isotonic" corrects the logits by a monotone map, learned on held-out events (`ratio.reliability`).
        folds: 0, or the number of chains of a cross-fit: an event gets its weight from a chain that never saw it in
            any iteration. Costs as many unfoldings.
        patience: epochs without improvement on the held-out events after which a step ends; the best epoch is used.
            0 trains on all events, for all epochs, so that no statistics are lost.
        stack: replicas that are computed together; changes speed and memory, not the result.
        buffer: rows of simulation and data that are held in memory, at up to 1.4 kB each with stacks of 25. Of more,
            blocks are read from the tables as they are needed, trainings hold so many rows and shuffle these, and what
            an event has of its own lies in files beside the resume state: 4 bytes a simulated event, twice for each
            replica of a stack and once for each of the job.
    """

    joint = True
    BOUNDS = (
        (">= 1", "iterations epochs later_epochs batch_size constituents stack buffer width depth"),
        ("> 0", "tolerance learning_rate annealing"),
        ("= 0 or >= 2", "folds"),
        (">= 0", "patience"),
    )

    def __init__(
        self,
        *,
        observables: list[str] = [],  # noqa: B006 (schemas are literals; only read)
        features: dict[str, list[str]] = {"reco": [], "truth": []},  # noqa: B006
        inputs: Literal["observables", "constituents"] = "observables",
        constituents: int = 30,
        network: Literal["dense", "deep_sets", "attention"] = "dense",
        iterations: int = 5,
        stop: Literal["fixed", "change", "closure"] = "fixed",
        tolerance: float = 0.1,
        epochs: int = 6,
        later_epochs: int = 3,
        start: Literal["warm", "cold"] = "warm",
        batch_size: int = 1024,
        learning_rate: float = 6e-3,
        annealing: float = 0.7,
        width: int = 64,
        depth: int = 2,
        activation: Literal["relu", "gelu", "silu", "tanh"] = "gelu",
        fakes: Literal["absolute", "share"] = "absolute",
        background: Literal["expected", "subtract", "positive"] = "expected",
        calibrate: Literal["none", "isotonic"] = "none",
        folds: int = 0,
        replicas: Literal["response", "training"] = "response",
        patience: int = 0,
        precision: Literal["fp32", "bf16"] = "fp32",
        stack: int = 25,
        buffer: int = 2_000_000,
    ) -> None:
        if min(epochs, later_epochs, batch_size, stack, buffer, constituents) < 1:
            raise ConfigError(
                "omnifold: epochs, later_epochs, batch_size, constituents, stack and buffer must be at least 1"
            )
        if folds == 1 or folds < 0:
            raise ConfigError("omnifold: folds is 0 or at least 2")
        self.sets = inputs == "constituents"
        if self.sets != (network != "dense"):
            raise ConfigError(f"omnifold: network {network} does not take {inputs}; deep_sets and attention take "
                              "constituents, dense takes observables")  # fmt: skip
        if self.sets and any(features.values()):
            raise ConfigError("omnifold: features stand beside observables; `inputs: constituents` takes none")
        self.fakes, self.features = fakes, dict(features)
        self.observables, self.constituents = tuple(observables), constituents if self.sets else 0
        self.rules = Rules(Rule(iterations, stop, tolerance), fakes, background)
        self.recipe = Recipe(
            epochs=epochs,
            later_epochs=later_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            annealing=annealing,
            start=start,
            network={"network": network, "width": width, "depth": depth, "activation": activation},
            isotonic=calibrate == "isotonic",
            patience=patience,
            precision=precision,
        )
        self.buffer = buffer
        self.folds, self.respond, self.stack = folds, replicas == "response", stack

    def streams(self, rows: int) -> bool:
        """See `Unfolder.streams`.

        Raises:
            ConfigError: there are too many rows, and an option that needs all events at once.
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
                f"omnifold: {asked[0]} needs all events in memory, and the tables have {rows} rows where `buffer` "
                f"allows {self.buffer}; raise `buffer` to {rows}, or leave that option out"
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
        started, history, trained = time.monotonic(), [], {}
        scaling, found, options = self._scaling(blocks.pilot, nominal), None, self
        if nominal is None and self.rules.stop.stop == "closure":
            found = self._balance(blocks, scaling, seed, state, key)
            options = self._exactly(found.chosen)
        job = _Job(options, blocks, scaling, nominal, seed, state, key)
        for number, group in enumerate(groups):
            entries, trained = job.unfold(group)
            history += entries
            done = sum(map(len, groups[: number + 1]))
            remaining = (time.monotonic() - started) / done * (len(replicas) - done)
            log.info("omnifold: %d of %d unfoldings done, about %.0f s remain", done, len(replicas), remaining)
        chosen = [int(n) for n in (trained if nominal is None else nominal)["iterations"]]
        stopping = self.rules.stop.stated(max(chosen)) | (found.stated() if found else {}) | {"of_folds": chosen}
        kept = trained | self._arrays(job.scaling) if nominal is None else {}
        extra = {"stopping": stopping, "watched": watched(blocks.pilot)}
        return Result(job.rows(groups), history, max(chosen), extra, kept)

    def _scaling(self, pilot: Inputs, nominal: Mapping[str, np.ndarray] | None) -> Scaling:
        """That of the nominal unfolding; networks of constituents keep their own, and are given it again."""
        if nominal is None or self.sets:
            return scaling_of(pilot, constituents=self.sets)
        prefixes = [f"scaling.{level}." for level in STEPS]
        return tuple(
            RankScaling.of_arrays({n.removeprefix(p): a for n, a in nominal.items() if n.startswith(p)})
            for p in prefixes
        )

    def _arrays(self, scaling: Scaling) -> dict[str, np.ndarray]:
        """What `_scaling` reads."""
        return {} if self.sets else {f"scaling.{level}.{n}": t.numpy() for level, s in zip(STEPS, scaling, strict=True)
                                     for n, t in s.state_dict().items()}  # fmt: skip

    def _exactly(self, iterations: int) -> Omnifold:
        """The same method with that many iterations."""
        other = copy(self)
        other.rules = replace(self.rules, stop=self.rules.stop.exactly(iterations))
        return other

    def _balance(self, blocks: Blocks, scaling: Scaling, seed: int, state: Path | None, key: str) -> Balance:
        """Bias and variance of each iteration, of pseudo-data of known truth."""
        pseudo = pseudo_replica(blocks.pilot)
        place = None if state is None else state / "pseudo_data"
        if place:
            place.mkdir(exist_ok=True)
        options = self._exactly(self.rules.stop.iterations)
        options.folds, options.respond = 0, True
        sample = Blocks(lambda n: blocks[n].varied(pseudo), len(blocks), blocks.pilot, simulated=blocks.simulated,
                        buffer=blocks.buffer)  # fmt: skip
        history, trained = _Job(options, sample, scaling, None, seed, place, key).unfold([NOMINAL])
        boots = [Replica("data_bootstrap", i) for i in range(BOOTSTRAPS)]
        others, _ = _Job(options, sample, scaling, trained, seed, place, key).unfold(boots)
        found = balance(blocks, blocks.pilot, *by_iteration(history, others))
        log.info("omnifold: %d of %d iterations balance bias and variance", found.chosen, len(found.bias))
        return found

    def _groups(self, replicas: Sequence[Replica]) -> list[list[Replica]]:
        """Bootstraps by stacks; all others alone: their events or their order of batches are their own."""
        boots = [r for r in replicas if r.family in ("data_bootstrap", "mc_bootstrap")]
        groups = [boots[i : i + self.stack] for i in range(0, len(boots), self.stack)]
        return groups + [[r] for r in replicas if r not in boots]


class _Job:
    """Unfolds one group of replicas after the other; keeps their weights, by block."""

    def __init__(
        self,
        options: Omnifold,
        blocks: Blocks,
        scaling: Scaling,
        nominal: Mapping[str, np.ndarray] | None,
        seed: int,
        state: Path | None,
        key: str,
    ) -> None:
        self.options, self.blocks, self.scaling, self.nominal = options, blocks, scaling, nominal
        self.seed, self.state, self.key = seed, state, key
        self.store = Store(None) if len(blocks) == 1 else Store.scratch(state)

    def unfold(self, group: list[Replica]) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
        """Store weights w nu(t) of the fiducial events (n, E); history, and what the first member has trained."""
        options = self.options
        responds = group[0].family.endswith("_bootstrap") and options.respond
        # Half or twice the iterations are those of the nominal's chain, and more of them.
        other = self.blocks.pilot.kind_of(group[0]) == "regularisation"
        # The response is that to a change from the nominal, which is computed along with it.
        members = [NOMINAL, *group] if responds else group
        seed = seed_for(self.seed, *((group[0].family, group[0].index) if group[0].anew else ("nominal",)))
        history, trained, chosen = [], {}, []
        for f, (fold, train) in enumerate(self._folds()):
            sample = Sample(self.blocks, members, self.scaling, train=train, hold_out=options.recipe.holds_out)
            name = f"omnifold {group[0]}" + (f" and {len(group) - 1} more" if len(group) > 1 else "")
            name += f", fold {f + 1} of {options.folds}" if options.folds else ""
            state = None if self.state is None else self.state / f"{_tag(group)}.{f}"
            prefix, handed = f"{f}.", self.nominal if responds or other else {}
            arrays = {n.removeprefix(prefix): a for n, a in handed.items() if n.startswith(prefix)}
            rules, checks = replace(options.rules, curves=group == [NOMINAL]), {}
            if rules.background == "positive":
                checks = self._take_off_background(sample[0], seed, name, state)
            if self.nominal is not None:
                # As many iterations as the nominal made, whatever they change.
                made = int(self.nominal["iterations"][f])
                rules = replace(rules, stop=rules.stop.exactly(varied_count(group[0].index, made) if other else made))
            if responds:
                steps = Response(options.recipe, self.scaling, arrays)
            else:
                steps = Training(options.recipe, self.scaling, len(group), seed=seed, name=name, state=state,
                                 key=self.key, known=arrays)  # fmt: skip
            chain = Chain(sample, steps, rules, self.store)
            if responds:
                _run_response(chain, group)
            else:
                chain.run()
            chain.history[0] |= checks
            chosen.append(len(chain.history))
            if not responds:
                trained |= {f"{f}.{n}": a for n, a in steps.arrays.items()}
            self._keep(group, chain, fold if f else None)
            history += _entries(chain.history, members, f if options.folds else None)
        trained["iterations"] = np.array(chosen)
        return [h for h in history if h["replica"] in map(str, group)], trained

    def rows(self, groups: list[list[Replica]]) -> Iterator[Mapping[str, np.ndarray]]:
        """Rows of the result, block by block."""
        for number, inputs in enumerate(self.blocks):
            columns = {}
            for group in groups:
                weights = self.store[_tag(group), number]
                columns |= {r.column(): weights[:, e] for e, r in enumerate(group)}
            yield from inputs.rows(columns)

    def _folds(self) -> Iterator[tuple[np.ndarray | None, np.ndarray | None]]:
        """Of each fold the simulated events (N,) that get their weights from it, and those that it may see."""
        if not self.options.folds:
            yield None, None
        else:
            ids = self.blocks[0].event_id
            fold = (uniform(ids, seed_for(self.seed, "fold")) * self.options.folds).astype(int)
            yield from ((fold == f, fold != f) for f in range(self.options.folds))

    def _keep(self, group: list[Replica], chain: Chain, fold: np.ndarray | None) -> None:
        """Store the weights of the group, of a later fold those of its events alone."""
        for number, block in enumerate(chain.sample):
            weights = (block.weight * chain.nu(number, block))[:, -len(group) :]
            if fold is not None:
                weights = np.where(fold[block.inputs.fiducial, None], weights, self.store[_tag(group), number])
            self.store[_tag(group), number] = weights

    def _take_off_background(self, block: Block, seed: int, name: str, state: Path | None) -> dict[str, np.ndarray]:
        """Weights of the data that stand for the data without background, which is then nowhere else; diagnostics."""
        data, background, recipe = len(block.data_weight), len(block.background_weight), self.options.recipe
        if not background:
            return {}
        x = torch.cat([block.reco[:data], block.reco[len(block.reco) - background :]])
        settings = Settings(recipe.epochs, recipe.batch_size, recipe.learning_rate)
        block.data_weight, checks = without_background(
            x, block.data_weight, block.background_weight, settings, seed=seed,
            name=f"{name}, background", state=state and state.with_name(f"{state.name}.background.pt"), key=self.key,
        )  # fmt: skip
        block.background_weight = np.zeros_like(block.background_weight)
        return {f"background_{n}": v for n, v in checks.items()}


def _run_response(chain: Chain, group: list[Replica]) -> None:
    """Run a chain of responses, the nominal first.

    Raises:
        DivergedError: the effective size of one has run away from the nominal's, to numbers that are finite or not.
    """
    way_out = (
        "bootstraps of so few events are too far from the nominal for a response; set `replicas: training`, which "
        "trains each of them"
    )
    try:
        chain.run()
    except DivergedError as error:
        raise DivergedError(f"omnifold: one of {len(group)} responses runs away ({error}): {way_out}") from error
    sizes = chain.history[-1]["effective_size"]
    far = np.flatnonzero(sizes[1:] < LOST * sizes[0])
    if far.size:
        raise DivergedError(
            f"omnifold: {far.size} of {len(group)} responses are worth less than {LOST:.0%} of the nominal's events, "
            f"the first {group[far[0]]} with {sizes[1 + far[0]]:.0f} of {sizes[0]:.0f}: {way_out}"
        )


def _entries(history: list[dict[str, Any]], group: list[Replica], fold: int | None) -> list[dict[str, Any]]:
    """One entry a replica and iteration; reliability curves are those of the nominal."""
    entries = []
    for iteration, found in enumerate(history):
        for e, replica in enumerate(group):
            entry = {"replica": str(replica), "iteration": iteration} | ({} if fold is None else {"fold": fold})
            entry |= {n: np.asarray(v)[..., e].tolist() for n, v in found.items() if not n.startswith("reliability")}
            curves = {n.partition("_")[2]: v[0] for n, v in found.items() if n.startswith("reliability")}
            entries.append(entry | ({"reliability": curves} if curves and replica == NOMINAL else {}))
    return entries


def _tag(group: list[Replica]) -> str:
    return hashlib.sha256(" ".join(map(str, group)).encode()).hexdigest()[:12]
