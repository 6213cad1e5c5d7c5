"""The base class of all calibrators: a response with a systematic and a statistical uncertainty for each jet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import Tensor, nn

from truthward.errors import InputError
from truthward.learn.fit import History


class Calibrator(nn.Module, ABC):
    """Learns the distribution of R = reco / truth of one quantity from reco-level features x (B, F).

    R itself is learned, not its logarithm: after division by E[R | x] the calibrated quantity has a mean response of
    one in any selection on x. E[R | x] is conditional on reco level, so it depends on the truth spectrum of the
    simulation. The unfolding removes this dependence, not the calibration.

    Constructors take keyword-only options with literal defaults. They include

    - features: reco-level observables, in the order of the columns of x; `log_features` are those used as logarithms;
    - target: the observable whose response is learned, from `reco_<target>` and `truth_<target>`;
    - scales: the observables that scale with the jet's four-momentum and are divided by E[R | x];
    - members: number of mean responses, each a replica of the family `systematic:calibration`.
    """

    OPTIONS = ("features", "log_features", "target", "scales", "members")

    features: list[str]
    log_features: list[str]
    target: str
    scales: list[str]

    @abstractmethod
    def train_on(
        self,
        x: Tensor,
        response: Tensor,
        weights: Tensor,
        validation: Tensor,
        *,
        seed: int,
        state: Path | None = None,
        state_key: str = "",
    ) -> History:
        """Learn from matched events of the simulation, once.

        Args:
            x: (N, F) features, in the units of the event table.
            response: (N,) R.
            weights: (N,), of any sign.
            validation: (N,) bool, events that choose the epoch.
            seed: seed of all random numbers.
            state: file for resuming.
            state_key: digest of spec and code.

        Raises:
            InputError: features that are not finite, or not positive if their logarithm is used.
            DivergedError: the training became non-finite.
            Interrupted: by a signal; the state was saved.
        """

    @abstractmethod
    def predict(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, F) -> mean, sigma_systematic, sigma_statistical of R, each (B,), without unit.

        sigma_systematic is the width of R at given x, from the noise of the detector and from quantities that are not
        among the features; more training events do not reduce it. sigma_statistical is the error of the mean from the
        finite training.
        """

    @abstractmethod
    def members(self, x: Tensor) -> Tensor:
        """(B, F) -> (K, B): K mean responses, equally probable; their spread is sigma_statistical."""

    def prepared(self, x: Tensor) -> Tensor:
        """(B, F) -> (B, F), with the logarithm of each column in `log_features`.

        Raises:
            InputError: a value is not finite, or is not positive but its logarithm is needed.
        """
        columns = []
        for name, column in zip(self.features, x.unbind(1), strict=True):
            use_log = name in self.log_features
            if bad := int((~torch.isfinite(column) | ((column <= 0) if use_log else False)).sum()):
                why = "not finite or not positive (it is in `log_features`)" if use_log else "not finite"
                raise InputError(
                    f"calibrate: feature {name}: {bad} of {len(column)} values are {why}; select these events away, or "
                    "remove the feature"
                )
            columns.append(column.log() if use_log else column)
        return torch.stack(columns, 1)
