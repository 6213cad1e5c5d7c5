"""Errors of a sample drawn from an ensemble, from the spread of its members."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from truthward.errors import InputError
from truthward.events.bins import binned
from truthward.events.families import RankWarning
from truthward.events.table import EventTable


def member_covariance(
    table: EventTable,
    observable: str,
    edges: Sequence[float],
    *,
    level: str = "truth",
    calibration: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Histogram of a drawn sample and its covariance from the spread of the members, for any binning.

    Each member is like a repeated training (on a bootstrap of the data, or as a draw from a posterior). The mean of E
    members has the covariance C (1 + 1/E) times the calibration, with the covariance C between members (ddof 1,
    including their sampling noise).

    Args:
        table: a sample with the column `member`.
        observable: name of the observable.
        edges: (B + 1,).
        level: "truth" or "reco".
        calibration: factor on the variance; by default from the metadata of the sample, or 1.

    Returns:
        histogram (B,), sum of weights; covariance (B, B).

    Raises:
        InputError: the table has no column `member`, or fewer than two members.

    Warns:
        RankWarning: the number of bins is larger than members - 1.
    """
    if "member" not in table.columns:
        raise InputError(
            f"{table.path}: no column member, from which the errors come; draw the sample from an ensemble"
        )
    if calibration is None:
        calibration = float(table.metadata.get("amplification", {}).get("calibration", 1.0))
    bins = np.asarray(edges, dtype=np.float64)
    if (members := int(table.metadata["members"])) < 2:
        raise InputError(f"{table.path}: {members} member given; a spread needs two at least")
    histograms = np.zeros((members, len(edges) - 1))
    for batch in table.batches([f"{level}_{observable}", "weight", "member"]):
        values = batch[f"{level}_{observable}"]
        for m in np.unique(batch["member"]):
            own = (batch["member"] == m) & np.isfinite(values)
            histograms[m] += binned(values[own], bins, batch["weight"][own])
    if members - 1 < len(bins) - 1:
        warnings.warn(
            f"{table.path}: {observable}: a covariance from {members} members has rank {members - 1}, less than the "
            f"number of bins, {len(edges) - 1}; use its diagonal, or fewer bins",
            RankWarning,
            stacklevel=2,
        )
    # Each member has 1/E of the yield: E times its histogram is an estimate of the total.
    covariance = np.atleast_2d(np.cov(members * histograms, rowvar=False, ddof=1)) * (
        calibration * (1.0 + 1.0 / members)
    )
    return histograms.sum(0), covariance
