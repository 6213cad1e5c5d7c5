"""The verdict on one unfolding: rules with their limits in one table, the same for every method.

A rule measures the size of an effect and has two limits: beyond the first it warns, beyond the second the result has
failed. Most rules need no truth. An effect counts only if it is also significant. The size decides, because with many
events even small effects are significant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard

import numpy as np

from truthward.records.unfold import HistoryEntry
from truthward.records.validate.figures import Chi2
from truthward.records.validate.method import MethodFigures, ObservableFigures, Verdict, WeightSummary
from truthward.records.validate.posterior import ValidatedPosterior
from truthward.study.observable import PER_BIN
from truthward.validate.flags import ABOVE_FLOOR, LARGE_PULL, SMALL_P

LEVELS: tuple[Literal["good", "warnings", "failed"], ...] = ("good", "warnings", "failed")

FEWEST = 5
"""With fewer bins the root mean square of pulls has no meaning."""

Found = tuple[float, str]
"""The measured size (larger is worse), and the reason in words."""


@dataclass(frozen=True)
class Given:
    """The input of a verdict.

    content: figures of the method. posterior: None for methods without posteriors. ingest: sample -> flags of the
    ingest stage. model: families of the model uncertainty.
    """

    content: MethodFigures
    posterior: ValidatedPosterior | None = None
    ingest: Mapping[str, Sequence[str]] = field(default_factory=dict)
    model: Sequence[str] = ()

    @property
    def observables(self) -> Mapping[str, ObservableFigures]:
        return self.content["observables"]


@dataclass(frozen=True)
class VerdictRule:
    """One line of the table.

    warns, fails: limits of the measured size, None for never. truth: whether the rule needs the truth behind the data.
    excused: function that is true if the rule can only warn.
    """

    name: str
    warns: float
    fails: float | None
    measure: Callable[[Given], Iterator[Found]]
    truth: bool = False
    excused: Callable[[Given], bool] | None = None

    def level(self, value: float, given: Given) -> int:
        """0 for nothing, 1 for a warning, 2 for a failure."""
        if value <= self.warns:
            return 0
        fails = self.fails is not None and value > self.fails
        return 2 if fails and not (self.excused and self.excused(given)) else 1


def judge(given: Given) -> Verdict:
    """The verdict: the worst result of all rules.

    Returns:
        verdict: good, warnings or failed; reasons: one sentence for each rule that warns or fails, the worst first;
        without_truth: whether the rules that need the truth could not be used.
    """
    found: list[tuple[int, str]] = []
    for rule in RULES:
        for value, words in rule.measure(given):
            if level := rule.level(value, given):
                found.append((level, words))
    worst = max((level for level, _ in found), default=0)
    reasons = [words for _, words in sorted(found, key=lambda each: -each[0])]
    return {"verdict": LEVELS[worst], "reasons": reasons, "without_truth": not given.content["closure"]}


def _refolded(given: Given) -> Iterator[tuple[str, float, float, float, float | None]]:
    """The observables whose refolded result differs significantly from the data.

    Each has its name, p, chi2 - ndf, effective number of events, and chi2 - ndf of the simulation before unfolding.
    """
    for name, figures in given.observables.items():
        refold = figures["refold"]
        chi2 = refold["unfolded"]["chi2"]
        excess = _excess(chi2)
        if excess is None or chi2["p"] is None or chi2["p"] * len(given.observables) >= SMALL_P:
            continue
        errors = refold["unfolded"]["data_sigma"], refold["unfolded"]["folded_sigma"]
        size = np.sum(refold["unfolded"]["data"]) ** 2 / sum(float(np.square(e).sum()) for e in errors)
        yield name, chi2["p"], excess, float(size), _excess(refold["prior"]["chi2"])


def _excess(chi2: Chi2) -> float | None:
    """chi2 - ndf; None if there is no test."""
    return None if chi2["value"] is None or chi2["ndf"] is None else chi2["value"] - chi2["ndf"]


def _refold(given: Given) -> Iterator[Found]:
    for name, p, excess, size, _ in _refolded(given):
        # The excess of chi2 is the sum of (difference)^2 / content. Over the events, it is a relative mean square.
        off = (max(excess, 0.0) / size) ** 0.5
        yield off, f"folded back, {name} is {off:.1%} (rms) from the data, p = {p:.1g}"


def _gain(given: Given) -> Iterator[Found]:
    for name, _, excess, _, before in _refolded(given):
        if before is not None and before > 0:
            share = excess / before
            yield share, f"folded back, {name} keeps {share:.0%} of the chi2 that the simulation had before unfolding"


def _reco_yield(given: Given) -> Iterator[Found]:
    worst: Found | None = None
    for name, figures in given.observables.items():
        refold = figures["refold"]["unfolded"]
        data, folded = sum(refold["data"]), sum(refold["folded"])
        sigma = np.sqrt(np.sum(np.square(refold["data_sigma"])) + np.sum(np.square(refold["folded_sigma"])))
        off = abs(folded / data - 1)
        if abs(folded - data) > 3 * sigma and (worst is None or off > worst[0]):
            worst = off, f"folded back, {name} has {folded / data:.3f} times the events of the data"
    if worst:
        yield worst


def _reco_test(given: Given) -> Iterator[Found]:
    test, ratio = given.content["two_sample"].get("reco"), given.content["two_sample"].get("ratio")
    if test and test["significance"] > LARGE_PULL:
        # If the test needs a learned ratio, the ratio may be wrong instead of the result.
        floor = max(0.5, ratio["auc"]["mean"]) if ratio else 0.5
        auc, sigmas = test["auc"]["mean"], test["significance"]
        words = (
            f"a classifier separates the refolded simulation from the data: AUC {auc:.3f}, {sigmas:.1f} sigma from 1/2"
        )
        yield auc - floor, words


def _without_response(given: Given) -> Iterator[Found]:
    for name, figures in given.observables.items():
        lost = abs(figures["refold"]["unfolded"]["without_response"])
        yield lost, f"{lost:.1%} of the unfolded {name} lies where the simulation has no events"


def _norms(given: Given) -> Iterator[Found]:
    last = _last(given.content["history"])
    off = {k: abs(v) for entry in last for k, v in entry.items() if k.startswith("normalisation_") and _number(v)}
    if off:
        worst = max(off, key=off.__getitem__)
        name = worst.removeprefix("normalisation_")
        yield off[worst], f"the density ratio of the last iteration ({name}) misses its norm by {off[worst]:.1%}"


def _effective_size(given: Given) -> Iterator[Found]:
    for name, weights in _weights(given):
        size, events = weights["effective_sample_size"], weights["events"]
        words = f"weights{name}: {events:.0f} events have an effective size of {size:.0f} events"
        yield 1 - size / events / given.content["prior_share"], words


def _largest_weight(given: Given) -> Iterator[Found]:
    for name, weights in _weights(given):
        share = weights["largest_over_mean"] / weights["events"] / weights["rows_an_event"]
        if weights["largest_over_mean"] > 10:
            yield share, f"weights{name}: one event carries {share:.1%} of the yield"


def _cap(given: Given) -> Iterator[Found]:
    if not (stopping := given.content.get("stopping")):
        return
    if "bias" in stopping and "variance" in stopping and stopping["chosen"] == stopping["largest"] > 1:
        bias, variance = stopping["bias"][-1], stopping["variance"][-1]
        words = (
            f"pseudo-data of known truth are best unfolded with the largest number of iterations, {stopping['largest']}"
        )
        yield bias / variance, f"{words}: the squared bias is {bias:.2g} there, and the variance {variance:.2g}"
    tolerance, largest = stopping.get("tolerance"), stopping["largest"]
    if not tolerance:
        return
    for entry in _last(given.content["history"]):
        change = entry["changes"][-1] if entry.get("changes") else entry.get("change")
        if not _number(change) or entry["iteration"] + 1 < largest:
            continue
        of = f" of {entry['observable']}" if entry.get("observable") else ""
        words = f"the iterations{of} ended at the largest number allowed, {largest}, with a change of {change:.2g}"
        yield change / tolerance, f"{words}, above the tolerance of {tolerance:g}"


def _posterior(given: Given) -> Iterator[Found]:
    if not given.posterior or not given.posterior["flags"]:
        return
    for name, figures in {**given.posterior["ranks"], "all observables jointly": given.posterior["tarp"]}.items():
        p, spread = min(figures["chi2"]["p"], figures["ks"]["p"]), figures["spread"]["value"]
        if p < SMALL_P:
            words = f"posteriors of {name} on held-out simulation do not cover: p = {p:.1g}, spread {spread:.2f}"
            yield abs(np.log(max(spread, 1e-3))), f"{words} (1 expected)"


def _ingest(given: Given) -> Iterator[Found]:
    for sample, flags in given.ingest.items():
        for words in flags:
            yield 1.0, f"{sample}: {words}"


def _model(given: Given) -> Iterator[Found]:
    if not set(given.model) & set(given.content["families"]):
        said = given.content["uncertainty"]
        kinds = "closure, hidden, regularisation or alternative"
        yield 1.0, f"no model uncertainty: the bands are {said}; add `systematics` of kind {kinds}"


def _replicas(given: Given) -> Iterator[Found]:
    for name, figures in given.observables.items():
        bins, replicas = figures["published"]["bins"], figures["published"]["replicas"]
        if replicas is not None:
            need = PER_BIN * bins
            words = f"{bins} published bins of {name} need {need} replicas of each bootstrap, but there are {replicas}"
            yield need / max(replicas, 1), f"{words}: do not invert their covariance"


def _truth_test(given: Given) -> Iterator[Found]:
    test, floor = given.content["two_sample"]["unfolded"], given.content["two_sample"]["floor"]
    if test and test["significance"] > LARGE_PULL:
        off = test["auc"]["mean"] - max(0.5, floor["auc"]["mean"] if floor else 0.5)
        yield (
            off,
            (
                f"a classifier separates the result from the truth: AUC {test['auc']['mean']:.3f}, "
                f"{test['significance']:.1f} sigma from 1/2"
            ),
        )


def _truth_gain(given: Given) -> Iterator[Found]:
    test, prior = given.content["two_sample"]["unfolded"], given.content["two_sample"]["prior"]
    if test and prior and test["significance"] > LARGE_PULL:
        share = (test["auc"]["mean"] - 0.5) / max(prior["auc"]["mean"] - 0.5, 1e-9)
        yield share, "a classifier tells the result from the truth as well as it does the simulation before unfolding"


def _coverage(given: Given) -> Iterator[Found]:
    pulls = _pulls(given)
    if len(pulls) >= FEWEST:
        rms, inside = float(np.sqrt(np.mean(pulls**2))), float((np.abs(pulls) < 1).mean())
        yield (
            rms,
            f"the bands do not cover the truth: rms pull {rms:.2f}, {inside:.0%} of {len(pulls)} bins within one sigma",
        )


def _too_wide(given: Given) -> Iterator[Found]:
    pulls = _pulls(given)
    if len(pulls) >= FEWEST:
        rms = float(np.sqrt(np.mean(pulls**2)))
        yield 1 - rms, f"the bands are too wide: the rms pull over {len(pulls)} bins is {rms:.2f}"


def _truth_yield(given: Given) -> Iterator[Found]:
    found = given.content["yield"]
    pull = found.get("pull")
    if pull is not None and abs(pull) > LARGE_PULL:
        words = f"the yield is {found['ratio']:.3f} times the true yield, a pull of {pull:.1f}"
        yield abs(found["ratio"] - 1), words


def _truth_distance(given: Given) -> Iterator[Found]:
    # A method that unfolds in its own bins is not tested in finer bins, or without bins.
    fine = [name for name, figures in given.observables.items() if not figures["binned"]]
    tests = ("triangular", "wasserstein1")
    away = [f["observable"] for f in given.content["flags"] if f["test"] in tests and f["observable"] in fine]
    if names := ", ".join(dict.fromkeys(map(str, away))):
        yield 1.0, f"further from the truth than statistics explain ({ABOVE_FLOOR:g} sigma of the floor): {names}"


COVERED = 1.5
"""Largest rms pull of bands that cover the truth."""


def _covered(given: Given) -> bool:
    """Whether the bands contain a model uncertainty and cover the truth.

    The nominal result may then differ from the truth: a wrong response shifts it, and the bands show by how much.
    """
    pulls = _pulls(given)
    enough = len(pulls) >= FEWEST and float(np.sqrt(np.mean(pulls**2))) <= COVERED
    return enough and not list(_model(given))


RULES = (
    # name, limit of a warning, limit of a failure
    VerdictRule("refolded shape", 0.0, 0.10, _refold),
    VerdictRule("refolded chi2 left", 0.25, 0.5, _gain),
    VerdictRule("refolded yield", 0.01, 0.05, _reco_yield),
    VerdictRule("reco-level classifier", 0.0, 0.05, _reco_test),
    VerdictRule("truth without response", 0.001, 0.01, _without_response),
    VerdictRule("norm of the density ratios", 0.05, 0.3, _norms),
    VerdictRule("effective size lost", 0.9, 0.99, _effective_size),
    VerdictRule("share of the largest weight", 0.01, 0.1, _largest_weight),
    VerdictRule("change at the last iteration", 1.0, None, _cap),
    VerdictRule("posteriors", 0.0, 0.25, _posterior),
    VerdictRule("flags at ingest", 0.5, None, _ingest),
    VerdictRule("model uncertainty", 0.5, None, _model),
    VerdictRule("replicas", 1.0, None, _replicas),
    VerdictRule("classifier against the truth", 0.0, 0.05, _truth_test, truth=True, excused=_covered),
    VerdictRule("gain over the simulation", 0.5, 0.9, _truth_gain, truth=True),
    VerdictRule("coverage", COVERED, 2.5, _coverage, truth=True),
    VerdictRule("bands too wide", 0.7, None, _too_wide, truth=True),
    VerdictRule("true yield", 0.0, 0.05, _truth_yield, truth=True),
    VerdictRule("distance to the truth", 0.5, None, _truth_distance, truth=True),
)
"""All rules. Limits are relative sizes: of yields, AUC above 1/2, shares; `coverage` is the rms pull."""


def _pulls(given: Given) -> np.ndarray:
    each = [figures["coverage"] for figures in given.observables.values()]
    return np.array([pull for coverage in each if coverage for pull in coverage["pulls"]], dtype=float)


def _weights(given: Given) -> Iterator[tuple[str, WeightSummary]]:
    """Name and diagnostics of the joint weights, or of the weights of each observable."""
    weights = given.content["weights"]
    if weights["per_observable"] is None:
        yield "", weights
    else:
        yield from ((f" of {name}", found) for name, found in weights["per_observable"].items())


def _last(history: Sequence[HistoryEntry]) -> list[HistoryEntry]:
    """The last entry of the nominal, of each observable and fold."""
    found: dict[tuple[Any, Any], HistoryEntry] = {}
    for entry in history:
        if "iteration" in entry:
            found[entry.get("observable"), entry.get("fold")] = {
                **found.get((entry.get("observable"), entry.get("fold")), {}),
                **entry,
            }
    return list(found.values())


def _number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
