"""Unfold groups of OmniFold replicas: each group is trained, or computed by response, at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from truthward.errors import DivergedError
from truthward.events.hashing import uniform
from truthward.learn.fit import Settings
from truthward.study.seeds import seed_for
from truthward.unfold.inputs.arrays import NOMINAL, Replica
from truthward.unfold.inputs.background import without_background
from truthward.unfold.inputs.streamed import Blocks, Store
from truthward.unfold.omnifold.iterations import Chain
from truthward.unfold.omnifold.sample import OmnifoldBlock, OmnifoldSample, Scaling
from truthward.unfold.omnifold.steps import ResponseSteps, TrainingSteps
from truthward.unfold.omnifold.tree_steps import LeafSteps, TreeSteps
from truthward.unfold.stop.rules import varied_count

if TYPE_CHECKING:
    from truthward.unfold.omnifold.method import Omnifold

LOST = 0.1
"""A bootstrap halves the effective number of events. If it is far below this, the response is not valid."""


class Groups:
    """Unfolds one group of replicas after the other, and stores their weights by block."""

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
        """Store weights w nu(t) of the fiducial events (n, E). Return history and the arrays of the first member."""
        options = self.options
        responds = options.by_weights(group[0]) and options.respond
        # Half or twice the iterations: the same chain as the nominal, stopped earlier or continued.
        other = self.blocks.pilot.kind_of(group[0]) == "regularisation"
        self.store.precision = np.float32 if responds else np.float64
        # A response describes a change from the nominal, so the nominal is computed with it.
        members = [NOMINAL, *group] if responds else group
        seed = seed_for(self.seed, *((group[0].family, group[0].index) if group[0].anew else ("nominal",)))
        history: list[dict[str, Any]] = []
        trained: dict[str, np.ndarray] = {}
        chosen: list[int] = []
        for f, (fold, train) in enumerate(self._folds()):
            sample = OmnifoldSample(
                self.blocks, members, self.scaling, train=train, hold_out=options.recipe.holds_out, single=responds
            )
            name = f"omnifold {group[0]}" + (f" and {len(group) - 1} more" if len(group) > 1 else "")
            name += f", fold {f + 1} of {options.folds}" if options.folds else ""
            state = None if self.state is None else self.state / f"{_tag(group)}.{f}"
            prefix, handed = f"{f}.", (self.nominal or {}) if responds or other else {}
            arrays = {n.removeprefix(prefix): a for n, a in handed.items() if n.startswith(prefix)}
            rules, checks = replace(options.rules, curves=group == [NOMINAL]), {}
            if rules.background == "positive":
                checks = self._take_off_background(sample[0], seed, name, state)
            if self.nominal is not None:
                # As many iterations as the nominal, whatever the change is.
                made = int(self.nominal["iterations"][f])
                rules = replace(rules, stop=rules.stop.exactly(varied_count(group[0].index, made) if other else made))
            if responds:
                sample.divide()
            steps = self._responses(arrays) if responds else self._trainings(group, sample, seed, name, state, arrays)
            chain = Chain(sample, steps, rules, self.store)
            if responds:
                _run_response(chain, group)
            else:
                chain.run()
            chain.history[0] |= checks
            chosen.append(len(chain.history))
            if isinstance(steps, (TrainingSteps, TreeSteps)):
                trained |= {f"{f}.{n}": a for n, a in steps.arrays.items()}
            self._keep(group, chain, fold if f else None)
            history += _entries(chain.history, members, f if options.folds else None)
        trained["iterations"] = np.array(chosen)
        return [h for h in history if h["replica"] in map(str, group)], trained

    def _responses(self, arrays: Mapping[str, np.ndarray]) -> ResponseSteps | LeafSteps:
        recipe = self.options.recipe
        return LeafSteps(recipe, arrays) if recipe.boosted else ResponseSteps(recipe, self.scaling, arrays)

    def _trainings(
        self,
        group: list[Replica],
        sample: OmnifoldSample,
        seed: int,
        name: str,
        state: Path | None,
        known: Mapping[str, np.ndarray],
    ) -> TrainingSteps | TreeSteps:
        recipe, members = self.options.recipe, len(group)
        if recipe.boosted:
            counts = sample.counts(group[0]) if group[0].family == "initialisation" else None
            return TreeSteps(recipe, members, name=name, known=known, counts=counts)
        return TrainingSteps(
            recipe, self.scaling, members, seed=seed, name=name, state=state, key=self.key, known=known
        )

    def rows(self, groups: list[list[Replica]]) -> Iterator[Mapping[str, np.ndarray]]:
        """Rows of the result, block by block."""
        for number, inputs in enumerate(self.blocks):
            columns: dict[str, np.ndarray] = {}
            for group in groups:
                weights = self.store[_tag(group), number]
                columns |= {r.column(): weights[:, e] for e, r in enumerate(group)}
            yield from inputs.rows(columns)

    def _folds(self) -> Iterator[tuple[np.ndarray | None, np.ndarray | None]]:
        """For each fold, the simulated events (N,) that get their weights from it, and the events that it may see."""
        if not self.options.folds:
            yield None, None
        else:
            fold = (uniform(self.blocks[0].event_id, seed_for(self.seed, "fold")) * self.options.folds).astype(int)
            yield from ((fold == f, fold != f) for f in range(self.options.folds))

    def _keep(self, group: list[Replica], chain: Chain, fold: np.ndarray | None) -> None:
        """Store the weights of the group; for a later fold only the weights of its events."""
        found = ((b.weight * chain.nu(number, b))[:, -len(group) :] for number, b in enumerate(chain.sample))
        blocks = [np.concatenate(list(found))] if chain.sample.kept else found
        for number, weights in enumerate(blocks):
            if fold is not None:
                # Only a kept block has folds.
                own = fold[self.blocks[number].fiducial, None]
                weights = np.where(own, weights, self.store[_tag(group), number])
            self.store[_tag(group), number] = weights

    def _take_off_background(
        self, block: OmnifoldBlock, seed: int, name: str, state: Path | None
    ) -> dict[str, np.ndarray]:
        """Give the data weights without background, and the background weight zero; return diagnostics."""
        data, background, recipe = len(block.data_weight), len(block.background_weight), self.options.recipe
        if not background:
            return {}
        x = torch.cat([block.reco[:data], block.reco[len(block.reco) - background :]])
        settings = Settings(recipe.training.epochs, recipe.training.batch_size, recipe.training.learning_rate)
        block.data_weight, checks = without_background(
            x,
            block.data_weight,
            block.background_weight,
            settings,
            seed=seed,
            name=f"{name}, background",
            state=state and state.with_name(f"{state.name}.background.pt"),
            key=self.key,
        )
        block.background_weight = np.zeros_like(block.background_weight)
        return {f"background_{n}": v for n, v in checks.items()}


def _run_response(chain: Chain, group: list[Replica]) -> None:
    """Run a chain of responses, the nominal first.

    Raises:
        DivergedError: a replica diverges, or its effective size is far below the nominal one.
    """
    way_out = (
        "bootstraps of so few events are too far from the nominal for this approximation; set `replicas: {by: "
        "training}`, which trains each of them"
    )
    try:
        chain.run()
    except DivergedError as error:
        raise DivergedError(
            f"omnifold: one of {len(group)} replicas by response diverges ({error}): {way_out}"
        ) from error
    sizes = chain.history[-1]["effective_size"]
    far = np.flatnonzero(sizes[1:] < LOST * sizes[0])
    if far.size:
        raise DivergedError(
            f"omnifold: {far.size} of {len(group)} replicas by response have an effective size below {LOST:.0%} of the "
            f"nominal one, such as {group[far[0]]} with {sizes[1 + far[0]]:.0f} of {sizes[0]:.0f} events: {way_out}"
        )


def _entries(history: list[dict[str, Any]], group: list[Replica], fold: int | None) -> list[dict[str, Any]]:
    """One entry for each replica and iteration; reliability curves are those of the nominal."""
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
