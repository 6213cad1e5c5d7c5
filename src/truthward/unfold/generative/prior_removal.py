"""Remove the prior from p(truth | reco): draw, re-weight the training truth, train again, until a rule ends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from truthward.errors import DivergedError
from truthward.events.effective_size import effective_size, largest_over_mean
from truthward.learn.stack import Stack
from truthward.ratio.probability import Probability
from truthward.ratio.reweight import auc, normalise
from truthward.unfold.generative.draws import Scaled, drawn
from truthward.unfold.generative.posterior import GenerativeRecipe, Members, Networks
from truthward.unfold.generative.ratio import Ratio, ratio_of
from truthward.unfold.stop.rules import COARSE, StopRule, Watch


@dataclass(frozen=True)
class Removal:
    """What all iterations have trained, for E members.

    networks: after each iteration; the first ones have the simulation's own prior. ratios: the state of the first
    member's classifier in each step of prior removal, one less.
    """

    networks: list[Networks]
    ratios: list[dict[str, Tensor]] = field(default_factory=list)

    @property
    def iterations(self) -> int:
        """Number of iterations, including the first."""
        return len(self.networks)

    def arrays(self) -> dict[str, np.ndarray]:
        """The networks of a single member, as named arrays."""
        found = {f"0.{n}": a for n, a in self.networks[0].arrays().items()}
        for step, (networks, ratio) in enumerate(zip(self.networks[1:], self.ratios, strict=True), 1):
            found |= {f"{step}.{n}": a for n, a in networks.arrays().items() if n.startswith(("model.", "rest."))}
            found |= {f"{step}.ratio.{n}": t.numpy() for n, t in ratio.items()}
        return found | {"iterations": np.array([self.iterations])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], recipe: GenerativeRecipe, scaled: Scaled) -> Removal:
        """Rebuild from `arrays`."""

        def of(step: int) -> dict[str, np.ndarray]:
            return {n.removeprefix(f"{step}."): a for n, a in arrays.items() if n.startswith(f"{step}.")}

        steps = range(int(arrays["iterations"][0]))
        ratios = [
            {n.removeprefix("ratio."): torch.from_numpy(a) for n, a in of(k).items() if n.startswith("ratio.")}
            for k in steps[1:]
        ]
        # What no step changes is stored once.
        return cls([Networks.from_arrays(of(0) | of(k), recipe, scaled) for k in steps], ratios)


def remove_prior(group: Members, before: Networks, rule: StopRule) -> Removal:
    """Iterate from the networks of the first training: draw, give the simulation the unfolded truth spectrum, train.

    The rule ends it, by the change of the first member.
    """
    done = Removal([before])
    scaled, measured, members = group.scaled, group.measured, len(group.replicas)
    ratio = ratio_of(group.recipe, scaled.truth.shape[1], group.initial("ratio"))
    watch, matched = watch_of(group), group.matched
    for iteration in range(rule.iterations):
        x = drawn(scaled, before.flows, group.data_condition(), measured.event_id, group.recipe.draws)
        x = x[:, 0] if x.shape[1] == 1 else x
        share = before.fraction(measured.reco) * measured.weight
        found = np.tile(share, (group.recipe.draws, 1)) / group.recipe.draws
        change = advance(group, watch, x, found / _at(before.efficiency, x), iteration)
        if rule.ends(iteration, change[0]):
            break
        matched, diagnostics = _reweighted(group, ratio, before.flows, matched, x, found, iteration + 1)
        after = Networks(
            Stack(lambda: group.recipe.build(scaled.size, scaled.given), [0] * members),
            before.signal,
            Probability(before.rest.inputs, [0] * members),
            before.efficiency,
        )
        after.flows.start_from(before.flows)
        after.rest.stack.start_from(before.rest.stack)
        group.train(after, matched, iteration + 1, diagnostics)
        done.ratios.append(ratio.state())
        done.networks.append(after)
        before = after
    return done


def watch_of(group: Members) -> Watch:
    """The coarse truth bins of a group, with its simulation before the first iteration."""
    prior = group.scaled.truth[:, : group.scaled.size].numpy()
    watch = Watch(prior, len(group.replicas))
    watch.start(prior, group.fiducial, group.scaled.matched_fiducial, group.matched, group.data)
    watch.add(prior, group.fiducial)
    return watch


def advance(group: Members, watch: Watch, x: Tensor, unfolded: np.ndarray, iteration: int) -> np.ndarray:
    """Fill and note the draws x of an iteration, (n, K') or (n, E, K'), with weights (n, E); return the change (E,).

    Raises:
        DivergedError: an unfolded yield is not positive.
    """
    previous = watch.contents
    watch.clear()
    watch.add(x[..., : group.scaled.size].numpy(), unfolded)
    # The bins of each observable hold all events, so the bins of the first one give the yield.
    yields = [c[:COARSE].sum(axis=0) for c in (previous, watch.contents)]
    if not (yields[1] > 0).all():
        raise DivergedError(
            f"generative: iteration {iteration + 1}: the unfolded yield is {yields[1].min():.3g}, but must be "
            "positive; check the weights of data and background"
        )
    change = watch.change(previous)
    group.note(iteration, {"yield_before": yields[0], "yield": yields[1], "change": change, "contents": watch.contents})
    return change


def _reweighted(
    group: Members, ratio: Ratio, flows: Stack, matched: np.ndarray, x: Tensor, found: np.ndarray, step: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The weights `matched` (n_m, E) times a ratio of densities; diagnostics.

    The numerator is the draws for the data, x (K M, D) or (K M, E, D) with weights `found` (K M, E). The denominator is
    the draws of the same model for the simulation. For an exact model, these would be the matched events themselves.
    But the model is not exact, and if the detector resolves little, its errors would add up over the iterations. In
    this ratio they cancel. The efficiency at t is the same in both spectra and also cancels.
    """
    recipe, inputs, scaled = group.recipe, group.inputs, group.scaled
    prior, own = scaled.truth[torch.from_numpy(scaled.matched_fiducial)], inputs.event_id[inputs.matched]
    simulated = drawn(scaled, flows, group.condition(matched), own, recipe.draws)
    simulated = simulated[:, 0] if simulated.shape[1] == 1 else simulated
    numerator = np.arange(len(x) + len(simulated)) < len(x)
    x = torch.cat(_alike(x, simulated, len(group.replicas)))
    weights = np.concatenate([found, np.tile(matched, (recipe.draws, 1)) / recipe.draws])
    yields = found.sum(axis=0)
    both = (group.measured.held, inputs.validation[inputs.matched])
    held = np.concatenate([np.tile(h, recipe.draws) for h in both])
    common = group.common("ratio", step)
    ratio.train(x, numerator, weights, group.held(recipe.ratio, held), **common)
    score = ratio.logits(x, common["name"])
    offset = np.log(yields / matched.sum(axis=0))
    factor, off = normalise(ratio.logits(prior, common["name"]) + offset, matched, yields)
    matched = matched * factor
    judged = held if recipe.ratio.patience else np.ones(len(x), dtype=bool)
    members = range(len(group.replicas))
    return matched, {
        "yield_matched": yields,
        "normalisation_ratio": off,
        "auc": np.array([auc(score[judged, e], numerator[judged], weights[judged, e]) for e in members]),
        "effective_size": effective_size(matched),
        "largest_over_mean": largest_over_mean(matched),
    }


def _alike(x: Tensor, y: Tensor, members: int) -> list[Tensor]:
    """Both (n, D), or both (n, E, D): if one has own values for each member, the other is repeated for all members."""
    if x.ndim == y.ndim:
        return [x, y]
    return [z if z.ndim == 3 else z[:, None].expand(-1, members, -1) for z in (x, y)]


def _at(probability: Probability, x: Tensor) -> np.ndarray:
    """Probabilities (n, E) at x (n, D), or (n, E, D); one member may stand for all."""
    if x.ndim == 3 and probability.members == 1:
        return probability(x.flatten(0, 1)).reshape(x.shape[:2])
    return probability(x)
