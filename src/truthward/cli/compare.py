"""`truthward compare PUBLICATION PREDICTION...`: predictions against a published result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from truthward.compare import stage
from truthward.compare.published import Published
from truthward.compare.sources import entries_of, read
from truthward.publish.verify import examine, verify
from truthward.records.compare import ComparedPrediction, Comparison
from truthward.records.validate.figures import Chi2
from truthward.report.comparison import comparison
from truthward.report.style import save
from truthward.run.artefact import write_json
from truthward.run.provenance import Record

JSON = "comparison.json"
FIGURES = ("comparison.png", "comparison.pdf")


def run(
    folder: Path,
    predictions: Sequence[str],
    *,
    observables: Sequence[str] | None = None,
    absolute: bool = False,
    output: Path = Path("comparison"),
    seed: int = 1,
) -> int:
    """Verify, compare, print a table, and write the JSON and the figure.

    Raises:
        InputError: there is no publication, or a prediction cannot be compared with it.
        CorruptError: the publication has changed since it was written, or is not what it says.
        ConfigError: a file of predictions is not valid.
    """
    verify(folder)
    examine(folder)
    published = Published.open(folder)
    names = published.chosen(None if observables is None else list(observables))
    entries = entries_of(predictions)
    spec = {"predictions": list(entries), "observables": names, "absolute": absolute}
    record = Record("compare", spec, "", seed)
    found = stage.compare(
        published,
        (read(label, entry, names) for label, entry in entries.items()),
        observables=names,
        normalised=not absolute,
        seed=seed,
        record=record,
    )
    write_json(output / JSON, found)
    figure = comparison(found)
    for name in FIGURES:
        save(figure, output / name, record)
    show(found, Console())
    print(f"written: {', '.join(str(output / name) for name in (JSON, *FIGURES))}")
    return 0


def show(found: Comparison, console: Console) -> None:
    """The table of all tests, and what is to be known of them."""
    kind = "shapes" if found["normalised"] else "yields and shapes"
    about = found["publication"]
    level = about["particle_level"] or "not stated"
    console.print(f"{about['study']}, {about['method']}: {kind}; errors: {about['uncertainty']}", highlight=False)
    console.print(f"particle level of the publication: {level}", highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("prediction", "test", "chi2 / ndf", "p"):
        table.add_column(title, justify="right" if title in ("chi2 / ndf", "p") else "left")
    for label, prediction in found["predictions"].items():
        for place, row in enumerate(_rows(prediction)):
            table.add_row("" if place else label, *row)
        table.add_section()
    console.print(table)
    for label, prediction in found["predictions"].items():
        for note in (*prediction["notes"], *_reasons(prediction)):
            console.print(f"{label}: {note}", highlight=False, markup=False)


def _rows(prediction: ComparedPrediction) -> list[tuple[str, str, str]]:
    rows = [(name, *_cells(entry["chi2"])) for name, entry in prediction["observables"].items()]
    if prediction["joint"]["chi2"]["value"] is not None:
        rows.append(("all observables", *_cells(prediction["joint"]["chi2"])))
    if total := prediction["total"]:
        rows.append((f"yield, ratio {total['ratio']:.3f}", *_cells(total["chi2"])))
    for test in prediction["unbinned"]:
        name = "unbinned" if len(test["observables"]) > 1 else f"unbinned, {test['observables'][0]}"
        auc = f", AUC {test['auc']:.3f}" if test.get("auc") is not None else ""
        rows.append((name + auc, "", "-" if test["p"] is None else f"{test['p']:.2g}"))
    return rows


def _cells(chi2: Chi2) -> tuple[str, str]:
    if chi2["value"] is None:
        return "-", "-"
    return f"{chi2['value']:.1f} / {chi2['ndf']}", f"{chi2['p']:.2g}"


def _reasons(prediction: ComparedPrediction) -> list[str]:
    """Why a test is missing, each reason once."""
    tests = [(n, e["chi2"].get("reason")) for n, e in prediction["observables"].items()]
    tests += [("all observables", prediction["joint"]["chi2"].get("reason"))]
    tests += [("unbinned", t.get("reason")) for t in prediction["unbinned"]]
    return [f"{name}: not tested: {reason}" for name, reason in tests if reason]
