"""The verdict of a stress scenario on a method; the rules are the same for all methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from truthward.errors import InputError
from truthward.events.bins import bin_of, extended
from truthward.events.families import Family, Histogram
from truthward.records.validate.figures import Chi2
from truthward.records.validate.stress import Comparison, Significance, StressVerdict
from truthward.unfold.contract import Result
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica
from truthward.validate import metrics
from truthward.validate.distances import Counts, discriminator
from truthward.validate.method.against_truth import stated, untested
from truthward.validate.method.refold import Response, compare_refolded
from truthward.validate.stress.scenarios import MISMATCH, STARVED

if TYPE_CHECKING:
    from truthward.study.observable import Observable

SIGMAS = 3.0
"""A test fails if its smallest p-value, after Bonferroni over the observables, has a larger significance."""

GROWTH = 0.5
"""With fewer events, relative uncertainties must grow by at least this factor times 1 / sqrt(share of events kept)."""

INSIDE = 0.5
"""With fewer events, this share of the bins must have the truth within one sigma, so that uncertainties still cover.

This rule was added after a first run: a result with far fewer bins within one sigma had passed all other rules.
"""

BINS = 6
"""Largest number of bins of equal population for the comparison of truths; it is also at most a fifth of the
replicas."""


def significance(tests: Sequence[Chi2]) -> Significance:
    """The smallest p-value of several tests times the number of tests, also as a two-sided Gaussian significance.

    >>> significance([{"p": 0.5}, {"p": 0.00135}])["sigma"] > 2.9
    True
    """
    if not (known := [t["p"] for t in tests if t["p"] is not None]):
        return {"p": None, "sigma": None}
    p = min(1.0, min(known) * len(known))
    # A double cannot hold smaller values.
    return {"p": p, "sigma": float(stats.norm.isf(max(p, 1e-300) / 2))}


class StressSums:
    """Histograms of a result and all its replicas, with under- and overflow, and the nominal events.

    Args:
        edges: observable -> (B + 1,), of the fine bins.
    """

    def __init__(
        self, result: Result, edges: Mapping[str, np.ndarray], families: Mapping[str, Family], *, joint: bool
    ) -> None:
        replicas = [NOMINAL, *(Replica(n, i) for n, f in families.items() for i in range(f.count))]
        sums = {n: np.zeros((len(replicas), len(e) + 1)) for n, e in edges.items()}
        values, weights, ids = [], [], []
        for batch in result.rows:
            for name, total in sums.items():
                place = bin_of(batch[f"truth_{name}"], edges[name])
                for row, replica in enumerate(replicas):
                    if (weight := batch.get(replica.column(None if joint else name))) is not None:
                        total[row] += np.bincount(place, weight, minlength=total.shape[1])
            if joint and "weight" in batch:
                values.append(np.stack([batch[f"truth_{n}"] for n in edges], axis=1))
                weights.append(batch["weight"])
                ids.append(batch["event_id"])
        self.histograms = {name: _histogram(edges[name], total, families) for name, total in sums.items()}
        empty = [np.zeros(0)]
        self.values, self.weights, self.ids = (np.concatenate(x or empty) for x in (values, weights, ids))


def _histogram(edges: np.ndarray, sums: np.ndarray, families: Mapping[str, Family]) -> Histogram:
    rows = iter(sums[1:])
    replicas = {name: np.array([next(rows) for _ in range(f.count)]) for name, f in families.items()}
    return Histogram(extended(edges), sums[0], replicas, dict(families))


def compare(
    whole: Histogram, truth: Counts, prior: Counts, response: Response, data: Counts, edges: np.ndarray, *, seed: int
) -> Comparison:
    """Compare one observable of one scenario with the truth and, refolded, with the data.

    The variance of the truth is not used. If the truth is of the same events that were unfolded, both fluctuate
    together and the test is conservative. Biases count in full.

    Args:
        whole: the result in fine bins with under- and overflow; truth: the truth of the pseudo-data.
        prior: simulated truth; response, data: for the refolding; edges: of the coarse bins, a subset of the fine
            edges.

    Returns:
        truth: {edges, truth, unfolded, sigma, pulls, largest}; chi2; triangular: {before, after, floor}; refold.
    """
    inner = Histogram(
        truth.edges, whole.nominal[1:-1], {n: r[:, 1:-1] for n, r in whole.replicas.items()}, whole.families
    )
    start = np.searchsorted(truth.edges, edges)
    content = np.add.reduceat(truth.inner[: start[-1]], start[:-1])
    merged = inner.merged(edges)
    sigma = merged.sigma
    pulls = metrics.pulls(merged.nominal, content, sigma)
    try:
        chi2 = stated(metrics.chi2_test(merged, content), edges)
    except InputError as error:
        chi2 = untested(str(error))
    before = discriminator(prior.inner, prior.size, truth, seed=seed)
    after = discriminator(inner.nominal, prior.size, truth, seed=seed)
    return {
        "truth": {
            "edges": edges.tolist(),
            "truth": content.tolist(),
            "unfolded": merged.nominal.tolist(),
            "sigma": sigma.tolist(),
            "pulls": pulls.tolist(),
            "largest": float(np.abs(pulls).max()),
        },
        "chi2": chi2,
        "triangular": {"before": before["value"], "after": after["value"], "floor": before["floor"]},
        "refold": compare_refolded(response, whole.nominal, data)["chi2"],
    }


def edges_of(
    observable: Observable, values: np.ndarray, weights: np.ndarray, families: Mapping[str, int]
) -> np.ndarray:
    """Coarse bins of one observable with equal populations of the simulated truth. All scenarios use the same bins."""
    counts = Counts.of(values, weights, np.asarray(observable.edges))
    replicas = sum(n for name, n in families.items() if name.endswith("_bootstrap"))
    return metrics.merge_bins(counts.edges, counts.inner, max(1, min(BINS, replicas // 5)))


def response_of(inputs: Inputs, column: int, edges: np.ndarray, ratio: np.ndarray | None) -> Response:
    """The simulated response for one observable; ratio: see `Response.of`."""
    response, weight = Response(edges), inputs.weight.copy()
    if ratio is not None:
        weight[inputs.fiducial] *= ratio
    # An event outside of the fiducial region has no truth bin. An event that is not reconstructed has no reco bin.
    truth = np.where(inputs.fiducial, inputs.truth[:, column], edges[0])
    reco = np.where(inputs.pass_reco, inputs.reco[:, column], edges[0])
    response.add(truth, reco, inputs.fiducial, inputs.pass_reco, weight)
    return response


def judge(name: str, observables: Mapping[str, Comparison], *, unstarved: float | None, share: float) -> StressVerdict:
    """The verdict on a method in one scenario, from the comparisons of all observables.

    A method passes if its result agrees with the truth within SIGMAS. Starvation has two more conditions. The relative
    uncertainties must be at least GROWTH / sqrt(share) times `unstarved`, the relative uncertainty for the whole
    sample. And a share INSIDE of the bins must have the truth within one sigma.

    Returns:
        truth, refold: {p, sigma}; largest_pull; inside: share of bins within one sigma; relative_sigma: median over the
            bins; growth; triangular: {before, after}, means over the observables; passes; refold_passes: the verdict
            from refolding only; missed: whether the truth is wrong but refolding passes; words.
    """
    each = list(observables.values())
    truth, refold = significance([o["chi2"] for o in each]), significance([o["refold"] for o in each])
    pulls = np.concatenate([o["truth"]["pulls"] for o in each])
    relative = np.concatenate([np.divide(o["truth"]["sigma"], o["truth"]["truth"]) for o in each])
    inside, sigma = float((np.abs(pulls) < 1).mean()), float(np.median(relative))
    within, accepted = _within(truth), _within(refold)
    growth, grows, covers = None, True, True
    if name == STARVED and unstarved:
        growth = sigma / unstarved
        grows, covers = growth >= GROWTH / share**0.5, inside >= INSIDE
    result: StressVerdict = {
        "truth": truth,
        "refold": refold,
        "largest_pull": float(np.abs(pulls).max()),
        "inside": inside,
        "relative_sigma": sigma,
        "growth": growth,
        "triangular": {
            "before": _mean([o["triangular"]["before"] for o in each]),
            "after": _mean([o["triangular"]["after"] for o in each]),
        },
        "passes": None if within is None else within and grows and covers,
        "refold_passes": accepted,
        "missed": within is False and accepted is True,
        "words": "",
    }
    result["words"] = _words(name, result, grows, covers)
    return result


def _words(name: str, found: StressVerdict, grows: bool, covers: bool) -> str:
    sigma, after, before = found["truth"]["sigma"], found["triangular"]["after"], found["triangular"]["before"]
    if found["passes"] is None or sigma is None:
        return "too few replicas for a verdict"
    text = f"the truth is {'within' if sigma < SIGMAS else 'wrong by'} {sigma:.1f} sigma"
    if not grows:
        text += f"; uncertainties grow by {found['growth']:.2f} only"
    if not covers:
        text += f"; only {found['inside']:.0%} of the bins are within one sigma"
    if found["missed"]:
        text += ", and refolding accepts it: reco-level agreement cannot certify the particle level"
    elif found["refold_passes"] is False:
        text += f"; refolding objects at {found['refold']['sigma']:.1f} sigma"
    if after is not None and before is not None and after > before:
        text += "; the result is further from the truth than the simulation was"
    elif name == MISMATCH and found["passes"]:
        text += "; at this size the mismatch is within the uncertainty"
    return text


def _within(test: Significance) -> bool | None:
    return None if test["sigma"] is None else test["sigma"] < SIGMAS


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
