"""Read predictions that are histograms: YODA files, plain or packed, and HEPData tables in YAML."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from truthward.compare.prediction import Counted, Histograms
from truthward.compare.section import Entry
from truthward.errors import InputError, nearest

_BEGIN = re.compile(r"BEGIN (?:YODA_)?(HISTO1D|SCATTER2D|ESTIMATE1D)(?:_V\d)? (\S+)")
_NUMBER = re.compile(r"[-+]?(?:\d[\d.]*(?:[eE][-+]?\d+)?|inf|nan)")


def read_histograms(label: str, path: Path, entry: Entry, observables: Sequence[str]) -> Histograms:
    """Histograms of the observables that a file has.

    An object belongs to the observable that `histograms` says, or to the one that has the last part of its path as
    name. Histograms of YODA have contents; points and estimates of YODA and values of HEPData are densities, unless
    `density` is false.

    Raises:
        InputError: there is none, or one cannot be read.
    """
    found = dict(_hepdata(path) if path.suffix in (".yaml", ".yml") else _yoda(path))
    chosen: dict[str, Counted] = {}
    for name in observables:
        wanted = entry.histograms.get(name)
        keys = [wanted] if wanted else [key for key in found if key.rpartition("/")[2] == name and "/RAW/" not in key]
        if wanted and wanted not in found:
            raise InputError(
                f"{path}: no histogram {wanted} for {name}; {nearest(wanted, found)}; correct `histograms`"
            )
        if len(keys) > 1:
            raise InputError(f"{path}: {', '.join(keys)} may all be {name}; say which one in `histograms`")
        if keys:
            edges, values, errors, contents = found[keys[0]]
            width = 1.0 if contents or not entry.density else np.diff(edges)
            if not np.isfinite([*values, *errors, *edges]).all() or not (np.diff(edges) > 0).all():
                raise InputError(f"{path}: {keys[0]}: edges, values and errors must be finite, and the edges must rise")
            chosen[name] = Counted(edges, entry.scale * values * width, np.diag((entry.scale * errors * width) ** 2))
    if lack := [name for name in observables if name not in chosen]:
        raise InputError(
            f"{path}: no histogram of {lack[0]}; {nearest(lack[0], found)}; name its object in `histograms` of a file "
            "of predictions, or leave the observable out (--observables)"
        )
    for name, h in chosen.items():
        if not h.contents.sum() > 0:
            raise InputError(f"{path}: {name}: its contents sum to {h.contents.sum():g}; a positive sum is needed")
    return Histograms(label, path.name, chosen)


GAP = "---"
"""What YODA writes where a source has no error."""
Found = tuple[np.ndarray, np.ndarray, np.ndarray, bool]
"""Edges (B + 1,), values (B,), errors (B,), and whether the values are contents of bins rather than densities."""


def _yoda(path: Path) -> Iterator[tuple[str, Found]]:
    """One-dimensional objects of a YODA file (versions 1 and 2), without those of single weights, `/path[name]`."""
    try:
        text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text(encoding="utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as YODA ({error}); check the file") from error
    if "BEGIN " not in text:
        raise InputError(f"{path}: there is no `BEGIN YODA_...` in it; check the file")
    for block in re.split(r"(?=^BEGIN )", text, flags=re.MULTILINE):
        begin = _BEGIN.match(block)
        if begin is None or "[" in begin[2]:
            continue
        lines = [line for line in block.split("\nEND ")[0].splitlines()[1:] if line and not line.startswith("#")]
        known = [_numbers(line.partition("[")[2]) for line in lines if line.startswith("Edges(A1)")]
        rows = [line.split() for line in lines if re.match(r"[-+\d.]|nan|inf", line) and line != GAP]
        try:
            yield begin[2], _object(begin[1], known[0] if known else None, rows)
        except (ValueError, IndexError) as error:
            raise InputError(f"{path}: {begin[2]}: not as YODA writes it ({error}); check the file") from error


def _object(kind: str, edges: np.ndarray | None, rows: list[list[str]]) -> Found:
    if edges is not None:  # Version 3: rows of all bins, underflow first and overflow last.
        if len(rows) != len(edges) + 1:
            raise ValueError(f"{len(rows)} rows for {len(edges)} edges")
        inner = rows[1:-1]
        if kind == "HISTO1D":
            return edges, np.array([float(r[0]) for r in inner]), np.sqrt([float(r[1]) for r in inner]), True
        # One pair of errors for each source; a source without one has a gap, which is no NaN.
        pairs = [np.array([0.0 if word == GAP else float(word) for word in r[1:]]).reshape(-1, 2) for r in inner]
        errors = np.array([np.sqrt((np.abs(p).mean(axis=1) ** 2).sum()) for p in pairs])
        return edges, np.array([float(r[0]) for r in inner]), errors, False
    table = np.array(rows, dtype=np.float64)
    if kind == "HISTO1D":  # xlow xhigh sumw sumw2 ...
        return _joined(table[:, 0], table[:, 1]), table[:, 2], np.sqrt(table[:, 3]), True
    low, high = table[:, 0] - table[:, 1], table[:, 0] + table[:, 2]  # x x- x+ y y- y+
    return _joined(low, high), table[:, 3], (np.abs(table[:, 4]) + np.abs(table[:, 5])) / 2.0, False


def _joined(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    if not np.allclose(low[1:], high[:-1], rtol=1e-5, atol=1e-6 * (high[-1] - low[0])):
        raise ValueError("there are gaps between the bins")
    return np.append(low, high[-1])


def _numbers(text: str) -> np.ndarray:
    return np.array([float(x) for x in _NUMBER.findall(text)])


def _hepdata(path: Path) -> Iterator[tuple[str, Found]]:
    """Tables of a submission, or one table with the name of its file."""
    try:
        documents = [d for d in yaml.safe_load_all(path.read_text(encoding="utf-8")) if isinstance(d, dict)]
        tables = {e["name"]: path.parent / e["data_file"] for e in documents if "data_file" in e}
        for name, file in (tables or {path.stem: path}).items():
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
            if (one := _table(content)) is not None:
                yield name, one
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: cannot be read as a HEPData table ({why}); check the file") from error


def _table(content: Any) -> Found | None:
    """The first dependent variable of a table with one binned independent variable; None for other tables."""
    independent = content["independent_variables"]
    if len(independent) != 1 or not all("low" in row and "high" in row for row in independent[0]["values"]):
        return None
    low, high = (np.array([float(row[k]) for row in independent[0]["values"]]) for k in ("low", "high"))
    rows = content["dependent_variables"][0]["values"]
    values = np.array([float(row["value"]) for row in rows])
    return _joined(low, high), values, np.array([_error(row.get("errors", [])) for row in rows]), False


def _error(errors: list[dict[str, Any]]) -> float:
    """Quadratic sum of the errors of a value; of an asymmetric one the mean size. Percent signs are not read."""
    sizes = []
    for error in errors:
        pair = error["asymerror"] if "asymerror" in error else {"plus": error["symerror"], "minus": error["symerror"]}
        sizes.append((abs(float(pair["plus"])) + abs(float(pair["minus"]))) / 2.0)
    return float(np.sqrt(np.sum(np.square(sizes)))) if sizes else 0.0
