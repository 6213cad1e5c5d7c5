"""The trainings of a generative unfolding: p(truth | reco), the shares of signal, the efficiency."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from truthward.learn.distil import distil
from truthward.learn.fit import History, Settings, fit
from truthward.learn.regression import StackLoss
from truthward.learn.stack import Stack
from truthward.models.base import GenerativeModel
from truthward.ratio.probability import Probability
from truthward.study.seeds import seed_for
from truthward.unfold.generative.conditions import beside
from truthward.unfold.generative.draws import MeasuredEvents, Scaled, model_of
from truthward.unfold.inputs.arrays import Inputs, Replica
from truthward.unfold.inputs.background import without_background

PROBABILITIES = ("signal", "rest", "efficiency")


@dataclass(frozen=True)
class GenerativeRecipe:
    """Options of the trainings.

    These are the model, the classifiers and whether those of the prior removal are boosted trees, the settings of each,
    the draws of a data event for the ratio, and the number of features at reco level. Fakes and background: see
    `generative.Generative`.
    """

    model: dict[str, Any]
    network: dict[str, Any]
    boosted: bool
    first: Settings
    later: Settings
    ratio: Settings
    side: Settings
    draws: int
    fakes: Literal["absolute", "share"]
    background: Literal["expected", "subtract", "positive"]
    condition: dict[str, Any] = field(default_factory=dict)
    features: int = 0

    def build(self, size: int, given: int, state: dict[str, Tensor] | None = None) -> GenerativeModel:
        """The model of `size` observables for this number of inputs at reco level, including the condition.

        It is new, or has a trained state.
        """
        return model_of(self.model, size, given + (1 if self.condition else 0), state)

    def scaled(self, inputs: Inputs, seed: int, *, like: Scaled | None = None) -> Scaled:
        """Inputs as the networks see them."""
        others = inputs.fixed if self.background == "expected" else inputs.fakes
        return Scaled(inputs, seed, self.condition, others=others, like=like)


@dataclass(frozen=True)
class Networks:
    """The trained networks of E members; as long as nothing distinguishes the members, one member stands for all.

    flows: p(t | r). signal: share of the matched events among matched events and the fakes that scale with the signal.
    rest: share of matched events and these fakes in the sample that also holds the contributions of absolute yield.
    efficiency: P(reconstructed | t).
    """

    flows: Stack
    signal: Probability
    rest: Probability
    efficiency: Probability

    def fraction(self, x: Tensor) -> np.ndarray:
        """f(r), share of the matched events in the measured events: (n, K), or (n, E, K) -> (n, E)."""
        return self.signal(x) * self.rest(x)

    def member(self, e: int) -> tuple[dict[str, Tensor], Callable[[Tensor], np.ndarray], Probability]:
        """The state of one member's model, its f and its efficiency."""
        parts = (self.flows, self.signal, self.rest, self.efficiency)
        m = [e if part.members > 1 else 0 for part in parts]
        signal, rest = self.signal.member(m[1]), self.rest.member(m[2])
        return self.flows.state_of(m[0]), lambda x: signal(x) * rest(x), self.efficiency.member(m[3])

    def arrays(self) -> dict[str, np.ndarray]:
        """The networks of a single member, as named arrays."""
        found = {f"model.{n}": t.numpy() for n, t in self.flows.state_of(0).items()}
        for name in PROBABILITIES:
            found |= {f"{name}.{n}": a for n, a in getattr(self, name).member(0).arrays().items()}
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], recipe: GenerativeRecipe, scaled: Scaled) -> Networks:
        """Rebuild from `arrays`."""

        def of(name: str) -> dict[str, np.ndarray]:
            return {n.removeprefix(f"{name}."): a for n, a in arrays.items() if n.startswith(f"{name}.")}

        flows = Stack(lambda: recipe.build(scaled.size, scaled.given), [0])
        flows.load_member(0, {n: torch.from_numpy(a) for n, a in of("model").items()})
        return cls(flows, *(Probability.from_arrays(of(name)) for name in PROBABILITIES))


class Members:
    """E replicas that are trained together, with their weights and, for systematics, their own reco values.

    All have the acceptance of `inputs`. Rows: n_r reconstructed events of the simulation (n_m of them matched), n_f
    fiducial, M data. There are M measured events, or M + B if the B events of background are subtracted.
    """

    def __init__(
        self,
        recipe: GenerativeRecipe,
        scaled: Scaled,
        inputs: Inputs,
        replicas: Sequence[Replica],
        *,
        seed: int,
        state: Path | None,
        key: str,
    ) -> None:
        self.recipe, self.scaled, self.inputs, self.replicas = recipe, scaled, inputs, replicas
        self.seed, self.state, self.key = seed, state, key
        varied = [inputs.varied(r) for r in replicas]
        weight = np.stack([v.weight for v in varied], axis=1)
        self.fiducial, self.reconstructed = weight[inputs.fiducial], weight[inputs.pass_reco]
        self.matched = weight[inputs.matched]
        self.own = any(v.reco is not inputs.reco or v.features is not inputs.features for v in varied)
        self.reco = scaled.shifted(varied) if self.own else scaled.reco
        self.medians = scaled.medians
        self.passed = np.stack([v.reco[inputs.pass_reco] for v in (varied if self.own else varied[:1])])
        self._entries: dict[tuple[int, int], dict[str, Any]] = {}
        self.checks: dict[str, np.ndarray] = {}
        self.data = np.stack([v.data_weight for v in varied], axis=1)
        self.measured = self._measured(self.data)

    def first(self) -> Networks:
        """Train on the simulation with its own prior."""
        inputs, scaled, recipe = self.inputs, self.scaled, self.recipe
        efficiency = Probability(scaled.truth.shape[1], self.initial("efficiency"))
        # Its inverse is used, so the calibration makes the sum of 1 / P exact: it corrects for all misses.
        efficiency.train(
            scaled.truth,
            scaled.matched_fiducial,
            self.fiducial,
            recipe.side,
            inverse=True,
            held_out=self.held(recipe.side, inputs.validation[inputs.fiducial]),
            **self.common("efficiency", 0),
        )
        signal = Probability(scaled.given, self.initial("signal"))
        self._learn_share(signal, self.recipe.fakes == "share", False, self.reconstructed, "signal", 0)
        networks = Networks(
            Stack(lambda: recipe.build(scaled.size, scaled.given), self.initial("model")),
            signal,
            Probability(scaled.given, self.initial("fraction")),
            efficiency,
        )
        self.train(
            networks,
            self.matched,
            0,
            self.checks
            | {
                "shift_efficiency": efficiency.shift,
                "shift_signal": signal.shift,
            },
        )
        return networks

    def given(self) -> Tensor:
        """The condition for the data events, (E, 0 or 1)."""
        if not self.medians.columns:
            return torch.zeros(len(self.replicas), 0)
        # With a condition, background is removed only by weights of the data.
        return self.medians.measured(self.inputs.data_reco[None], self.measured.weight)

    def train(self, networks: Networks, matched: np.ndarray, step: int, diagnostics: dict[str, np.ndarray]) -> None:
        """Train p(t | r) and f(r) with weights (n_m, E) of the matched events; all other events keep their weights."""
        flows, inside = networks.flows, self.scaled.matched_reco
        settings, rules = self.recipe.later if step else self.recipe.first, self.recipe
        total = self.reconstructed.copy()
        # Fakes that scale with the signal are part of its share: signal and these fakes are compared with the rest.
        total[inside] = matched / networks.signal(self.reco[torch.from_numpy(inside)])
        self._learn_share(
            networks.rest, rules.fakes == "absolute", rules.background == "expected", total, "fraction", step
        )
        diagnostics = {"shift_fraction": networks.rest.shift, **diagnostics}

        condition = self.condition(matched)
        target = self.scaled.target(condition)
        common, held = self.common("model", step), self.held(settings, self.inputs.validation[self.inputs.matched])
        fitted = fit(
            flows,
            StackLoss(flows),
            (target, condition),
            torch.from_numpy(matched),
            settings,
            seed=common["seed"],
            validation=None if held is None else torch.from_numpy(held),
            label=common["name"],
            state=common["state"],
            state_key=self.key,
        )
        distil(
            flows,
            condition,
            torch.from_numpy(matched),
            seed=common["seed"],
            label=common["name"],
            state=common["state"],
            state_key=self.key,
        )
        self.note(step, {**_losses(fitted, held is not None), **diagnostics})

    def condition(self, matched: np.ndarray) -> Tensor:
        """The inputs of the models for matched events with weights (n_m, E): (n_m, C), or (n_m, E, C)."""
        condition = self.reco[torch.from_numpy(self.scaled.matched_reco)]
        if not self.medians.columns:
            return condition
        weight = self.reconstructed.copy()
        weight[self.scaled.matched_reco] = matched
        found = self.medians.simulated(self.passed, weight)
        each = condition if self.own else condition[:, None].expand(-1, found.shape[1], -1)
        return torch.cat([each, found], dim=-1)

    def data_condition(self) -> Tensor:
        """The inputs of the models for the measured events: (n, C), or (n, E, C)."""
        if not self.medians.columns:
            return self.measured.reco
        return torch.stack([beside(self.measured.of(e), g) for e, g in enumerate(self.given())], dim=1)

    def note(self, iteration: int, columns: Mapping[str, np.ndarray]) -> None:
        """Keep diagnostics, (E,) or (n, E) each, for the history."""
        for e, replica in enumerate(self.replicas):
            entry = self._entries.setdefault((iteration, e), {"replica": str(replica), "iteration": iteration})
            entry |= {name: column[..., e].tolist() for name, column in columns.items()}

    @property
    def history(self) -> list[dict[str, Any]]:
        """One entry for each replica and iteration; networks that were taken over from the nominal have no loss."""
        return list(self._entries.values())

    def _learn_share(
        self, model: Probability, fakes: bool, background: bool, weights: np.ndarray, what: str, step: int
    ) -> None:
        """Train the share of the matched events among them and fakes, background, both or none, at reco level.

        weights: (n_r, E).
        """
        x, label, own, held = self.shared(fakes, background, weights)
        model.train(x, label, own, self.recipe.side, held_out=held, **self.common(what, step))

    def shared(
        self, fakes: bool, background: bool, weights: np.ndarray
    ) -> tuple[Tensor, np.ndarray, np.ndarray, np.ndarray | None]:
        """Matched events with fakes, background, both or none: reco values, which are matched, weights, held out.

        weights: (n_r, E).
        """
        inputs = self.inputs
        used = inputs.matched | (inputs.fakes if fakes else False) | (inputs.background if background else False)
        used = used[inputs.pass_reco]
        held = self.held(self.recipe.side, inputs.validation[inputs.pass_reco][used])
        return self.reco[torch.from_numpy(used)], self.scaled.matched_reco[used], weights[used], held

    def _measured(self, data: np.ndarray) -> MeasuredEvents:
        """The data with weights (M, E), after the treatment of the background."""
        inputs, recipe, away = self.inputs, self.recipe, self.inputs.background
        both = MeasuredEvents(inputs.data_id, inputs.data_validation, self.scaled.data, data)
        if recipe.background == "expected" or not away.any():
            return both
        background = self.reconstructed[away[inputs.pass_reco]]
        reco = self.reco[torch.from_numpy(away[inputs.pass_reco])]
        first = both.reco[:, None].expand(-1, reco.shape[1], -1) if self.own else both.reco
        ids, held = (
            np.concatenate(p) for p in ((both.event_id, inputs.event_id[away]), (both.held, inputs.validation[away]))
        )
        x = torch.cat([first, reco])
        if recipe.background == "subtract":
            return MeasuredEvents(ids, held, x, np.concatenate([data, -background]))
        common = self.common("background", 0)
        weight, self.checks = without_background(
            x,
            data,
            background,
            recipe.side,
            seed=self.seed,
            held_out=self.held(recipe.side, held),
            name=common["name"],
            state=common["state"],
            key=self.key,
        )
        return replace(both, weight=weight)

    def initial(self, what: str) -> list[int]:
        return [seed_for(self.seed, "initial", what)] * len(self.replicas)

    def common(self, what: str, step: int) -> dict[str, Any]:
        others = f" and {len(self.replicas) - 1} more" if len(self.replicas) > 1 else ""
        tag = hashlib.sha256(" ".join(map(str, self.replicas)).encode()).hexdigest()[:12]
        return {
            "seed": seed_for(self.seed, "batches", what, step),
            "name": f"generative {self.replicas[0]}{others}, step {step}, {what}",
            "state": None if self.state is None else self.state / f"{tag}.{step}.{what}.pt",
            "key": self.key,
        }

    @staticmethod
    def held(settings: Settings, validation: np.ndarray) -> np.ndarray | None:
        return validation if settings.patience else None


def _losses(fitted: History, held_out: bool) -> dict[str, np.ndarray]:
    """Losses of the epoch that is used, one entry for each member."""
    best = [(epoch, member) for member, epoch in enumerate(fitted.best)]
    found = {"loss": np.array([fitted.train[epoch][member] for epoch, member in best])}
    return found | ({"held_out_loss": np.array([fitted.validation[e][m] for e, m in best])} if held_out else {})
