"""The rule that ends the iterations, and the coarse bins in which it compares each iteration with the one before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.sparse import csr_matrix

from truthward.errors import ConfigError
from truthward.events.bins import cell_of
from truthward.unfold.inputs.arrays import Inputs

Stop = Literal["fixed", "change", "closure"]

COARSE = 10
"""Number of bins of equal population for each observable, to compare iterations with each other and with the data."""

LIMITS = (
    "a small change says that the iterations have settled, not that they are right: what the detector does not resolve "
    "stays as simulated, and what is finer than the bins that are watched, or no observable, goes unseen"
)


@dataclass(frozen=True)
class StopOptions:
    """The rule that ends the iterations.

    Args:
        rule: "fixed" makes all iterations; "change" ends after the first iteration, from the second on, that moves
            coarse truth bins by less than `tolerance`, for the nominal, and replicas make the same number. "closure"
            chooses the number that balances bias and variance in an unfolding of pseudo-data of known truth, which a
            systematic of kind `closure` provides; it costs one more unfolding with all iterations and ten replicas.
        tolerance: of the rule "change", in units of the data's statistical error, root mean square over coarse bins.
            Retraining alone moves the bins of the generative method, so that it needs a larger one.
    """

    BOUNDS = (("> 0", "tolerance"),)

    rule: Literal["fixed", "change", "closure"] = "fixed"
    tolerance: float = 0.1


@dataclass(frozen=True)
class StopRule:
    """The number of iterations, chosen beforehand or by a rule that does not see the truth of the data.

    iterations: largest number. stop: "fixed" makes all of them. "change" ends after the first iteration, from the
    second on, that moves the coarse truth bins (`Watch.change`) by less than `tolerance` of the data's statistical
    error. "closure" makes the number that `stop.balance.balance` finds best.
    """

    iterations: int
    stop: Stop
    tolerance: float

    def __post_init__(self) -> None:
        if self.iterations < 1 or not self.tolerance > 0:
            raise ConfigError(
                f"iterations is {self.iterations} and tolerance {self.tolerance}; at least 1 and above 0 is needed"
            )

    def ends(self, iteration: int, change: float) -> bool:
        """Whether this iteration, counted from 0, is the last; `change` is how far it moved the nominal result."""
        settled = self.stop == "change" and iteration > 0 and change < self.tolerance
        return settled or iteration + 1 == self.iterations

    def exactly(self, iterations: int) -> StopRule:
        """Exactly this number, for any change: for replicas, after the nominal has chosen."""
        return replace(self, iterations=iterations, stop="fixed")

    def stated(self, chosen: int) -> dict[str, Any]:
        """For the metadata of a result: the rule, its choice, and the quantities that it cannot see."""
        return {
            "rule": self.stop,
            "tolerance": self.tolerance if self.stop == "change" else None,
            "limits": LIMITS,
            "largest": self.iterations,
            "chosen": chosen,
        }


def varied_count(index: int, nominal: int) -> int:
    """Iterations of a replica of the regularisation: half of the nominal number, at least one, or twice this number.

    >>> [varied_count(index, 5) for index in range(2)]
    [2, 10]
    """
    return 2 * nominal if index else max(1, nominal // 2)


class Bins:
    """Coarse bins of D observables, B = COARSE of each: quantiles of their values x (N, D), the outer ones open.

    If many values are equal there are fewer edges, and the last bins of such an observable stay empty.
    """

    def __init__(self, x: np.ndarray) -> None:
        self.inner = [np.unique(np.quantile(column, np.linspace(0, 1, COARSE + 1)[1:-1])) for column in x.T]
        self.size = len(self.inner) * COARSE

    def cells(self, x: np.ndarray) -> csr_matrix:
        """Where the events x (N, D) are, for `filled`: a sparse matrix (N, D B) with a one for each column of x."""
        places = [d * COARSE + cell_of(x[:, d], inner) for d, inner in enumerate(self.inner)]
        place = np.stack(places, axis=1).astype(np.int32).ravel()
        ends = np.arange(0, place.size + 1, len(places), dtype=np.int32)
        return csr_matrix((np.ones(place.size), place, ends), shape=(len(x), self.size))

    def filled(self, x: np.ndarray | csr_matrix, weight: np.ndarray) -> np.ndarray:
        """Sums of weight (N, E) in the bins of all columns of x, column after column, (D B, E).

        x: (N, D), or its `cells`; or (N, E, D) if members have their own values.
        """
        if x.ndim == 2:
            return (x if isinstance(x, csr_matrix) else self.cells(x)).T @ np.asarray(weight, dtype=np.float64)
        own = [self.cells(x[:, e]).T @ w.astype(np.float64) for e, w in enumerate(weight.T)]
        return np.stack(own, axis=1)


class Watch:
    """Coarse truth bins of an unfolding with E members: how far an iteration moved them.

    Changes within these bins, or in quantities that are not among the observables, are not seen.

    Args:
        pilot: truth values (N, D) of the nominal fiducial simulation, whose quantiles are the edges.

    Attributes:
        bins: the bins. contents: contents in the current iteration, (D B, E).
    """

    def __init__(self, pilot: np.ndarray, members: int) -> None:
        self.bins = Bins(pilot)
        self.contents, self._matched, self._all = (np.zeros((self.bins.size, members)) for _ in range(3))
        self._moments = np.zeros((2, members))

    def start(
        self,
        truth: np.ndarray | csr_matrix,
        weight: np.ndarray,
        matched: np.ndarray,
        matched_weight: np.ndarray,
        data_weight: np.ndarray,
    ) -> None:
        """Add events to the sums that no iteration changes.

        These are the fiducial simulation's truth (n, D), or its cells, and weights (n, E), which of them are matched
        (n,), the weights of these, scaled to represent all matched events, and the weights of the data (M, E).
        """
        self._all += self.bins.filled(truth, weight)
        self._matched += self.bins.filled(truth[matched], matched_weight)
        self._moments += data_weight.sum(axis=0), (data_weight**2).sum(axis=0)

    def clear(self) -> None:
        """Empty the contents, for the next iteration."""
        self.contents = np.zeros_like(self.contents)

    def add(self, truth: np.ndarray | csr_matrix, unfolded: np.ndarray) -> None:
        """Fill unfolded events: truth (n, D), or its cells, or (n, E, D), and weights (n, E)."""
        self.contents += self.bins.filled(truth, unfolded)

    def change(self, before: np.ndarray) -> np.ndarray:
        """Root mean square (E,) over all bins of contents - before in units of the data's statistical error.

        This error is for a detector which loses events but moves none. A bin of content n, of which a share e is
        reconstructed, holds n e data events of mean weight <d> = sum d^2 / sum d, and sigma = sqrt(n <d> / e). The true
        error is larger, so a tolerance in these units is on the safe side.
        """
        return self.distance(self.contents, before, self.mean)

    @property
    def mean(self) -> np.ndarray:
        """<d>, (E,)."""
        return self._moments[1] / self._moments[0]

    def distance(self, after: np.ndarray, before: np.ndarray, mean: np.ndarray | float) -> np.ndarray:
        """Like `change`, (E,), from `before` to `after`, (D B, E), for data with this <d>."""
        # Bins that do not exist hold nothing.
        share = np.divide(self._matched, self._all, out=np.zeros_like(after), where=self._all != 0)
        variance = np.abs(after) * mean / np.abs(share).clip(min=1e-3)
        used = variance > 0
        square = np.divide((after - before) ** 2, variance, out=np.zeros_like(after), where=used)
        return np.sqrt(square.sum(axis=0) / used.sum(axis=0))


def watched(pilot: Inputs) -> dict[str, list[float]]:
    """Inner edges of the watched truth bins by observable, for the metadata: `contents` in the history use them."""
    return {n: e.tolist() for n, e in zip(pilot.names, Bins(pilot.truth[pilot.fiducial]).inner, strict=True)}
