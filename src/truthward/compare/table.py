"""All tests of a comparison as rows, for the terminal and for CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import NamedTuple

from truthward.records.compare import ComparedPrediction, Comparison
from truthward.records.validate.figures import Chi2
from truthward.run.artefact import write_text


class Row(NamedTuple):
    """One test. value, ndf: of a chi2; auc: of the unbinned test. None where there is none."""

    prediction: str
    test: str
    value: float | None
    ndf: int | None
    p: float | None
    auc: float | None = None
    note: str = ""


def rows(found: Comparison) -> list[Row]:
    """One row for each test that there may be; without one, the note says why."""
    return [row for label, prediction in found["predictions"].items() for row in _rows(label, prediction)]


def write_csv(path: str | Path, found: Comparison) -> None:
    """The rows with six digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["prediction", "test", "chi2", "ndf", "p", "auc", "note"])
    for row in rows(found):
        writer.writerow([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row])
    write_text(path, text.getvalue())


def _rows(label: str, prediction: ComparedPrediction) -> list[Row]:
    found = [_chi2(label, name, e["chi2"], e["note"]) for name, e in prediction["observables"].items()]
    found.append(_chi2(label, "all observables", prediction["joint"]["chi2"], prediction["joint"]["note"]))
    if total := prediction["total"]:
        found.append(_chi2(label, f"yield, ratio {total['ratio']:.3f}", total["chi2"], ""))
    for test in prediction["unbinned"]:
        name = "unbinned" if len(test["observables"]) > 1 else f"unbinned, {test['observables'][0]}"
        found.append(Row(label, name, None, None, test["p"], test.get("auc"), test.get("reason", "")))
    return found


def _chi2(label: str, name: str, chi2: Chi2, note: str) -> Row:
    return Row(label, name, chi2["value"], chi2["ndf"], chi2["p"], note=chi2.get("reason", note))
