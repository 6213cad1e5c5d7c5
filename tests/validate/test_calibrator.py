"""The verdict on a calibration: what is within tolerance, or may be by its statistical error, passes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.records.examples import example
from truthward.calibrate.closure import closure, pulls
from truthward.errors import InputError
from truthward.records import read_record
from truthward.records.calibrate import CalibrateSummary
from truthward.records.validate.calibrator import ValidatedCalibration
from truthward.run.artefact import write_json
from truthward.run.provenance import Record
from truthward.validate.calibrator import validate_calibrate


def summary(*, shift: float = 0.0, width: float = 1.0, slope: float = 0.0, n: int = 4000) -> dict:
    """What the stage writes for a response of 1 +- 0.1, stated with a wrong mean, width or dependence on reco pT."""
    random = np.random.default_rng(1)
    weights, pt = np.ones(n), random.uniform(200, 400, n)
    response = 1 + random.normal(shift * 0.1, 0.1 * width, n)
    after = response * (1 + slope * (pt - 300) / 100)
    return example(CalibrateSummary) | {
        "kind": "repulsive",
        "target": "jet_pt",
        "pull": pulls(response, np.ones(n), np.full(n, 0.1), weights),
        "closure": {
            "reco_jet_pt": closure(pt, response, after, weights),
            "truth_jet_pt": closure(pt, response, 1.3 * after, weights),
        },
    }


def verdict(folder, content):
    write_json(folder / "summary.json", content)
    found = validate_calibrate(folder / "summary.json", output=folder / "o.json", record=Record.for_tests())
    assert read_record(folder / "o.json", ValidatedCalibration) == found
    return found


def test_a_right_calibration_passes_whatever_it_does_in_bins_of_truth(tmp_path):
    found = verdict(tmp_path, summary())
    assert found["good"]
    assert found["flags"] == []
    assert len(found["checks"]) == 3 + 6


@pytest.mark.parametrize(
    ("wrong", "test"),
    [
        ({"shift": 0.3}, "pull mean"),
        ({"width": 1.4}, "pull width"),
        ({"width": 0.6}, "pull central 68%"),
        ({"slope": 0.05}, "response in"),
    ],
)
def test_a_wrong_one_is_flagged(tmp_path, wrong, test):
    found = verdict(tmp_path, summary(**wrong))
    assert not found["good"]
    assert any(f["test"].startswith(test) for f in found["flags"])


def test_few_events_prove_nothing(tmp_path):
    content = summary()
    content["pull"] |= {"width": 1.3, "width_error": 0.15}
    assert verdict(tmp_path, content)["good"]


def test_a_summary_without_pulls_is_refused(tmp_path):
    content = summary()
    del content["pull"]["width_error"]
    with pytest.raises(InputError, match="width_error"):
        verdict(tmp_path, content)
