"""CMS NanoAOD: jets and generator jets, one row for each matched pair, miss or fake."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Literal

import awkward as ak
import numpy as np

from truthward.errors import InputError
from truthward.events.contract import Batch, refuse_nonfinite
from truthward.events.identity import combine
from truthward.events.readers import Reader
from truthward.events.root import opened
from truthward.events.survey import Survey
from truthward.events.tree import CHUNK, Tree

_QUANTITIES = ("pt", "eta", "phi", "mass")
_NUMBERS = ("run", "luminosityBlock", "event")


class Nanoaod(Reader):
    """Reads `Jet` (reco) and `GenJet` (truth) of CMS NanoAOD, any version.

    First all jets are matched, one to one; then the acceptance is applied at each level. A matched pair is one row. A
    GenJet without a partner within acceptance is a miss; a Jet without a partner within acceptance is a fake. Real data
    have no GenJet, and give the reco level only.

    Args:
        files: paths and globs.
        tree: name of the TTree.
        match: "index": by `Jet_genJetIdx`. If several jets have one index, the nearest in delta R keeps it. An index
            beyond the stored GenJets is no match. "delta_r": by distance, nearest pairs first.
        delta_r: largest distance of a pair in eta and phi (radians), for match "delta_r".
        jets: "all", or "leading": at each level only the jet with the largest pt within acceptance.
        truth_pt_min: acceptance of GenJets: pt above this, GeV.
        truth_eta_max: acceptance of GenJets: largest |eta|.
        reco_pt_min: acceptance of Jets: pt above this, GeV.
        reco_eta_max: acceptance of Jets: largest |eta|.
        weight: branch of the event weight. If the files do not have the default branch (data), it is 1.
        scale: factor on the weight: cross section x luminosity / sum of generator weights.
        process: label of all rows.

    The id of a row is made of (run, luminosityBlock, event, jet).
    """

    PROVIDES = ("jet_pt", "jet_eta", "jet_phi", "jet_mass")

    def __init__(
        self,
        *,
        files: list[str],
        tree: str = "Events",
        match: Literal["index", "delta_r"] = "index",
        delta_r: float = 0.2,
        jets: Literal["all", "leading"] = "all",
        truth_pt_min: float = 20.0,
        truth_eta_max: float = 5.0,
        reco_pt_min: float = 15.0,
        reco_eta_max: float = 5.0,
        weight: str = "genWeight",
        scale: float = 1.0,
        process: str = "signal",
    ) -> None:
        super().__init__(files)
        self.tree = tree
        self.match = match
        self.delta_r = delta_r
        self.jets = jets
        self.minimum = {"truth": truth_pt_min, "reco": reco_pt_min}
        self.maximum = {"truth": truth_eta_max, "reco": reco_eta_max}
        self.weight = weight
        self.scale = scale
        self.process = process

    def columns(self) -> list[str]:
        """Columns of the levels that the files have."""
        levels = ("truth", "reco") if self._generated else ("reco",)
        return [f"{level}_{name}" for level in levels for name in self.PROVIDES]

    def truth(self) -> list[str]:
        """Branches of generator jets."""
        return self._generated

    @cached_property
    def survey(self) -> Survey:
        """What the files have."""
        return Survey(self.paths, self.tree)

    @cached_property
    def _generated(self) -> list[str]:
        named = [name for name in self.survey.branches if name.startswith("GenJet_")]
        return [name for name in named if self.survey.has(name, "simulation has generator jets, data has none")]

    def describe(self, levels: Sequence[str]) -> dict[str, Any]:
        """Files and options."""
        return {
            "reader": "nanoaod",
            "levels": list(levels),
            "files": [path.name for path in self.paths],
            "match": self.match,
            "delta_r": self.delta_r,
            "jets": self.jets,
            "pt_min": self.minimum,
            "eta_max": self.maximum,
            "weight": self.weight,
            "scale": self.scale,
        }

    def batches(self, levels: Sequence[str], *, rows: int = CHUNK) -> Iterator[Batch]:
        """See `Reader.batches`; `rows` counts collisions, not jets."""
        # Jets are matched even if only one level is needed: the ids must be the same in both tables.
        paired = bool(self._generated)
        names = self._needed(paired or "truth" in levels)
        for file in self.survey.all:
            if file.entries:
                with opened(file.path, file.tree) as tree:
                    tree.require(names, "NanoAOD jets")
                    for first, arrays in tree.chunks(names, rows):
                        yield self._rows(tree, first, arrays, levels, paired)

    def _needed(self, paired: bool) -> list[str]:
        names = [*_NUMBERS, *(f"Jet_{name}" for name in _QUANTITIES)]
        if paired:
            names += [f"GenJet_{name}" for name in _QUANTITIES] + ["Jet_genJetIdx"] * (self.match == "index")
        self.survey.require(names, "NanoAOD jets")
        # Real data have no generator weight, but a name that the user gave must exist.
        if self.weight != "genWeight" or (paired and self.survey.has("genWeight", "without it a weight is 1")):
            self.survey.require([self.weight], "weight")
            names.append(self.weight)
        return names

    def _rows(self, tree: Tree, first: int, arrays: dict[str, Any], levels: Sequence[str], paired: bool) -> Batch:
        source = str(tree.path)
        size = len(arrays["event"])
        reco = _collection(arrays, "Jet", source, first)
        truth = _collection(arrays, "GenJet", source, first) if paired else {q: np.empty(0) for q in _QUANTITIES}
        if not paired:
            truth |= {"event": np.empty(0, dtype=np.int64), "place": np.empty(0, dtype=np.int64)}
        partner = np.full(len(reco["pt"]), -1)
        if paired and self.match == "index":
            partner = _by_index(arrays, reco, truth)
        elif paired:
            partner = _nearest(*_close(reco, truth, size, self.delta_r), len(reco["pt"]))
        good = {"truth": self._accept(truth, "truth"), "reco": self._accept(reco, "reco")}
        matched = partner >= 0
        # Rows: every GenJet with its partner or none (-1), then every jet without one.
        back = np.full(len(truth["pt"]), -1)
        back[partner[matched]] = np.flatnonzero(matched)
        index = {
            "truth": np.concatenate([np.arange(len(back)), np.full((~matched).sum(), -1)]),
            "reco": np.concatenate([back, np.flatnonzero(~matched)]),
        }
        parts = {"truth": truth, "reco": reco}
        has_truth = index["truth"] >= 0
        event = np.where(has_truth, _take(truth["event"], index["truth"]), _take(reco["event"], index["reco"]))
        place = np.where(
            has_truth, 2 * _take(truth["place"], index["truth"]), 2 * _take(reco["place"], index["reco"]) + 1
        )
        columns: dict[str, Any] = {}
        for level in levels:
            at = index[level]
            columns |= {f"{level}_jet_{name}": _take(parts[level][name], at) for name in _QUANTITIES}
            columns[f"pass_{level}"] = (at >= 0) & _take(good[level], at)
        weight = arrays[self.weight] if self.weight in arrays else np.ones(size)
        columns["weight"] = np.asarray(weight, dtype=np.float64)[event] * self.scale
        columns["process"] = np.full(len(event), self.process)
        columns["event_id"] = combine(*(arrays[name][event] for name in _NUMBERS), place)
        batch = Batch(columns, source=source, entries=first + event)
        # Stable order by event: the rows of an event stay together whatever the chunks are.
        return batch.take(np.argsort(event, kind="stable"))

    def _accept(self, jets: dict[str, np.ndarray], level: str) -> np.ndarray:
        good = (jets["pt"] > self.minimum[level]) & (np.abs(jets["eta"]) < self.maximum[level])
        if self.jets == "leading":
            order = np.lexsort((jets["place"], -jets["pt"], ~good, jets["event"]))
            first = np.unique(jets["event"][order], return_index=True)[1]
            leading = np.zeros(len(good), dtype=bool)
            leading[order[first]] = True
            good &= leading
        return good


def _take(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Values at `index`, or zero if the index is -1. Such rows are flagged as not passing."""
    result = np.zeros(len(index), dtype=values.dtype)
    result[index >= 0] = values[index[index >= 0]]
    return result


def _collection(arrays: dict[str, Any], name: str, source: str, first: int) -> dict[str, np.ndarray]:
    """Jets of all events in flat arrays (J,): pt, eta, phi, mass, `event` (in the chunk) and `place` (in the event)."""
    counts = ak.to_numpy(ak.num(arrays[f"{name}_pt"], axis=1))
    event = np.repeat(np.arange(len(counts)), counts)
    flat = {"event": event, "place": np.arange(len(event)) - np.repeat(np.cumsum(counts) - counts, counts)}
    for quantity in _QUANTITIES:
        branch = f"{name}_{quantity}"
        other = ak.to_numpy(ak.num(arrays[branch], axis=1))
        if (other != counts).any():
            raise InputError(
                f"{source}: {branch} and {name}_pt have different numbers of jets in {(other != counts).sum()} events, "
                f"first in entry {first + np.flatnonzero(other != counts)[0]}; the file is inconsistent: produce it "
                "again"
            )
        flat[quantity] = ak.to_numpy(ak.flatten(arrays[branch]))
        refuse_nonfinite(flat[quantity], Batch({}, source=source, entries=first + event), branch, "in jets")
    return flat


def _distance(reco: dict[str, np.ndarray], truth: dict[str, np.ndarray], r: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Delta R of the pairs (r, t)."""
    phi = np.mod(reco["phi"][r] - truth["phi"][t] + np.pi, 2 * np.pi) - np.pi
    return np.hypot(reco["eta"][r] - truth["eta"][t], phi)


def _by_index(arrays: dict[str, Any], reco: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> np.ndarray:
    counts = ak.to_numpy(ak.num(arrays["GenJet_pt"], axis=1))
    given = ak.to_numpy(ak.flatten(arrays["Jet_genJetIdx"])).astype(np.int64)
    r = np.flatnonzero((given >= 0) & (given < counts[reco["event"]]))
    t = (np.cumsum(counts) - counts)[reco["event"][r]] + given[r]
    return _nearest(r, t, _distance(reco, truth, r, t), len(given))


def _close(
    reco: dict[str, np.ndarray], truth: dict[str, np.ndarray], size: int, delta_r: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of one event within `delta_r`: (r, t, distance)."""
    many = np.bincount(truth["event"], minlength=size)
    start = np.cumsum(many) - many
    repeat = many[reco["event"]]
    r = np.repeat(np.arange(len(repeat)), repeat)
    t = np.arange(len(r)) - np.repeat(np.cumsum(repeat) - repeat, repeat) + start[reco["event"][r]]
    distance = _distance(reco, truth, r, t)
    near = distance < delta_r
    return r[near], t[near], distance[near]


def _nearest(r: np.ndarray, t: np.ndarray, distance: np.ndarray, count: int) -> np.ndarray:
    """One-to-one partner of each jet, -1 for none: nearest pairs first.

    Each round accepts the pairs of jets that are each other's nearest. The result is the same as for pairs in the order
    of distance, but there is no loop over pairs.
    """
    partner = np.full(count, -1)
    order = np.lexsort((t, r, distance))
    r, t = r[order], t[order]
    while r.size:
        best_r = np.zeros(r.size, dtype=bool)
        best_t = np.zeros(r.size, dtype=bool)
        best_r[np.unique(r, return_index=True)[1]] = True
        best_t[np.unique(t, return_index=True)[1]] = True
        both = best_r & best_t
        partner[r[both]] = t[both]
        left = ~np.isin(r, r[both]) & ~np.isin(t, t[both])
        r, t = r[left], t[left]
    return partner
