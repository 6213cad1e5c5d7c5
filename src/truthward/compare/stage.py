"""Compare a publication with predictions: what the command and the rule call."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from truthward.compare import chi2, unbinned
from truthward.compare.prediction import Prediction, Sample, checked
from truthward.compare.published import Published
from truthward.compare.table import write_csv
from truthward.events.binning import BOOTSTRAPS
from truthward.events.families import Histogram
from truthward.events.table import EventTable
from truthward.records.compare import (
    ComparedObservable,
    ComparedPrediction,
    ComparedYield,
    Comparison,
    Curve,
    Joint,
    Unbinned,
)
from truthward.run.artefact import write_json
from truthward.run.provenance import Record
from truthward.study.seeds import seed_for

log = logging.getLogger("truthward.compare")

FORMAT, VERSION = "truthward comparison", "1.0"
NO_MC = (
    "the publication has no replicas of the simulation's statistics (mc_bootstrap): its events are taken as exact, and "
    "p-values may be too small"
)


def compare(
    published: Published,
    predictions: Iterable[Prediction],
    *,
    observables: Sequence[str] | None = None,
    normalised: bool = True,
    seed: int = 1,
    record: Record,
) -> Comparison:
    """All tests of all predictions.

    Args:
        predictions: read for these observables; each is used once, so that one at a time is in memory.
        observables: unfolded ones to compare; None for all.
        normalised: compare shapes alone; else yields too.
        seed: of the unbinned tests.

    Raises:
        InputError: a prediction cannot be compared, see `prediction.checked`.
    """
    names = published.chosen(None if observables is None else list(observables))
    found: dict[str, ComparedPrediction] = {}
    values = _values(published, names)
    for given in predictions:
        log.info("%s", given.label)
        prediction = checked(given, observables=values) if isinstance(given, Sample) else given
        found[prediction.label] = _compared(published, prediction, names, normalised=normalised, seed=seed)
    metadata, families = published.metadata, published.sample.families
    shown = {name: published.shown(name) for name in names}
    return {
        "format": FORMAT,
        "format_version": VERSION,
        "normalised": normalised,
        "publication": {
            "study": metadata["study"],
            "method": metadata["method"]["method"],
            "sha256": published.sha256,
            "fiducial": metadata["fiducial"],
            "particle_level": metadata["particle_level"],
            "uncertainty": metadata.get("uncertainty", ""),
            "families": {name: f.count for name, f in families.items() if f.adds},
        },
        "observables": {name: {"label": label, "unit": unit} for name, (label, unit) in shown.items()},
        "predictions": found,
        "provenance": record.finish(events_in=published.sample.num_rows),
    }


def _values(published: Published, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Some values of each observable, for the check of units."""
    batch = next(published.sample.batches([f"truth_{name}" for name in names]))
    return {name: batch[f"truth_{name}"] for name in names}


def _compared(
    published: Published, prediction: Prediction, names: Sequence[str], *, normalised: bool, seed: int
) -> ComparedPrediction:
    bins = {n: e for n in names if (e := prediction.edges(n, published.edges.get(n))) is not None}
    notes = list(prediction.notes)
    if lack := [name for name in names if name not in bins]:
        notes.append(f"no published bins of {', '.join(lack)}: in the unbinned test alone")
    for name, edges in bins.items():
        if name in published.edges and len(edges) != len(published.edges[name]):
            notes.append(f"{name}: the prediction has other bins than the publication; its own are used for both")
    if not set(BOOTSTRAPS[1:]) & set(published.sample.families):
        notes.append(NO_MC)
    found: dict[str, ComparedObservable] = {}
    for name, edges in bins.items():
        test, note = chi2.one(published, prediction, name, edges, normalised=normalised)
        curve = _curve(published.histogram(name, edges), prediction, name, edges, normalised=normalised)
        found[name] = {"curve": curve, "chi2": test, "note": note}
    total = None if normalised else _total(published, prediction)
    if total and (hint := _scale(total["ratio"], published.metadata["normalisation"]["luminosity_per_fb"])):
        notes.append(hint)
    return {
        "source": prediction.source,
        "kind": prediction.kind,
        "observables": found,
        "joint": _joint(published, prediction, bins, normalised=normalised),
        "unbinned": _unbinned(published, prediction, names, seed),
        "total": total,
        "notes": notes,
    }


def _joint(published: Published, prediction: Prediction, bins: Mapping[str, np.ndarray], *, normalised: bool) -> Joint:
    if not published.sample.joint:
        why = "each observable was unfolded by itself: the publication has no covariance between them"
    elif len(bins) < 2:
        why = "there is one observable"
    else:
        test, merged, note = chi2.joint(published, prediction, bins, normalised=normalised)
        return {"chi2": test, "bins": {n: e.tolist() for n, e in merged.items()}, "note": note}
    return {"chi2": {"value": None, "ndf": None, "p": None, "reason": why}, "bins": {}, "note": ""}


def _unbinned(published: Published, prediction: Prediction, names: Sequence[str], seed: int) -> list[Unbinned]:
    if not isinstance(prediction, Sample):
        return []
    sets = [list(names)] if published.sample.joint else [[name] for name in names]
    return [unbinned.two_sample_test(published, prediction, s, seed=seed_for(seed, "compare", *s)) for s in sets]


def _total(published: Published, prediction: Prediction) -> ComparedYield:
    measured, (total, variance), test = chi2.yields(published, prediction)
    return {
        "measured": float(measured.nominal[0]),
        "measured_error": float(measured.sigma[0]),
        "prediction": total,
        "prediction_error": float(np.sqrt(variance)),
        "ratio": total / float(measured.nominal[0]),
        "chi2": test,
    }


def _scale(ratio: float, luminosity: float | None) -> str:
    """A hint where the yield is off by a factor that other units of the weights make; empty where it is not."""
    known = {1e3: "the weights seem to be too large by 1000: set `scale: 0.001`"}
    known |= {1e-3: "the weights seem to be too small by 1000: set `scale: 1000`"}
    if luminosity is not None:
        for unit, size in (("fb", 1.0), ("pb", 1e-3)):
            scale = luminosity / size
            known[1 / scale] = (
                f"the weights seem to be cross sections in {unit}: set `scale: {scale:g}`, the luminosity"
            )
    near = [text for factor, text in known.items() if 0.5 < ratio / factor < 2 and not 0.2 < ratio < 5]
    return f"the yield of the prediction is {ratio:.3g} times the published one; {near[0]}" if near else ""


def _curve(h: Histogram, prediction: Prediction, name: str, edges: np.ndarray, *, normalised: bool) -> Curve:
    """Densities of both, of unit area or not."""
    contents, covariance = prediction.counted({name: edges})
    width, total = np.diff(edges), 1.0
    shown = h.normalised() if normalised else h.density()
    if normalised:
        total = float(contents.sum())
        share = contents / total
        slope = np.eye(contents.size) - share[:, None]
        covariance = slope @ covariance @ slope.T
    return {
        "edges": edges.tolist(),
        "measured": shown.nominal.tolist(),
        "measured_error": shown.sigma.tolist(),
        "measured_errors": {n: np.sqrt(v).tolist() for n, v in shown.breakdown().items()},
        "prediction": (contents / total / width).tolist(),
        "prediction_error": (np.sqrt(np.clip(np.diag(covariance), 0.0, None)) / total / width).tolist(),
    }


def from_table(label: str, path: str | Path, names: Sequence[str]) -> Sample:
    """The accepted events of a truth-level table."""
    table = EventTable(path)
    accepted, values = table.level("truth", names)
    weights = table.read(["weight"])["weight"][accepted]
    return Sample(label, str(path), {n: values[accepted, k] for k, n in enumerate(names)}, weights)


def compare_stage(
    folder: str | Path,
    tables: Mapping[str, str | Path],
    *,
    absolute: bool,
    seed: int,
    record: Record,
    output_json: str | Path,
    output_csv: str | Path,
) -> None:
    """Compare the publication in `folder` with truth-level tables, label -> path, and write all tests.

    Raises:
        InputError: a table cannot be compared, see `prediction.checked`.
    """
    published = Published.open(folder)
    given = (from_table(label, path, published.observables) for label, path in tables.items())
    found = compare(published, given, normalised=not absolute, seed=seed, record=record)
    write_json(output_json, found)
    write_csv(output_csv, found)
