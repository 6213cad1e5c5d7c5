"""Reweight hidden quantities until visible ones agree: the two steps of OmniFold (1911.09107), for one member."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from truthward.learn.fit import Settings
from truthward.learn.scaling import RankScaling
from truthward.learn.stack import Stack
from truthward.ratio.base import LogRatio
from truthward.ratio.classifier import logits, stack_of, train_ratio
from truthward.ratio.reweight import finite_ratio, normalise, train_mean
from truthward.study.seeds import seed_for

EPOCHS, LATER, BATCH, RATE, ANNEALING = 6, 3, 1024, 6e-3, 0.7
BATCHES = 32
"""An epoch has at least this number of batches."""


def two_step(
    target: np.ndarray,
    target_weight: np.ndarray,
    seen: np.ndarray,
    latent: np.ndarray,
    weight: np.ndarray,
    fixed: np.ndarray,
    fixed_weight: np.ndarray,
    everywhere: np.ndarray,
    *,
    iterations: int,
    seed: int,
    start: np.ndarray | None = None,
    label: str = "two steps",
) -> np.ndarray:
    """Factors nu(latent) for events such that their visible quantities agree with the target.

    Step 1: omega(s) = target / (events weighted with nu, plus the fixed ones), a function of the visible quantities,
    with absolute yields. Step 2: nu'(l) = E[nu omega | l] over the events with their own weights. Both sums are
    imposed exactly.

    Args:
        target: (M, S), visible quantities of the target, with target_weight (M,).
        seen, latent, weight: (n, S), (n, L) and (n,): events with known visible and latent quantities.
        fixed, fixed_weight: (f, S) and (f,): other events that are expected in the target; they keep their weight.
        everywhere: (N, L), the latent values at which nu is needed.
        start: nu of the n events at the start. None: one.

    Returns:
        nu at `everywhere`, (N,).

    Raises:
        DivergedError: a training, ratios that are not finite, or sums that are not positive.
    """
    levels = (
        _sample(target, target_weight),
        _sample(np.concatenate([seen, fixed]), np.concatenate([weight, fixed_weight])),
    )
    scalings = [RankScaling(target.shape[1]).fit(*levels), RankScaling(latent.shape[1]).fit(_sample(latent, weight))]
    x = scalings[0](torch.cat([values for values, _ in levels]))
    latents, places = (scalings[1](torch.from_numpy(values)) for values in (latent, everywhere))
    numerator = np.arange(len(x)) < len(target)
    stacks = [_stack(s, seed_for(seed, n)) for s, n in zip(scalings, ("seen", "latent"), strict=True)]
    nu = np.ones(len(seen)) if start is None else start
    total, found = np.array([target_weight.sum()]), np.ones(len(everywhere))
    for iteration in range(iterations):
        name, own = f"{label}, iteration {iteration + 1}", seed_for(seed, iteration)
        simulated = np.concatenate([weight * nu, fixed_weight])[:, None]
        weights = np.concatenate([target_weight[:, None], simulated])
        train_ratio(
            stacks[0],
            x,
            numerator,
            weights,
            _settings(iteration, len(x)),
            seed=seed_for(own, "seen"),
            label=f"{name}, seen",
        )
        offset = np.log(total / simulated.sum(axis=0))
        omega, _ = normalise(logits(stacks[0], x[len(target) :], label=name) + offset, simulated, total)
        ratio = nu[:, None] * omega[: len(seen)]
        offset, _ = train_mean(
            stacks[1],
            latents,
            ratio,
            weight[:, None],
            _settings(iteration, len(seen)),
            seed=seed_for(own, "latent"),
            label=f"{name}, latent",
        )
        reached = (weight[:, None] * ratio).sum(axis=0)
        learned, off = normalise(logits(stacks[1], latents, label=name) + offset, weight[:, None], reached)
        nu = learned[:, 0]
        found = finite_ratio(logits(stacks[1], places, label=name) + offset - off)[:, 0]
    return found


def conditional_mean(
    x: np.ndarray, values: np.ndarray, weight: np.ndarray, everywhere: np.ndarray, *, seed: int, label: str
) -> np.ndarray:
    """E[value | x], positive, from values (n,) at x (n, D) with weights (n,), at other places (N, D) -> (N,).

    The weighted sum of the mean over the events is exactly the weighted sum of the values.

    Raises:
        DivergedError: the training, a mean that is not positive, or results that are not finite.
    """
    scaling = RankScaling(x.shape[1]).fit(_sample(x, weight))
    inputs, places = (scaling(torch.from_numpy(values)) for values in (x, everywhere))
    stack = _stack(scaling, seed_for(seed, "initial"))
    settings = replace(_settings(0, len(x)), epochs=2 * EPOCHS)
    offset, _ = train_mean(stack, inputs, values[:, None], weight[:, None], settings, seed=seed, label=label)
    total = np.array([(weight * values).sum()])
    _, off = normalise(logits(stack, inputs, label=label) + offset, weight[:, None], total)
    return finite_ratio(logits(stack, places, label=label) + offset - off)[:, 0]


def _sample(values: np.ndarray, weight: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(values), torch.from_numpy(weight)


def _stack(scaling: RankScaling, seed: int) -> Stack[LogRatio]:
    return stack_of(scaling, [seed], width=64, depth=2)


def _settings(iteration: int, rows: int) -> Settings:
    return Settings(
        epochs=LATER if iteration else EPOCHS,
        batch_size=max(1, min(BATCH, rows // BATCHES)),
        learning_rate=RATE * ANNEALING**iteration,
    )
