"""Effective sample size and largest weight of sets of weights."""

from __future__ import annotations

import numpy as np


def effective_size(weights: np.ndarray) -> np.ndarray:
    """Kish's effective sample size (sum w)^2 / sum w^2 along the first axis, (N, ...) -> (...)."""
    return weights.sum(axis=0) ** 2 / (weights**2).sum(axis=0)


def largest_over_mean(weights: np.ndarray) -> np.ndarray:
    """Largest |weight| over mean |weight| along the first axis, (N, ...) -> (...)."""
    return np.abs(weights).max(axis=0) / np.abs(weights).mean(axis=0)
