"""Remove background from the data by weights between 0 and 1, for all methods that can unfold weighted events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from truthward.learn.fit import Settings
from truthward.ratio.positive import positive_weights
from truthward.ratio.probability import Probability
from truthward.study.seeds import seed_for


def without_background(
    x: Tensor,
    data: np.ndarray,
    background: np.ndarray,
    settings: Settings,
    *,
    seed: int,
    held_out: np.ndarray | None = None,
    name: str,
    state: Path | None,
    key: str,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Weights (M, E) of the data that describe the data without background; no background is left elsewhere.

    Args:
        x: reco values of order one, first of the data, then of the background, (M + B, D), or (M + B, E, D) if each
            member has its own.
        data, background: weights (M, E) and (B, E).
        held_out: (M + B,) bool, rows that choose the epoch; None: train on all rows.

    Returns:
        The weights, and the diagnostics of `ratio.positive.positive_weights`, each named background_...

    Raises:
        InputError, DivergedError: as `positive_weights`.
    """
    model = Probability(x.shape[-1], [seed_for(seed, "initial", "background")] * data.shape[1])
    found, checks = positive_weights(
        model,
        x,
        np.concatenate([data, -background]),
        np.concatenate([data, np.zeros_like(background)]),
        settings,
        seed=seed_for(seed, "background"),
        held_out=held_out,
        name=name,
        state=state,
        key=key,
    )
    return found[: len(data)], {f"background_{n}": v for n, v in checks.items()}
