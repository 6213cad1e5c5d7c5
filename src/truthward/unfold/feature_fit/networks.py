"""The features of `feature_fit`: hidden units of its trained networks at both levels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from truthward.learn.scaling import RankScaling
from truthward.ratio.classifier import Classifier
from truthward.unfold.inputs.arrays import Inputs

ROWS = 32768


class Features:
    """The trained networks: observables of events -> a constant, then the hidden units minus their mean.

    arrays: name -> array: the states of the networks with their scalings. After a fit also `theta`, `whitening` and
    `penalty`.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], inputs: Inputs, network: Mapping[str, Any]) -> None:
        self.arrays = dict(arrays)
        self.networks, self.scalings = {}, {}
        for level in ("reco", "truth"):
            own = {n.removeprefix(f"{level}."): torch.from_numpy(a) for n, a in arrays.items() if n.startswith(level)}
            scaling = {n: own.pop(n) for n in list(own) if n.startswith("scaling.")}
            self.scalings[level] = RankScaling.of_arrays({n.removeprefix("scaling."): a for n, a in scaling.items()})
            classifier = Classifier(self.scalings[level].inputs, **network)
            classifier.load_state_dict(own)
            self.networks[level] = classifier.eval()
        # Subtract the mean: with the constant as a feature, this changes only the rounding.
        self.centre = {"reco": torch.zeros(()), "truth": torch.zeros(())}
        self.centre = {
            "reco": self.at("reco", inputs.reco[inputs.matched])[:, 1:].mean(dim=0),
            "truth": self.at("truth", inputs.truth[inputs.fiducial])[:, 1:].mean(dim=0),
        }

    def log_ratio(self, x: np.ndarray) -> np.ndarray:
        """Logit (N,) of the classifier at reco level."""
        with torch.no_grad():
            return self.networks["reco"](self.scalings["reco"](torch.from_numpy(x))).double().numpy()

    def log_nu(self, x: np.ndarray, theta: Tensor) -> np.ndarray:
        """Truth observables (N, D) -> log nu (N,)."""
        return (self.at("truth", x) @ theta.float()).double().numpy()

    def at(self, level: str, x: np.ndarray) -> Tensor:
        """Features at a level, (N, D) -> (N, F) at reco level and (N, P) at truth level."""
        network, scaling = self.networks[level], self.scalings[level]
        with torch.no_grad():
            parts = [network.network.layers[:-1](scaling(p)) for p in torch.from_numpy(x).split(ROWS)]
            hidden = torch.cat(parts) - self.centre[level]
            return torch.cat([torch.ones(len(hidden), 1), hidden], dim=1)
