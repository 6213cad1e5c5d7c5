"""Write the page `explore.html`: the events of a publication, and a program that makes histograms of them.

The page itself is `page.html`, made by `web/build.mjs` from the files beside that. Here the data are put into it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from truthward.errors import CorruptError, InputError
from truthward.events.binning import published_edges
from truthward.events.unfolded import Unfolded, weight_columns
from truthward.publish.explore.built import PAGE
from truthward.publish.explore.columns import block
from truthward.publish.explore.predictions import BinnedPrediction, EventsPrediction, Prediction
from truthward.publish.hepdata import label
from truthward.records.publish import Publication
from truthward.study.observable import Observable

NAME = "explore.html"
LARGEST = 300_000_000
"""Bytes of the numbers in a page, at most: a browser would take too long over more."""

_TITLE, _FIRST, _LATER = "<!-- title -->", "<!-- first -->", "<!-- later -->"
_ABOUT = (
    "study",
    "licence",
    "fiducial",
    "particle_level",
    "verdict",
    "uncertainty",
    "unfolded_observables",
    "events",
    "normalisation",
    "families",
    "caveats",
    "doi",
    "cite",
)


def write_page(
    path: Path,
    sample: Unfolded,
    metadata: Publication,
    declared: Mapping[str, Observable],
    *,
    predictions: Sequence[Prediction] = (),
    largest: int = LARGEST,
) -> None:
    """Write the page of a publication.

    Args:
        sample: the published events. metadata: of the publication.
        declared: observables with binning; the page has their published bins.
        predictions: what the result can be compared with.
        largest: bytes of the numbers, at most. A page of more events says so, and has no figures.

    Raises:
        CorruptError: the installed page is not the one that was built.
        InputError: a prediction has another number of weights than events.
    """
    template = _template()
    _check(sample, predictions)
    fits = _size(sample, predictions) <= largest
    content = _content(sample, metadata, declared, predictions if fits else ())
    if not fits:
        content["too_large"] = f"{sample.num_rows} rows are too many for a page. Use events.parquet instead."
    before, rest = template.replace(_TITLE, escape(f"Unfolded events: {metadata['study']}")).split(_FIRST)
    program, after = rest.split(_LATER)
    with path.open("w", encoding="utf-8") as page:
        page.write(before)
        page.write(f'<script type="application/json" id="content">{_json(content)}</script>\n')
        if fits:
            _write_columns(page, program, sample, predictions)
        else:
            page.write(program)
        page.write(after)


def _template() -> str:
    path = Path(__file__).with_name("page.html")
    built = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(built).hexdigest() != PAGE:
        raise CorruptError(f"{path}: is not the page that was built; install the package again")
    return built.decode()


def _check(sample: Unfolded, predictions: Sequence[Prediction]) -> None:
    for p in predictions:
        if isinstance(p, EventsPrediction):
            wanted = {len(values) for values in (p.values or {}).values()} or {sample.num_rows}
            if wanted != {len(p.weights)}:
                raise InputError(f"prediction {p.label!r}: {len(p.weights)} weights for {sorted(wanted)} events")


def _write_columns(page: TextIO, program: str, sample: Unfolded, predictions: Sequence[Prediction]) -> None:
    """What the first figure needs, the program, and then the replicas: the figure is there before they are."""
    order, blocks = _blocks(sample)
    for name in sample.truth_observables:
        page.write(block(f"truth_{name}", _column(sample, f"truth_{name}", order)))
    sets = [weight_columns(sample.families, o) for o in _sets(sample)]
    for nominal, *_ in sets:
        page.write(_weights(sample, nominal, order, blocks, 0))
    for number, prediction in enumerate(predictions):
        if isinstance(prediction, EventsPrediction):
            for text in _events(number, prediction, order):
                page.write(text)
    page.write(program)
    for _, *replicas in sets:
        for index, name in enumerate(replicas, start=1):
            page.write(_weights(sample, name, order, blocks, index))


def _sets(sample: Unfolded) -> Sequence[str | None]:
    return [None] if sample.joint else sample.observables


def _column(sample: Unfolded, name: str, order: np.ndarray | None) -> np.ndarray:
    values = np.concatenate([batch[name] for batch in sample.batches([name])])
    return values if order is None else values[order]


def _blocks(sample: Unfolded) -> tuple[np.ndarray | None, np.ndarray | None]:
    """For draws in blocks: the order of rows in which each block is in one piece, and where the blocks begin."""
    if "block" not in sample.columns:
        return None, None
    number = _column(sample, "block", None)
    order = np.argsort(number, kind="stable")
    columns = 1 + sum(f.count for f in sample.families.values())
    return order, np.searchsorted(number[order], np.arange(columns + 1))


def _weights(sample: Unfolded, name: str, order: np.ndarray | None, blocks: np.ndarray | None, index: int) -> str:
    """A column of weights; of draws in blocks, the rows of its own block, or of the nominal one if it weights these."""
    values = _column(sample, name, order)
    if blocks is None:
        return block(name, values)
    own = index if blocks[index] < blocks[index + 1] else 0
    start, end = int(blocks[own]), int(blocks[own + 1])
    return block(name, values[start:end], start=start)


def _events(number: int, prediction: EventsPrediction, order: np.ndarray | None) -> Iterator[str]:
    own = prediction.values is not None
    weights = np.asarray(prediction.weights, dtype=float)
    yield block(f"prediction:{number}", weights if own or order is None else weights[order])
    for name, values in (prediction.values or {}).items():
        yield block(f"prediction:{number}:{name}", np.asarray(values, dtype=np.float32))


def _size(sample: Unfolded, predictions: Sequence[Prediction]) -> int:
    replicas = sum(f.count for f in sample.families.values())
    size = sample.num_rows * (4 * len(sample.truth_observables) + (8 + 4 * replicas) * len(_sets(sample)))
    if "block" in sample.columns:
        # Only the draws of the nominal have more than one weight.
        blocks = _blocks(sample)[1]
        assert blocks is not None
        shared = replicas - int((np.diff(blocks[1:]) > 0).sum())
        size = sample.num_rows * (4 * len(sample.truth_observables) + 8) + 4 * shared * int(blocks[1])
    for p in predictions:
        if isinstance(p, EventsPrediction):
            size += len(p.weights) * (8 + 4 * len(p.values or ()))
    return size


def _content(
    sample: Unfolded,
    metadata: Publication,
    declared: Mapping[str, Observable],
    predictions: Sequence[Prediction],
) -> dict[str, Any]:
    """What the page has to know beside the columns."""
    about: dict[str, Any] = {key: metadata[key] for key in _ABOUT if key in metadata}  # type: ignore[literal-required]
    about["families"] = {name: f | {"label": label(name)} for name, f in metadata["families"].items()}
    made = metadata["provenance"]["unfolding"]
    return {
        **about,
        "method": {key: metadata["method"].get(key) for key in ("method", "kind", "iterations")},
        "made": {
            "package": made.get("package"),
            "version": made.get("version"),
            "commit": made.get("git", {}).get("commit"),
            "seed": made.get("seed"),
        },
        "observables": [_observable(sample, c, declared) for c in metadata["columns"] if c["role"] == "truth"],
        "weights": [_set(sample, observable) for observable in _sets(sample)],
        "predictions": [_prediction(p, number) for number, p in enumerate(predictions)],
    }


def _observable(sample: Unfolded, column: Mapping[str, Any], declared: Mapping[str, Observable]) -> dict[str, Any]:
    name = column["name"].removeprefix("truth_")
    o = declared.get(name)
    return {
        "name": name,
        "label": column["label"],
        "unit": column["unit"],
        "unfolded": column["unfolded"],
        "edges": [float(edge) for edge in published_edges(sample, o)] if o else None,
        "scale": o.scale if o else "linear",
        "counts": o.counts if o else "linear",
    }


def _set(sample: Unfolded, observable: str | None) -> dict[str, Any]:
    names = iter(weight_columns(sample.families, observable))
    nominal = next(names)
    families = {name: [next(names) for _ in range(f.count)] for name, f in sample.families.items()}
    return {"observable": observable, "nominal": nominal, "families": families}


def _prediction(prediction: Prediction, number: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"label": prediction.label}
    if isinstance(prediction, BinnedPrediction):
        return entry | {
            "histograms": {
                name: {"edges": [float(e) for e in edges], "contents": [float(c) for c in contents]}
                for name, (edges, contents) in prediction.histograms.items()
            }
        }
    own = None if prediction.values is None else {n: f"prediction:{number}:{n}" for n in prediction.values}
    return entry | {"weights": f"prediction:{number}", "columns": own}


def _json(content: Mapping[str, Any]) -> str:
    """JSON in which no text can end the element around it."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
