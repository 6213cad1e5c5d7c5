"""`truthward compare PUBLICATION PREDICTION...`: predictions against a published result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from truthward.compare import stage
from truthward.compare.published import Published
from truthward.compare.sources import entries_of, read
from truthward.compare.table import rows
from truthward.publish.verify import examine, verify
from truthward.records.compare import Comparison
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
    before = ""
    for row in rows(found):
        if row.prediction != before and before:
            table.add_section()
        auc = f", AUC {row.auc:.3f}" if row.auc is not None else ""
        chi2 = f"{row.value:.1f} / {row.ndf}" if row.value is not None else ""
        p = f"{row.p:.2g}" if row.p is not None else "-"
        table.add_row(row.prediction if row.prediction != before else "", row.test + auc, chi2, p)
        before = row.prediction
    console.print(table)
    for label, prediction in found["predictions"].items():
        for note in prediction["notes"]:
            console.print(f"{label}: {note}", highlight=False, markup=False)
    for row in rows(found):
        if row.p is None:
            console.print(f"{row.prediction}: {row.test}: not tested: {row.note}", highlight=False, markup=False)
