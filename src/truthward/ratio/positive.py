"""Replace signed weights by positive weights: for data minus background, or negative weights in simulation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from truthward.errors import InputError
from truthward.events.effective_size import effective_size
from truthward.learn.fit import Settings
from truthward.ratio.probability import Probability

VANISHING = 1e-3
"""An event whose weight is below this share of its base weight is reported as lost."""


def positive_weights(
    model: Probability,
    x: Tensor,
    weights: np.ndarray,
    base: np.ndarray,
    settings: Settings,
    *,
    seed: int,
    held_out: np.ndarray | None = None,
    name: str = "positive weights",
    state: Path | None = None,
    key: str = "",
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Neural positive re-weighting (2007.11586): weights base_i P(x_i), P(x) = E[weight | x] / E[base | x].

    They describe the same density as `weights` and, for each member, have exactly the same sum. `base` decides which
    events carry them:

    - data minus background: `weights` is (data, -background) and `base` is (data, 0): only data events remain;
    - signed generator weights: `base` is |weight|, and all events remain.

    P is learned as the probability of a label. Each event is used twice: with the label and the weight `weight`, and
    without the label and the weight `base - weight`. P is between 0 and 1 by construction. This is right if
    0 <= E[weight | x] <= E[base | x]. Elsewhere, for example with more background than data, P goes to its limit. A
    shift of all logits then restores the sum. Such events are counted.

    Args:
        model: networks of E members, trained here; their inputs should be of order one.
        x: (N, D), or (N, E, D) if every member has its own inputs.
        weights: (N, E), of any sign; base: (N, E), not negative.
        held_out: (N,) bool, rows that choose the epoch. None: train on all rows.

    Returns:
        The weights (N, E), none negative; and diagnostics (E,). `smallest`: the smallest P of the events with `base`
        above zero. `vanishing`: the number of these events with P below VANISHING. `effective_share`: the effective
        number of events (sum w)^2 / sum w^2, divided by its value for `base`.

    Raises:
        InputError: a negative or non-finite `base`.
        DivergedError: weights, or `base - weight`, without a positive sum; a loss or a logit that is not finite.
    """
    if bad := int((~(np.isfinite(base) & (base >= 0))).sum()):
        raise InputError(f"{name}: {bad} of {base.size} base weights are negative or not finite")
    rest = base - weights
    both = np.flatnonzero((rest != 0).any(axis=1))
    rows = np.concatenate([np.arange(len(weights)), both])
    label = np.arange(len(rows)) < len(weights)
    model.train(
        x[torch.from_numpy(rows)],
        label,
        np.concatenate([weights, rest[both]]),
        settings,
        seed=seed,
        held_out=None if held_out is None else held_out[rows],
        name=name,
        state=state,
        key=key,
    )
    share = model(x)
    result, used = base * share, base > 0
    return result, {
        "smallest": np.where(used, share, np.inf).min(axis=0),
        "vanishing": (used & (share < VANISHING)).sum(axis=0),
        "effective_share": effective_size(result) / effective_size(base),
    }
