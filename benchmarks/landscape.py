"""The landscape of unfolding Z+jets: every generative model with and without removal of the prior, OmniFold and IBU.

The sample of `workflow/studies/own_data.yaml`, 200,000 events each of simulation and data. Triangular discriminators
against the truth that is set apart, beside their floor; AUC and Jensen-Shannon divergence of classifiers between
unfolded events and the truth beside those of truth against truth (2410.21611); time to train, events a second to draw.

Every method is run as configured here, on seeds that none of it was tuned on. Seeds are those of initial weights and
batches; IBU has none: what stands for its spread is that of Poisson bootstraps of the data. A model's two results, the
first training (the simulation's prior is in it) and the last, come from one run, whose first training is resumed.

The floor is that of two samples of the truth of the sizes of the truth and of the effective size unfolded, in which the
draws of one data event count as one event. The criterion was fixed before the seeds were looked at: an observable
closes where its excess over the floor is at most 1.5 times the larger of MultiFold's excess and the floor's own
standard deviation (MultiFold's excess may be none); a model closes where four of six observables do.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import _common as common
import _quality as quality
import numpy as np
import torch

from truthward.events.table import EventTable
from truthward.fingerprint import code
from truthward.plugins import build
from truthward.seeds import seed_for
from truthward.unfold.base import NOMINAL, Inputs, Replica
from truthward.validate.two_sample import floor_test, two_sample_test

PIECES = common.HERE / ".cache" / "landscape"
FIRST_SEED, SEEDS = 1, 1 if common.QUICK else 4
TESTED, TEST_EPOCHS = (3_000, 4) if common.QUICK else (60_000, 8)
"""Events of either sample in the classifier tests, and epochs of each training."""
CLOSES, OBSERVABLES = 1.5, 4
COMMON: dict[str, Any] = {
    "kind": "generative",
    "iterations": 5,
    "draws": 4,
    "epochs": 60,
    "later_epochs": 10,
    "batch_size": 1024,
    "learning_rate": 5e-3,
    "later_rate": 2e-3,
    "classifier_batch": 1024,
    "classifier_rate": 4e-3,
    "width": 64,
}
MODELS: dict[str, dict[str, Any]] = {
    "flow matching": {"model": {"kind": "flow_matching", "width": 128, "depth": 3, "activation": "silu"}},
    "bridge": {"model": {"kind": "bridge", "width": 128, "depth": 3, "activation": "silu"}},
    "coupling flow": {"model": {"kind": "coupling_flow"}},
    "diffusion": {"model": {"kind": "diffusion", "width": 128, "depth": 3}},
    "autoregressive": {"model": {"kind": "autoregressive"}},
}
METHODS: dict[str, dict[str, Any]] = {
    "MultiFold": {"kind": "omnifold"},
    "IBU": {"kind": "ibu"},
    **{name: COMMON | entry for name, entry in MODELS.items()},
}
TUNING_SEED, TUNING_SHARE = 101, 0.5
REMEDIES: dict[str, dict[str, Any]] = {}
"""Tried where a model fell short, each a change of the flow matching above; half of the events, the seed it was tuned
on."""
if common.QUICK:
    METHODS = {name: METHODS[name] for name in ("MultiFold", "IBU", "flow matching")}
    REMEDIES = {}


def run(method: str, seed: int, entry: dict[str, Any], share: float) -> dict[str, Any]:
    """One method, once: a result of each number of iterations that is looked at."""
    torch.set_num_threads(1)
    paths, observables = quality.study("zjets")
    tables = (EventTable(paths["data"]), EventTable(paths["simulation"]))
    inputs = quality.some(Inputs.load(*tables, observables, seed=seed), share)
    if entry["kind"] == "ibu" and seed > FIRST_SEED:
        inputs = inputs.varied(Replica("data_bootstrap", seed))
    steps = {"prior left": {"iterations": 1}, "prior removed": {}} if entry["kind"] == "generative" else {"": {}}
    found: dict[str, Any] = {"results": {}, "seconds": 0.0}
    with tempfile.TemporaryDirectory() as state:
        for what, change in steps.items():
            unfolder = build("unfold", entry | change)
            cpu, wall = time.process_time(), time.perf_counter()
            result = unfolder.unfold(inputs, [NOMINAL], seed=seed, state=Path(state), key="landscape")
            found["seconds"] += time.process_time() - cpu
            trained = {"cpu": found["seconds"], "wall": time.perf_counter() - wall}
            cpu, rows = time.process_time(), list(result.rows)
            drawing = time.process_time() - cpu
            columns = {n: np.concatenate([r[n] for r in rows]) for n in rows[0]}
            draws = entry.get("draws", 1)
            found["results"][what] = {
                "train": trained,
                "events_per_second": len(columns["event_id"]) / drawing if drawing else None,
                "iterations": result.iterations,
                "triangular": {
                    o.name: quality.against_truth(
                        paths["truth"], o, columns[f"truth_{o.name}"], weights_of(columns, o.name), draws
                    )
                    for o in observables
                },
                "test": test(paths["truth"], [o.name for o in observables], columns, seed)
                if NOMINAL.column() in columns
                else None,
            }
    return found


def weights_of(columns: dict[str, np.ndarray], name: str) -> np.ndarray:
    """The nominal weights of one observable, which has its own where they are not joint."""
    return columns.get(NOMINAL.column(), columns.get(NOMINAL.column(name)))


def test(path: Path, names: list[str], columns: dict[str, np.ndarray], seed: int) -> dict[str, float]:
    """Classifiers of the truth against one draw of each event, in as many events of either."""
    truth = truth_values(path, names)
    unfolded = np.stack([columns[f"truth_{n}"] for n in names], axis=1)
    weight = columns[NOMINAL.column()]
    # The draws of an event come one after the other, its block of rows after block.
    _, first = np.unique(columns["event_id"], return_index=True)
    random = np.random.default_rng(seed_for(seed, "tested"))
    chosen = random.permutation(first)[:TESTED]
    reference = random.permutation(len(truth))[:TESTED]
    found = two_sample_test(
        truth[reference], np.ones(len(reference)), unfolded[chosen], weight[chosen], seeds=1, epochs=TEST_EPOCHS,
        seed=seed, label="unfolded and truth",
    )  # fmt: skip
    return {"auc": found["auc"]["mean"], "jsd": found["jsd"]["mean"]}


def truth_values(path: Path, names: list[str]) -> np.ndarray:
    """The truth that is set apart, (N, D)."""
    table = EventTable(path).read([*(f"truth_{n}" for n in names), "pass_truth"])
    return np.stack([table[f"truth_{n}"][table["pass_truth"]] for n in names], axis=1)


def truth_against_truth(seed: int) -> dict[str, Any]:
    """The classifier test of two parts of the truth of the sizes tested."""
    torch.set_num_threads(1)
    paths, observables = quality.study("zjets")
    started = time.process_time()
    truth = truth_values(paths["truth"], [o.name for o in observables])
    some = np.random.default_rng(seed_for(seed, "tested")).permutation(len(truth))[: 2 * TESTED]
    found = floor_test(truth[some], np.ones(len(some)), seeds=1, epochs=TEST_EPOCHS, seed=seed, label="truth")
    figures = {"auc": found["auc"]["mean"], "jsd": found["jsd"]["mean"]}
    return {"test": figures, "seconds": time.process_time() - started}


def piece(method: str, seed: int) -> dict[str, Any]:
    """One run, kept under the digest of the code and options it ran with."""
    entry = METHODS.get(method) or COMMON | MODELS["flow matching"] | REMEDIES.get(method, {})
    kinds = [("unfold", entry["kind"]), *([("models", entry["model"]["kind"])] if "model" in entry else [])]
    path = PIECES / quality.named(method, seed, code(Path(__file__), kinds)["digest"])
    if method == "truth":
        return quality.kept(path, lambda: truth_against_truth(seed))
    share = 1.0 if method in METHODS else TUNING_SHARE
    share *= quality.QUICK_SHARE if common.QUICK else 1.0
    return quality.kept(path, lambda: run(method, seed, entry, share))


def summary(pieces: list[dict[str, Any]], names: list[str], own: slice) -> dict[str, Any]:
    """Mean and spread over seeds of the results of one method; `own` are the runs that the mean is of."""
    found = {}
    for what in pieces[0]["results"]:
        runs = [p["results"][what] for p in pieces]
        columns = {
            k: np.array([[r["triangular"][n][k] for n in names] for r in runs])
            for k in ("value", "floor", "floor_sd", "excess")
        }
        tests = {k: [r["test"][k] for r in runs] for k in ("auc", "jsd")} if runs[0]["test"] else {}
        spread = columns["value"].std(axis=0, ddof=1) if len(runs) > 1 else np.zeros(len(names))
        mean = {k: c[own].mean(axis=0) for k, c in columns.items()} | {"spread": spread}
        found[what] = {
            **{k: dict(zip(names, v.round(4).tolist(), strict=True)) for k, v in mean.items()},
            **{k: {"mean": float(np.mean(v)), "sd": float(np.std(v, ddof=len(v) > 1))} for k, v in tests.items()},
            "seeds": len(runs),
            "iterations": runs[0]["iterations"],
            "train_cpu": float(np.mean([r["train"]["cpu"] for r in runs])),
            "train_wall": float(np.mean([r["train"]["wall"] for r in runs])),
            "events_per_second": float(np.mean([r["events_per_second"] for r in runs])),
        }
    return found


def verdicts(methods: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Which observables of which model close; see above."""
    reference = methods["MultiFold"][""]
    limits = {n: CLOSES * max(reference["excess"][n], reference["floor_sd"][n]) for n in names}
    closing = {
        m: [n for n in names if results["prior removed"]["excess"][n] <= limits[n]]
        for m, results in methods.items()
        if "prior removed" in results
    }
    return {
        "limits": {n: round(v, 4) for n, v in limits.items()},
        "closing": closing,
        "models": [m for m, found in closing.items() if len(found) >= OBSERVABLES],
    }


def show(title: str, methods: dict[str, Any], names: list[str]) -> None:
    """Print a table of triangular discriminators."""
    print(f"\n{title}: triangular discriminator x 10^3, mean over seeds +- spread (excess over the floor)")
    print(f"{'':34}" + "".join(f"{n:>22}" for n in names))
    for method, results in methods.items():
        for what, f in results.items():
            cells = "".join(f"{f['value'][n]:9.2f} ±{f['spread'][n]:5.2f} ({f['excess'][n]:+5.2f})" for n in names)
            auc = f"  AUC {f['auc']['mean']:.4f}, JSD {f['jsd']['mean']:.5f}" if "auc" in f else ""
            print(f"{method + (', ' + what if what else ''):34}{cells}{auc}  {f['train_cpu']:.0f} s")


def main() -> dict[str, Any]:
    """All methods and seeds, dealt to processes."""
    quality.study("zjets")
    seeds = range(FIRST_SEED, FIRST_SEED + SEEDS)
    # Seed by seed, so that what an interrupted run has is of all methods.
    todo = [(m, s) for s in seeds for m in ("truth", *METHODS)] + [(r, TUNING_SEED) for r in REMEDIES]
    done = quality.dealt(piece, todo)
    start = quality.before("zjets")
    names = list(start)
    methods = {}
    for method, entry in METHODS.items():
        # IBU's first run is that of the data themselves, the others state its spread.
        own = slice(0, 1) if entry["kind"] == "ibu" else slice(None)
        methods[method] = summary([done[method, s] for s in seeds], names, own)
    remedies = {r: summary([done[r, TUNING_SEED]], names, slice(None)) for r in REMEDIES}
    show("zjets", methods, names)
    if remedies:
        show("remedies, half of the events", remedies, names)
    truth = {k: [done["truth", s]["test"][k] for s in seeds] for k in ("auc", "jsd")}
    floor = {k: {"mean": float(np.mean(v)), "sd": float(np.std(v, ddof=len(v) > 1))} for k, v in truth.items()}
    found = verdicts(methods, names)
    print(f"truth against truth: AUC {floor['auc']['mean']:.4f}, JSD {floor['jsd']['mean']:.5f}")
    print(f"limits {found['limits']}; closing: {found['closing']}")
    return {
        "methods": methods, "before": start, "truth": floor, "verdict": found, "remedies": remedies,
        "tested": TESTED, "options": METHODS, "remedy_options": REMEDIES,
    }  # fmt: skip


if __name__ == "__main__":
    common.report("landscape", main())
