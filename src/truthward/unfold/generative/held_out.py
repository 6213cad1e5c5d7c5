"""Draws from p(truth | reco) for simulated events that the networks have not seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from truthward.errors import InputError
from truthward.events.hashing import uniform
from truthward.events.split import TEST
from truthward.study.seeds import seed_for
from truthward.unfold.generative.posterior import GenerativeRecipe, Members
from truthward.unfold.inputs.arrays import NOMINAL, Inputs


def held_out_draws(
    recipe: GenerativeRecipe, inputs: Inputs, *, events: int, draws: int, seed: int, state: Path | None, key: str
) -> dict[str, np.ndarray]:
    """Train like the first step of an unfolding, and draw for matched events that the training has not seen.

    It trains on simulated events outside the split "test" and draws for events inside. The unfolding itself trains on
    all events, because a fifth fewer events would cost more than this check is worth. So its own networks cannot be
    judged with events that they have not seen. Instead the check judges the recipe, with separate networks trained on
    four fifths of the events. The networks of the unfolding are as good or better. Events of the split "test" have
    weight zero in the trainings and in the transforms of the columns.

    Returns:
        As `Unfolder.posterior`.

    Raises:
        InputError: no matched event is in the split "test".
    """
    test = inputs.split == TEST
    rest = replace(inputs, weight=np.where(test, 0.0, inputs.weight))
    chosen = np.flatnonzero(test & inputs.matched & (inputs.weight != 0))
    if not len(chosen):
        raise InputError(
            "posterior: no reconstructed signal event is in the test split, so nothing can test the posterior; "
            "simulate more events"
        )
    scaled = recipe.scaled(rest, seed)
    members = Members(recipe, scaled, rest, [NOMINAL], seed=seed, state=state, key=key)
    model = recipe.build(scaled.size, scaled.given, members.first().flows.state_of(0))
    rank = uniform(inputs.event_id[chosen], seed_for(seed, "posterior", "events"))
    picked = chosen[np.sort(np.argsort(rank, kind="stable")[:events])]
    ids, condition = inputs.event_id[picked], scaled.shown_reco(torch.from_numpy(inputs.seen("reco")[picked]))
    if members.medians.columns:
        # The medians of other events with the same parameter: the event would get them in a sample like theirs.
        given = members.medians.simulated(members.passed, members.reconstructed)[:, 0]
        condition = torch.cat([condition, given[np.searchsorted(np.flatnonzero(inputs.matched), picked)]], dim=-1)
    drawn = torch.stack([scaled.draw(model, condition, scaled.noise(ids, k)) for k in range(draws)], dim=1).numpy()
    return {
        **{f"truth.{n}": inputs.truth[picked, c] for c, n in enumerate(inputs.names)},
        **{f"draws.{n}": drawn[:, :, c] for c, n in enumerate(inputs.names)},
        "event_id": ids,
        "weight": inputs.weight[picked],
        "conditional": np.array([model.CONDITIONAL]),
        "events": np.array([len(chosen)]),
    }
