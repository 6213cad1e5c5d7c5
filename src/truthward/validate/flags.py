"""All thresholds beyond which a figure of merit is a failure."""

from __future__ import annotations

from collections.abc import Mapping

from truthward.records.shared import Flag
from truthward.records.validate.figures import Chi2, Distance, TwoSampleTest
from truthward.records.validate.method import ObservableFigures

SMALL_P = 1e-3
"""p-value of a chi2 below which it is flagged."""

LARGE_PULL = 4.0
"""|pull| of a yield, or significance of a classifier's AUC, beyond which it is flagged."""

ABOVE_FLOOR = 5.0
"""A distance may exceed its floor by this many standard deviations of the floor."""


def flag(test: str, observable: str | None, message: str) -> Flag:
    """One failure: the test, the observable (None: all of them) and the result in words."""
    return {"test": test, "observable": observable, "message": message}


def flag_distance(test: str, observable: str, entry: Distance | None) -> list[Flag]:
    """A distance {value, floor, significance} that exceeds its floor."""
    floor = entry and entry["floor"]
    if not entry or not floor or entry["significance"] is None or entry["significance"] <= ABOVE_FLOOR:
        return []
    return [
        flag(
            test,
            observable,
            f"{entry['value']:.3g} found, {floor['mean']:.3g} +- {floor['sd']:.2g} expected from statistics",
        )
    ]


def flag_chi2(test: str, observable: str, entry: Chi2 | None) -> list[Flag]:
    """A chi2 {value, ndf, p} that is too large."""
    if not entry or entry["p"] is None or entry["p"] >= SMALL_P:
        return []
    return [
        flag(test, observable, f"chi2 {entry['value']:.1f} for {entry['ndf']} degrees of freedom, p = {entry['p']:.1g}")
    ]


def flag_two_sample(test: str, entry: TwoSampleTest | None) -> list[Flag]:
    """A classifier that separates the samples."""
    if not entry or entry["significance"] <= LARGE_PULL:
        return []
    auc = entry["auc"]
    return [
        flag(
            test, None, f"AUC {auc['mean']:.4f} +- {entry['auc_sigma']:.4f}: {entry['significance']:.1f} sigma from 1/2"
        )
    ]


def flags_of_method(observables: Mapping[str, ObservableFigures], unfolded: TwoSampleTest | None) -> list[Flag]:
    """The failures of a method: of each observable, and of its joint sample against the truth.

    The figures of the prior and of the data cannot fail.
    """
    found: list[Flag] = []
    for name, figures in observables.items():
        for test, distances in (("triangular", figures["triangular"]), ("wasserstein1", figures["wasserstein1"])):
            found += flag_distance(test, name, distances and distances["unfolded"])
        found += flag_chi2("chi2", name, figures["chi2"] and figures["chi2"]["unfolded"])
        found += flag_chi2("refold", name, figures["refold"]["unfolded"]["chi2"])
        pull = figures["yield"].get("pull")
        if pull is not None and abs(pull) > LARGE_PULL:
            found.append(
                flag("yield", name, f"{figures['yield']['ratio']:.3f} times the true yield, a pull of {pull:.1f}")
            )
    return found + flag_two_sample("two_sample", unfolded)
