"""The iterations of OmniFold, for E replicas at once, block by block, for any way to find the logits of its steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor

from truthward.ratio.classifier import SATURATED, balance
from truthward.ratio.reliability import class_reliability, reliability
from truthward.ratio.reweight import Area, finite_ratio, mean_of, norm
from truthward.unfold.inputs.streamed import Store
from truthward.unfold.omnifold.sample import OmnifoldBlock, OmnifoldSample, Refold
from truthward.unfold.omnifold.steps import RECO, TRUTH, Logits, Rows, StepEvents, Steps
from truthward.unfold.stop.rules import StopRule, Watch

CURVE = 200_000
"""Largest number of events in a reliability curve."""


@dataclass(frozen=True)
class Rules:
    """When to stop, and how fakes and background in the data are treated; see `omnifold.Omnifold`.

    curves: whether to make reliability curves of the first member.
    """

    stop: StopRule
    fakes: Literal["absolute", "share"]
    background: Literal["expected", "subtract", "positive"]
    curves: bool = False


@dataclass(frozen=True)
class Standing:
    """Sums of weights (held out, part, E), with the parts data, signal and background.

    events: numbers of events (block, held out, part). matched, matched_events: the same for the matched events,
    (held out, E) and (block, held out).
    """

    sums: np.ndarray
    events: np.ndarray
    matched: np.ndarray
    matched_events: np.ndarray

    @classmethod
    def empty(cls, blocks: int, members: int) -> Standing:
        return cls(
            np.zeros((2, 3, members)),
            np.zeros((blocks, 2, 3), dtype=int),
            np.zeros((2, members)),
            np.zeros((blocks, 2), dtype=int),
        )


@dataclass(frozen=True)
class Omega:
    """The result of a reco step; the store keeps the values.

    norm: (E,), factor on the values. products: (E,), sum of the matched events' weights times the values, without norm.
    """

    norm: np.ndarray
    products: np.ndarray


class Chain:
    """The iterations over a sample.

    `history` has an entry for each iteration: diagnostics name -> (E,), and the contents (D B, E) of coarse bins.

    `store` keeps these arrays by block, all before normalisation: "nu" of all fiducial events (n, E); "omega" of the
    matched events in the current iteration; "fakes", the factors of the fakes from the first iteration.
    """

    def __init__(self, sample: OmnifoldSample, steps: Steps, rules: Rules, store: Store) -> None:
        self.sample, self.steps, self.rules, self.store = sample, steps, rules, store
        self.history: list[dict[str, Any]] = []
        # Factors on nu and on the fakes in the store, (E,) each.
        self._scale: np.ndarray | None = None
        self._share: np.ndarray | None = None
        self._nu: tuple[int, np.ndarray] | None = None

    def run(self) -> None:
        """Iterate until the rule ends it, by the change of the first member, which is the nominal."""
        pilot, members = self.sample.pilot, self.sample.members
        watch, refold = Watch(pilot.truth[pilot.fiducial], members), Refold(pilot, members)
        found, standing = self._survey(watch, refold)
        for iteration in range(self.rules.stop.iterations):
            previous, entry = watch.contents, {"yield_before": found["yield"]}
            omega, reco = self._reco_step(iteration, standing)
            entry |= reco | self._truth_step(iteration, standing, omega)
            found, standing = self._survey(watch, refold)
            entry |= found | {"change": watch.change(previous), "contents": watch.contents}
            self.history.append(entry)
            if self.rules.stop.ends(iteration, entry["change"][0]):
                break

    def nu(self, number: int, block: OmnifoldBlock) -> np.ndarray:
        """Factors (n, E) on the weights of a block's fiducial events."""
        if self._scale is None:
            return np.ones_like(block.weight)
        if self._nu is None or self._nu[0] != number:
            self._nu = number, _times(self.store["nu", number], self._scale)
        return self._nu[1]

    def _find(self, step: int, iteration: int, read: Callable[[int], Rows], counts: np.ndarray) -> Logits:
        sample = self.sample
        return self.steps.find(step, StepEvents(read, counts, sample.buffer, sample.kept), iteration)

    def _survey(self, watch: Watch, refold: Refold) -> tuple[dict[str, Any], Standing]:
        """Sum the current weights: diagnostics, and the sums that the next steps need."""
        standing = Standing.empty(len(self.sample), self.sample.members)
        total, squares, moduli, largest = np.zeros((4, self.sample.members))
        events = 0
        watch.clear()
        refold.clear()
        for number, block in enumerate(self.sample):
            parts = block.data_weight, self._expected(number, block), block.background_weight
            held = np.split(block.reco_held, np.cumsum([len(w) for w in parts])[:-1])
            for part, (weights, mask) in enumerate(zip(parts, held, strict=True)):
                standing.sums[:, part] += _split_sums(weights, mask)
                standing.events[number, :, part] = (~mask).sum(), mask.sum()
            held_truth = block.truth_held
            standing.matched[:] += _split_sums(block.matched_weight, held_truth)
            standing.matched_events[number] = (~held_truth).sum(), held_truth.sum()
            unfolded = block.weight * self.nu(number, block)
            truth = block.cells("truth", watch.bins)
            if self._scale is None:
                watch.start(truth, block.weight, block.matched, block.matched_weight, block.data_weight)
            watch.add(truth, unfolded)
            if self.steps.trains:
                refold.add(block, np.concatenate(parts[1:]))
            total += _sum(unfolded)
            squares += np.einsum("ne,ne->e", unfolded, unfolded)
            modulus = unfolded if (unfolded >= 0).all() else np.abs(unfolded)
            moduli += _sum(modulus)
            largest = np.maximum(largest, modulus.max(axis=0, initial=0.0))
            events += len(unfolded)
        found: dict[str, Any] = {
            "yield": total,
            "effective_size": total**2 / squares,
            "largest_over_mean": largest / (moduli / events),
        }
        if self.steps.trains:
            chi2, terms = refold.chi2()
            found |= {"refold_chi2": chi2, "refold_ndf": np.full(len(chi2), terms)}
        return found, standing

    def _expected(self, number: int, block: OmnifoldBlock) -> np.ndarray:
        """Weights (rows, E) of the matched events and the fakes."""
        fakes = block.fake_weight
        if self._share is not None:
            fakes = fakes * _times(self.store["fakes", number], self._share)
        return np.concatenate([block.matched_weight * self.nu(number, block)[block.matched], fakes])

    def _reco_step(self, iteration: int, standing: Standing) -> tuple[Omega, dict[str, Any]]:
        """Find omega of the matched events and fakes; return diagnostics too.

        The background is in the denominator. If it is subtracted, it is in the numerator with negative weights.
        """
        # The share of fakes is a share of the signal, so the first ratio subtracts the background from the data.
        share = self.rules.fakes == "share" and iteration == 0
        subtract = self.rules.background == "subtract" or share
        data, signal, background = np.moveaxis(standing.sums, 1, 0)
        sums = np.stack([signal, data - background] if subtract else [signal + background, data])
        counts = standing.events.sum(axis=0) @ np.array([[0, 1], [1, 0], [0, 1] if subtract else [1, 0]])
        factors = np.ones_like(sums)
        for h in np.flatnonzero(counts.any(axis=1)):
            factors[:, h] = balance(sums[:, h], counts[h])

        def rows(block: OmnifoldBlock, number: int) -> tuple[np.ndarray, np.ndarray]:
            """Which reco rows of a block are in the numerator (rows,), and their weights (rows, E)."""
            parts = block.data_weight, self._expected(number, block), block.background_weight * (-1) ** subtract
            return np.repeat([True, False, subtract], [len(w) for w in parts]), np.concatenate(parts)

        def read(number: int) -> Rows:
            block = self.sample[number]
            numerator, weights = rows(block, number)
            weights *= factors.astype(weights.dtype)[numerator.astype(int), block.reco_held.astype(int)]
            return block.reco, numerator, weights, block.reco_held

        found = self._find(RECO, iteration, read, standing.events.sum(axis=2))
        (simulated, total), area, curve = sums.sum(axis=1), Area(self.sample.members), Curve(counts.sum())
        reached, products = np.zeros(self.sample.members), np.zeros(self.sample.members)
        saturated = np.zeros(self.sample.members, dtype=int)
        for number, block in enumerate(self.sample):
            # Nothing needs the logits of the data but the diagnostics of trainings.
            first = 0 if self.steps.trains else len(block.data_weight)
            logits, far = _corrected(found, block.reco, first)
            # The denominator: matched events and fakes, and the background unless it is subtracted.
            weights = self._expected(number, block)
            if not subtract and len(block.background_weight):
                weights = np.concatenate([weights, block.background_weight])
            rest = logits[len(block.data_weight) - first :][: len(weights)]
            ratio = finite_ratio(rest + np.log(total / simulated).astype(logits.dtype))
            weighted = weights * ratio
            matched, signal = len(block.matched_weight), len(block.matched_weight) + len(block.fake_weight)
            seen = _sum(weighted[:matched])
            reached += seen + _sum(weighted[matched:])
            products += seen
            saturated += far
            self.store["omega", number] = ratio[:matched]
            if share:
                self.store["fakes", number] = ratio[matched:signal]
            judged = block.reco_held if self.sample.hold_out else slice(None)
            if self.steps.trains:
                numerator, weights = rows(block, number)
                area.add(logits[judged], numerator[judged], weights[judged])
                if self.rules.curves:
                    curve.add(logits[judged, 0], numerator[judged], weights[judged, 0])
        factor, off = norm(reached, total)
        self._share = factor if share else self._share
        entry: dict[str, Any] = {"normalisation_reco": off, "saturated_reco": saturated}
        entry |= {"auc_reco": area.values()} if self.steps.trains else {}
        entry |= {"reliability_reco": [class_reliability(*curve.events())]} if self.rules.curves else {}
        return Omega(factor, products), found.diagnostics | entry

    def _truth_step(self, iteration: int, standing: Standing, omega: Omega) -> dict[str, Any]:
        """Find nu of all fiducial events, including misses, from the matched events; return diagnostics."""
        total = omega.products * omega.norm
        mean = mean_of(total, standing.matched.sum(axis=0), f"iteration {iteration + 1}, truth")
        counts = standing.matched_events
        unit, offset = counts[:, 0].sum() / standing.matched[0], np.log(mean)

        def ratios(block: OmnifoldBlock, number: int) -> np.ndarray:
            """nu omega of the matched events, divided by its mean."""
            return self.nu(number, block)[block.matched] * _times(self.store["omega", number], omega.norm / mean)

        def read(number: int) -> Rows:
            block = self.sample[number]
            return block.matched_truth, ratios(block, number), _times(block.matched_weight, unit), block.truth_held

        found = self._find(TRUTH, iteration, read, counts)
        reached, curve = np.zeros(self.sample.members), Curve(counts.sum())
        saturated = np.zeros(self.sample.members, dtype=int)
        for number, block in enumerate(self.sample):
            logits, far = _corrected(found, block.truth)
            ratio = finite_ratio(logits + offset.astype(logits.dtype))
            seen, weights = ratio[block.matched], block.matched_weight
            reached += _sum(weights * seen)
            saturated += far
            if self.rules.curves:
                judged = block.truth_held if self.sample.hold_out else slice(None)
                curve.add(seen[judged, 0] / mean[0], ratios(block, number)[judged, 0], weights[judged, 0])
            self.store["nu", number] = ratio
        # The store already has the new nu, so its new normalisation is used from here on.
        self._scale, off = norm(reached, total)
        self._nu = None
        entry: dict[str, Any] = {"normalisation_truth": off, "saturated_truth": saturated}
        entry |= {"reliability_truth": [reliability(*curve.events())]} if self.rules.curves else {}
        return found.diagnostics | entry


def _times(values: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """(n, E) times (E,), with the precision of the first."""
    return values * factor.astype(values.dtype)


def _sum(values: np.ndarray) -> np.ndarray:
    """Sums (E,) of values (n, E) over the events; a product is faster than a sum along the first axis."""
    return np.ones(len(values), values.dtype) @ values


def _split_sums(weights: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Sums (2, E) of weights (n, E) of the events for training and of those that are held out, (n,) bool."""
    if not held.any():
        return np.stack([_sum(weights), np.zeros(weights.shape[1])])
    return np.stack([_sum(weights[~held]), _sum(weights[held])])


class Curve:
    """The events of a reliability curve: every k-th event, so that there are at most `CURVE`."""

    def __init__(self, events: int) -> None:
        self._every = 1 + int(events) // CURVE
        self._kept: list[list[np.ndarray]] = []

    def add(self, *columns: np.ndarray) -> None:
        """Add arrays of the same length."""
        # Copies, because a view would keep the whole block in memory.
        self._kept.append([c[:: self._every].copy() for c in columns])

    def events(self) -> list[np.ndarray]:
        """The columns."""
        return [np.concatenate(c) for c in zip(*self._kept, strict=True)]


def _corrected(found: Logits, x: Tensor, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Corrected logits (n, E) at x from its row `first` on, and the number of saturated ones of each member, (E,)."""
    raw = found.logits(x, first) if first else found.logits(x)
    # Hardly ever is any logit saturated.
    any_far = max(raw.max(initial=0.0), -raw.min(initial=0.0)) > SATURATED
    far = (np.abs(raw) > SATURATED).sum(axis=0) if any_far else np.zeros(raw.shape[1], dtype=int)
    return found.correct(raw), far
