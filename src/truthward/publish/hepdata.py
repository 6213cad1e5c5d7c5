"""Tables of the unfolded observables as a HEPData submission (its schemas 1.1.1).

The first table is the total in the fiducial region. Then each observable has three tables: its density in bins, with
one error for each family of replicas, and the covariance and the correlation of these densities. Numbers have six
digits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from truthward.events.binning import RULE, published_histogram, rank
from truthward.events.families import Histogram, stated_as
from truthward.events.unfolded import Unfolded
from truthward.publish.submission_words import comment, qualifiers
from truthward.run.artefact import write_text
from truthward.study.observable import Observable

FOLDER = "hepdata"

Column = tuple[str, str, list[dict[str, Any]]]
"""Name, unit ("" for none) and values of a variable."""

Draw = Callable[[Mapping[str, Any], Path, Path], bool]
"""Draws the content of a table into a figure and a thumbnail; false, and no file, where there is nothing to draw."""

_LABELS = {"data_bootstrap": "stat", "mc_bootstrap": "sys,simulation statistics"}


@dataclass(frozen=True)
class Quantity:
    """The quantity in the tables: `scale` times the yields, in `unit`. `keyword` is HEPData's name for its density."""

    name: str
    symbol: str
    unit: str
    keyword: str
    scale: float


@dataclass(frozen=True)
class Table:
    """One table: independent and dependent columns."""

    name: str
    file: str
    description: str
    independent: list[Column]
    dependent: list[Column]


def quantity(luminosity: float | None) -> Quantity:
    """Yields, or cross sections if the luminosity of the data, per fb, is known."""
    if luminosity is None:
        return Quantity("yield", "N", "events", "DN/DX", 1.0)
    return Quantity("cross section", r"\sigma", "fb", "DSIG/DX", 1.0 / luminosity)


def label(family: str) -> str:
    """Label of a family's error: `stat` for the statistics of the data, `sys,<name>` for all others.

    >>> label("systematic:calibration")
    'sys,calibration'
    """
    return _LABELS.get(family, f"sys,{family.removeprefix('systematic:')}")


def write_tables(
    folder: Path,
    sample: Unfolded,
    declared: Mapping[str, Observable],
    *,
    study: str,
    licence: str,
    fiducial: str,
    model: Sequence[str] = (),
    luminosity: float | None = None,
    words: Mapping[str, Any] | None = None,
    draw: Draw | None = None,
) -> list[str]:
    """Write the submission into `folder`/hepdata and return the names of its files, relative to `folder`.

    Args:
        declared: observables with binning, label and unit. An unfolded observable that is not among them has no tables.
        licence, fiducial, model: as in `publish`.
        luminosity: of the data, per fb: the tables then have cross sections in fb. None: they have yields.
        words: the fields of `section.Hepdata`. draw: makes a figure and a thumbnail of each table.
    """
    said = words or {}
    q = quantity(luminosity)
    # The bins do not contain all events, so the total is counted in one unlimited bin.
    everything, sets = np.array([-np.inf, np.inf]), sample.observables[: 1 if sample.joint else None]
    totals = {name: sample.histogram(name, everything) for name in sets}
    tables = [_fiducial(totals, q, joint=sample.joint)]
    for number, o in enumerate((declared[n] for n in sample.observables if n in declared), start=1):
        whole = totals[o.name if o.name in totals else sets[0]]
        tables += _tables_of(o, f"{number}_{o.name}", published_histogram(sample, o), whole, q, model)

    beside = qualifiers(said, fiducial, luminosity)
    submission: list[dict[str, Any]] = []
    pictures: list[str] = []
    for table in tables:
        stated = [{**_variable(*column), "qualifiers": [dict(each) for each in beside]} for column in table.dependent]
        content = {"independent_variables": [_variable(*c) for c in table.independent], "dependent_variables": stated}
        _write_yaml(folder / FOLDER / table.file, content, compact=True)
        entry, stem = _entry(table, q, licence, said), table.file.removesuffix(".yaml")
        figures = {f"{stem}.png": "Image file", f"thumb_{stem}.png": "Thumbnail image file"}
        if draw is not None and draw(content, *(folder / FOLDER / name for name in figures)):
            entry["additional_resources"] = [{"location": n, "description": text} for n, text in figures.items()]
            pictures += figures
        submission.append(entry)
    _write_yaml(
        folder / FOLDER / "submission.yaml",
        {"comment": comment(sample.metadata["method"], study, licence, fiducial, q.name)},
        *submission,
    )
    return [f"{FOLDER}/{name}" for name in ("submission.yaml", *(table.file for table in tables), *pictures)]


def _fiducial(totals: Mapping[str, Histogram], q: Quantity, *, joint: bool) -> Table:
    text = f"Fiducial {q.name}: all events, within the bins of the other tables or not."
    rows = [{"value": "all observables" if joint else name} for name in totals]
    values = [_contents(h, q.scale)[0] for h in totals.values()]
    return Table(
        f"Fiducial {q.name}", "0_fiducial.yaml", text, [("Unfolded", "", rows)], [(f"${q.symbol}$", q.unit, values)]
    )


def _tables_of(
    o: Observable, stem: str, bins: Histogram, whole: Histogram, q: Quantity, model: Sequence[str]
) -> list[Table]:
    """Density, covariance and correlation of one observable in `bins`, which contain a part of `whole`."""
    density, size, x = bins.density(), bins.nominal.size, o.label or o.name
    per = f"{q.unit} / {o.unit}" if o.unit else q.unit
    ends = [{"low": _digits(a, 12), "high": _digits(b, 12)} for a, b in zip(bins.edges, bins.edges[1:], strict=False)]
    inside, total = (f"{q.scale * h.nominal.sum():.6g}" for h in (bins, whole))
    said = stated_as(bins.parts, model)
    text = (
        f"Unfolded {x}: contents of each bin divided by its width. The bins hold {inside} of {total} {q.unit}. {RULE} "
        f"Of {len(o.published_edges) - 1} declared bins there are {size}. Errors: {said}."
    )
    if o.atoms:
        text += f" Values of a probability of their own: {', '.join(f'{value:g}' for value in o.atoms)}."
    header = rf"$\mathrm{{d}}{q.symbol}/\mathrm{{d}}{_symbol(o)}$"
    tables = [Table(o.name, f"{stem}.yaml", text, [(x, o.unit, ends)], [(header, per, _contents(density, q.scale))])]

    pairs = [
        (f"{x}, {which} bin", o.unit, [ends[k] for k in index.ravel()])
        for which, index in zip(("first", "second"), np.indices((size, size)), strict=True)
    ]
    parts = {
        label(n): f.covariance(density.replicas[n], density.nominal) for n, f in density.families.items() if f.adds
    }
    name = "total" if said.startswith("total") else said
    covariance = {name: sum(parts.values(), np.zeros((size, size))), **parts}
    columns = [(f"covariance, {n}", f"({per})$^2$", _matrix(q.scale**2 * m)) for n, m in covariance.items()]
    text = (
        f"Covariance of the densities in the table {o.name}: {name}, and the part of each family of replicas. "
        "The rank of a part is at most the number of its replicas: invert the first alone."
    )
    if (reached := rank(bins)) < size:
        text += f" The bootstraps give it a rank of {reached} for {size} bins: do not invert it at all."
    tables.append(Table(f"{o.name}: covariance", f"{stem}_covariance.yaml", text, pairs, columns))

    sigma = np.sqrt(np.diag(covariance[name]))
    norm = np.outer(sigma, sigma)
    # A bin without uncertainty has no correlation.
    correlation = np.divide(covariance[name], norm, out=np.full(norm.shape, np.nan), where=norm > 0)
    text = f"Correlation of the densities in the table {o.name}, from the covariance called {name}."
    columns = [("correlation", "", _matrix(correlation))]
    return [*tables, Table(f"{o.name}: correlation", f"{stem}_correlation.yaml", text, pairs, columns)]


def _entry(table: Table, q: Quantity, licence: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of a table in submission.yaml."""
    words = {"cmenergies": list(said.get("energies", ())), "reactions": list(said.get("reactions", ()))}
    words |= {"observables": [q.keyword]}
    words |= {"phrases": ["Unfolding", f"Differential {q.name}", *said.get("phrases", ())]}
    entry: dict[str, Any] = {
        "name": table.name,
        "description": table.description,
        "keywords": [{"name": name, "values": values} for name, values in words.items() if values],
        "data_file": table.file,
    }
    if re.fullmatch(r"[A-Za-z0-9.+-]+", licence):
        entry["data_license"] = {"name": licence, "url": f"https://spdx.org/licenses/{licence}.html"}
    return entry


def _variable(name: str, unit: str, values: list[dict[str, Any]]) -> dict[str, Any]:
    # Copies: YAML would write an object that occurs twice as a reference.
    header = {"name": name, "units": unit} if unit else {"name": name}
    return {"header": header, "values": [dict(value) for value in values]}


def _symbol(o: Observable) -> str:
    """The last part of the label that is between dollar signs, without these; else the name."""
    found = [part for part in o.label.split("$")[1::2] if part]
    return found[-1] if found else rf"\mathrm{{{o.name}}}".replace("_", r"\_")


def _contents(h: Histogram, scale: float) -> list[dict[str, Any]]:
    """Bins with an error for each family whose error is not zero there: HEPData refuses errors that are all zero.

    Replicas are stored in single precision, so an error below 1e-6 of the content is rounding.
    """
    sigmas = {label(name): scale * np.sqrt(variance) for name, variance in h.breakdown().items()}
    entries: list[dict[str, Any]] = []
    for index, value in enumerate(h.nominal):
        floor = 1e-6 * scale * abs(value)
        errors = [{"symerror": _digits(s[index]), "label": name} for name, s in sigmas.items() if s[index] > floor]
        entries.append({"value": _digits(scale * value)} | ({"errors": errors} if errors else {}))
    return entries


def _matrix(values: np.ndarray) -> list[dict[str, Any]]:
    return [{"value": _digits(v) if np.isfinite(v) else "-"} for v in values.ravel()]


def _digits(value: float, digits: int = 6) -> float:
    return float(f"{value:.{digits}g}")


def _write_yaml(path: Path, *documents: Any, compact: bool = False) -> None:
    """Write YAML documents atomically and keep the order of keys.

    compact: write innermost lists and mappings on one line.
    """
    flow = None if compact else False
    text = yaml.safe_dump_all(documents, width=1000, sort_keys=False, allow_unicode=True, default_flow_style=flow)
    write_text(path, text)
