"""Heteroscedastic regression by a repulsive ensemble with a kernel in function space."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from truthward.calibrate.base import Calibrator
from truthward.errors import ConfigError
from truthward.learn.fit import History, Settings, fit
from truthward.learn.knots import knots_of
from truthward.learn.nets import MLP
from truthward.learn.repulsion import crowding
from truthward.learn.scaling import RankScaling
from truthward.learn.stack import Stack
from truthward.study.seeds import seed_for

log = logging.getLogger("truthward.calibrate")

FAR = 20.0
"""Largest distance from the median of R, in widths. A value beyond it is a mistake and not a response."""


class Repulsive(Calibrator):
    """E networks that give mean and width of a Gaussian for R, trained together so that their spread is an uncertainty.

    Let f_i = (mean_i, ln sigma_i), in units of the width of R over the sample (half its central 68% interval). Let N be
    the effective number of training events. Member i minimises

        < -ln Gauss(R; mean_i, sigma_i) >  +  (repulsion / N) ln sum_j k(f_i, sg f_j),   k(f, g) = exp(-|f - g|^2 / h).

    sg stops the gradient, |f - g|^2 is the mean over points and h = median |f_i - f_j|^2 / ln(E + 1). The gradient of
    the second term is the repulsion in function space of 2106.11642. It was used for amplitudes in 2412.12069 and for
    calorimeter clusters in 2412.04370. The prior is the weight decay. There are two such terms: one at the points of
    the batch, and one at points around them at a distance of `reach` (as in 1902.09754). In regions without events
    nothing holds the members together, so they separate, and sigma_statistical grows outside the training range.

    The median bandwidth limits the distance of whole functions, not of each of their degrees of freedom. So repulsion
    alone understates the error of the mean, also at repulsion = 1. Hence each member trains on its own bootstrap of
    the training events, and repulsion is 10 by default. The mean does not become worse.

    mean = mean of the members' means; sigma_systematic^2 = mean of their sigma^2; sigma_statistical^2 = variance of
    their means (ddof 1).

    Args:
        features: reco-level observables that the networks see.
        log_features: those features that are used as logarithms.
        target: observable whose response R, reco over truth, is learned.
        scales: observables that are divided by the mean response, because they scale with the jet's four-momentum.
        members: E, the number of networks. A family of E variations has a covariance of rank E - 1.
        repulsion: factor of the kernel term; 0 is an ordinary ensemble.
        reach: distance from the events, in each feature's normal score, at which the members also repel each
            other; 0: only at the events.
        bootstrap: whether each member has its own Poisson(1) bootstrap of the training events.
        width: number of nodes in each hidden layer.
        depth: number of hidden layers.
        epochs: largest number of epochs of the training.
        patience: number of epochs without a better validation likelihood after which a member stops; 0: never.
        batch_size: number of events in each step.
        learning_rate: learning rate of AdamW, which falls as a cosine.
        weight_decay: weight decay of AdamW, the prior of the weights.

    Raises:
        ConfigError: fewer than two members, no feature, a negative repulsion or reach, or a target that is not in
            `scales`.
    """

    BOUNDS = (
        (">= 2", "members"),
        (">= 0", "repulsion reach patience weight_decay"),
        (">= 1", "width depth epochs batch_size"),
        ("> 0", "learning_rate"),
    )

    centre: Tensor
    unit: Tensor

    def __init__(
        self,
        *,
        features: list[str] = ["jet_pt", "jet_eta", "m", "M", "w", "ln_rho", "tau21", "zg"],  # noqa: B006 (a schema)
        log_features: list[str] = ["jet_pt"],  # noqa: B006 (a schema)
        target: str = "jet_pt",
        scales: list[str] = ["jet_pt", "m"],  # noqa: B006 (a schema)
        members: int = 8,
        repulsion: float = 10.0,
        bootstrap: bool = True,
        reach: float = 2.0,
        width: int = 64,
        depth: int = 3,
        epochs: int = 60,
        patience: int = 15,
        batch_size: int = 256,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-3,
    ) -> None:
        super().__init__()
        if members < 2:
            raise ConfigError(f"calibrate.members: {members} given; a spread needs at least 2")
        if not features or len(set(features)) != len(features) or set(log_features) - set(features):
            raise ConfigError(
                f"calibrate.features: {features} given, log_features {log_features}; name each feature once, and only "
                "features in log_features"
            )
        if target not in scales:
            raise ConfigError(f"calibrate.scales: {scales} given; the target {target!r} must be among them")
        if repulsion < 0 or reach < 0:
            raise ConfigError(f"calibrate: repulsion {repulsion} and reach {reach} given; 0 or more expected")
        self.features, self.log_features = list(features), list(log_features)
        self.target, self.scales = target, list(scales)
        self.bootstrap, self.reach = bootstrap, reach
        self.size, self.repulsion, self.width, self.depth = members, repulsion, width, depth
        self.settings = Settings(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            patience=patience,
        )
        self.scale_x = RankScaling(len(features))
        # Median of R and half the width of its central 68%.
        self.register_buffer("centre", torch.zeros(1))
        self.register_buffer("unit", torch.ones(1))
        self.ensemble = self._ensemble(0)

    def _ensemble(self, seed: int) -> Stack:
        return Stack(
            lambda: MLP(self.scale_x.inputs, 2, width=self.width, depth=self.depth),
            [seed_for(seed, "member", k) for k in range(self.size)],
        )

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
        """See Calibrator. The history has one column for each member."""
        x = self.prepared(x.float())
        train = ~validation
        self.scale_x.fit((x[train], weights[train]))
        target = self._target(response, weights, train)
        self.ensemble = self._ensemble(seed)
        w = weights.double()[train]
        effective = float(w.sum() ** 2 / w.square().sum())

        def loss(x: Tensor, y: Tensor) -> Tensor:
            f = self.ensemble.call("forward", x)  # (E, B, 2)
            mean, log_sigma = f.unbind(-1)
            value = 0.5 * ((y - mean) * torch.exp(-log_sigma)).square() + log_sigma + 0.5 * math.log(2 * math.pi)
            if self.ensemble.training and self.repulsion:
                force = crowding(f)
                if self.reach:
                    near = x[: len(x) // 4 + 1]
                    force = force + crowding(self.ensemble.call("forward", near + self.reach * torch.randn_like(near)))
                value = value + (self.repulsion / effective) * force[:, None]
            return value

        return fit(
            self.ensemble,
            loss,
            (self.scale_x(x), target),
            self._bootstrapped(weights, train, seed),
            self.settings,
            seed=seed_for(seed, "fit"),
            validation=validation,
            label="calibrate repulsive",
            state=state,
            state_key=state_key,
        )

    def _target(self, response: Tensor, weights: Tensor, train: Tensor) -> Tensor:
        """R (N,) -> (N,) in units of its width; also sets this unit.

        Values are moved to at most `FAR` widths from the median, and the log says how many. A single value far away
        would decide the mean of all and spoil the width of a Gaussian.
        """
        quantiles = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
        found = knots_of(response[train], weights[train], name="calibrate: response", knots=256)
        rising = torch.cat([torch.ones(1, dtype=torch.bool), found.z.diff() > 0])
        at = np.interp(quantiles.numpy(), found.z[rising].numpy(), found.x[rising].numpy())
        width = 0.5 * float(at[2] - at[0])
        self.centre.fill_(float(at[1]))
        self.unit.fill_(width if width > 0 else 1.0)
        scaled = (response.float() - self.centre) / self.unit
        if far := int((scaled.abs() > FAR).sum()):
            log.warning(
                "calibrate: %d of %d responses are more than %g widths from their median %.4g; they are moved "
                "to that distance",
                far,
                len(scaled),
                FAR,
                float(at[1]),
            )
        return scaled.clamp(-FAR, FAR)

    def _bootstrapped(self, weights: Tensor, train: Tensor, seed: int) -> Tensor:
        """(N,) -> (N, E): each member's own Poisson(1) factors, only for the training events."""
        every = weights[:, None].expand(-1, self.size)
        if not self.bootstrap:
            return every
        generator = torch.Generator().manual_seed(seed_for(seed, "bootstrap"))
        counts = torch.poisson(torch.ones(every.shape), generator=generator)
        return torch.where(train[:, None], every * counts, every)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        # The number of inputs that the scaling makes of the features comes from the data.
        self.scale_x.load_state_dict(
            {n.removeprefix(f"{prefix}scale_x."): t for n, t in state_dict.items() if n.startswith(f"{prefix}scale_x.")}
        )
        self.ensemble = self._ensemble(0)
        super()._load_from_state_dict(state_dict, prefix, *args)

    @torch.no_grad()
    def _outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, F) -> means and sigmas of R of the members, (E, B) each."""
        mean, log_sigma = self.ensemble.call("forward", self.scale_x(self.prepared(x.float()))).unbind(-1)
        return mean * self.unit + self.centre, log_sigma.exp() * self.unit

    def members(self, x: Tensor) -> Tensor:
        """See Calibrator: K = `members`."""
        return self._outputs(x)[0]

    def predict(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See Calibrator."""
        mean, sigma = self._outputs(x)
        return mean.mean(0), sigma.square().mean(0).sqrt(), mean.std(0)
