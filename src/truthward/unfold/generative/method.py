"""Generative unfolding: draw truth events from p(truth | reco) for each data event."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from truthward.errors import ConfigError
from truthward.events.families import family
from truthward.learn.fit import Settings
from truthward.learn.nets import seeded
from truthward.models.base import GenerativeModel
from truthward.study.plugins import check
from truthward.study.seeds import seed_for
from truthward.unfold.contract import Result, Unfolder
from truthward.unfold.generative.conditions import beside
from truthward.unfold.generative.drawing_noise import DrawSums, WeightSums
from truthward.unfold.generative.draws import MeasuredEvents, Scaled
from truthward.unfold.generative.held_out import held_out_draws
from truthward.unfold.generative.options import ClassifierOptions, DrawOptions, ModelTrainingOptions, ReplicaOptions
from truthward.unfold.generative.posterior import GenerativeRecipe, Members, Networks
from truthward.unfold.generative.prior_removal import Removal, remove_prior
from truthward.unfold.generative.response import Response
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica
from truthward.unfold.stop.balance import BOOTSTRAPS, Balance, balance, by_iteration, pseudo_replica
from truthward.unfold.stop.rules import Bins, StopOptions, StopRule, varied_count, watched

log = logging.getLogger("truthward.unfold")

ROWS = 65536
"""Rows that are drawn at a time when the result is written."""


class Generative(Unfolder):
    """Draws from p(t | r), learned on the simulation, with the bias of its prior removed (2212.08674, 2509.02708).

    Each data event of weight d gives K truth events t_k ~ p(t | r) of weight

        d f(r) / (K eps(t_k)),    f(r) = matched / (matched + others),    eps(t) = P(reconstructed | t).

    The others are fakes and background. `fakes` and `background` decide which of these are among the unfolded events.

    p and f depend on the truth of the simulation, the prior. One step of prior removal does the following:

    1. For the data and for the matched events of the simulation, it draws truth events with the same model.
    2. A classifier learns the ratio of the draws for the data (before the efficiency) to the draws for the simulation.
    3. The weights of the matched events are multiplied by this ratio, with absolute yields.
    4. The trainings of p and f continue with these weights.

    An error of the model is in both samples of draws, so it does not add up over the steps. In bins, a step is one more
    iteration of Bayesian unfolding. The others keep their weights: they are an absolute component. eps does not depend
    on the prior. It is learned once, from the fiducial events, and applied once, at the end. The smallest eps of a
    matched event is the lower limit everywhere. The history has the number of draws at this limit.

    Two weighted sums over the simulation are known exactly and are imposed. The sum of f over all events that f
    describes is the yield of the matched events. The sum of 1 / eps over the matched events is the yield of the
    fiducial events. The history shows how far the networks were off, as a shift of the logit.

    All losses use negative weights as they are. They are linear in the weights, so their minimum belongs to the density
    that the signed events describe. It is an error if the weights of a class, or all weights, have no positive sum.

    A model that maps distributions (`bridge`, paired or unpaired) has no p(t | r). Its result is right as a
    distribution, if the reco values of the weighted simulation have the distribution of the data.

    Only the unfolded observables are drawn: the result has no others. p and f also see the `features`, in addition to
    the reco values. A feature on which the detector's response depends makes p narrower. Its distribution may differ
    between data and simulation, if it does not depend on the truth. There are no features at truth level. A model must
    draw, and so unfold, every truth quantity that it uses.

    Replicas: with `replicas: {by: response}`, a bootstrap has no draws of its own. It is one more column of weights for
    the draws of the nominal unfolding, see `generative.response`. All networks of the nominal unfolding are kept for
    this. Trainings of the same bootstrap with other initial weights differ, mostly where there are many observables and
    few events. The response does not contain this noise of training. The family `initialisation` states it. With `by:
    training`, bootstraps are trained with the initial weights and batches of the nominal trainings, and the spread of
    mc_bootstrap contains the noise of training too.

    All other replicas are trained, and have their own block of draws. They do not train again what their family leaves
    unchanged. A replica of `initialisation` or `combined` has its own initial weights and batches. A data event has the
    same noise in all blocks, so the noise of sampling is common to the nominal and the replicas. With M data events,
    the nominal and each systematic have M `draws.nominal` rows. Each other block has M `draws.replicas` rows, without
    the events that a bootstrap leaves out. The draws of an event are spread evenly (`draws.Scaled.noise`). They are
    right as a sample of all events, but they are not independent draws from p(t | r).

    Noise of drawing: `drawing_noise.DrawSums` measures the variance that the K draws add to coarse bins. The history
    has it for each block of draws. The variance of the bootstraps contains this noise. If they have draws of their own
    and `draws.replicas` is smaller than `draws.nominal`, they overstate it a little. It does not contain the noise from
    the draws for the classifier.

    Args:
        model: kind and options of the generative model.
        iterations: largest number of iterations, including the first training. With 1, the prior of the simulation
            stays in the result. Each further iteration removes it once more.
        stop: the rule that ends the iterations.
        draws: how many truth events are drawn for each data event.
        training: the trainings of the generative model.
        classifiers: the classifiers of the prior removal, of the matched fraction and of the efficiency.
        condition: {median: an observable, by: a truth column of the simulation}, for a simulation with several values
            of a parameter. The model then also sees the median of the sample, see `conditions.Medians`. One iteration
            is then enough if data and simulation differ only in this parameter.
        features: {reco: [names]}: columns at reco level that are not unfolded. Models that map distributions take none.
        fakes: "absolute": their simulated number at each r is a part of f; each step changes only the matched events in
            f. "share": their simulated share of the signal at each r. This is right if their rate is proportional to
            the rate of the signal.
        background: "expected": it is an absolute part of f too. "subtract": simulated background events are unfolded
            together with the data, with negative weights. "positive": it is subtracted from the data by weights between
            0 and 1 (`ratio.positive`). All keep the yield. If there may be more background than data somewhere, use
            "positive".
        replicas: how the replicas are computed.
    """

    joint = True
    BOUNDS = ((">= 1", "iterations"),)
    MOVED = (
        ("stack", "replicas.stack"),
        ("replica_draws", "draws.replicas"),
        ("ratio_draws", "draws.ratio"),
        ("later_rate", "training.later_learning_rate"),
        ("classifier_batch", "classifiers.batch_size"),
        ("classifier_rate", "classifiers.learning_rate"),
    )

    def __init__(
        self,
        *,
        model: dict = {"kind": "flow_matching", "width": 64, "depth": 3},  # noqa: B006 (schemas are literals; only read)
        iterations: int = 5,
        stop: StopOptions = StopOptions(rule="change", tolerance=0.5),
        draws: DrawOptions = DrawOptions(),
        training: ModelTrainingOptions = ModelTrainingOptions(),
        classifiers: ClassifierOptions = ClassifierOptions(),
        condition: dict = {},  # noqa: B006
        features: dict[str, list[str]] = {"reco": []},  # noqa: B006
        fakes: Literal["absolute", "share"] = "absolute",
        background: Literal["expected", "subtract", "positive"] = "expected",
        replicas: ReplicaOptions = ReplicaOptions(),
    ) -> None:
        if condition and set(condition) != {"median", "by"}:
            raise ConfigError(
                f"generative: condition has the keys {', '.join(map(str, condition))}; `median` and `by` are needed"
            )
        if condition and background == "subtract":
            raise ConfigError(
                "generative: condition takes a median of the data, which cannot be subtracted from; set `background: "
                "positive`"
            )
        check("models", model, "generative.model", given=("dimensions", "conditions"))
        self.fakes, self.features = fakes, dict(features)
        self.model, self.rule, self.stack = dict(model), StopRule(iterations, stop.rule, stop.tolerance), replicas.stack
        self.draws, self.replica_draws = draws.nominal, min(draws.nominal, draws.replicas)
        patience = training.patience
        model_training: dict[str, Any] = {
            "batch_size": training.batch_size,
            "patience": patience,
            "precision": training.precision,
        }
        side: dict[str, Any] = {
            "batch_size": classifiers.batch_size,
            "learning_rate": classifiers.learning_rate,
            "patience": patience,
        }
        self.recipe = GenerativeRecipe(
            model=self.model,
            network={"width": classifiers.width, "depth": classifiers.depth},
            boosted=classifiers.ratio == "boosted_trees",
            first=Settings(training.epochs, learning_rate=training.learning_rate, **model_training),
            later=Settings(training.later_epochs, learning_rate=training.later_learning_rate, **model_training),
            ratio=Settings(classifiers.ratio_epochs, **side),
            side=Settings(classifiers.side_epochs, **side),
            draws=draws.ratio,
            condition=dict(condition),
            features=len(features.get("reco", ())),
            fakes=fakes,
            background=background,
        )
        built = seeded(0, self.recipe.build, 1, 1)
        if self.recipe.features and not built.CONDITIONAL:
            raise ConfigError(
                f"generative: {model['kind']} with these options maps distributions and ignores features; remove "
                "`features`, or choose a model of p(truth | reco)"
            )
        # The median of a replica's own data, and a map of its distribution, move the draws: weights cannot do this.
        self.respond = replicas.by == "response" and not condition and built.CONDITIONAL
        if iterations > 1 and not built.PAIRED:
            raise ConfigError(
                f"generative: {model['kind']} with these options pairs truth and reco events by itself, so the weights "
                "that remove the prior would act on truth only, and overshoot; set `iterations: 1`"
            )

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
        """See `Unfolder.unfold`. The events are drawn while the rows are read.

        Then the history also gets the sum, the effective size and the largest value of each replica's weights. `block`
        is the position of a replica in `replicas`.
        """
        scaled, started, history = self.recipe.scaled(inputs, seed), time.monotonic(), []
        handed = None if nominal is None else Removal.from_arrays(nominal, self.recipe, scaled)
        made = None if handed is None else handed.iterations
        trained: dict[str, np.ndarray] = {}
        learned: dict[Replica, tuple] = {}
        responses: list[Response] = []
        last: dict[Replica, int] = {}
        found: Balance | None = None
        boots = [r for r in replicas if self.respond and r.family in ("data_bootstrap", "mc_bootstrap")]
        for start in range(0, len(boots), self.stack):
            group = boots[start : start + self.stack]
            these = Members(self.recipe, scaled, inputs, [NOMINAL, *group], seed=seed, state=state, key=key)
            if handed is None:
                raise TypeError("replicas by response need the trained nominal unfolding")
            responses.append(Response(these, handed))
            history += [h for h in these.history if h["replica"] != str(NOMINAL)]
            log.info("generative: %d of %d replicas follow the nominal one", start + len(group), len(replicas))
        for group in self._groups([r for r in replicas if r not in boots], inputs):
            own = seed_for(seed, str(group[0])) if group[0].anew else seed
            varied, kind, rule = inputs.varied(group[0]), inputs.kind_of(group[0]), self.rule
            moved = kind == "closure" or not np.array_equal(varied.pass_reco, inputs.pass_reco)
            if made is not None:
                rule = self.rule.exactly(varied_count(group[0].index, made) if kind == "regularisation" else made)
            # Other events are reconstructed or unfolded: they need their own rows, in the scale of the nominal.
            sample = (self.recipe.scaled(varied, seed, like=scaled), varied) if moved else (scaled, inputs)
            these = Members(self.recipe, *sample, group, seed=own, state=state, key=key)
            # Other data, or another number of iterations, leave the first networks unchanged: no new training.
            same = kind or group[0].family in ("nominal", "data_bootstrap")
            first = handed.networks[0] if handed and same else these.first()
            if rule.stop == "closure":
                found = self._balance(inputs, scaled, first, seed, state, key)
                rule = rule.exactly(found.chosen)
            removal = remove_prior(these, first, rule)
            if group == [NOMINAL]:
                made, trained = removal.iterations, removal.arrays()
            given = these.given()
            learned |= {r: (*removal.networks[-1].member(e), these.measured, e, given[e]) for e, r in enumerate(group)}
            history += these.history
            counts = len(learned) + len(boots), len(replicas)
            remaining = (time.monotonic() - started) * (counts[1] / counts[0] - 1)
            log.info("generative: %d of %d trained, about %.0f s remain, then they draw", *counts, remaining)
            last |= dict.fromkeys(group, removal.iterations - 1)
        made = 1 + max(last.values()) if made is None else made
        rows = self._rows(inputs, scaled, replicas, learned, responses, history, last)
        stopping = self.rule.stated(made) | (found.stated() if found else {})
        return Result(rows, history, made, {"stopping": stopping, "watched": watched(inputs)}, trained)

    def _balance(
        self, inputs: Inputs, scaled: Scaled, first: Networks, seed: int, state: Path | None, key: str
    ) -> Balance:
        """Bias and variance of each iteration, from an unfolding of pseudo-data with known truth."""
        pseudo = inputs.varied(pseudo_replica(inputs))
        place = None if state is None else state / "pseudo_data"
        if place:
            place.mkdir(exist_ok=True)
        boots = [Replica("data_bootstrap", i) for i in range(BOOTSTRAPS)]
        sample = self.recipe.scaled(pseudo, seed, like=scaled)

        def members(*replicas: Replica) -> Members:
            return Members(self.recipe, sample, pseudo, replicas, seed=seed, state=place, key=key)

        every = members(NOMINAL, *boots)
        rule = self.rule.exactly(self.rule.iterations)
        if self.respond:
            Response(every, remove_prior(members(NOMINAL), first, rule))
        else:
            remove_prior(every, first, rule)
        parts = [[h for h in every.history if (h["replica"] == str(NOMINAL)) is own] for own in (True, False)]
        found = balance([inputs], inputs, *by_iteration(*parts))
        log.info("generative: %d of %d iterations balance bias and variance", found.chosen, len(found.bias))
        return found

    def posterior(
        self, inputs: Inputs, *, events: int, draws: int, seed: int, state: Path | None = None, key: str = ""
    ) -> dict[str, np.ndarray]:
        """See `Unfolder.posterior`. The draws are from the first training, before any removal of the prior."""
        return held_out_draws(self.recipe, inputs, events=events, draws=draws, seed=seed, state=state, key=key)

    def _groups(self, replicas: Sequence[Replica], inputs: Inputs) -> list[list[Replica]]:
        """Replicas that share a stack have the same order of batches, kind of inputs, acceptance and rule."""
        systematics = [r for r in replicas if r.family.startswith("systematic:")]
        moved = [
            r
            for r in systematics
            if inputs.kind_of(r) or not np.array_equal(inputs.varied(r).pass_reco, inputs.pass_reco)
        ]
        groups: list[list[Replica]] = []
        for kind in ("nominal", "data_bootstrap", "mc_bootstrap", "systematic"):
            same = [r for r in replicas if r.family.partition(":")[0] == kind and r not in moved]
            groups += [same[i : i + self.stack] for i in range(0, len(same), self.stack)]
        return groups + [[r] for r in replicas if r.anew or r in moved]

    def _count(self, replica: Replica) -> int:
        # Shifts from the nominal need the same number of draws as the nominal, or their noise would not cancel.
        centred = replica == NOMINAL or family(replica.family, 2).centre == "nominal"
        return self.draws if centred else self.replica_draws

    def _rows(
        self,
        inputs: Inputs,
        scaled: Scaled,
        replicas: Sequence[Replica],
        learned: dict[Replica, tuple],
        responses: Sequence[Response],
        history: list[dict[str, Any]],
        last: Mapping[Replica, int],
    ) -> Iterator[dict[str, np.ndarray]]:
        bins, started, done = Bins(inputs.truth[inputs.fiducial]), time.monotonic(), 0
        if responses:
            yield from self._common(inputs, scaled, responses, history)
            done = sum(len(r.replicas) for r in responses)
        for block, replica in enumerate(learned, 0 if NOMINAL in learned else 1):
            state, fraction, efficiency, group, e, given = learned[replica]
            generator = self.recipe.build(scaled.size, scaled.given, state)
            measured, count = group.member(e), self._count(replica)
            sums, beyond = DrawSums(bins, count), 0
            for part, truth in self._drawn(scaled, generator, measured, given, count):
                reco = measured.reco[part]
                share = np.tile(measured.weight[part, 0] * fraction(reco)[:, 0] / count, count)
                # The efficiency enters only here.
                accepted = efficiency(scaled.shown_truth(truth))[:, 0]
                beyond += int((accepted <= efficiency.lowest).sum())
                weights = share / accepted
                sums.add(truth.numpy(), weights)
                yield _row(inputs.names, truth, measured.event_id[part], block) | {replica.column(): weights}
            history.append(
                {"replica": str(replica), "iteration": last[replica], "draws_at_lowest_efficiency": beyond}
                | sums.entry()
            )
            done += 1
            remaining = (time.monotonic() - started) * (len(replicas) / done - 1)
            log.info("generative: %d of %d have drawn, about %.0f s remain", done, len(replicas), remaining)

    def _common(
        self, inputs: Inputs, scaled: Scaled, responses: Sequence[Response], history: list[dict[str, Any]]
    ) -> Iterator[dict[str, np.ndarray]]:
        """The draws of the nominal unfolding, in its order, with the weights of the replicas that follow it."""
        first = responses[0]
        chosen = np.flatnonzero(first.group.measured.weight[:, 0])
        measured, count = first.group.measured.member(0), self.draws
        generator = self.recipe.build(scaled.size, scaled.given, first.nominal.networks[-1].flows.state_of(0))
        sums = [WeightSums(len(r.replicas)) for r in responses]
        for part, truth in self._drawn(scaled, generator, measured, torch.zeros(0), count):
            shown = scaled.shown_truth(truth)
            columns: dict[str, np.ndarray] = {}
            for response, found in zip(responses, sums, strict=True):
                weights, beyond = response.weights(shown, chosen[part], count)
                found.add(weights, beyond)
                columns |= {r.column(): w for r, w in zip(response.replicas, weights.T, strict=True)}
            yield _row(inputs.names, truth, measured.event_id[part], 0) | columns
        for response, found in zip(responses, sums, strict=True):
            history += [
                {"replica": str(r), "iteration": response.nominal.iterations - 1} | entry
                for r, entry in zip(response.replicas, found.entries(), strict=True)
            ]

    @staticmethod
    def _drawn(
        scaled: Scaled, generator: GenerativeModel, measured: MeasuredEvents, given: Tensor, count: int
    ) -> Iterator[tuple[slice, Tensor]]:
        """Pieces of the measured events, and `count` truth events (count n, D) of each, draw after draw."""
        step = max(ROWS // count, 1)
        for start in range(0, len(measured.event_id), step):
            part = slice(start, start + step)
            ids, condition = measured.event_id[part], beside(measured.reco[part], given)
            yield (
                part,
                torch.cat([scaled.draw(generator, condition, scaled.noise(ids, k, even=True)) for k in range(count)]),
            )


def _row(names: Sequence[str], truth: Tensor, event_id: np.ndarray, block: int) -> dict[str, np.ndarray]:
    """Columns of some draws without weights: 0 is the block of the nominal draws, others number own draws."""
    return {f"truth_{n}": c for n, c in zip(names, truth.numpy().T, strict=True)} | {
        "event_id": np.tile(event_id, len(truth) // len(event_id)),
        "block": np.full(len(truth), block, dtype=np.int32),
    }
