"""Small files of the formats of experiments, with their trees, branches and types, and random content."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

SIZE = 60
FIELDS = ("pt", "eta", "phi", "mass")


@dataclass
class Pair:
    """Objects at both levels: field -> lists of each event, and of each reco object the number of its truth object."""

    truth: dict[str, ak.Array]
    reco: dict[str, ak.Array]
    index: ak.Array


def objects(rng: np.random.Generator, mean: float) -> dict[str, ak.Array]:
    """Random objects; some events have none."""
    counts = rng.poisson(mean, SIZE)
    total = int(counts.sum())
    flat = {
        "pt": 10 + rng.exponential(30, total),
        "eta": rng.uniform(-2.5, 2.5, total),
        "phi": rng.uniform(-np.pi, np.pi, total),
        "mass": rng.uniform(0.1, 8, total),
    }
    return {name: ak.unflatten(values.astype(np.float32), counts) for name, values in flat.items()}


def pair(rng: np.random.Generator, mean: float = 2.5) -> Pair:
    """Truth objects, and reco objects that are smeared ones, some of them twice, with others between them."""
    truth = objects(rng, mean)
    reco: dict[str, list[list[float]]] = {name: [] for name in FIELDS}
    index = []
    for event in range(SIZE):
        rows = []
        for number in range(len(truth["pt"][event])):
            pt, eta, phi, mass = (float(truth[name][event][number]) for name in FIELDS)
            for _ in range(rng.choice([0, 1, 1, 1, 2])):
                turned = phi + rng.normal(0, 0.04)
                rows.append((pt * rng.normal(1, 0.1), eta + rng.normal(0, 0.04), turned, mass, number))
        for _ in range(rng.poisson(0.7)):
            rows.append((rng.uniform(10, 40), rng.uniform(-2.5, 2.5), rng.uniform(-3, 3), 1.0, -1))
        rows = [rows[i] for i in rng.permutation(len(rows))]
        for place, name in enumerate(FIELDS):
            reco[name].append([row[place] for row in rows])
        index.append([row[4] for row in rows])
    phi = (ak.values_astype(ak.Array(reco["phi"]), np.float64) + np.pi) % (2 * np.pi) - np.pi
    lists = {name: jagged(values) for name, values in reco.items()} | {"phi": jagged(phi.tolist())}
    return Pair(truth, lists, jagged(index, np.int32))


def jagged(lists: Any, dtype: type = np.float32) -> ak.Array:
    """Lists of each event as one array, with a type also where all are empty."""
    flat = np.array([value for each in lists for value in each], dtype=dtype)
    return ak.unflatten(flat, [len(each) for each in lists])


def like(model: ak.Array, values: Callable[[int], np.ndarray]) -> ak.Array:
    """Values in lists as long as those of another branch."""
    return ak.unflatten(values(int(ak.count(model))), ak.num(model))


def write(path: Path, tree: str, columns: dict[str, Any]) -> Path:
    """Write branches, numbers and lists of numbers, with the types that they have."""
    types = {}
    for name, values in columns.items():
        types[name] = values.dtype if isinstance(values, np.ndarray) else f"var * {values.type.content.content}"
    with uproot.recreate(path) as file:
        file.mktree(tree, types).extend(columns)
    return path


def _numbers(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "run": np.ones(SIZE, np.uint32),
        "luminosityBlock": (np.arange(SIZE) // 7).astype(np.uint32),
        "event": rng.permutation(10**9 + np.arange(SIZE)).astype(np.uint64),
    }


def _named(prefix: str, fields: dict[str, ak.Array], **names: str) -> dict[str, ak.Array]:
    return {f"{prefix}{names.get(name, name)}": values for name, values in fields.items()}


def _candidates(
    rng: np.random.Generator, owners: ak.Array, mean: float
) -> tuple[dict[str, ak.Array], ak.Array, ak.Array]:
    """Particles of jets in any order: their fields, and for each entry of the link its owner and its item."""
    fields = objects(rng, 6 * mean)
    owner, item = [], []
    for jets, count in zip(ak.num(owners), ak.num(fields["pt"]), strict=True):
        # A particle may belong to several jets and to none, as with jets of two radii.
        links = [(j, i) for i in range(count) for j in range(jets) if rng.random() < 0.3]
        links = [links[i] for i in rng.permutation(len(links))]
        owner.append([j for j, _ in links])
        item.append([i for _, i in links])
    return fields, jagged(owner, np.int32), jagged(item, np.int32)


def nanoaod_data(path: Path) -> Path:
    """NanoAOD of real data: no truth, and no weights of a generator."""
    rng = np.random.default_rng(11)
    return write(path, "Events", _numbers(rng) | _named("Jet_", pair(rng).reco))


def pfnano(path: Path) -> Path:
    """PFNano: jets and their particles at both levels."""
    rng = np.random.default_rng(12)
    columns: dict[str, Any] = _numbers(rng) | {"genWeight": rng.choice([2.0, -1.0], SIZE).astype(np.float32)}
    small, large = pair(rng), pair(rng, 1.0)
    columns |= _named("GenJet_", small.truth) | _named("Jet_", small.reco) | {"Jet_genJetIdx": small.index}
    columns |= _named("GenJetAK8_", large.truth) | _named("FatJet_", large.reco)
    columns |= {"FatJet_genJetAK8Idx": large.index, "FatJet_msoftdrop": large.reco["mass"] * np.float32(0.9)}
    for name, jets in (
        ("GenCands", (("GenJetCands", small.truth), ("GenFatJetCands", large.truth))),
        ("PFCands", (("JetPFCands", small.reco), ("FatJetPFCands", large.reco))),
    ):
        fields, owner, item = _candidates(rng, jets[0][1]["pt"], 1.5)
        columns |= _named(f"{name}_", fields)
        columns[f"{name}_pdgId"] = like(fields["pt"], lambda n: rng.choice([211, -211, 22, 130], n).astype(np.int32))
        columns |= {f"{jets[0][0]}_jetIdx": owner, f"{jets[0][0]}_pFCandsIdx": item}
        counts = ak.num(fields["pt"])
        both = zip(ak.num(jets[1][1]["pt"]), counts, strict=True)
        links = [[(j, i) for j in range(m) for i in range(n)] for m, n in both]
        columns[f"{jets[1][0]}_jetIdx"] = jagged([[j for j, _ in each] for each in links], np.int32)
        columns[f"{jets[1][0]}_pFCandsIdx"] = jagged([[i for _, i in each] for each in links], np.int32)
    columns |= _leptons(rng)
    return write(path, "Events", columns)


def _leptons(rng: np.random.Generator) -> dict[str, ak.Array]:
    """The other collections of NanoAOD; dressed leptons of both flavours are in one list."""
    found: dict[str, ak.Array] = {}
    dressed = pair(rng, 1.5)
    found |= _named("GenDressedLepton_", dressed.truth)
    found["GenDressedLepton_pdgId"] = like(
        dressed.truth["pt"], lambda n: rng.choice([11, -11, 13, -13], n).astype(np.int32)
    )
    found |= _named("Muon_", dressed.reco) | _named("Electron_", pair(rng, 1.0).reco)
    for truth, reco, mean in (
        ("SubGenJetAK8", "SubJet", 2.0),
        ("GenVisTau", "Tau", 0.7),
        ("GenIsolatedPhoton", "Photon", 0.7),
    ):
        each = pair(rng, mean)
        found |= _named(f"{truth}_", each.truth) | _named(f"{reco}_", each.reco)
    return found | _named("GenPart_", objects(rng, 5))


def scouting(path: Path) -> Path:
    """Scouting NanoAOD: the trigger's objects have their mass as `m`, but for jets that are clustered again."""
    rng = np.random.default_rng(13)
    columns: dict[str, Any] = _numbers(rng) | {"genWeight": rng.choice([2.0, -1.0], SIZE).astype(np.float32)}
    columns |= {"ScoutingMET_pt": rng.exponential(30, SIZE), "ScoutingMET_phi": rng.uniform(-3, 3, SIZE)}
    jets, large = pair(rng), pair(rng, 1.0)
    columns |= _named("GenJet_", jets.truth) | _named("ScoutingPFJet_", jets.reco, mass="m")
    columns |= _named("ScoutingPFJetRecluster_", jets.reco) | {"ScoutingPFJetRecluster_genJetIdx": jets.index}
    columns |= _named("GenJetAK8_", large.truth) | _named("ScoutingFatPFJetRecluster_", large.reco)
    columns |= {"ScoutingFatPFJetRecluster_genJetAK8Idx": large.index}
    leptons = pair(rng, 4)
    columns |= _named("GenPart_", leptons.truth)
    columns["GenPart_pdgId"] = like(leptons.truth["pt"], lambda n: rng.choice([11, -13, 22, 211], n).astype(np.int32))
    columns["GenPart_status"] = like(leptons.truth["pt"], lambda n: rng.choice([1, 1, 2], n).astype(np.int32))
    for name in ("ScoutingMuonVtx_", "ScoutingElectron_", "ScoutingPhoton_"):
        columns |= _named(name, leptons.reco, mass="m")
    return write(path, "Events", columns)


def treemaker(path: Path) -> Path:
    """TreeMaker: vectors of pt, eta, phi and energy; other quantities in branches with an underscore."""
    rng = np.random.default_rng(14)
    columns: dict[str, Any] = {
        "RunNum": np.ones(SIZE, np.uint32),
        "LumiBlockNum": np.ones(SIZE, np.uint32),
        "EvtNum": np.arange(SIZE).astype(np.uint64),
        "Weight": rng.uniform(0.5, 2, SIZE).astype(np.float32),
        "GenMET": rng.exponential(50, SIZE).astype(np.float32),
        "MET": rng.exponential(50, SIZE).astype(np.float32),
    }
    for truth, reco in (
        ("GenJets", "Jets"),
        ("GenJetsAK8", "JetsAK8"),
        ("GenMuons", "Muons"),
        ("GenElectrons", "Electrons"),
        ("GenParticles", "Photons"),
    ):
        each = pair(rng)
        for name, fields in ((truth, each.truth), (reco, each.reco)):
            energy = np.sqrt(
                ak.values_astype(fields["mass"], np.float64) ** 2 + (fields["pt"] * np.cosh(fields["eta"])) ** 2
            )
            vector = {"fPt": fields["pt"], "fEta": fields["eta"], "fPhi": fields["phi"], "fE": energy}
            columns |= {f"{name}.fCoordinates.{n}": ak.values_astype(v, np.float64) for n, v in vector.items()}
    columns["JetsAK8_softDropMass"] = like(
        columns["JetsAK8.fCoordinates.fPt"], lambda n: rng.uniform(0, 90, n).astype(np.float64)
    )
    return write(path, "TreeMaker2/PreSelection", columns)


def edm4hep(path: Path) -> Path:
    """EDM4hep of FCC: particles by momentum and mass, jets with ranges of a list of numbers of particles."""
    rng = np.random.default_rng(15)
    each = pair(rng, 14)
    pdg = like(each.truth["pt"], lambda n: rng.choice([211, 22, 13, 11, 12, 14], n).astype(np.int32))
    status = like(each.truth["pt"], lambda n: rng.choice([1, 1, 1, 2, 23], n).astype(np.int32))
    columns: dict[str, Any] = {"Particle.PDG": pdg, "Particle.generatorStatus": status}
    for name, fields in (("Particle", each.truth), ("ReconstructedParticles", each.reco)):
        for axis, values in (
            ("x", fields["pt"] * np.cos(fields["phi"])),
            ("y", fields["pt"] * np.sin(fields["phi"])),
            ("z", fields["pt"] * np.sinh(fields["eta"])),
        ):
            columns[f"{name}.momentum.{axis}"] = ak.values_astype(values, np.float32)
        columns[f"{name}.mass"] = fields["mass"] * np.float32(0.1)
    reco = each.reco["pt"]
    columns["ReconstructedParticles.charge"] = like(reco, lambda n: rng.choice([-1.0, 0.0, 1.0], n).astype(np.float32))
    counts = ak.num(reco)
    for name in ("Muon", "Electron"):
        columns[f"{name}#0.index"] = jagged([np.flatnonzero(rng.random(n) < 0.2).tolist() for n in counts], np.int32)
    begin, end, item = [], [], []
    for count in counts:
        order, cuts = rng.permutation(count), np.sort(rng.integers(0, count + 1, 3))
        begin.append([0, *cuts[:-1].tolist()])
        end.append(cuts.tolist())
        item.append(order[: cuts[-1]].tolist())
    columns |= {"Jet.particles_begin": jagged(begin, np.uint32), "Jet.particles_end": jagged(end, np.uint32)}
    columns["Jet#2.index"] = jagged(item, np.int32)
    for axis in ("x", "y", "z"):
        columns[f"Jet.momentum.{axis}"] = like(
            columns["Jet.particles_end"], lambda n: rng.normal(0, 20, n).astype(np.float32)
        )
    columns["Jet.mass"] = like(columns["Jet.particles_end"], lambda n: rng.uniform(1, 9, n).astype(np.float32))
    return write(path, "events", columns)


MADE: dict[str, Callable[[Path], Path]] = {
    "pfnano": pfnano,
    "scouting": scouting,
    "treemaker": treemaker,
    "edm4hep": edm4hep,
}
"""Format -> what writes a file of it. NanoAOD, Delphes and PHYSLITE have real files."""


def events(path: Path, tree: str, branches: list[str]) -> Iterator[dict[str, Any]]:
    """Branches of each event as plain lists and numbers, read by uproot alone."""
    with uproot.open(path) as file:
        columns = {name: file[tree][name].array().to_list() for name in branches}
    for number in range(len(columns[branches[0]])):
        yield {name: values[number] for name, values in columns.items()}
