"""What is in a file of events: trees, branches, formats, and which branches may be weights, numbers and pairs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np

from truthward.errors import InputError
from truthward.events.root import opened, trees_of
from truthward.events.tree import Tree
from truthward.ingest.bulk import SPIKE, far_spikes
from truthward.run.files import File
from truthward.study import presets

TRUTH = ("truth", "gen", "true", "particle", "mc", "hadron")
RECO = ("reco", "rec", "det", "detector", "meas", "measured", "sim")
"""Parts of names that say the level of a branch, in small letters."""
NUMBERS = {
    "run": ("run", "runnumber", "runnum", "run_number"),
    "lumi": ("lumi", "luminosityblock", "lumiblock", "lumiblocknum", "ls"),
    "event": ("event", "eventnumber", "evtnum", "event_number", "evt", "number"),
}
"""Column -> names of branches of event numbers, in small letters."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@dataclass(frozen=True)
class Branch:
    """One branch: its type, the range of its numbers in the events that were read, and what is odd in them.

    Attributes:
        kind: number, list or other. low, middle, high: quantiles 0, 0.5 and 1; NaN where there is no number.
        length: mean number of elements of a list, 1 for numbers.
        odd: values that may be sentinels, NaN and infinities, in words; empty for none.
    """

    name: str
    type: str
    kind: str
    low: float = np.nan
    middle: float = np.nan
    high: float = np.nan
    length: float = 1.0
    odd: str = ""


@dataclass(frozen=True)
class Inspected:
    """One tree of a file.

    Attributes:
        formats: presets that know it, the most special first.
        weights: branches that may be weights. numbers: column run, lumi, event -> branch.
        pairs: (name, truth branch, reco branch, rank correlation) that may be one quantity at both levels.
    """

    path: File
    tree: str
    entries: int
    branches: list[Branch]
    formats: list[str]
    weights: list[str]
    numbers: dict[str, str]
    pairs: list[tuple[str, str, str, float]]


def formats(branches: Iterable[str]) -> list[str]:
    """Presets whose branches are all there, the most special first."""
    known = set(branches)
    found = [n for n in presets.names() if set(presets.preset(n)["recognise"]) <= known]
    based = {presets.preset(name).get("based_on") for name in found}
    return sorted(found, key=lambda name: (name in based, name))


def inspect(path: File, events: int, seen: Callable[[str], object] = lambda name: None) -> list[Inspected]:
    """Look into all trees of a file that have entries.

    Args:
        events: number of events that are read of each tree, from its beginning.
        seen: called with the name of each branch, for a progress bar.

    Raises:
        InputError: the file cannot be read, or has no tree.
    """
    found = []
    for name in trees_of(path):
        with opened(path, name) as tree:
            branches = [_branch(tree, each, min(events, tree.num_entries), seen) for each in tree.branches]
            found.append(_inspected(tree, branches, events))
    if not found:
        raise InputError(f"{path}: has no tree; give a file with events")
    return found


def _inspected(tree: Tree, branches: list[Branch], events: int) -> Inspected:
    plain = [b.name for b in branches if b.kind == "number"]
    return Inspected(
        tree.path,
        tree.name,
        tree.num_entries,
        branches,
        formats(tree.names),
        [b.name for b in branches if "weight" in b.name.lower() and b.kind != "other"],
        {c: n for c, known in NUMBERS.items() for n in plain if n.rpartition(".")[2].lower() in known},
        _pairs(tree, [b for b in branches if b.kind != "other"], min(events, tree.num_entries)),
    )


def _branch(tree: Tree, name: str, events: int, seen: Callable[[str], object]) -> Branch:
    seen(name)
    try:
        kind = tree.type_of(name)
    except InputError:
        return Branch(name, "several branches have this name", "other")
    try:
        values = tree.span([name], 0, events)[name]
    except InputError:
        # A type that cannot be read is shown with its type; a map that uses it gets the whole message.
        return Branch(name, kind, "other")
    length, shape = 1.0, "number"
    if isinstance(values, ak.Array):
        if "string" in str(values.type) or values.fields or not len(values):
            return Branch(name, kind, "other")
        flat = ak.flatten(values, axis=None)
        length, values, shape = len(flat) / len(values), flat, "list"
    numbers = np.asarray(values)
    if numbers.dtype.kind not in "fiub" or not numbers.size:
        return Branch(name, kind, shape, length=length)
    numbers = numbers.astype(np.float64)
    good = numbers[np.isfinite(numbers)]
    odd = [f"{1 - good.size / numbers.size:.1%} NaN or infinite"] if good.size < numbers.size else []
    odd += [f"{s.count / good.size:.1%} at {s.value:g}" for s in far_spikes(good) if s.count >= 5 * SPIKE * good.size]
    low, middle, high = np.quantile(good, [0, 0.5, 1]) if good.size else (np.nan,) * 3
    return Branch(name, kind, shape, float(low), float(middle), float(high), length, "; ".join(odd))


def level(name: str) -> tuple[str, str]:
    """Level that a name says, empty for none, and the name without that word.

    >>> level("GenJet_pt"), level("jet_pt"), level("truth_tau21")
    (('truth', 'Jet_pt'), ('', 'jet_pt'), ('truth', 'tau21'))
    """
    for which, known in (("truth", TRUTH), ("reco", RECO)):
        for word in _WORD.finditer(name):
            if word[0].lower() in known:
                rest = f"{name[: word.start()].rstrip('_.')}_{name[word.end() :].lstrip('_.')}"
                return which, rest.strip("_")
    return "", name


def _pairs(tree: Tree, branches: Sequence[Branch], events: int) -> list[tuple[str, str, str, float]]:
    """Branches whose names differ in the level alone, of the same kind; those of events with their correlation."""
    truth: dict[str, Branch] = {}
    reco: dict[str, Branch] = {}
    for branch in branches:
        which, bare = level(branch.name)
        if which == "truth":
            truth.setdefault(bare, branch)
        elif bare not in reco or which == "reco":
            reco[bare] = branch
    found = []
    for bare in sorted(set(truth) & set(reco)):
        a, b = truth[bare], reco[bare]
        if a.kind == b.kind and not a.name.startswith("pass") and not b.name.startswith("n"):
            together = np.nan
            if a.kind == "number":
                values = tree.span([a.name, b.name], 0, events)
                together = _correlation(values[a.name], values[b.name])
            found.append((bare, a.name, b.name, together))
    return sorted(found, key=lambda pair: (np.isnan(pair[3]), -abs(pair[3]) if pair[3] == pair[3] else 0.0, pair[0]))


def _correlation(a: Any, b: Any) -> float:
    """Rank correlation of the events where both are finite; NaN for a constant."""
    x, y = (np.asarray(v, np.float64) for v in (a, b))
    both = np.isfinite(x) & np.isfinite(y)
    ranks = [np.unique(v[both], return_inverse=True)[1].astype(float) for v in (x, y)]
    if both.sum() < 3 or any(r.std() == 0 for r in ranks):
        return float("nan")
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
