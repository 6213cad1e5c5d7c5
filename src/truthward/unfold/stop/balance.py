"""Choose the number of iterations by pseudo-data with known truth: the smallest sum of squared bias and variance.

The bias falls and the variance grows with each iteration. The rule is fixed beforehand and does not see the truth
behind the data. Pseudo-data that agree with the data in all visible quantities (`systematics` of kind closure) are
unfolded with the method's own settings. The bias after each iteration is the distance of the result from the known
truth in coarse bins. The variance comes from bootstraps. Both are in units of the data's statistical error, squared and
averaged over the bins. The first minimum of the sum gives the number of iterations for the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from truthward.errors import ConfigError
from truthward.unfold.inputs.arrays import Inputs, Replica
from truthward.unfold.stop.rules import Watch

BOOTSTRAPS = 10
"""Number of bootstraps of the pseudo-data. It is small, because the variance is a mean over all coarse bins."""

LIMITS = (
    "bias is seen as far as the pseudo-data differ from the simulation as the data do: a response that differs in what "
    "no column measures is in neither, and what is finer than the bins that are watched goes unseen"
)


@dataclass(frozen=True)
class Balance:
    """Mean squared bias and variance (K,) after 1 to K iterations, in units of the data's statistical error squared."""

    bias: np.ndarray
    variance: np.ndarray

    @property
    def chosen(self) -> int:
        """The number of iterations with the smallest sum.

        >>> Balance(np.array([4.0, 1.0, 0.5]), np.array([0.1, 0.4, 1.5])).chosen
        2
        """
        return int(np.argmin(self.bias + self.variance)) + 1

    def stated(self) -> dict[str, Any]:
        """For the metadata of a result."""
        return {
            "rule": "closure",
            "tolerance": None,
            "limits": LIMITS,
            "largest": len(self.bias),
            "chosen": self.chosen,
            "bias": self.bias.tolist(),
            "variance": self.variance.tolist(),
        }


def pseudo_replica(inputs: Inputs) -> Replica:
    """The replica with the pseudo-data for this rule.

    Raises:
        ConfigError: there is no systematic of kind closure.
    """
    for name, kind in inputs.kinds.items():
        if kind == "closure":
            return Replica(f"systematic:{name}", 0)
    raise ConfigError("stop.rule: closure needs pseudo-data; add `closure: {kind: closure}` to systematics")


def by_iteration(
    history: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Contents (B,) after each iteration of the nominal entries of a history, and (R, B) of R other replicas."""

    def contents(entries: Sequence[Mapping[str, Any]]) -> list[np.ndarray]:
        made = sorted({h["iteration"] for h in entries if "contents" in h})
        return [np.array([h["contents"] for h in entries if h["iteration"] == k and "contents" in h]) for k in made]

    return [c[0] for c in contents(history)], contents(others)


def balance(
    blocks: Iterable[Inputs], pilot: Inputs, contents: Sequence[np.ndarray], bootstraps: Sequence[np.ndarray]
) -> Balance:
    """Judge an unfolding of the pseudo-data.

    Args:
        blocks: the inputs of the data's unfolding; pilot: inputs whose quantiles are the edges of the coarse bins (see
            `Watch`).
        contents: contents of these bins after each iteration, K of (B,); bootstraps: K of (R, B), the same for
            bootstraps of the pseudo-data.
    """
    watch, pseudo = Watch(pilot.truth[pilot.fiducial], 1), pseudo_replica(pilot)
    truth, moments = np.zeros((watch.bins.size, 1)), np.zeros(2)
    for inputs in blocks:
        fiducial, matched, varied = inputs.fiducial, inputs.matched, inputs.varied(pseudo)
        values, weight = inputs.truth[fiducial], inputs.weight[fiducial, None]
        watch.start(values, weight, matched[fiducial], inputs.weight[matched, None], varied.data_weight[:, None])
        truth = truth + watch.bins.filled(values, inputs.pseudo_weight(pseudo)[fiducial, None])
        moments += inputs.data_weight.sum(), (inputs.data_weight**2).sum()
    # Pseudo-data are weighted events of another number than the data, so their fluctuations are not those of the data.
    mean = moments[1] / moments[0]
    bias = np.array([watch.distance(c[:, None], truth, mean)[0] ** 2 for c in contents])
    variance = np.array(
        [
            np.mean([watch.distance(b[:, None], each.mean(axis=0)[:, None], watch.mean)[0] ** 2 for b in each])
            * len(each)
            / (len(each) - 1)
            for each in bootstraps
        ]
    )
    return Balance(bias, variance)
