"""Iterative Bayesian unfolding of one observable at a time: the binned baseline."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from truthward.errors import ConfigError, DivergedError
from truthward.events.bins import cell_of
from truthward.events.effective_size import effective_size, largest_over_mean
from truthward.unfold.contract import Result, Unfolder
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica
from truthward.unfold.stop.rules import varied_count

log = logging.getLogger("truthward.unfold")

LIMITS = (
    "a small change says that the iterations have settled, not that they are right: what the detector does not resolve "
    "stays as simulated, within a bin as between bins"
)

FEWEST = 4
"""Smallest number of iterations, the default of RooUnfold. If the nominal data agree with the simulation, the first
iteration changes little. Replicas make the same number and would then be biased towards the simulation."""

RULE = (
    "declared bins, merged until they hold `events` effective events in data and simulation, and this share of the "
    "matched ones stays in its bin (purity and stability); the outermost bins are open"
)


class Ibu(Unfolder[Inputs]):
    """Iterative Bayesian unfolding (D'Agostini, Nucl. Instrum. Meth. A 362 (1995) 487), with choices made by rules.

    With truth bins i, reco bins j, response R_ij = P(reco j | truth i) of the simulation, efficiency e_i = sum_j R_ij,
    and the absolute component b_j of fakes and background:

        n_i' = n_i / e_i sum_j R_ij d_j / (sum_k R_kj n_k + b_j),

    starting from the n_i of the simulation. With `fakes: share`, b_j is zero, and d_j is (d_j - background_j) times the
    simulated share of matched events in the signal of bin j. This is right if the rate of fakes is proportional to the
    signal. The result re-weights the simulated truth events by n_i / (simulated n_i) of their bin. So it is a sample
    like the result of any other method, with the simulated shape within bins.

    Bins: they are made from the observable's fine bins. The outermost ones are open to infinity, so no event is lost.
    Each fine edge at truth level has a partner at reco level: the edge that sorts most matched events to the same side.
    So if the detector shifts an observable, its bins shift too. Fine bins are merged from left to right until two
    conditions hold. First, the effective number of events (sum w)^2 / sum w^2 reaches `events` among the fiducial and
    among the reconstructed events of the nominal simulation, and in the data. Second, purity and stability in the
    simulation reach `purity`. The remaining fine bins at the end join the last bin. Bins may be narrower than the
    resolution: wide bins keep more of the simulated shape, and a small number of iterations limits fluctuations that
    the detector does not resolve. The number of reco bins is the same. Finer reco bins would see a shape within wide
    truth bins that no iteration can change, and this would move events between bins.

    Iterations: their number is chosen without the truth of the data. There are at least four. They end when the bins
    change by less than `tolerance` of their data-statistical uncertainty, in the root mean square over the bins. This
    uncertainty is propagated through all iterations (1105.1160). All replicas use the number chosen for the nominal
    data, so that their spread is the spread of one estimator.

    Args:
        purity: smallest purity and stability of a bin in the simulation, see above.
        events: smallest effective number of events of a bin in the simulation, at both levels, and in the data.
        tolerance: change of the bins below which iterations end, in units of their data-statistical uncertainty.
        max_iterations: largest number of iterations.
        fakes: "absolute": their simulated number in each reco bin; or "share": their simulated share of the signal,
            which is right if their rate is proportional to the signal.
    """

    joint = False
    BOUNDS = (
        ("> 0 and < 1", "purity"),
        ("> 0", "events tolerance"),
        (">= 1", "max_iterations"),
    )

    def __init__(
        self,
        *,
        purity: float = 0.2,
        events: float = 50.0,
        tolerance: float = 0.3,
        max_iterations: int = 100,
        fakes: Literal["absolute", "share"] = "absolute",
    ) -> None:
        if not 0 < purity < 1 or min(events, tolerance) <= 0 or max_iterations < 1:
            raise ConfigError(
                f"ibu: purity {purity}, events {events}, tolerance {tolerance}, max_iterations {max_iterations} given; "
                "purity must be in (0, 1), the others positive"
            )
        self.purity, self.events, self.tolerance, self.max_iterations = purity, events, tolerance, max_iterations
        self.fakes, self.share = fakes, fakes == "share"

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
        """See `Unfolder.unfold`; it uses no random numbers, and is so fast that it needs no resume state."""
        columns: dict[str, np.ndarray] = {}
        history: list[dict[str, Any]] = []
        edges, reco_edges, iterations = {}, {}, {}
        varied = [inputs.varied(r) for r in replicas]
        fiducial = inputs.fiducial
        weights = [v.weight[fiducial] for v in varied]
        for d, observable in enumerate(inputs.observables):
            bins = self.binning(inputs, d)
            inner = bins.truth
            changes = self._converge(_Counts.fill([inputs], d, bins, self.share))
            truth_bin = cell_of(inputs.truth[fiducial, d], inner)
            counts = _Counts.fill(varied, d, bins, self.share)
            each = np.array(
                [
                    varied_count(r.index, len(changes)) if inputs.kind_of(r) == "regularisation" else len(changes)
                    for r in replicas
                ]
            )
            unfolded = counts.truth
            for iteration in range(each.max()):
                unfolded = np.where((iteration < each)[:, None], counts.step(unfolded), unfolded)
            if bad := int((~np.isfinite(unfolded)).sum()):
                raise DivergedError(
                    f"ibu: {bad} of {unfolded.size} bins of {observable.name} are not finite; raise `events`"
                )
            if not (unfolded.sum(axis=1) > 0).all():
                raise DivergedError(
                    f"ibu: {observable.name}: the unfolded yield is {unfolded.sum(axis=1).min():.3g}, but must be "
                    "positive; check the weights of data and background"
                )
            factor = unfolded / counts.truth
            edges[observable.name], iterations[observable.name] = inner.tolist(), len(changes)
            reco_edges[observable.name] = bins.reco.tolist()
            for e, replica in enumerate(replicas):
                column = weights[e] * factor[e][truth_bin]
                columns[replica.column(observable.name)] = column
                entry = {
                    "replica": str(replica),
                    "observable": observable.name,
                    "iteration": int(each[e]) - 1,
                    "yield_before": float(weights[e].sum()),
                    "yield": float(column.sum()),
                    "effective_size": float(effective_size(column)),
                    "largest_over_mean": float(largest_over_mean(column)),
                }
                history.append(entry | ({"bins": len(inner) + 1, "changes": changes} if replica == NOMINAL else {}))
            log.info("ibu: %s, %d bins, %d iterations", observable.name, len(inner) + 1, len(changes))
            if not len(inner):
                log.warning(
                    "ibu: %s: there is only one bin, so the shape stays as simulated; a bin needs %g events (`events`) "
                    "and a purity of %g (`purity`): lower one of them",
                    observable.name,
                    self.events,
                    self.purity,
                )
        stopping = {
            "rule": "change",
            "tolerance": self.tolerance,
            "chosen": iterations,
            "largest": self.max_iterations,
            "limits": LIMITS,
        }
        binning = {
            "rule": RULE,
            "purity": self.purity,
            "events": self.events,
            "bins": {n: len(e) + 1 for n, e in edges.items()},
        }
        extra = {"inner_edges": edges, "inner_edges_reco": reco_edges, "binning": binning, "stopping": stopping}
        return Result(inputs.rows(columns), history, max(iterations.values()), extra)

    def binning(self, inputs: Inputs, column: int) -> IbuBins:
        """Inner edges of one observable's bins at both levels, by the rule of the class; the outer bins are open."""
        fine = np.asarray(inputs.observables[column].edges, dtype=float)[1:-1]
        response = _Counts.fill([inputs], column, IbuBins(fine, fine), self.share).response[0]
        size = len(fine) + 1
        # sorted_[i, j]: matched events on the same side of the truth edge i and of the reco edge j.
        below = response.cumsum(axis=0).cumsum(axis=1)
        sorted_ = 2 * below - below[:, -1:] - below[-1:, :] + below[-1, -1]
        partner = np.append(np.maximum.accumulate(sorted_[:-1, :-1].argmax(axis=1)), size - 1) + 1
        fiducial, accepted = inputs.fiducial, inputs.pass_reco
        sums = [
            _sums(inputs.truth[fiducial, column], inputs.weight[fiducial], fine),
            _sums(inputs.reco[accepted, column], inputs.weight[accepted], fine),
            _sums(inputs.data_reco[:, column], inputs.data_weight, fine),
        ]
        ends: list[int] = []
        start, reco_start = 0, 0
        for end in range(1, size + 1):
            reco_end = int(partner[end - 1])
            truth_part, reco_part = slice(start, end), slice(reco_start, reco_end)
            inside = response[truth_part, reco_part].sum()
            enough = all(
                s[1][part].sum() > 0 and s[0][part].sum() ** 2 >= self.events * s[1][part].sum()
                for s, part in zip(sums, (truth_part, reco_part, reco_part), strict=True)
            )
            whole = max(response[truth_part].sum(), response[:, reco_part].sum())
            if enough and inside > 0 and inside >= self.purity * whole:
                start, reco_start = end, reco_end
                ends.append(end)
        # The last edge is dropped if the bins after it do not fulfil the rule themselves.
        chosen = np.array(ends[:-1], dtype=int) - 1
        return IbuBins(fine[chosen], fine[partner[chosen] - 1])

    def _converge(self, counts: _Counts) -> list[float]:
        """Changes of the nominal result in units of its uncertainty, one for each iteration to make."""
        unfolded, jacobian = counts.truth, np.zeros_like(counts.response[0])
        changes: list[float] = []
        variance = counts.data_variance[0]
        while len(changes) < self.max_iterations:
            new = counts.step(unfolded)
            jacobian = counts.jacobian(unfolded[0], new[0], jacobian)
            sigma = np.sqrt(jacobian**2 @ variance)
            if not (np.isfinite(new).all() and (sigma > 0).all()):
                raise DivergedError(
                    f"ibu: iteration {len(changes)} has bins without content or uncertainty, because the data are few; "
                    f"set `max_iterations: {max(1, len(changes))}`, or raise `events` to get fewer bins"
                )
            changes.append(float(np.sqrt(np.mean(((new - unfolded)[0] / sigma) ** 2))))
            unfolded = new
            if changes[-1] < self.tolerance and len(changes) >= min(FEWEST, self.max_iterations):
                return changes
        log.warning("ibu: not converged to %g in %d iterations", self.tolerance, self.max_iterations)
        return changes


@dataclass(frozen=True)
class IbuBins:
    """Inner edges (B - 1,) at truth and at reco level; bin i of one level corresponds to bin i of the other."""

    truth: np.ndarray
    reco: np.ndarray


@dataclass
class _Counts:
    """Histograms of E replicas in B bins: response (E, B, B) of matched events, truth first; the others (E, B).

    truth: fiducial events; fixed: other events expected at reco level; data and data_variance: sums of w and w^2.
    """

    response: np.ndarray
    truth: np.ndarray
    fixed: np.ndarray
    data: np.ndarray
    data_variance: np.ndarray

    @classmethod
    def fill(cls, varied: Sequence[Inputs], column: int, bins: IbuBins, share: bool) -> _Counts:
        """Fill the histograms; with `share` background and fakes are removed from the data, and `fixed` is zero."""
        size, first = len(bins.truth) + 1, varied[0]
        fiducial = first.fiducial
        truth_bin = cell_of(first.truth[:, column], bins.truth)
        parts: list[tuple[np.ndarray, ...]] = []
        for v in varied:
            matched = v.matched  # A systematic may have its own acceptance.
            reco_bin = cell_of(v.reco[:, column], bins.reco)
            both = truth_bin[matched] * size + reco_bin[matched]
            response = np.bincount(both, v.weight[matched], minlength=size * size).reshape(size, size)
            truth = np.bincount(truth_bin[fiducial], v.weight[fiducial], minlength=size)
            fakes, background = (
                np.bincount(reco_bin[mask], v.weight[mask], minlength=size) for mask in (v.fakes, v.background)
            )
            data_bin = cell_of(v.data_reco[:, column], bins.reco)
            data: np.ndarray = np.bincount(data_bin, v.data_weight, minlength=size)
            variance: np.ndarray = np.bincount(data_bin, v.data_weight**2, minlength=size)
            fixed: np.ndarray = fakes + background
            if share:
                signal = response.sum(axis=0)
                # A bin that the simulation never reaches has share 0 and does not enter the formula.
                kept = np.divide(signal, signal + fakes, out=np.zeros(size), where=signal + fakes != 0)
                data, variance, fixed = (data - background) * kept, variance * kept**2, np.zeros(size)
            parts.append((response, truth, fixed, data, variance))
        return cls(*(np.stack(p) for p in zip(*parts, strict=True)))

    @property
    def matched(self) -> np.ndarray:
        """Reconstructed fiducial events by truth bin (E, B)."""
        return self.response.sum(axis=2)

    def step(self, unfolded: np.ndarray) -> np.ndarray:
        """One iteration, (E, B) -> (E, B); bins without content are not finite, and the caller counts them."""
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = unfolded / self.truth
            expected = np.einsum("eij,ei->ej", self.response, scale) + self.fixed
            return unfolded * np.einsum("eij,ej->ei", self.response, self.data / expected) / self.matched

    def jacobian(self, unfolded: np.ndarray, new: np.ndarray, before: np.ndarray) -> np.ndarray:
        """d new_i / d data_j of the first member, (B, B), from `before`, that of `unfolded` (1105.1160, eq. 7)."""
        response = self.response[0] / self.truth[0][:, None]
        efficiency = response.sum(axis=1)
        expected = unfolded @ response + self.fixed[0]
        direct = (unfolded / efficiency)[:, None] * response / expected
        through = direct * (self.data[0] / expected) @ (response.T @ before)
        return direct + (new / unfolded)[:, None] * before - through


def _sums(values: np.ndarray, weights: np.ndarray, inner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of w and w^2 in fine bins, (B,) each."""
    index, size = cell_of(values, inner), len(inner) + 1
    return np.bincount(index, weights, minlength=size), np.bincount(index, weights**2, minlength=size)
