"""The thresholds beyond which a figure of merit is a failure, all in one place."""

from __future__ import annotations

from typing import Any

SMALL_P = 1e-3
"""p-value of a chi2 below which it is flagged."""

LARGE_PULL = 4.0
"""|pull| of a yield, or significance of a classifier's AUC, beyond which it is flagged."""

ABOVE_FLOOR = 5.0
"""A distance may exceed its floor by this many standard deviations of the floor."""


def flag(test: str, observable: str | None, message: str) -> dict[str, str | None]:
    """One failure: the test, the observable (None: all of them) and the result in words."""
    return {"test": test, "observable": observable, "message": message}


def flag_distance(test: str, observable: str, entry: dict[str, Any] | None) -> list[dict[str, str | None]]:
    """A distance {value, floor, significance} that exceeds its floor."""
    if not entry or entry.get("significance") is None or entry["significance"] <= ABOVE_FLOOR:
        return []
    floor = entry["floor"]
    return [
        flag(
            test,
            observable,
            f"{entry['value']:.3g} found, {floor['mean']:.3g} +- {floor['sd']:.2g} expected from statistics",
        )
    ]


def flag_chi2(test: str, observable: str, entry: dict[str, Any] | None) -> list[dict[str, str | None]]:
    """A chi2 {value, ndf, p} that is too large."""
    if not entry or entry["p"] is None or entry["p"] >= SMALL_P:
        return []
    return [
        flag(test, observable, f"chi2 {entry['value']:.1f} for {entry['ndf']} degrees of freedom, p = {entry['p']:.1g}")
    ]


def flag_two_sample(test: str, entry: dict[str, Any] | None) -> list[dict[str, str | None]]:
    """A classifier that separates the samples."""
    if not entry or entry["significance"] <= LARGE_PULL:
        return []
    auc = entry["auc"]
    return [
        flag(
            test, None, f"AUC {auc['mean']:.4f} +- {entry['auc_sigma']:.4f}: {entry['significance']:.1f} sigma from 1/2"
        )
    ]


def flags_of_method(content: dict[str, Any]) -> list[dict[str, str | None]]:
    """The failures among the figures of `validate.method`; the figures of the prior and of the data cannot fail."""
    found = []
    for name, figures in content["observables"].items():
        for test in ("triangular", "wasserstein1"):
            found += flag_distance(test, name, (figures[test] or {}).get("unfolded"))
        found += flag_chi2("chi2", name, (figures["chi2"] or {}).get("unfolded"))
        found += flag_chi2("refold", name, figures["refold"]["unfolded"]["chi2"])
        pull = figures["yield"].get("pull")
        if pull is not None and abs(pull) > LARGE_PULL:
            found.append(
                flag("yield", name, f"{figures['yield']['ratio']:.3f} times the true yield, a pull of {pull:.1f}")
            )
    return found + flag_two_sample("two_sample", content["two_sample"]["unfolded"])
