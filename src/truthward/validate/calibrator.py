"""The verdict on a calibration, from its tests on held-out events."""

from __future__ import annotations

from pathlib import Path

from truthward.records import read_record
from truthward.records.calibrate import CalibrateSummary
from truthward.records.validate.calibrator import Check, ValidatedCalibration
from truthward.run.artefact import write_json
from truthward.run.provenance import Record
from truthward.validate.flags import flag

MEAN = 0.1
"""Largest |mean| of the pulls."""

WIDTH = (0.9, 1.1)
"""Range of the width of the pulls, and of half their central 68% interval."""

CLOSURE = 0.02
"""Largest deviation of the calibrated mean response from one, in a bin of a reco-level quantity."""

SURE = 2.0
"""A figure is out of tolerance only if it exceeds the tolerance by this many of its statistical errors."""


def validate_calibrate(summary: str | Path, *, output: str | Path, record: Record) -> ValidatedCalibration:
    """Check the pulls (mean 0, width 1) and the closure in bins of reco-level quantities. Each has a tolerance.

    Closure in bins of truth quantities is not required. A response that depends on reco-level features may not have it.

    Args:
        summary: calibrate/summary.json.
        output: JSON artefact to write.

    Raises:
        InputError: the summary is not as the calibration writes it.
    """
    content = read_record(summary, CalibrateSummary)
    pull = content["pull"]
    checks = [
        _check("pull mean", pull["mean"], pull["mean_error"], -MEAN, MEAN),
        _check("pull width", pull["width"], pull["width_error"], *WIDTH),
        _check("pull central 68%", pull["central68"], pull["central68_error"], *WIDTH),
    ]
    for name, rows in content["closure"].items():
        if name.startswith("reco_"):
            checks += [
                _check(
                    f"response in {row['low']:.4g} <= {name} < {row['high']:.4g}",
                    row["after"]["mean"],
                    row["after"]["mean_error"],
                    1 - CLOSURE,
                    1 + CLOSURE,
                )
                for row in rows
            ]
    bad = [c for c in checks if not c["good"]]
    result: ValidatedCalibration = {
        "good": not bad,
        "kind": content["kind"],
        "checks": checks,
        "flags": [
            flag(
                c["name"],
                content["target"],
                f"{c['value']:.3f} +- {c['error']:.3f} outside of {c['low']} to {c['high']}",
            )
            for c in bad
        ],
        "provenance": record.finish(events_in=round(pull["effective_events"])),
    }
    write_json(output, result)
    return result


def _check(name: str, value: float, error: float, low: float, high: float) -> Check:
    good = low - SURE * error <= value <= high + SURE * error
    return {"name": name, "value": value, "error": error, "low": low, "high": high, "good": good}
