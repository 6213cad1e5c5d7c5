"""Predictions that the page compares with the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from truthward.records.validate.method import ValidatedMethod


@dataclass(frozen=True)
class BinnedPrediction:
    """Histograms of single observables, for all events of the fiducial region.

    histograms: observable -> edges (B + 1,) and expected events (B,). The page merges bins, but cannot divide them.
    """

    label: str
    histograms: Mapping[str, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class EventsPrediction:
    """Weighted events: the page shows them for any expression, selection and binning.

    weights: (N,), which sum to the expected events. values: observable -> (N,), or None for the events of the
    publication themselves, in the order of their rows.
    """

    label: str
    weights: np.ndarray
    values: Mapping[str, np.ndarray] | None = None


Prediction = BinnedPrediction | EventsPrediction


def simulation(validated: ValidatedMethod) -> BinnedPrediction:
    """The simulation before unfolding, in the bins of the validation."""
    curves = {name: entry["histogram"]["own"] for name, entry in validated["observables"].items()}
    return BinnedPrediction(
        "simulation before unfolding",
        {name: (np.array(own["edges"]), np.array(own["prior"]["sum"])) for name, own in curves.items()},
    )
