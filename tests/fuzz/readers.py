"""Every reader of the package with a small intact file: `make` writes it, `read` returns all that the reader says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import torch
import uproot

from truthward.errors import CorruptError
from truthward.events.families import family, weight_columns
from truthward.events.readers.flat_tree import FlatTree
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.events.unfolded import Unfolded, gather, write_unfolded
from truthward.ingest import sums
from truthward.learn import checkpoint
from truthward.learn.fit import Settings, fit
from truthward.learn.nets import MLP, seeded
from truthward.publish.stage import publish, verify
from truthward.run import checksums
from truthward.run.artefact import read_json, sha256, write_json
from truthward.run.files import File
from truthward.run.provenance import Record
from truthward.study import checks
from truthward.study.observable import Observable
from truthward.study.plugins import build
from truthward.study.presets import expanded
from truthward.validate import two_sample

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
FAMILIES = {"data_bootstrap": family("data_bootstrap", 2), "systematic:scale": family("systematic:scale", 1)}
EVENTS = 400


@dataclass(frozen=True)
class Target:
    """One reader.

    Attributes:
        make: writes an intact file into a folder and returns it; read: all that the reader says of it.
        checked: what holds the file against its checksum before a job reads it: the "record" that every artefact has
            beside it, a "list" that the user has of ROOT files, or "" where there is none or the reader has its own.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    checked: str = "record"

    def text(self, path: Path) -> str:
        """All that the reader says, equal for equal results, bit by bit."""
        return json.dumps(canonical(self.read(path)), sort_keys=True)

    def seal(self, path: Path) -> None:
        """Write the checksum of the intact file."""
        if self.checked == "record":
            checksums.record([path], "fuzz")
        elif self.checked == "list":
            path.with_name("sums.txt").write_text(f"{sha256(path)}  {path.name}\n", encoding="utf-8")

    def check(self, path: Path) -> None:
        """What stands before the reading: CorruptError where the file is not the intact one."""
        if self.checked == "record":
            checksums.verify([path])
        elif self.checked == "list":
            sums.check({File(str(path)): sha256(path)}, path.with_name("sums.txt"))


def _events(seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    m = rng.uniform(0, 10, EVENTS).astype(np.float32)
    return {
        "truth_m": m,
        "reco_m": (m + rng.normal(0, 0.5, EVENTS)).astype(np.float32),
        "pass_truth": rng.random(EVENTS) < 0.9,
        "pass_reco": rng.random(EVENTS) < 0.8,
        "weight": rng.uniform(0.5, 1.5, EVENTS),
        "event_id": np.arange(EVENTS, dtype=np.int64),
    }


def _tree(folder: Path, *, packed: bool, ntuple: bool = False) -> Path:
    path = folder / "events.root"
    columns = _events()
    with uproot.recreate(path, compression=uproot.ZLIB(1) if packed else None) as file:
        if ntuple:
            file.mkrntuple("events", {name: values.dtype for name, values in columns.items()}).extend(columns)
            return path
        lists = ak.unflatten(np.arange(2.0 * EVENTS, dtype=np.float32), np.full(EVENTS, 2))
        made = file.mktree("events", {n: v.dtype for n, v in columns.items()} | {"reco_pts": "var * float32"})
        for rows in (slice(0, EVENTS // 2), slice(EVENTS // 2, EVENTS)):
            counts = {"nreco_pts": np.full(EVENTS // 2, 2, dtype=np.int32)}
            made.extend({n: v[rows] for n, v in columns.items()} | {"reco_pts": lists[rows]} | counts)
    return path


def _copied(name: str, folder: Path) -> Path:
    return Path(shutil.copy(SHARED / name, folder / name))


def _batches(reader: Any) -> dict[str, Any]:
    levels = ("truth", "reco") if reader.truth() else ("reco",)
    return {
        "columns": reader.columns(),
        "describe": reader.describe(levels),
        "batches": [dict(batch) for batch in reader.batches(levels, rows=150)],
    }


_MAP = {"truth_m": "truth_m * 2", "reco_pt": "reco_pts[0]", "event_id": "event_id", "pass_reco": "pass_reco"}
_MUONS = {"reco_m": "M", "reco_pt": "hypot(px1, py1)", "run": "Run", "event": "Event"}
_NOW = {"wall_seconds", "peak_memory_mb"}


def _table(folder: Path) -> Path:
    path = folder / "simulation.parquet"
    rng = np.random.default_rng(2)
    lists = ak.unflatten(rng.random(3 * EVENTS).astype(np.float32), np.full(EVENTS, 3))
    columns = _events() | {"truth_constituents_pt": lists, "event_id": np.arange(EVENTS, dtype=np.uint64)}
    write_table(
        path, [columns], observables={"m": {"label": "m"}}, role="simulation", selection={}, record=Record.for_tests()
    )
    return path


def _read_table(path: Path) -> Any:
    table = EventTable(path)
    whole = table.read(table.columns)
    return (
        table.metadata,
        table.role,
        table.observables,
        whole,
        list(table.batches(rows=150)),
        table.level("reco", ["m"]),
    )


def _unfolded(path: Path, part: Mapping[str, list[int]] | None = None, nominal: bool = True) -> Path:
    rng = np.random.default_rng(3)
    columns = {"truth_m": rng.gamma(4, 5, EVENTS), "truth_jet_pt": 200 + rng.exponential(60, EVENTS)}
    columns["event_id"] = np.arange(EVENTS, dtype=np.uint64)
    weights = {name: rng.gamma(2, 0.5, EVENTS) for name in weight_columns(FAMILIES)}
    mine = [n for n in weights if part is None or (nominal if n == "weight" else int(n[-1]) in part[_family(n)])]
    write_unfolded(
        path,
        [columns | {n: weights[n] for n in mine}],
        method="toy",
        kind="omnifold",
        observables=["m"],
        joint=True,
        families=FAMILIES,
        history=[{"iteration": 0}],
        record=Record.for_tests(),
        part=part,
        nominal=nominal,
    )
    return path


def _family(column: str) -> str:
    return column.removeprefix("replica:").rpartition(":")[0]


def _read_unfolded(path: Path) -> Any:
    sample = Unfolded(path)
    metadata = {k: v for k, v in sample.metadata.items() if k not in ("provenance", "parts")}
    histogram = sample.histogram("m", np.linspace(0, 60, 7))
    whole = sample.weights(), sample.truth(sample.truth_observables), list(sample.batches())
    return metadata, sample.num_rows, histogram.nominal, histogram.replicas, whole


def _parts(folder: Path) -> Path:
    none: dict[str, list[int]] = {name: [] for name in FAMILIES}
    _unfolded(folder / "nominal.parquet", none)
    return _unfolded(folder / "0.parquet", {"data_bootstrap": [0, 1], "systematic:scale": [0]}, nominal=False)


def _gathered(path: Path) -> Any:
    made = path.with_name("gathered.parquet")
    gather([path.with_name("nominal.parquet"), path], made, record=Record.for_tests())
    return _read_unfolded(made)


_RECIPE = {"class": "truthward.learn.nets:MLP", "arguments": {"inputs": 2, "outputs": 1, "width": 8, "depth": 1}}


def _checkpoint(folder: Path) -> Path:
    path = folder / "model.safetensors"
    nets = {f"member{i}": seeded(i, MLP, **_RECIPE["arguments"]) for i in range(2)}
    checkpoint.save(path, nets, recipe=_RECIPE, provenance={"seed": 7}, extra={"edges": torch.arange(4.0)})
    return path


def _read_checkpoint(path: Path) -> Any:
    modules, extra, provenance = checkpoint.load(path)
    return {name: module.state_dict() for name, module in modules.items()}, extra, provenance


def _arrays(folder: Path) -> Path:
    path = folder / "nominal.safetensors"
    rng = np.random.default_rng(4)
    checkpoint.save_arrays(path, {"a": rng.random((50, 3)), "b": np.arange(9)}, provenance={"seed": 7})
    return path


class _Killed(Exception):
    """Ends a training as a crash does."""


def _state(folder: Path) -> Path:
    with suppress(_Killed):
        _trained(folder / "state.pt", steps=3)
    return folder / "state.pt"


def _trained(path: Path, steps: int = 99) -> Any:
    """A training that takes up the state of `path` where it is; killed in the step of that number."""
    module = seeded(1, MLP, **_RECIPE["arguments"])
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(1))
    settings, left = Settings(epochs=3, batch_size=32, learning_rate=1e-2), iter(range(steps))

    def loss(x: torch.Tensor) -> torch.Tensor:
        if module.training and next(left, None) is None:
            raise _Killed
        return (module(x).squeeze(-1) - x[:, 0]).square()

    history = fit(module, loss, (x,), torch.ones(64), settings, seed=1, state=path, state_key="k", state_seconds=0.0)
    return module.state_dict(), vars(history)


def _json(folder: Path) -> Path:
    path = folder / "methods.json"
    rows = [{"name": f"method{i}", "triangular": {"m": {"value": i / 7, "spread": 0.1}}} for i in range(20)]
    write_json(path, {"rows": rows, "provenance": Record.for_tests().finish()})
    return path


def _scores(folder: Path) -> Path:
    path = folder / "two_sample.0.safetensors"
    checkpoint.save_arrays(path, {"p": np.linspace(0, 1, 200), "q": np.linspace(1, 2, 100)}, provenance={})
    return path


def _read_scores(path: Path) -> Any:
    found = two_sample.saved_scores(path)
    if found is None:
        raise CorruptError(f"{path}: refused; the classifier is trained anew")
    return found


def _record(folder: Path) -> Path:
    checksums.record([_json(folder)], "fuzz")
    return checksums.beside(folder / "methods.json")


def _read_recorded(path: Path) -> Any:
    artefact = path.with_name("methods.json")
    return checksums.verify([artefact]), read_json(artefact)


def _listed(folder: Path) -> Path:
    path = folder / "sums.txt"
    path.write_text(f"{sha256(_json(folder))}  methods.json\n", encoding="utf-8")
    return path


def _read_listed(path: Path) -> Any:
    file = path.with_name("methods.json")
    sums.check({File(str(file)): sha256(file)}, path)
    return read_json(file)


def _config(folder: Path) -> Path:
    return Path(shutil.copy(ROOT / "workflow" / "studies" / "complete.yaml", folder / "config.yaml"))


def _read_config(path: Path) -> Any:
    return checks.load(path).model_dump(mode="json")


def _publication(folder: Path, damaged: str) -> Path:
    observables = [Observable(name="m", label="$m$", unit="GeV", range=(0.0, 80.0))]
    publish(
        _unfolded(folder / "unfolded.parquet"),
        directory=folder / "publication",
        study="toy",
        licence="CC0-1.0",
        fiducial="all",
        observables=observables,
        example="jet_pt",
        verdict={"verdict": "good", "reasons": [], "without_truth": False},
        record=Record.for_tests(),
    )
    return folder / "publication" / damaged


def _read_publication(path: Path) -> Any:
    metadata = verify(path.parent)
    return metadata, _read_unfolded(path.parent / "events.parquet")


def _flat(path: Path, **options: Any) -> Any:
    return _batches(FlatTree(files=[str(path)], same_names="branches" not in options, **options))


TARGETS = [
    Target("flat_tree, TTree", partial(_tree, packed=True), _flat, "list"),
    Target("flat_tree, TTree, uncompressed", partial(_tree, packed=False), partial(_flat, branches=_MAP), "list"),
    Target("flat_tree, RNTuple", partial(_tree, packed=True, ntuple=True), _flat, "list"),
    Target("event table", _table, _read_table),
    Target("unfolded sample", lambda folder: _unfolded(folder / "unfolded.parquet"), _read_unfolded),
    Target("gathering of parts", _parts, _gathered),
    Target("checkpoint", _checkpoint, _read_checkpoint),
    Target("trained arrays", _arrays, checkpoint.load_arrays),
    Target("resume state", _state, _trained, ""),
    Target("saved scores", _scores, _read_scores, ""),
    Target("JSON of results", _json, read_json),
    Target("record of a checksum", _record, _read_recorded, ""),
    Target("list of checksums", _listed, _read_listed, ""),
    Target("config", _config, _read_config, ""),
    Target("publication, events", partial(_publication, damaged="events.parquet"), _read_publication, ""),
    Target("publication, metadata", partial(_publication, damaged="metadata.json"), _read_publication, ""),
    Target("publication, checksums", partial(_publication, damaged="SHA256SUMS"), _read_publication, ""),
]
_JETS = {"preset": "nanoaod", "rows": "jets", "branches": {"truth_pt": "jets.pt", "reco_pt": "jets.pt"}}
if SHARED.is_dir():
    TARGETS += [
        Target(
            "flat_tree, CMS dimuons", partial(_copied, "uproot-Zmumu.root"), partial(_flat, branches=_MUONS), "list"
        ),
        Target(
            "nanoaod, CMS Open Data",
            partial(_copied, "nanoAOD_2015_CMS_Open_Data_ttbar.root"),
            lambda path: _batches(build("events.readers", expanded({**_JETS, "files": [str(path)]}, truth=True))),
            "list",
        ),
    ]


def canonical(value: Any) -> Any:
    """Plain data that is equal for equal results, bit by bit; times and memory of a run are left out."""
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if isinstance(value, ak.Array):
        return value.to_list()
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "O":
            return value.tolist()
        return [str(value.dtype), list(value.shape), value.tobytes().hex()]
    if isinstance(value, Mapping):
        return {str(k): canonical(v) for k, v in value.items() if k not in _NOW}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [canonical(v) for v in value]
    return repr(value)
