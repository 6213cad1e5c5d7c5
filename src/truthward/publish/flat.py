"""Publications as flat tables with a column for each weight, as experiments publish results of OmniFold.

There is no standard for unbinned results. The names are those of the ATLAS release of 2405.20041: an observable has its
own name, and weights are `weights_nominal`, `weights_bootstrap_data_<i>`, `weights_bootstrap_mc_<i>`,
`weights_ensemble_<i>` for trainings from other initial weights, and `weights_<systematic>` or
`weights_<systematic>_<i>`. Every weight is a whole weight, not a factor on another. What differs from that release: the
file is Parquet in place of HDF5; `metadata.yaml` says how the replicas of each family make an uncertainty; there is no
`weight_mc`, since a result has no other prior.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from truthward.errors import InputError
from truthward.events.families import Family, family
from truthward.events.unfolded import Unfolded, weight_columns, write_unfolded
from truthward.run.artefact import atomic, read_json, write_text
from truthward.run.provenance import Record

NAMES = {"data_bootstrap": "bootstrap_data", "mc_bootstrap": "bootstrap_mc", "initialisation": "ensemble"}
"""Family -> part of the names of its columns; systematics have their own names."""
NOMINAL, EVENTS, METADATA = "weights_nominal", "events.parquet", "metadata.yaml"
FORMAT, VERSION = "flat weights of an unfolded sample", "1.0"
NO_WEIGHTS = ("event_id", "block", "weight_mc", "target_dd")
_COLUMN = re.compile(r"weights_(?P<stem>.+?)(?:_(?P<index>\d+))?")
PAIR = ("weights_dd", "target_dd")
"""Unfolded pseudo-data of known truth, and this truth: their difference is a systematic."""


def flat_name(f: Family, index: int) -> str:
    """Column of a replica.

    >>> flat_name(family("mc_bootstrap", 25), 3), flat_name(family("systematic:lumi", 1), 0)
    ('weights_bootstrap_mc_3', 'weights_lumi')
    """
    stem = f"weights_{NAMES.get(f.name, f.name.removeprefix('systematic:'))}"
    return stem if f.name not in NAMES and f.count == 1 else f"{stem}_{index}"


def write_flat(publication: str | Path, folder: str | Path) -> None:
    """Write the events of a verified publication as a flat table with `METADATA`.

    Raises:
        InputError: the method has weights for each observable, and the convention has one set.
    """
    source, target = Path(publication), Path(folder)
    sample, metadata = Unfolded(source / "events.parquet"), read_json(source / "metadata.json")
    if not sample.joint:
        raise InputError(
            f"{source}: each observable has weights of its own; a flat table has one set: publish a joint method"
        )
    given = weight_columns(sample.families)
    names = [NOMINAL, *(flat_name(f, i) for f in sample.families.values() for i in range(f.count))]
    kept = [c for c in sample.columns if c.startswith("truth_") or c in ("event_id", "block")]
    rename = dict(zip(given, names, strict=True)) | {c: c.removeprefix("truth_") for c in kept}
    if twice := sorted({n for n in rename.values() if list(rename.values()).count(n) > 1}):
        raise InputError(f"{source}: an observable and a weight would both be {twice[0]}")
    pieces = [pd.DataFrame(batch).rename(columns=rename) for batch in sample.batches([*kept, *given])]
    with atomic(target / EVENTS) as temporary:
        pd.concat(pieces, ignore_index=True).to_parquet(temporary, index=False)
    families = {
        name: {"columns": flat_name(f, 0) if f.count == 1 and name not in NAMES else flat_name(f, 0)[:-1] + "<i>"}
        | {"count": f.count, "statement": f.statement, "ddof": f.ddof, "centre": f.centre}
        | {"meaning": metadata["families"][name]["meaning"]}
        for name, f in sample.families.items()
    }
    truth = [c for c in metadata["columns"] if c["role"] == "truth"]
    content = {
        "format": FORMAT,
        "format_version": VERSION,
        "convention": "column names of arXiv:2405.20041; see the documentation of truthward for the differences",
        **{k: metadata[k] for k in ("study", "licence", "fiducial", "particle_level", "uncertainty")},
        "nominal": NOMINAL,
        "unfolded_observables": sample.observables,
        "observables": {c["name"].removeprefix("truth_"): {k: c.get(k, "") for k in ("label", "unit")} for c in truth},
        "normalisation": metadata["normalisation"],
        "families": families,
        "combination": metadata["combination"],
    }
    write_text(target / METADATA, yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120))


def read_flat(source: str | Path, output: str | Path, *, observables: Sequence[str] | None = None) -> list[str]:
    """Turn a flat table into an unfolded sample, which all of this package reads.

    Without a metadata file the families follow from the names of the columns, and all other columns are observables.
    The replicas of `ensemble` state the error of their mean if the nominal weights are this mean, else their spread.

    Args:
        source: a folder of `write_flat`, or a file: Parquet, CSV (packed or not), or HDF5 where pandas can read it.
        output: the unfolded sample.
        observables: the unfolded ones; by default as the metadata say, or all.

    Returns:
        What was assumed, for the user.

    Raises:
        InputError: the file cannot be read, or has no nominal weights, or not the columns of its metadata.
    """
    path = Path(source)
    table, said = _table(path / EVENTS if path.is_dir() else path), words_of(path)
    if NOMINAL not in table:
        raise InputError(f"{path}: no column {NOMINAL}; the weights of a flat table are named weights_<family>")
    notes: list[str] = []
    families = _stated(path, said) if said else _found(table, notes)
    truth = [c for c in table.columns if not c.startswith("weights_") and c not in NO_WEIGHTS]
    chosen = list(observables or said.get("unfolded_observables", truth))
    if lack := [n for n in chosen if n not in truth]:
        raise InputError(f"{path}: no column {lack[0]}, which is said to be unfolded; there are: {', '.join(truth)}")
    columns = {f"truth_{n}": table[n].to_numpy() for n in truth}
    columns["event_id"] = table["event_id"].to_numpy() if "event_id" in table else np.arange(len(table))
    columns |= {"block": table["block"].to_numpy()} if "block" in table else {}
    names = [NOMINAL, *(flat_name(f, i) for f in families.values() for i in range(f.count))]
    if lack := [name for name in names if name not in table]:
        raise InputError(f"{path}: no column {lack[0]}, but its family is declared")
    columns |= {own: table[name].to_numpy() for own, name in zip(weight_columns(families), names, strict=True)}
    if all(name in table for name in PAIR):
        shift = columns["weight"] + table[PAIR[0]].to_numpy() - table[PAIR[1]].to_numpy()
        families["systematic:dd"] = family("systematic:dd", 1)
        columns["replica:systematic:dd:0"] = shift
        notes.append("weights_dd less target_dd is taken as what pseudo-data of known truth are missed by")
    record = Record("convert", {"source": path.name}, "", 0)
    write_unfolded(
        output,
        [columns],
        method="imported",
        kind="imported",
        observables=chosen,
        joint=True,
        families=families,
        history=[],
        record=record,
    )
    return notes


def _table(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_hdf(path) if path.suffix in (".h5", ".hdf5") else pd.read_csv(path)
    except ImportError as error:
        raise InputError(f"{path}: pandas needs the package `tables` for HDF5: pip install tables") from error
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: cannot be read as a table ({str(error)[:200]}); check the file") from error


def words_of(source: str | Path) -> dict[str, Any]:
    """The metadata of a flat table; empty where there is no such file."""
    path = Path(source)
    file = path / METADATA if path.is_dir() else path.with_name(METADATA)
    content = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return content if isinstance(content, dict) and content.get("format") == FORMAT else {}


def _stated(path: Path, said: Mapping[str, Any]) -> dict[str, Family]:
    fields = ("count", "statement", "ddof", "centre")
    try:
        return {n: Family(name=n, **{k: f[k] for k in fields}) for n, f in said["families"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: {METADATA}: a family lacks one of {', '.join(fields)}") from error


def _found(table: pd.DataFrame, notes: list[str]) -> dict[str, Family]:
    """Families by the names of the columns."""
    counts: dict[str, set[int]] = {}
    for column in table.columns:
        match = _COLUMN.fullmatch(column)
        if match and column not in (NOMINAL, *PAIR):
            counts.setdefault(match["stem"], set()).add(int(match["index"] or 0))
    known, families = {stem: name for name, stem in NAMES.items()}, {}
    for stem, indices in counts.items():
        name = known.get(stem, f"systematic:{stem}")
        if indices != set(range(len(indices))):
            raise InputError(f"weights_{stem}_<i>: the numbers do not run from 0 to {len(indices) - 1}")
        families[name] = family(name, len(indices))
    if own := families.get("initialisation"):
        mean = table[[flat_name(own, i) for i in range(own.count)]].mean(axis=1)
        if np.allclose(mean, table[NOMINAL], rtol=1e-4):
            families["initialisation"] = Family("initialisation", own.count, "error_of_mean", 1, "mean")
            notes.append("weights_nominal is the mean of the ensemble, whose replicas state the error of this mean")
    return families
