"""The calibration stage: learn the response on the simulation, test it on held-out events, apply it to every sample."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from truthward.calibrate.base import Calibrator
from truthward.calibrate.judge import evaluate, features_of, judge
from truthward.errors import InputError
from truthward.events.contract import Batch, refuse_nonfinite
from truthward.events.split import TEST, TRAIN, VALIDATION
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.learn import checkpoint
from truthward.records.calibrate import Calibrated, CalibrateSummary
from truthward.run import launch
from truthward.run.artefact import write_json
from truthward.run.provenance import Record
from truthward.study import plugins
from truthward.study.observable import Observable
from truthward.study.seeds import seed_for
from truthward.study.variations import reco_flag, variation_of

SYSTEMATIC = "calibration"
"""Name of the variations: columns `reco_<observable>:calibration:<k>`, family `systematic:calibration`."""


def calibrate(
    entry: dict[str, Any],
    *,
    simulation: Path,
    samples: Mapping[str, tuple[Path, Path]],
    model_out: Path,
    summary_out: Path,
    observables: Sequence[Observable] | None,
    seed: int,
    record: Record,
    state: Path | None,
    key: str,
) -> CalibrateSummary:
    """Train on the matched events of `simulation` (pass_truth and pass_reco) and write the calibrated samples.

    It trains on the events of split train, chooses the epoch on validation, and judges on test. The samples get these
    columns:

    - `reco_<o>` of the observables that scale: the raw value over E[R | x]; the raw value stays as `reco_<o>_raw`;
    - `reco_<target>_sigma_systematic` and `reco_<target>_sigma_statistical`: the uncertainties of the calibrated jet,
      in the unit of the target;
    - `reco_<o>:calibration:<k>` in tables of role simulation: the calibration of the same event by member k, for the
      family `systematic:calibration`.

    In all these variations the data keep the nominal calibration. One function calibrates both, so an error of a member
    would cancel if it were applied to both. But the function was learned from the simulation, and how its scale relates
    to the scale of the data is known only within the spread of the ensemble. So the variations move one against the
    other by this spread. The table may already have shifted columns (see `study.variations`). These are shifts of the
    raw jet and are calibrated like any jet, by the mean at their own features. So a shift of the raw scale is a shift
    of the calibrated scale, except for the part that the function removes.

    No selection is applied again. `pass_reco` was decided on the uncalibrated jet, in simulation and data alike, and
    stays: calibrated values may lie below a threshold of the selection. Constituents and observables that are not in
    `scales` also stay the same.

    Args:
        entry: `{kind: ..., options}` of the config.
        simulation: event table to learn from.
        samples: name -> (event table, calibrated event table to write).
        model_out: checkpoint to write. summary_out: JSON to write, the last of all.
        observables: labels, units and so on in addition to those of the tables; None: only those of the tables.
        seed: seed of the study. record: provenance, written to every file.
        state: directory for the resume state, removed at the end. key: digest of spec and code.

    Returns:
        The summary.

    Raises:
        InputError: a column is missing, too few matched events, values that the features cannot have, or a variation
            that accepts events without giving their features.
        DivergedError: the training, or a calibrated value, is not finite and positive.
        Interrupted: by a signal; the state was saved.
    """
    calibrator: Calibrator = plugins.build("calibrate", entry)
    events = _matched(EventTable(simulation), calibrator)
    use = events["split"] != TEST
    history = calibrator.train_on(
        torch.from_numpy(events["x"][use]),
        torch.from_numpy(events["response"][use]),
        torch.from_numpy(events["weight"][use]),
        torch.from_numpy(events["split"][use] == VALIDATION),
        seed=seed_for(seed, "calibrate"),
        state=state / "training.pt" if state else None,
        state_key=key,
    )
    calibrator.eval()
    recipe = {
        "class": f"{type(calibrator).__module__}:{type(calibrator).__name__}",
        "arguments": {k: v for k, v in entry.items() if k != "kind"},
    }
    trained = int((events["split"] == TRAIN).sum())
    checkpoint.save(model_out, {"calibrator": calibrator}, recipe=recipe, provenance=record.finish(events_in=trained))
    summary: CalibrateSummary = {
        "kind": entry["kind"],
        "target": calibrator.target,
        "features": calibrator.features,
        "scales": calibrator.scales,
        "events": {name: int((events["split"] == s).sum()) for name, s in _SPLITS.items()},
        "history": {"train": history.train, "validation": history.validation, "best": history.best},
        **judge(calibrator, {name: column[events["split"] == TEST] for name, column in events.items()}),
        "samples": {
            name: apply(calibrator, EventTable(source), out, observables=observables, record=record)
            for name, (source, out) in samples.items()
        },
        "provenance": record.finish(events_in=len(use), sum_w=float(events["weight"].sum())),
    }
    write_json(summary_out, summary)
    if state and not launch.rank():
        shutil.rmtree(state, ignore_errors=True)
    return summary


@dataclass
class Counted:
    """Events of a sample, those that pass at reco level, and the sum of their factors 1 / response."""

    events: int = 0
    passed: int = 0
    factors: float = 0.0


_SPLITS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}


def _matched(table: EventTable, calibrator: Calibrator) -> dict[str, np.ndarray]:
    """Features (N, F), response, weight, split and the quantities for the bins, (N,), of the matched events."""
    target = calibrator.target
    names = {f"reco_{name}" for name in [*calibrator.features, target]} | {f"truth_{target}"}
    names |= {f"{level}_jet_eta" for level in ("truth", "reco")} & set(table.columns)
    columns = table.read(["pass_truth", "pass_reco", "weight", "split", *sorted(names)])
    both = columns.pop("pass_truth") & columns.pop("pass_reco")
    columns = {name: values[both] for name, values in columns.items()}
    for name, part in _SPLITS.items():
        if (count := int((columns["split"] == part).sum())) < 20:
            raise InputError(
                f"{table.path}: only {count} matched events in the split {name}; the calibration needs 20 at least: "
                "simulate more events"
            )
    if bad := int(((columns[f"truth_{target}"] <= 0) | (columns[f"reco_{target}"] <= 0)).sum()):
        raise InputError(
            f"{table.path}: {target}: {bad} matched events have a value of zero or less; the response needs positive "
            "values: select these events away"
        )
    response = columns[f"reco_{target}"] / columns[f"truth_{target}"]
    return columns | {"response": response, "x": features_of(columns, calibrator)}


def apply(
    calibrator: Calibrator,
    table: EventTable,
    out: Path,
    *,
    observables: Sequence[Observable] | None,
    record: Record,
) -> Calibrated:
    """Write one calibrated event table, batch by batch; see `calibrate`. Return counts and the mean factor.

    Raises:
        InputError: the table lacks a feature or a column that scales.
    """
    known = dict(table.metadata["observables"])
    known |= {observable.name: observable.model_dump(mode="json") for observable in observables or ()}
    for name in calibrator.scales:
        if f"reco_{name}" not in table.columns:
            raise InputError(
                f"{table.path}: calibrate.scales names {name}, but there is no column reco_{name}; map it, or remove "
                f"{name} from `scales`"
            )
        label = known.get(name, {"label": name, "unit": ""})
        known[f"{name}_raw"] = {**label, "label": f"{label['label']}, uncalibrated"}
    unit = known.get(calibrator.target, {}).get("unit", "")
    for part in ("systematic", "statistical"):
        known[f"{calibrator.target}_sigma_{part}"] = {
            "label": f"{part} uncertainty of {calibrator.target}",
            "unit": unit,
        }
    counts = Counted()
    stored = write_table(
        out,
        _calibrated(calibrator, table, counts),
        observables=known,
        role=table.role,
        selection=table.metadata["selection"],
        record=record,
        source=str(table.path),
        origin=table.metadata.get("origin"),
    )
    varied = [name for name in stored["observables"] if name.startswith(f"{calibrator.target}:{SYSTEMATIC}:")]
    return {
        "events": counts.events,
        "pass_reco": counts.passed,
        "mean_factor": counts.factors / max(counts.passed, 1),
        "role": stored["role"],
        "variations": len(varied),
    }


def _calibrated(calibrator: Calibrator, table: EventTable, counts: Counted) -> Iterator[Batch]:
    for batch in table.batches():
        passed = batch["pass_reco"].astype(bool)
        columns = dict(batch)
        scalar = {name: values for name, values in batch.items() if name.startswith("reco_") and values.ndim == 1}
        x = features_of({name: values[passed] for name, values in scalar.items()}, calibrator)
        mean, systematic, statistical, members = evaluate(calibrator, x)

        def put(name: str, values: np.ndarray, columns=columns, passed=passed) -> None:
            column = np.full(len(passed), np.nan, dtype=np.float32)
            column[passed] = values
            columns[name] = column

        for name in calibrator.scales:
            raw = batch[f"reco_{name}"][passed]
            columns[f"reco_{name}_raw"] = batch[f"reco_{name}"]
            put(f"reco_{name}", raw / mean)
            if table.role == "simulation":
                for k, member in enumerate(members):
                    put(f"reco_{name}:{SYSTEMATIC}:{k}", raw / member)
        columns |= _shifted(calibrator, batch)
        target = columns[f"reco_{calibrator.target}"][passed]
        # truth = reco / R, so that sigma(truth) = calibrated sigma(R) / R to first order.
        put(f"reco_{calibrator.target}_sigma_systematic", target * systematic / mean)
        put(f"reco_{calibrator.target}_sigma_statistical", target * statistical / mean)
        counts.events += len(passed)
        counts.passed += int(passed.sum())
        counts.factors += float((1 / mean).sum())
        yield batch.like(columns)


def _shifted(calibrator: Calibrator, batch: Batch) -> dict[str, np.ndarray]:
    """The calibrated columns of the variations that shift a feature or an observable that scales."""
    columns: dict[str, np.ndarray] = {}
    wanted = {f"reco_{name}" for name in [*calibrator.features, *calibrator.scales]}
    varied = [v for name in batch if (v := variation_of(name)) and v.base in wanted]
    for systematic, index in sorted({(v.systematic, v.index) for v in varied}):
        end = f":{systematic}:{index}"
        flag = reco_flag(f"reco_{calibrator.target}{end}", batch)
        passed = batch[flag].astype(bool)
        own = batch.like({name: batch[name + end if name + end in batch else name] for name in wanted}).take(passed)
        for name, values in own.items():
            refuse_nonfinite(values, own, name + end, f"where {flag} is true, and the calibration needs it")
        mean = evaluate(calibrator, features_of(own, calibrator))[0]
        for name in calibrator.scales:
            column = np.full(len(passed), np.nan, dtype=np.float32)
            column[passed] = own[f"reco_{name}"] / mean
            columns[f"reco_{name}{end}"] = column
    return columns
