"""The text of a first config for one's own files; see `truthward.ingest.draft`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from truthward.cli.inspect import EVENTS
from truthward.errors import ConfigError, TruthwardError
from truthward.events.root import opened
from truthward.ingest import draft
from truthward.ingest.inspection import Inspected, inspect
from truthward.run.files import expand
from truthward.study import checks, presets
from truthward.study.plugins import build

MOST = 6
"""Observables that are chosen where none is asked for."""


@dataclass(frozen=True)
class Asked:
    """What the user gave: files, and --data, --preset, --rows, --tree and --observable."""

    files: list[str]
    data: list[str]
    preset: str | None = None
    rows: str | None = None
    tree: str | None = None
    observables: tuple[str, ...] = ()


def text(name: str, asked: Asked, config: Path) -> tuple[str, list[str]]:
    """The config, and what should be looked at.

    Raises:
        ConfigError: an option that is not valid, or no observable that could be found.
        InputError: files that cannot be read.
    """
    trees = inspect(expand(asked.files)[0], EVENTS)
    tree = _tree(trees, asked.tree)
    preset = asked.preset or (tree.formats[0] if tree.formats else None)
    pairs = _observables(asked, tree, preset)
    entry = _entry(asked, tree, preset, len(trees) > 1)
    columns = {f"{level}_{n}": pair[level == "reco"] for n, pair in pairs.items() for level in ("truth", "reco")}
    full = presets.expanded({**entry, "branches": {**entry.get("branches", {}), **columns}}, truth=True)
    said = []
    try:
        values = draft.sample(full, list(columns))
    except TruthwardError as error:
        raise ConfigError(f"{error}; nothing was written") from error
    blocks = []
    for observable in pairs:
        truth, reco = (values[f"{level}_{observable}"] for level in ("truth", "reco"))
        passed = values["pass_truth"], values["pass_reco"]
        both = passed[0] & passed[1]
        found = draft.binned(truth[passed[0]], reco[passed[1]], (truth[both], reco[both]))
        said += [f"observables.{observable}: {each}" for each in found.said]
        blocks.append(_observable(observable, found))
    said += _weights(values["weight"], tree)
    return _written(name, asked, config, entry, pairs, blocks, preset, *_of_data(asked, entry, pairs)), said


def _tree(trees: Sequence[Inspected], wanted: str | None) -> Inspected:
    if wanted is not None:
        found = [tree for tree in trees if tree.tree == wanted]
        if not found:
            raise ConfigError(f"--tree: no tree {wanted}; there are: {', '.join(tree.tree for tree in trees)}")
        return found[0]
    return min(trees, key=lambda tree: (not tree.formats, -len(tree.branches)))


def _observables(asked: Asked, tree: Inspected, preset: str | None) -> dict[str, tuple[str, str]]:
    """Observable -> expression at truth and at reco level."""
    found: dict[str, tuple[str, str]] = {}
    known = {name: (truth, reco) for name, truth, reco, _ in tree.pairs}
    for given in asked.observables:
        name, equals, both = given.partition("=")
        truth, colon, reco = both.partition(":")
        if not checks.NAME.fullmatch(name):
            raise ConfigError(f"--observable: {given!r} is not valid; write NAME=EXPRESSION or NAME=TRUTH:RECO")
        if not equals and name not in known:
            raise ConfigError(
                f"--observable: {name} is no pair of branches; pairs: {', '.join(known) or 'none'}; or write "
                f"{name}=EXPRESSION or {name}=TRUTH:RECO"
            )
        found[name] = (truth, reco if colon else truth) if equals else known[name]
    if not found and preset is not None:
        rows = asked.rows or "jets"
        found = {quantity: (f"{rows}.{quantity}",) * 2 for quantity in ("pt", "mass")}
    if not found:
        good = [name for name, _, _, together in tree.pairs if together == together]
        found = {name: known[name] for name in good[:MOST]}
    if not found:
        raise ConfigError(
            f"{tree.path}: no pair of branches was found that may be one quantity at both levels; give --observable "
            "NAME=TRUTH:RECO; `truthward inspect` lists the branches"
        )
    return found


def _entry(asked: Asked, tree: Inspected, preset: str | None, several: bool) -> dict[str, Any]:
    """The reader's entry, without the columns of observables."""
    if preset is not None:
        rows = asked.rows or ("events" if asked.observables else "jets")
        return {"preset": preset, "files": asked.files, "rows": rows}
    entry: dict[str, Any] = {"kind": "flat_tree", "files": asked.files}
    if several:
        entry["tree"] = tree.tree
    branches: dict[str, str] = {}
    plain = {branch.name for branch in tree.branches if branch.kind == "number"}
    branches |= {flag: flag for flag in ("pass_truth", "pass_reco", "event_id") if flag in plain}
    if tree.weights:
        branches["weight"] = min(tree.weights, key=len)
    if "event_id" not in branches and "event" in tree.numbers:
        branches |= tree.numbers
    return entry | {"branches": branches}


def _of_data(asked: Asked, entry: dict[str, Any], pairs: dict[str, tuple[str, str]]) -> tuple[dict[str, str], bool]:
    """The map of the data, without what their file does not have, and whether they are pseudo-data with a truth."""
    shared = {c: t for c, t in entry.get("branches", {}).items() if c not in ("pass_truth", "weight", "process")}
    reco = {f"reco_{name}": text for name, (_, text) in pairs.items()}
    if not asked.data:
        return {**reco, **shared}, False
    if shared:
        with opened(expand(asked.data)[0], entry.get("tree")) as tree:
            shared = {column: text for column, text in shared.items() if text in tree.names}
    data = presets.expanded({**entry, "files": asked.data, "branches": {**reco, **shared}}, truth=False)
    if not build("events.readers", data).truth():
        return {**reco, **shared}, False
    truth = {f"truth_{name}": text for name, (text, _) in pairs.items()}
    return {**truth, **reco, **entry.get("branches", {})}, True


def _weights(weight: Any, tree: Inspected) -> list[str]:
    if len(set(weight.tolist())) == 1 and len(tree.weights) > 1:
        return [f"weight: all events have {weight[0]:g}; other branches may be weights: {', '.join(tree.weights[:6])}"]
    return []


def _observable(name: str, found: draft.Binned) -> str:
    keys: dict[str, Any] = {"range": [found.low, found.high], "bins": found.bins}
    keys |= {"scale": found.scale} if found.scale != "linear" else {}
    keys |= {"integer": True} if found.integer else {}
    keys |= {"atoms": list(found.atoms)} if found.atoms else {}
    lines = [f"  {name}:", f'    label: "{name}"', '    unit: ""   # such as GeV']
    lines += [f"    {key}: {json.dumps(value)}" for key, value in keys.items()]
    if found.published:
        lines += ["    # Each has a purity and a stability of 50% at least, among the events that were read."]
        lines += [f"    published: {json.dumps([_round(edge) for edge in found.published])}"]
    return "\n".join(lines)


def _round(value: float) -> float | int:
    return int(value) if value == int(value) else value


def _map(columns: dict[str, str], indent: str) -> list[str]:
    return [f"{indent}{column}: {json.dumps(str(text))}" for column, text in columns.items()]


def _written(
    name: str,
    asked: Asked,
    config: Path,
    entry: dict[str, Any],
    pairs: dict[str, tuple[str, str]],
    blocks: Sequence[str],
    preset: str | None,
    data: dict[str, str],
    closure: bool,
) -> str:
    own = {k: v for k, v in entry.items() if k not in ("files", "branches")}
    shared = dict(entry.get("branches", {}))
    both = [*((f"truth_{n}", t) for n, (t, _) in pairs.items()), *((f"reco_{n}", r) for n, (_, r) in pairs.items())]
    lines = [
        "# A first config from files. Look at each range, unit and label; `truthward check` reads the first events.",
        f"#   snakemake --cores all --configfile {config}",
        f"study: {name}",
        "seed: 1",
        "",
        "samples:",
        "  simulation:",
        "    role: simulation",
        "    read:",
        *(f"      {key}: {json.dumps(value)}" for key, value in own.items()),
        f"      files: {json.dumps(asked.files)}",
        "      # Column: expression over branches" + (" and collections." if preset else "."),
        "      branches:",
        *_map({**dict(both), **shared}, "        "),
        "  data:",
        "    role: data",
        *(["    # Pseudo-data: validation alone reads their truth.", "    closure: true"] if closure else []),
        "    read:",
        *(f"      {key}: {json.dumps(value)}" for key, value in own.items()),
        *([] if asked.data else ["      # Put the files of your data here."]),
        f"      files: {json.dumps(asked.data or ['data.root'])}",
        "      branches:",
        *_map(data, "        "),
        "",
        "observables:",
        *blocks,
        "",
        "# Without the yield of data and luminosity being the same, set `ingest: {yield_difference: null}`.",
        "systematics:",
        "  closure: {kind: closure}",
        "  regularisation: {kind: regularisation}",
        "",
        "unfold:",
        "  methods:",
        "    omnifold: {kind: omnifold}",
        "    ibu: {kind: ibu}",
        "  replicas: {data_bootstrap: 30, mc_bootstrap: 30, initialisation: 2}",
        "  jobs: 2",
        "",
        "publish:",
        "  method: omnifold",
        "  licence: CC-BY-4.0",
        '  fiducial: "say here which events the result is of"',
        "",
    ]
    return "\n".join(lines)
