"""The predictions of a trained calibrator, and tests of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from truthward.calibrate.base import Calibrator
from truthward.calibrate.closure import CAVEAT, closure, moments, pulls
from truthward.errors import DivergedError
from truthward.records.calibrate import Judged

ROWS = 4096
"""Number of events in one call of the networks: with more, the activations leave the cache and fragment the heap."""


def features_of(columns: Mapping[str, np.ndarray], calibrator: Calibrator) -> np.ndarray:
    """(N, F) float32 from the columns `reco_<feature>`, in the order of the calibrator's features."""
    return np.stack([columns[f"reco_{name}"] for name in calibrator.features], axis=1).astype(np.float32)


def evaluate(calibrator: Calibrator, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(B, F) -> mean, sigma_systematic, sigma_statistical (B,) and the members' means (K, B), in double precision.

    Raises:
        DivergedError: a response is not finite and positive, with the count.
    """
    pieces: list[list[Tensor]] = [
        [*calibrator.predict(piece), calibrator.members(piece)] for piece in torch.from_numpy(x).split(ROWS)
    ]
    mean, systematic, statistical, members = (torch.cat(p, -1).double().numpy() for p in zip(*pieces, strict=True))
    for name, value in (("mean", mean), ("member", members)):
        if bad := int((~(np.isfinite(value) & (value > 0))).sum()):
            raise DivergedError(
                f"calibrate: {name}: {bad} of {value.size} responses are not finite and positive; check the history of "
                "the training"
            )
    return mean, systematic, statistical, members


def judge(calibrator: Calibrator, events: Mapping[str, np.ndarray]) -> Judged:
    """Pulls, closure in bins of reco (calibrated) and truth quantities, and sizes of the uncertainties, on `events`."""
    mean, systematic, statistical, members = evaluate(calibrator, events["x"])
    target, response, weight = calibrator.target, events["response"], events["weight"]
    after = response / mean
    bins = {f"reco_{target}": events[f"reco_{target}"] / mean, f"truth_{target}": events[f"truth_{target}"]}
    bins |= {name: events[name] for name in ("reco_jet_eta", "truth_jet_eta") if name in events}
    average = partial(np.average, weights=weight)
    return {
        "pull": pulls(response, mean, np.hypot(systematic, statistical), weight),
        "closure": {name: closure(by, response, after, weight) for name, by in bins.items()},
        "closure_caveat": CAVEAT,
        "response": {"before": moments(response, weight), "after": moments(after, weight)},
        "sigma": {
            "systematic": float(average(systematic)),
            "statistical": float(average(statistical)),
            "relative_to_mean": {
                "systematic": float(average(systematic / mean)),
                "statistical": float(average(statistical / mean)),
            },
        },
        "members": {
            "count": len(members),
            "mean_response": [float(average(m)) for m in members],
            "closure": [float(average(response / m)) for m in members],
            "spread": float(average(members.std(0, ddof=1))),
        },
    }
