"""The figure of predictions over a measurement."""

from __future__ import annotations

import numpy as np
import pytest

from tests.report.content import texts
from truthward.report import style
from truthward.report.comparison import SHADES, comparison
from truthward.run.provenance import Record

EDGES = [0.0, 1.0, 2.0, 4.0]


def curve(factor: float) -> dict:
    errors = {"data_bootstrap": [0.01] * 3, "mc_bootstrap": [0.01] * 3, "systematic:jes": [0.02, 0.02, 0.0]}
    measured = [0.3, 0.5, 0.1]
    total = np.sqrt(sum(np.square(e) for e in errors.values())).tolist()
    return {
        "edges": EDGES,
        "measured": measured,
        "measured_error": total,
        "measured_errors": errors,
        "prediction": [factor * m for m in measured],
        "prediction_error": [0.005] * 3,
    }


def content(labels: list[str], names: tuple[str, ...] = ("m", "w")) -> dict:
    chi2 = {"value": 3.2, "ndf": 2, "p": 0.2}
    none = {"value": None, "ndf": None, "p": None, "reason": "few"}
    each = {
        label: {
            "observables": {n: {"curve": curve(1 + 0.1 * k), "chi2": none if k else chi2, "note": ""} for n in names}
        }
        for k, label in enumerate(labels)
    }
    shown = {n: {"label": f"${n}$", "unit": "GeV"} for n in names}
    return {"normalised": True, "publication": {"study": "toy"}, "observables": shown, "predictions": each}


@pytest.mark.parametrize("labels", [["Monash"], ["Monash", "A14", "Vincia", "a rather long label of a prediction"]])
@pytest.mark.parametrize("names", [("m",), ("m", "w", "M", "zg")])
def test_all_predictions_are_drawn_and_nothing_is_covered(tmp_path, labels, names, assert_nothing_is_covered) -> None:
    figure = comparison(content(labels, names))
    for ending in ("png", "pdf"):
        style.save(figure, tmp_path / f"a.{ending}", Record.for_tests())
    found = texts(figure)
    assert any("Monash: $\\chi^2$/ndf 3.2/2, p 0.2" in text for text in found)
    assert len(labels) == 1 or f"{labels[1]}: not tested" in found
    assert len(figure.axes) == 2 * len(names)
    assert_nothing_is_covered(figure)


def test_the_bands_add_up_to_the_total() -> None:
    lower = comparison(content(["Monash"], ("m",))).axes[0]
    outer = lower.collections[0].get_paths()[0].vertices[:, 1]
    inner = lower.collections[len(SHADES) - 1].get_paths()[0].vertices[:, 1]
    entry = curve(1.0)
    relative = np.array(entry["measured_error"]) / np.array(entry["measured"])
    assert outer.max() == pytest.approx(1 + relative.max())
    assert inner.max() == pytest.approx(1 + (0.01 / np.array(entry["measured"])).max())
