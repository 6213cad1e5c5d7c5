"""Correct the drawn events of a surrogate by weights: the density ratio of a classifier (2305.16774)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from truthward.errors import InputError
from truthward.events.effective_size import effective_size, largest_over_mean
from truthward.learn.fit import Settings
from truthward.ratio.classifier import judging_trees, logits, stack_of, train_ratio, two_sample_scores
from truthward.ratio.reweight import auc, normalise
from truthward.records.surrogate import Corrected, Losses
from truthward.study.seeds import seed_for
from truthward.surrogate.drawing import SurrogateModel, draws
from truthward.surrogate.section import Correction

if TYPE_CHECKING:
    from truthward.surrogate.stage import TrainingSample

LogRatios = Callable[[Tensor], np.ndarray]

log = logging.getLogger("truthward.surrogate.correction")


def correct(
    members: Sequence[SurrogateModel],
    batches: Sequence[dict[str, Any]],
    *,
    training: TrainingSample,
    weights: np.ndarray,
    test: TrainingSample,
    settings: Correction,
    seed: int,
    state: Path | None = None,
    key: str = "",
) -> Corrected:
    """Multiply the weights of drawn events by p(x) / q(x) (2305.16774, eq. 4).

    p is the density of the training events and q the density of the draws. The yield of each category and member does
    not change.

    There is one classifier for each member. It learns the ratio of the member's own bootstrap of the
    training events to the same number of new draws, so no network weights an event that it has seen. It sees both
    levels and the category. The validation part and a share of the draws choose its epoch. New, cross-fitted
    classifiers between the draws and the test part judge the result.

    Args:
        members: E of them. batches: result of `draws`, with a column `member`; their weights are replaced.
        training: training and validation part. weights: (N, E), the weights with which each member was trained.
        test: the test part.
        state: file for resuming; `key` is the digest of spec and code.

    Returns:
        AUC before and after and its deviation for equal samples, each a list over members; effective size of all events
        before and after; largest weight divided by the mean weight; losses.

    Raises:
        InputError: there is no event in the test part. DivergedError: a ratio is not finite.
    """
    if not len(test.weight):
        raise InputError(
            "surrogate.correction: no event of the simulation is in the test part, so nothing can test the correction; "
            "simulate more events"
        )
    size = len(training.weight)
    simulated = torch.stack([m.shown(training.values, training.category) for m in members], 1)
    fresh = [_joined(m, list(draws([m], size, seed=seed_for(seed, "fresh", i)))) for i, m in enumerate(members)]
    x = torch.cat([simulated, torch.stack([m.shown(*f) for m, f in zip(members, fresh, strict=True)], 1)])
    held = training.held.numpy()
    given = (
        x,
        np.arange(2 * size) < size,
        np.concatenate([weights, np.ones_like(weights)]),
        # Draws have a random order, so the first ones are a random part.
        np.concatenate([held, np.arange(size) < held.sum()]),
    )
    if settings.classifier == "boosted_trees":
        ratios, losses = _trees(*given)
    else:
        ratios, losses = _networks(*given, settings=settings, seed=seed, state=state, key=key)
    owner = np.array([int(b["member"][0]) for b in batches])
    areas, before = [], np.concatenate([b["weight"] for b in batches])
    for m, member in enumerate(members):
        own = [batches[int(i)] for i in np.flatnonzero(owner == m)]
        values, category = _joined(member, own)
        drawn = member.shown(values, category)
        old = np.concatenate([b["weight"] for b in own])
        new = _kept(ratios[m](drawn)[:, None], old, category.numpy())
        judged = member.shown(test.values, test.category).numpy(), test.weight.numpy(), drawn.numpy()
        areas.append([_area(*judged, w, seed_for(seed, "judge", m), settings) for w in (old, new)])
        for batch, part in zip(own, np.split(new, np.cumsum([len(b["weight"]) for b in own])[:-1]), strict=True):
            batch["weight"] = part
    after = np.concatenate([b["weight"] for b in batches])
    n_test, n_drawn = float(effective_size(test.weight.numpy())), len(after) / len(members)
    summary: Corrected = {
        "auc_before": [a[0] for a in areas],
        "auc_after": [a[1] for a in areas],
        "auc_sigma": float(np.sqrt((n_test + n_drawn + 1.0) / (12.0 * n_test * n_drawn))),
        "effective_size_before": float(effective_size(before)),
        "effective_size": float(effective_size(after)),
        "largest_over_mean": float(largest_over_mean(after)),
        "history": losses,
    }
    log.info("surrogate correction: AUC %s, before %s", summary["auc_after"], summary["auc_before"])
    return summary


def _networks(
    x: Tensor,
    numerator: np.ndarray,
    weights: np.ndarray,
    held_out: np.ndarray,
    *,
    settings: Correction,
    seed: int,
    state: Path | None,
    key: str,
) -> tuple[list[LogRatios], Losses]:
    """A network for each member, all in one stack: their logits as functions of x (N, K) -> (N,), and the losses."""
    inputs, members = x.shape[2], range(x.shape[1])
    network = {"width": settings.width, "depth": settings.depth}
    stack = stack_of(inputs, [seed_for(seed, "initial", m) for m in members], **network)
    history = train_ratio(
        stack,
        x,
        numerator,
        weights,
        Settings(settings.epochs, settings.batch_size, settings.learning_rate),
        seed=seed_for(seed, "batches"),
        held_out=held_out,
        label="surrogate correction",
        state=state,
        key=key,
    )

    def single(member: int) -> LogRatios:
        own = stack_of(inputs, [0], **network)
        own.load_member(0, stack.state_of(member))
        return lambda at: logits(own, at, label="surrogate correction")[:, 0]

    losses: Losses = {"train": history.train, "validation": history.validation, "best": history.best}
    return [single(m) for m in members], losses


def _trees(
    x: Tensor, numerator: np.ndarray, weights: np.ndarray, held_out: np.ndarray
) -> tuple[list[LogRatios], Losses]:
    """Boosted trees for each member, like `_networks`; there is one loss, that of all trees."""
    found = [
        judging_trees(x[:, m], numerator, weights[:, m : m + 1], held_out, f"surrogate correction, member {m}")
        for m in range(x.shape[1])
    ]
    grown, losses = zip(*found, strict=True)
    train, validation = [v.train for v in losses], [v.held_out for v in losses]
    return list(grown), {"train": [train], "validation": [validation], "best": [0] * len(grown)}


def _joined(member: SurrogateModel, batches: Sequence[Mapping[str, Any]]) -> tuple[Tensor, Tensor]:
    """Observables (N, 2 K) and categories (N,) of all batches."""
    values, categories = zip(*(member.read(b) for b in batches), strict=True)
    return torch.cat(values), torch.cat(categories)


def _kept(log_ratio: np.ndarray, weights: np.ndarray, category: np.ndarray) -> np.ndarray:
    """Weights (N,) times the ratios, given as log ratios (N, 1), with the same sum in each category as before."""
    new = np.empty_like(weights)
    for c in np.unique(category):
        here = category == c
        ratio, _ = normalise(log_ratio[here], weights[here, None], weights[here].sum(keepdims=True))
        new[here] = weights[here] * ratio[:, 0]
    return new


def _area(p: np.ndarray, w_p: np.ndarray, q: np.ndarray, w_q: np.ndarray, seed: int, settings: Correction) -> float:
    """AUC of new classifiers; each is tested with the half of the events that it was not trained with."""
    scores = two_sample_scores(
        p,
        w_p,
        q,
        w_q,
        seed=seed,
        # Always by networks: trees would be blind to what trees have missed.
        **settings.model_dump() | {"classifier": "dense"},
        label="surrogate correction, judged",
    )
    return auc(np.concatenate(scores), np.arange(len(p) + len(q)) < len(p), np.concatenate([w_p, w_q]))
