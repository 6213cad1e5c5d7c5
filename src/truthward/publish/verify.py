"""Verify a publication: against its checksums, its schema, and what its metadata say of its events."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from truthward.errors import CorruptError, InputError
from truthward.events.unfolded import Unfolded, weight_columns
from truthward.publish.explore import page
from truthward.records import json_schema, read_record
from truthward.records.publish import Publication
from truthward.run.artefact import read_json, sha256

FORMAT = "1.1"
"""Version of the metadata. The first number grows where older programs can no longer read them."""
SCHEMA = "metadata.schema.json"
ALWAYS = ("events.parquet", "metadata.json", "README.md", "example.py")
"""What every publication has."""
FILES = (*ALWAYS, SCHEMA, page.NAME)
SUMS = "SHA256SUMS"
_LINE = re.compile(r"(?P<digest>[0-9a-f]{64})  (?P<name>[\w.-]+(/[\w.-]+)*)")
AGREES = 1e-6
"""Largest relative difference of a stated sum of weights from that of the events."""


def verify(directory: str | Path) -> dict[str, Any]:
    """Check a publication against its checksums and return its metadata. It may be of another version of the code.

    Older publications have no page and no schema; what is listed is checked.

    Raises:
        InputError: there is no publication.
        CorruptError: a file is missing or has changed; the message names the first one.
    """
    folder = Path(directory)
    if not (folder / SUMS).is_file():
        raise InputError(f"{folder}: no publication here ({SUMS} is missing); run the publish stage")
    listed = _listed(folder / SUMS)
    for name in dict.fromkeys([*ALWAYS, *listed]):
        if not (folder / name).is_file():
            raise CorruptError(f"{folder / name}: missing; publish again")
        if sha256(folder / name) != listed.get(name):
            raise CorruptError(f"{folder / name}: does not match its checksum in {SUMS}; publish again")
    metadata = read_json(folder / "metadata.json")
    try:
        stated = {name: entry["sha256"] for name, entry in metadata["files"].items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise CorruptError(f"{folder / 'metadata.json'}: has no checksums under `files`; publish again") from error
    if wrong := sorted(dict(stated.items() ^ listed.items()).keys() - {"metadata.json"}):
        raise CorruptError(f"{folder / 'metadata.json'}: has another checksum of {wrong[0]} than {SUMS}; publish again")
    return metadata


def _listed(path: Path) -> dict[str, str]:
    """File -> SHA-256, from the list."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    found = [_LINE.fullmatch(line) for line in lines]
    if not all(found):
        raise CorruptError(f"{path}: line {found.index(None) + 1} is not `<SHA-256>  <file>`; publish again")
    return {line["name"]: line["digest"] for line in found if line}


def schema() -> dict[str, Any]:
    """The JSON schema of `metadata.json`, made from its record."""
    return json_schema(Publication, f"metadata.json of a truthward publication, format {FORMAT}")


def examine(directory: str | Path) -> list[str]:
    """Hold the metadata of a verified publication against their schema and against the events.

    Returns:
        What was found, a sentence each: format, events, families, coverage.

    Raises:
        InputError: the format is newer than this package.
        CorruptError: a field, a family, a column, a weight or a number of events is not as stated.
    """
    folder = Path(directory)
    metadata, sample = read_json(folder / "metadata.json"), Unfolded(folder / "events.parquet")
    found = [_format(folder, metadata)]
    if metadata["events"] != sample.num_rows:
        raise _disagrees(folder, f"{metadata['events']} events are stated, events.parquet has {sample.num_rows}")
    stated = {n: {k: v for k, v in f.items() if k != "meaning"} for n, f in metadata["families"].items()}
    own = {n: f.to_json() for n, f in sample.families.items()}
    if stated != own:
        other = sorted(n for n in stated.keys() | own.keys() if stated.get(n) != own.get(n))[0]
        raise _disagrees(folder, f"the family {other} is not as events.parquet has it")
    _columns(folder, metadata, sample)
    sums = _sums(folder, sample)
    for name, value in metadata["normalisation"]["sum_of_weights"].items():
        if name not in sums or abs(sums[name] - value) > AGREES * abs(value):
            raise _disagrees(folder, f"{name} is stated to sum to {value:g}, and sums to {sums.get(name, np.nan):g}")
    yields = ", ".join(f"{n} {v:.6g}" for n, v in metadata["normalisation"]["sum_of_weights"].items())
    families = ", ".join(f"{n} ({f['count']})" for n, f in stated.items()) or "none"
    return [
        *found,
        f"events: {sample.num_rows}; sum of weights: {yields}",
        f"families of replicas: {families}; errors: {metadata['uncertainty']}",
        f"coverage: {metadata.get('coverage', 'not stated')}",
    ]


def _format(folder: Path, metadata: dict[str, Any]) -> str:
    """The format in words; its major version and its schema are checked."""
    version = str(metadata.get("format_version", ""))
    if metadata.get("format") != "truthward publication" or version.partition(".")[0] != FORMAT.partition(".")[0]:
        raise InputError(
            f"{folder / 'metadata.json'}: format {metadata.get('format')!r} {version} found, truthward publication "
            f"{FORMAT} is read; use the version of truthward that is in its provenance"
        )
    if version != FORMAT:
        return f"format: {version}; its fields are not checked, because this version knows those of {FORMAT}"
    try:
        read_record(folder / "metadata.json", Publication)
    except InputError as error:
        raise CorruptError(f"{error}, or fetch the publication again") from error
    return f"format: {version}; all fields are as the schema says"


def _columns(folder: Path, metadata: dict[str, Any], sample: Unfolded) -> None:
    for entry in metadata["columns"]:
        first, last = entry.get("indices", [0, 0])
        for index in range(first, last + 1):
            if (name := entry["name"].replace("<index>", str(index))) not in sample.columns:
                raise _disagrees(folder, f"the column {name} is not in events.parquet")
    if lack := [n for n in metadata["unfolded_observables"] if f"truth_{n}" not in sample.columns]:
        raise _disagrees(folder, f"the unfolded observable {lack[0]} is not in events.parquet")


def _sums(folder: Path, sample: Unfolded) -> dict[str, float]:
    """Weight column -> its sum; each is finite, and positive."""
    sets = [None] if sample.joint else sample.observables
    names = [name for o in sets for name in weight_columns(sample.families, o)]
    sums = dict.fromkeys(names, 0.0)
    for batch in sample.batches(names):
        for name, weights in batch.items():
            sums[name] += float(weights.sum(dtype=float))
    if bad := [name for name, value in sums.items() if not (np.isfinite(value) and value > 0)]:
        raise _disagrees(folder, f"the weights {bad[0]} sum to {sums[bad[0]]:g}, which is no yield")
    return sums


def _disagrees(folder: Path, what: str) -> CorruptError:
    return CorruptError(f"{folder / 'metadata.json'}: {what}; publish again, or fetch the publication again")
