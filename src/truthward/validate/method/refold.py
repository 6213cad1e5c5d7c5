"""Fold an unfolded histogram back to reco level with the response of the simulation, and compare it with the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from truthward.errors import InputError
from truthward.events.bins import bin_of, extended
from truthward.events.contract import SIGNAL
from truthward.events.families import Histogram
from truthward.events.table import EventTable
from truthward.records.validate.figures import Chi2
from truthward.records.validate.method import Refolded, RefoldedCurves
from truthward.validate import metrics
from truthward.validate.distances import Counts
from truthward.validate.method.against_truth import stated, untested
from truthward.validate.method.curves import coarse_step

EVENTS = 25
"""Smallest mean number of data events per bin: with fewer, a Gaussian chi2 has no meaning."""


Ratio = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Response:
    """P(reco bin | truth bin) of one observable, efficiency included, under- and overflow at both levels.

    The fiducial events of the simulation (`pass_truth`, signal) give the response. All other reconstructed events
    (fakes, background) are added with their simulated yield. With `share`, as for an unfolding with `fakes: share`,
    fakes are added in their simulated proportion to the matched events of each reco bin. `add` takes events in pieces.

    The test can show that the result, the response and the data do not agree. It cannot show that the result is right:
    the unfolded histogram was fitted to the same data, and many truth spectra fold to the same data. If the response
    depends on other observables, and the result changed these too, the simulated response can reject a right result.
    The `ratio` of a joint result corrects this for the unfolded observables, but not for methods that unfold one
    observable at a time, nor for quantities that are not unfolded. The ratio is learned, and the chi2 does not include
    its errors. Differences within a bin are not seen.
    """

    def __init__(self, edges: np.ndarray, *, share: bool = False) -> None:
        self.edges, self.share = np.asarray(edges, dtype=float), share
        bins = self.edges.size + 1
        self.matched, self.matched2 = np.zeros((bins, bins)), np.zeros((bins, bins))
        self.fiducial, self.fiducial2 = np.zeros(bins), np.zeros(bins)
        self.fixed, self.fixed2 = np.zeros(bins), np.zeros(bins)
        # With `share`: the fakes, which are then not in `fixed`, and the matched events they are proportional to.
        self.fakes, self.fakes2, self.simulated = np.zeros(bins), np.zeros(bins), np.zeros(bins)

    @classmethod
    def of(
        cls,
        simulation: EventTable,
        edges: Mapping[str, np.ndarray],
        *,
        ratio: Ratio | None = None,
        share: bool = False,
    ) -> dict[str, Response]:
        """The responses of some observables, name -> edges, in an event table of simulation, batch by batch.

        Args:
            ratio: function of ids (n,) and truth values (n, D) of the observables in their order. It gives a factor on
                the weight of each fiducial event: unfolded over simulated truth, all observables jointly. Then the
                other observables are distributed as in the result, not as in the prior.
            share: see the class.
        """
        responses = {name: cls(own, share=share) for name, own in edges.items()}
        columns = [f"{level}_{name}" for level in ("truth", "reco") for name in edges]
        for batch in simulation.batches([*columns, "pass_truth", "pass_reco", "weight", "process", "event_id"]):
            fiducial = batch["pass_truth"] & (batch["process"] == SIGNAL)
            weight = batch["weight"].copy()
            if ratio is not None:
                truth = np.stack([batch[f"truth_{name}"][fiducial] for name in edges], axis=1)
                weight[fiducial] *= ratio(batch["event_id"][fiducial], truth)
            for name, response in responses.items():
                response.add(
                    batch[f"truth_{name}"],
                    batch[f"reco_{name}"],
                    fiducial,
                    batch["pass_reco"],
                    weight,
                    signal=batch["process"] == SIGNAL,
                    simulated=batch["weight"],
                )
        return responses

    def add(
        self,
        truth: np.ndarray,
        reco: np.ndarray,
        fiducial: np.ndarray,
        pass_reco: np.ndarray,
        weight: np.ndarray,
        *,
        signal: np.ndarray | None = None,
        simulated: np.ndarray | None = None,
    ) -> None:
        """Count events; all arrays are (n,). Truth values matter for `fiducial`, reco values for `pass_reco` events.

        signal: whether an event is signal; None: all are. simulated: simulated weights, if `weight` differs from them.
        """
        bins = self.fiducial.size
        t, r = bin_of(truth, self.edges), bin_of(reco, self.edges)
        both, fixed = fiducial & pass_reco, pass_reco & ~fiducial
        if self.share:
            fakes = fixed if signal is None else fixed & signal
            fixed = fixed & ~fakes
            own = weight if simulated is None else simulated
            self.simulated += np.bincount(r[both], weights=own[both], minlength=bins)
            self.fakes += np.bincount(r[fakes], weights=weight[fakes], minlength=bins)
            self.fakes2 += np.bincount(r[fakes], weights=weight[fakes] ** 2, minlength=bins)
        cell = t[both] * bins + r[both]
        for power, matched, total, other in (
            (1, self.matched, self.fiducial, self.fixed),
            (2, self.matched2, self.fiducial2, self.fixed2),
        ):
            w = weight**power
            matched += np.bincount(cell, weights=w[both], minlength=bins**2).reshape(bins, bins)
            total += np.bincount(t[fiducial], weights=w[fiducial], minlength=bins)
            other += np.bincount(r[fixed], weights=w[fixed], minlength=bins)

    def fold(self, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Expected reco contents (B + 2,) of truth contents (B + 2,), their covariance, and the yield without response.

        The covariance comes from the finite simulation. Its parts are the probabilities in each truth bin, with the sum
        of weight^2 (indicator - probability)(indicator - probability), and the added events. Truth bins without
        simulated events fold to nothing. Their yield is returned.
        """
        known = self.fiducial > 0
        scale = np.divide(truth, self.fiducial, out=np.zeros_like(truth, dtype=float), where=known)
        p = np.divide(self.matched, self.fiducial[:, None], out=np.zeros_like(self.matched), where=known[:, None])
        s2 = scale**2
        cross = (s2[:, None] * p).T @ self.matched2
        signal = truth @ p
        rate = np.divide(signal, self.simulated, out=np.zeros_like(signal), where=self.simulated > 0)
        covariance = np.diag(s2 @ self.matched2 + self.fixed2 + rate**2 * self.fakes2) - cross - cross.T
        covariance += (p * (s2 * self.fiducial2)[:, None]).T @ p
        return signal + rate * self.fakes + self.fixed, covariance, float(np.sum(truth[~known]))


def compare_refolded(
    response: Response,
    truth: np.ndarray | Histogram,
    data: Counts,
    *,
    inner: Sequence[float] | None = None,
    prior: Response | None = None,
) -> Refolded:
    """Chi2 of the folded truth contents (B + 2,) against the data, in merged bins of equal population.

    Covariance: the data's statistical variance and the simulation's errors. The unfolded errors are left out, since
    they are the data's own.

    Args:
        truth: contents, or a histogram with its replicas, under- and overflow included.
        inner: inner edges at reco level of a method that unfolds in bins of its own. The chi2 is of these bins, and the
            outermost bins are open.
        prior: the response of the simulation before unfolding, if `response` is re-weighted. Its own truth, folded, is
            a curve of the figure.

    Returns:
        The folded contents with their chi2. For a histogram also `shown`, the curves of the figure. Their error of
        `folded` includes the simulation and all families except the bootstraps; each replica is folded.
    """
    nominal = truth.nominal if isinstance(truth, Histogram) else truth
    expected, covariance, lost = response.fold(nominal)
    sigma = np.sqrt(np.diag(covariance).clip(min=0))
    result: Refolded = {
        "edges": data.edges.tolist(),
        "folded": expected.tolist(),
        "folded_sigma": sigma.tolist(),
        "data": data.contents.tolist(),
        "data_sigma": np.sqrt(data.variance).tolist(),
        "without_response": lost / float(nominal.sum()),
        "chi2": _chi2(expected, covariance, data, inner),
    }
    if isinstance(truth, Histogram):
        result["shown"] = _shown(response, prior or response, truth, covariance, data, inner)
    return result


def _chi2(expected: np.ndarray, covariance: np.ndarray, data: Counts, inner: Sequence[float] | None) -> Chi2:
    try:
        total, error = data.total
        most = max(1, min(data.contents.size, int((total / error) ** 2 // EVENTS)))
        fine = extended(data.edges)
        edges = metrics.merge_bins(fine, data.contents, most) if inner is None else np.array([-np.inf, *inner, np.inf])
        merge = _merging(fine, edges)
        whole = merge @ (covariance + np.diag(data.variance)) @ merge.T
        return stated(metrics.chi2(merge @ expected, merge @ data.contents, whole), edges)
    except InputError as error:
        return untested(str(error))


def _shown(
    response: Response,
    prior: Response,
    truth: Histogram,
    covariance: np.ndarray,
    data: Counts,
    inner: Sequence[float] | None,
) -> RefoldedCurves:
    fine = extended(data.edges)
    edges = data.edges[:: coarse_step(data.edges.size - 1)]
    if inner is not None:
        edges = np.array([data.edges[0], *inner, data.edges[-1]])
    ends = edges.copy()
    ends[-1] = fine[-2]
    merge = _merging(fine, ends)
    expected, variance = merge @ response.fold(truth.nominal)[0], np.diag(merge @ covariance @ merge.T).clip(min=0)
    for name, family in truth.families.items():
        if family.adds and not name.endswith("_bootstrap"):
            folded = np.stack([merge @ response.fold(r)[0] for r in truth.replicas[name]])
            variance = variance + family.variance(folded, expected)
    simulated = merge @ prior.fold(prior.fiducial)[0]
    return {
        "edges": edges.tolist(),
        "folded": {"sum": expected.tolist(), "error": np.sqrt(variance).tolist()},
        "data": {"sum": (merge @ data.contents).tolist(), "error": np.sqrt(merge @ data.variance).tolist()},
        "prior": {"sum": simulated.tolist(), "error": [0.0] * simulated.size},
    }


def _merging(fine: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(B', B) of ones where a bin of `fine` lies in a bin of `edges`, a subset."""
    start = np.searchsorted(fine, edges)
    place = np.searchsorted(start, np.arange(fine.size - 1), side="right") - 1
    return (place == np.arange(edges.size - 1)[:, None]).astype(float)
