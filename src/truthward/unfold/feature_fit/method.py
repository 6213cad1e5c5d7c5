"""Unfolding by a fit in learned features, without iterations or adversaries."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from truthward.errors import ConfigError, DivergedError
from truthward.events.effective_size import effective_size, largest_over_mean
from truthward.learn.fit import Settings
from truthward.learn.scaling import RankScaling
from truthward.ratio.classifier import SATURATED, logits, stack_of, train_ratio
from truthward.ratio.reweight import auc, normalise, train_mean
from truthward.study.seeds import seed_for
from truthward.unfold.contract import Result, Unfolder
from truthward.unfold.feature_fit.chi2 import Chi2Sums, Solution, solve, spread
from truthward.unfold.feature_fit.networks import Features
from truthward.unfold.inputs.arrays import Inputs, Replica

log = logging.getLogger("truthward.unfold")

LIMITS = (
    "the penalty goes by how well the data are described at reco level: what the detector does not resolve stays as "
    "simulated, and what the learned features do not express goes unseen"
)


class FeatureFit(Unfolder[Inputs]):
    """Re-weight the simulation until learned features agree with the data at reco level, by one penalised chi2 fit.

    The idea of AUSSIE (2602.24282): nu(t) is right if a classifier of data against re-weighted simulation has nothing
    left to learn. Then the gradient of its loss with respect to its parameters vanishes. In the last layer this
    gradient is a sum of features. Here the fit uses the statistical covariance of these sums, and solves the equation
    instead of training:

    1. A classifier of data against simulation at reco level learns features phi(r): its hidden units, and a constant.
    2. E[omega | t] of its ratio omega, learned over the matched events, gives features psi(t) at truth level.
    3. nu(t) = exp(theta . psi(t)) minimises d^T C^-1 d + lambda |theta|^2, with
       d = sum_data w phi - sum_matched w nu(t) phi - sum_fakes w phi - sum_background w phi.

    C is the covariance expected of d, from the Poisson fluctuations of data and simulation. It is
    C = sum (w_d w nu + w^2 nu^2) phi phi^T over the reconstructed simulation, with the data's mean weight w_d. It is
    taken at nu = 1 and then at the previous solution, never from the counts of the data, because then the chi2 would
    pull the yield down. nu applies to all fiducial events, misses included, but d contains only the matched events. So
    the efficiency enters exactly once. The constant in psi has no penalty, so that the yield is free.

    Regularisation does not use the truth. It consists of the functions that the hidden units span, and of the penalty,
    which is a Gaussian prior of the last layer around the simulation, nu = 1. lambda maximises the evidence (MacKay,
    Neural Comput. 4, 415): lambda = gamma / |theta|^2. gamma = sum_i h_i / (h_i + lambda) is the number of parameters
    that the data determine, with the eigenvalues h_i of the Hessian. The history has the chi2 and its K - gamma degrees
    of freedom. A chi2 far above this number means that psi cannot describe the data.

    Where only few events determine the result, the prior pulls it towards the simulation. For example, a width can then
    be biased by more than its statistical error.

    Replicas keep the nominal's features, C and lambda and start the fit from its theta. Bootstraps use their weights,
    systematics use their events, and a systematic of kind regularisation uses twice and half of lambda. Replicas of
    `initialisation` learn everything anew.

    Args:
        observables: observables to unfold, jointly; empty: all of the study.
        epochs: number of epochs of the training of each network.
        batch_size: number of events in each step.
        learning_rate: learning rate of the optimiser.
        width: number of nodes in each hidden layer of both networks; also the number of features.
        depth: number of hidden layers.
        activation: function between the hidden layers.
        passes: number of fits; each uses the covariance at the solution of the previous fit.
        penalty: factor on the fitted lambda, for one more fit. Below one it reduces the bias towards the simulation and
            increases the variance.
        fakes: "absolute": their simulated number at each r. "share": weighted by the classifier's (data - background) /
            (matched + fakes), which is right if their rate is proportional to the signal. Replicas use the nominal
            ratio, except for its normalisation. Background is always absolute.
        precision: number format of the trainings; bf16 is faster for wide networks on processors that support it.
    """

    joint = True
    BOUNDS = (
        (">= 1", "epochs batch_size width depth passes"),
        ("> 0", "learning_rate penalty"),
    )

    def __init__(
        self,
        *,
        observables: list[str] = [],  # noqa: B006 (schemas are literals; only read)
        epochs: int = 6,
        batch_size: int = 1024,
        learning_rate: float = 6e-3,
        width: int = 64,
        depth: int = 2,
        activation: Literal["relu", "gelu", "silu", "tanh"] = "gelu",
        passes: int = 2,
        penalty: float = 1.0,
        fakes: Literal["absolute", "share"] = "absolute",
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> None:
        if min(epochs, batch_size, width, depth, passes) < 1:
            raise ConfigError(
                f"feature_fit: epochs {epochs}, batch_size {batch_size}, width {width}, depth {depth}, passes {passes} "
                "given; each must be at least 1"
            )
        if not penalty > 0:
            raise ConfigError(f"feature_fit: penalty {penalty} given; a positive factor is needed")
        self.observables = tuple(observables)
        self.settings = Settings(epochs, batch_size, learning_rate, precision=precision)
        self.network = {"width": width, "depth": depth, "activation": activation}
        self.fakes, self.passes, self.penalty, self.share = fakes, passes, penalty, fakes == "share"

    def unfold(
        self,
        inputs: Inputs,
        replicas: Sequence[Replica],
        *,
        seed: int,
        nominal: Mapping[str, np.ndarray] | None = None,
        state: Path | None = None,
        key: str = "",
    ) -> Result:
        """See `Unfolder.unfold`."""
        columns, history, trained = {}, [], {}
        kept = None if nominal is None else Features(nominal, inputs, self.network)
        for replica in replicas:
            varied, features = inputs.varied(replica), kept
            entry: dict[str, float] = {}
            own = replica.anew
            if features is None or own:
                name = (replica.family, replica.index) if own else ("nominal",)
                arrays, entry = self._learn(inputs, seed_for(seed, *name), replica, state, key)
                features = Features(arrays, inputs, self.network)
            sums = self._sums(features, varied)
            # A stronger penalty here corresponds to fewer iterations in other methods.
            regularised = inputs.kind_of(replica) == "regularisation"
            solutions = self._fit(features, sums, str(replica), (2.0, 0.5)[replica.index] if regularised else 1.0)
            if nominal is None:
                trained = features.arrays
            entries, column = _entries(replica, features, sums, varied, solutions)
            history += [e | entry for e in entries]
            columns[replica.column()] = column
            log.info(
                "feature_fit: %s: chi2 %.1f with %.1f degrees of freedom",
                replica,
                history[-1]["feature_chi2"],
                history[-1]["feature_ndf"],
            )
        stopping = {"rule": "evidence", "tolerance": None, "chosen": self.passes, "largest": self.passes}
        return Result(inputs.rows(columns), history, self.passes, {"stopping": stopping | {"limits": LIMITS}}, trained)

    def _learn(
        self, inputs: Inputs, seed: int, replica: Replica, state: Path | None, key: str
    ) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        """Train both networks: their arrays, and diagnostics."""

        def common(step: str) -> dict[str, Any]:
            path = None if state is None else state / f"{replica.family}.{replica.index}.{step}.pt"
            return {
                "seed": seed_for(seed, "batches", step),
                "label": f"feature_fit {replica}, {step}",
                "state": path,
                "key": key,
            }

        levels = [inputs.matched, inputs.fakes, inputs.background]
        reco = torch.from_numpy(np.concatenate([inputs.data_reco, *(inputs.reco[mask] for mask in levels)]))
        truth, matched = torch.from_numpy(inputs.truth[inputs.fiducial]), inputs.pass_reco[inputs.fiducial]
        data, background = len(inputs.data_reco), int(levels[2].sum())
        # The share of fakes is a share of the signal, so the background is subtracted from the data first.
        sign = -1.0 if self.share else 1.0
        simulated = [inputs.weight[mask] * s for mask, s in zip(levels, (1.0, 1.0, sign), strict=True)]
        weights = np.concatenate([inputs.data_weight, *simulated])[:, None]
        rows = np.arange(len(weights))
        numerator = (rows < data) | ((rows >= len(rows) - background) & self.share)
        atoms = [o.atoms for o in inputs.observables]
        seen = torch.from_numpy(weights[:, 0])
        both = (reco[:data], seen[:data]), (reco[data:], seen[data:])
        scalings = [
            RankScaling(len(atoms), atoms=atoms).fit(*samples)
            for samples in (both, ((truth, torch.from_numpy(inputs.weight[inputs.fiducial])),))
        ]
        reco, truth = scalings[0](reco), scalings[1](truth)
        stacks = [
            stack_of(scaling, [seed_for(seed, "initial", step)], **self.network)
            for step, scaling in enumerate(scalings)
        ]
        first = train_ratio(stacks[0], reco, numerator, weights, self.settings, **common("reco"))
        found, total = logits(stacks[0], reco), weights[numerator].sum(axis=0)
        log_ratio = found[~numerator] + np.log(total / weights[~numerator].sum(axis=0))
        omega, off = normalise(log_ratio, weights[~numerator], total)
        second = train_mean(
            stacks[1],
            truth[torch.from_numpy(matched)],
            omega[: matched.sum()],
            inputs.weight[levels[0]][:, None],
            self.settings,
            **common("truth"),
        )[1]
        arrays = {
            f"{level}.{name}": tensor.numpy()
            for level, stack, scaling in zip(("reco", "truth"), stacks, scalings, strict=True)
            for name, tensor in (stack.state_of(0) | scaling.state_dict(prefix="scaling.")).items()
        }
        return arrays, {
            "loss_reco": first.train[-1][0],
            "loss_truth": second.train[-1][0],
            "auc_reco": auc(found[:, 0], numerator, weights[:, 0]),
            "normalisation_classifier": float(off[0]),
            "saturated_reco": float((np.abs(found) > SATURATED).sum()),
        }

    def _sums(self, features: Features, varied: Inputs) -> Chi2Sums:
        """The input of the fit for one replica."""
        levels = [varied.matched, varied.fakes, varied.background]
        matched, fakes, background = (torch.from_numpy(varied.weight[mask]).float() for mask in levels)
        data = torch.from_numpy(varied.data_weight).float()
        if not (data.sum() > 0 and matched.sum() > 0):
            raise DivergedError(
                f"feature_fit: weights of data and matched events sum to {data.sum():.3g} and "
                f"{matched.sum():.3g}; they must be positive"
            )
        phi = [features.at("reco", varied.reco[mask]) for mask in levels]
        if self.share:
            found = [features.log_ratio(varied.reco[mask])[:, None] for mask in levels[:2]]
            both = np.concatenate([varied.weight[mask] for mask in levels[:2]])[:, None]
            signal = np.array([float(data.double().sum() - background.double().sum())])
            omega, _ = normalise(np.concatenate(found), both, signal)
            fakes = fakes * torch.from_numpy(omega[len(matched) :, 0]).float()
        rest, others = torch.cat([fakes, background]), torch.cat(phi[1:])
        mean = float((data.double() ** 2).sum() / data.double().sum())
        fixed = spread(others, rest, mean) if len(rest) else torch.zeros(len(phi[0].T), len(phi[0].T)).double()
        wanted = (features.at("reco", varied.data_reco).T @ data - others.T @ rest).double()
        return Chi2Sums(phi[0], features.at("truth", varied.truth[levels[0]]), matched, wanted, fixed, mean)

    def _fit(self, features: Features, sums: Chi2Sums, name: str, factor: float) -> list[Solution]:
        """Fit theta.

        Covariance and penalty are found in `passes` fits. If the features bring them along, those are used, the penalty
        times a factor.
        """
        arrays, label = features.arrays, f"feature_fit {name}"
        if "theta" in arrays:
            theta, whitening = (torch.from_numpy(arrays[n]) for n in ("theta", "whitening"))
            return [solve(sums, whitening, theta, factor * arrays["penalty"].item(), adapt=False, label=label)]
        theta, penalty, solutions = torch.zeros(sums.psi.shape[1], dtype=torch.float64), 100.0, []
        for _ in range(self.passes):
            whitening = sums.whitening(theta)
            solutions.append(solve(sums, whitening, theta, penalty, adapt=True, label=label))
            theta, penalty = solutions[-1].theta, solutions[-1].penalty
        if self.penalty != 1.0:
            penalty *= self.penalty
            solutions.append(solve(sums, whitening, theta, penalty, adapt=False, label=label))
            theta = solutions[-1].theta
        features.arrays = {
            **arrays,
            "theta": theta.numpy(),
            "whitening": whitening.numpy(),
            "penalty": np.array([penalty]),
        }
        return solutions


def _entries(
    replica: Replica, features: Features, sums: Chi2Sums, varied: Inputs, solutions: Sequence[Solution]
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """History of one replica, one entry for each fit, and the weights of its result.

    Raises:
        DivergedError: weights that are not finite.
    """
    entries, weight = [], varied.weight[varied.fiducial]
    column = weight
    for number, found in enumerate(solutions):
        log_nu = features.log_nu(varied.truth[varied.fiducial], found.theta)
        before, column = column, weight * np.exp(log_nu)
        bad = int((~np.isfinite(column)).sum())
        if bad or not column.sum() > 0:
            raise DivergedError(
                f"feature_fit: {replica}: {bad} of {len(column)} weights are not finite, sum {column.sum():.3g}"
            )
        predicted = float((sums.weight * sums.log_nu(found.theta).exp()).double().sum())
        entries.append(
            {
                "replica": str(replica),
                "iteration": number,
                "feature_chi2": found.chi2,
                "feature_ndf": found.features - found.determined,
                "determined": found.determined,
                "penalty": found.penalty,
                "normalisation_reco": float(np.log(predicted / float(sums.wanted[0]))),
                "saturated_truth": float((np.abs(log_nu) > SATURATED).sum()),
                "yield_before": float(before.sum()),
                "yield": float(column.sum()),
                "effective_size": float(effective_size(column)),
                "largest_over_mean": float(largest_over_mean(column)),
            }
        )
    return entries, column
