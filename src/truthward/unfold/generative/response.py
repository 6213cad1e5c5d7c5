"""Bootstraps of a generative unfolding without trainings: weights for the draws of the nominal unfolding.

A bootstrap differs from the nominal unfolding only by the weights of the events. So all of its networks are close to
the nominal ones, and a draw of the nominal model needs only another weight

    d_r f_r(r) rho_r(t, r) / (K eps_r(t)),    rho_r = p_r(t | r) / p_0(t | r),

which is followed iteration by iteration. eps_r, f_r and the ratio of the prior removal are responses of the nominal
networks (`ratio.response`), rho_r is a `tilt.Tilt`. Before any prior is removed, a bootstrap of the data has rho_r = 1
and the nominal f and eps. Then its weights are exactly d_r / d times the nominal ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from truthward.errors import DivergedError
from truthward.events.effective_size import effective_size, largest_over_mean
from truthward.ratio.classifier import balanced
from truthward.ratio.reweight import finite_ratio, normalise
from truthward.unfold.generative.draws import drawn
from truthward.unfold.generative.posterior import Members
from truthward.unfold.generative.prior_removal import Removal, advance, watch_of
from truthward.unfold.generative.ratio import respond
from truthward.unfold.generative.tilt import Tilt
from truthward.unfold.inputs.arrays import Replica

LOST = 0.1
"""A bootstrap halves the effective number of events. If it is far below this, the response is not valid."""

WAY_OUT = (
    "bootstraps of so few events are too far from the nominal for this approximation; set `replicas: {by: training}`, "
    "which trains each of them"
)


class Response:
    """E members, the first of which is the nominal one.

    Args:
        group: the members, with the inputs and the seed of the nominal unfolding. nominal: what that has trained.

    Raises:
        DivergedError: a replica diverges, or its effective size is far below the nominal one.
    """

    def __init__(self, group: Members, nominal: Removal) -> None:
        self.group, self.nominal = group, nominal
        self.tilt = Tilt(group.scaled.truth.shape[1], group.scaled.given, len(group.replicas))
        try:
            self._begin()
            sizes = self._follow()
        except DivergedError as error:
            raise DivergedError(
                f"generative: one of {len(self.replicas)} replicas by response diverges ({error}): {WAY_OUT}"
            ) from error
        far = np.flatnonzero(sizes[1:] < LOST * sizes[0])
        if far.size:
            raise DivergedError(
                f"generative: {far.size} of {len(self.replicas)} replicas by response have an effective size below "
                f"{LOST:.0%} of the nominal one, such as {self.replicas[far[0]]} with {sizes[1 + far[0]]:.0f} of "
                f"{sizes[0]:.0f} draws: {WAY_OUT}"
            )

    @property
    def replicas(self) -> Sequence[Replica]:
        """The members without the nominal."""
        return self.group.replicas[1:]

    def weights(self, truth: Tensor, chosen: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Weights (count n, R) of the replicas for draws, and how many of them have the lowest efficiency, (R,).

        Args:
            truth: (count n, K'), draws of the nominal model as classifiers see them, draw after draw. chosen: (n,),
                numbers of their measured events.
        """
        measured = self.group.measured
        reco = measured.reco[torch.from_numpy(chosen)]
        share = np.tile(self._fraction(reco) * measured.weight[chosen], (count, 1)) / count
        accepted = self.efficiency(truth)
        found = share * self._rho(truth, reco, count) * self.norm / accepted
        return found[:, 1:], (accepted <= self.efficiency.lowest).sum(axis=0)[1:]

    def _begin(self) -> None:
        """Responses of the networks that no iteration changes."""
        group, recipe, first = self.group, self.group.recipe, self.nominal.networks[0]
        self.efficiency = first.efficiency.respond(
            group.scaled.truth,
            group.scaled.matched_fiducial,
            group.fiducial,
            recipe.side,
            inverse=True,
            held_out=group.held(recipe.side, group.inputs.validation[group.inputs.fiducial]),
            name="efficiency",
        )
        x, label, weights, held = group.shared(recipe.fakes == "share", False, group.reconstructed)
        self.signal = first.signal.respond(x, label, weights, recipe.side, held_out=held, name="signal")

    def _follow(self) -> np.ndarray:
        """Follow the iterations of the nominal unfolding; return the effective sizes of the last draws, (E,)."""
        group, scaled, recipe, inputs = self.group, self.group.scaled, self.group.recipe, self.group.inputs
        measured, matched, count = group.measured, group.matched, recipe.draws
        truth = scaled.truth[torch.from_numpy(scaled.matched_fiducial)]
        reco = scaled.reco[torch.from_numpy(scaled.matched_reco)]
        held = group.held(recipe.first, inputs.validation[inputs.matched])
        used = np.arange(len(reco)) if held is None else np.flatnonzero(~held)
        watch, sizes = watch_of(group), np.ones(len(group.replicas))
        for step, networks in enumerate(self.nominal.networks):
            total = group.reconstructed.copy()
            total[scaled.matched_reco] = matched / self.signal(reco)
            x, label, weights, out = group.shared(recipe.fakes == "absolute", recipe.background == "expected", total)
            self.rest = networks.rest.respond(x, label, weights, recipe.side, held_out=out, name="fraction")
            own = inputs.event_id[inputs.matched]
            simulated = drawn(scaled, networks.flows, group.condition(matched), own, count)[:, 0]
            self.tilt.learn(
                truth[used],
                reco[used],
                matched[used],
                simulated.unflatten(0, (count, -1))[:, used].flatten(0, 1),
                recipe.later if step else recipe.first,
            )
            draws = drawn(scaled, networks.flows, group.data_condition(), measured.event_id, count)[:, 0]
            share = np.tile(self._fraction(measured.reco) * measured.weight, (count, 1)) / count
            found = share * self._rho(draws, measured.reco, count)
            # Each p_r(t | r) is normalised: no yield is lost by it.
            self.norm = share.sum(axis=0) / found.sum(axis=0)
            found = found * self.norm
            unfolded = found / self.efficiency(draws)
            advance(group, watch, draws, unfolded, step)
            sizes = effective_size(unfolded)
            if step + 1 < self.nominal.iterations:
                weights = np.tile(matched, (count, 1)) / count * self._rho(simulated, reco, count)
                matched = self._reweighted(step, matched, draws, found, simulated, weights)
        return sizes

    def _reweighted(
        self, step: int, matched: np.ndarray, draws: Tensor, found: np.ndarray, simulated: Tensor, weights: np.ndarray
    ) -> np.ndarray:
        """The weights `matched` (n_m, E) after a step of prior removal; see `prior_removal`."""
        group, scaled, recipe = self.group, self.group.scaled, self.group.recipe
        numerator = np.arange(len(draws) + len(simulated)) < len(draws)
        both = (group.measured.held, group.inputs.validation[group.inputs.matched])
        held = np.concatenate([np.tile(h, recipe.draws) for h in both]) & bool(recipe.ratio.patience)
        shares = balanced(np.concatenate([found, weights]), numerator, held)[~held]
        x = torch.cat([draws, simulated])[torch.from_numpy(~held)]
        label = f"step {step + 1}, ratio"
        found_ratio = respond(recipe, self.nominal.ratios[step], x, numerator[~held], shares, label=label)
        yields, prior = found.sum(axis=0), scaled.truth[torch.from_numpy(scaled.matched_fiducial)]
        factor, off = normalise(found_ratio(prior) + np.log(yields / matched.sum(axis=0)), matched, yields)
        matched = matched * factor
        group.note(
            step + 1,
            {
                "yield_matched": yields,
                "normalisation_ratio": off,
                "effective_size": effective_size(matched),
                "largest_over_mean": largest_over_mean(matched),
            },
        )
        return matched

    def _rho(self, truth: Tensor, reco: Tensor, count: int) -> np.ndarray:
        """p_r / p_0 (count n, E) at `count` draws of n events, before normalisation."""
        return finite_ratio(self.tilt(truth, reco.repeat(count, 1)))

    def _fraction(self, reco: Tensor) -> np.ndarray:
        """f of all members, (n, K) -> (n, E)."""
        return self.signal(reco) * self.rest(reco)
