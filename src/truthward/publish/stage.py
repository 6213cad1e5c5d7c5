"""The publication: truth-level events with weights and replicas, and all information for their use (2109.13243)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from truthward.errors import VerdictError
from truthward.events.families import Family, stated_as
from truthward.events.parquet import Parquet, finish, writer
from truthward.events.unfolded import Unfolded, weight_columns
from truthward.physics.labels import QUANTITIES
from truthward.publish import texts
from truthward.publish.example import choose_example, write_example
from truthward.publish.explore import page
from truthward.publish.explore.predictions import Prediction
from truthward.publish.hepdata import Draw, write_tables
from truthward.publish.verify import FILES, FORMAT, SCHEMA, SUMS, examine, schema, verify
from truthward.records.publish import Column, Publication
from truthward.records.validate.method import Verdict
from truthward.run.artefact import sha256, write_json, write_text
from truthward.run.provenance import Record
from truthward.study.observable import Observable

_METHOD = ("method", "kind", "iterations", "stopping", "watched", "joint", "history")


def publish(
    unfolded: str | Path,
    *,
    directory: str | Path,
    study: str,
    licence: str,
    fiducial: str,
    observables: Sequence[Observable],
    example: str | None,
    record: Record,
    verdict: Verdict,
    require: str = "warnings",
    model: Sequence[str] = (),
    luminosity: float | None = None,
    particle_level: str | None = None,
    label: Mapping[str, str] | None = None,
    predictions: Sequence[Prediction] = (),
    coverage: str = texts.NO_COVERAGE,
    hepdata: Mapping[str, Any] | None = None,
    draw: Draw | None = None,
) -> None:
    """Write the publication of one unfolded sample. It replaces an older one only when it is complete.

    Args:
        unfolded: the gathered sample of the published method.
        directory: of the publication. It then has `FILES`, the tables of `hepdata` and `SUMS`, and nothing else.
        licence: licence of the events, such as an SPDX identifier.
        fiducial: the truth-level selection in words. particle_level: which particles are stable at truth level.
        observables: with label, unit and binning. `physics.labels` has the names of others.
        example: the quantity in the histogram of the example: an observable that was not unfolded, or an expression of
            observables such as `m / jet_pt`. None takes the first unfolded observable.
        verdict: the verdict of `validate.method.verdict.judge` on the result. require: the worst verdict that may be
            published: "good", "warnings", or "none" for any verdict.
        model: families that are a model uncertainty.
        label: the fields of `report.section.Report`, for the text above the figure of the example.
        predictions: what the page compares the result with.
        hepdata, draw: words and figures of the tables, see `hepdata.write_tables`.
        coverage: what is known of how often the intervals hold the truth, see `texts.coverage`.

    Raises:
        VerdictError: the verdict is worse than `require`. Nothing is written, and an older publication stays.
        ConfigError: `example` is no valid expression of observables in the file.
        InputError, CorruptError, IncompleteError: `unfolded` cannot be used.
    """
    sample = Unfolded(unfolded)
    _admit(str(sample.metadata["method"]), verdict, require)
    declared = {o.name: o for o in observables}
    chosen = choose_example(sample, example, declared)
    with _replacing(Path(directory)) as folder:
        rows, yields = _copy_events(sample, folder / "events.parquet")
        metadata: Publication = {
            "format": "truthward publication",
            "format_version": FORMAT,
            "study": study,
            "licence": licence,
            "fiducial": fiducial,
            "particle_level": particle_level,
            "method": {key: sample.metadata.get(key) for key in _METHOD},
            "verdict": verdict,
            "uncertainty": stated_as(_families(sample), model),
            "coverage": coverage,
            "unfolded_observables": sample.observables,
            "columns": _columns(sample, declared),
            "events": rows,
            "normalisation": {"rule": texts.NORMALISATION, "sum_of_weights": yields, "luminosity_per_fb": luminosity},
            "families": {name: texts.describe(f) for name, f in _families(sample).items()},
            "combination": texts.COMBINATION,
            "caveats": texts.caveats(_families(sample), joint=sample.joint),
            "provenance": {
                "publication": record.finish(
                    events_in=sample.num_rows, events_out=rows, sum_w=next(iter(yields.values()))
                ),
                "unfolding": sample.metadata["provenance"],
            },
            "files": {},
        }
        write_json(folder / SCHEMA, schema())
        write_text(folder / "README.md", texts.readme(metadata, chosen))
        write_example(folder / "example.py", chosen, study, label or {})
        tables = write_tables(
            folder,
            sample,
            declared,
            luminosity=luminosity,
            study=study,
            licence=licence,
            fiducial=fiducial,
            model=model,
            words=hepdata,
            draw=draw,
        )
        published = Unfolded(folder / "events.parquet")
        page.write_page(folder / page.NAME, published, metadata, declared, predictions=predictions)
        metadata["files"] = {
            name: {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size}
            for name in (*FILES, *tables)
            if name != "metadata.json"
        }
        write_json(folder / "metadata.json", metadata)
        # The metadata cannot contain their own digest. This list has all digests, in the format of `sha256sum --check`.
        write_text(folder / SUMS, "".join(f"{sha256(folder / name)}  {name}\n" for name in (*FILES, *tables)))


def _admit(method: str, verdict: Verdict, require: str) -> None:
    allowed = {"good": ("good",), "warnings": ("good", "warnings"), "none": ("good", "warnings", "failed")}[require]
    if verdict["verdict"] not in allowed:
        raise VerdictError(
            f"{method}: not published, because its verdict is {verdict['verdict']} and publish.require is {require}: "
            f"{'; '.join(verdict['reasons'])}. Correct this, publish another method, or lower `publish.require`"
        )


@contextmanager
def _replacing(directory: Path) -> Iterator[Path]:
    """A temporary folder beside `directory`; on success it is renamed and replaces the older one."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    fresh, stale = (directory.with_name(f".{directory.name}.{word}") for word in ("new", "old"))
    for leftover in (fresh, stale):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir()
    try:
        yield fresh
        if directory.exists():
            os.replace(directory, stale)
        try:
            os.replace(fresh, directory)
        except OSError:
            if stale.exists():
                os.replace(stale, directory)
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(stale, ignore_errors=True)


def _copy_events(sample: Unfolded, path: Path) -> tuple[int, dict[str, float]]:
    """Copy the published columns row group by row group; returns the rows and the sum of each nominal weight."""
    # Replicas that are not part of the total uncertainty were only a check of it.
    sets = [None] if sample.joint else sample.observables
    checks = [
        f"replica:{'' if o is None else f'{o}:'}{n}:" for o in sets for n, f in sample.families.items() if not f.adds
    ]
    # Only the trainings need the column `split`. It could suggest to users that some events must not be used.
    columns = [name for name in sample.columns if name != "split" and not name.startswith(tuple(checks))]
    nominal = [weight_columns(sample.families, o)[0] for o in sets]
    yields = dict.fromkeys(nominal, 0.0)
    with (
        Parquet(sample.path, what="unfolded sample", way="run the unfolding that makes it", keys=()) as source,
        writer(path, source.read_row_group(0, columns).schema) as sink,
    ):
        for number in range(source.num_row_groups):
            table = source.read_row_group(number, columns)
            for name in nominal:
                yields[name] += float(table[name].to_numpy().sum())
            sink.write_table(table)
        published = sample.metadata | {"families": {n: f.to_json() for n, f in _families(sample).items()}}
        finish(sink, published, source.num_rows)
    return source.num_rows, yields


def _families(sample: Unfolded) -> dict[str, Family]:
    return {name: f for name, f in sample.families.items() if f.adds}


def _columns(sample: Unfolded, declared: dict[str, Observable]) -> list[Column]:
    """The meaning of each column; replicas of one family share an entry."""
    entries: list[Column] = []
    for name in sample.truth_observables:
        o, (label, unit) = declared.get(name), QUANTITIES.get(name, (name, ""))
        entries.append(
            {
                "name": f"truth_{name}",
                "role": "truth",
                "type": "float32",
                "label": (o.label or name) if o else label,
                "unit": o.unit if o else unit,
                "unfolded": name in sample.observables,
            }
        )
    entries += [{"name": n, "role": n, "type": t} for n, t in texts.FIXED.items() if n in sample.columns]
    for observable in [None] if sample.joint else sample.observables:
        prefix = "" if observable is None else f"{observable}:"
        own: list[Column] = [{"name": weight_columns({}, observable)[0], "role": "nominal weight", "type": "float64"}]
        own += [
            {
                "name": f"replica:{prefix}{f.name}:<index>",
                "role": "replica weight",
                "type": "float32",
                "family": f.name,
                "indices": [0, f.count - 1],
            }
            for f in _families(sample).values()
        ]
        if observable is not None:
            for column in own:
                column["observable"] = observable
        entries += own
    return entries


__all__ = ["FILES", "FORMAT", "SUMS", "examine", "publish", "verify"]
