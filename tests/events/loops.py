"""Objects of plain branches, and pairs of them, by loops over events: what presets are held against."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.events import formats

FIELDS = formats.FIELDS
Vector = tuple[float, float, float, float]
Event = dict[str, Any]


@dataclass(frozen=True)
class Level:
    """What a loop reads at one level: the branches, and the objects of an event in the order of the file or None."""

    branches: tuple[str, ...]
    objects: Callable[[Event], list[Vector | None]]


def nano(name: str, mass: str | float = "mass", good: Callable[..., bool] | None = None, of: Sequence[str] = ()):
    """Branches `name_field`; `good` takes the branches `of`, and pt."""
    here = [f"{name}_{q}" for q in ("pt", "eta", "phi")] + ([f"{name}_{mass}"] if isinstance(mass, str) else [])
    more = [f"{name}_{q}" for q in of]

    def objects(event: Event) -> list[Vector | None]:
        found: list[Vector | None] = []
        for i in range(len(event[here[0]])):
            pt, eta, phi = (event[b][i] for b in here[:3])
            fourth = event[here[3]][i] if isinstance(mass, str) else mass
            found.append((pt, eta, phi, fourth) if good is None or good(*(event[b][i] for b in more), pt) else None)
        return found

    return Level((*here, *more), objects)


def dotted(name: str, fields: str, mass: float | None = None, scale: float = 1.0, good=None, of: Sequence[str] = ()):
    """Branches `name.field`, fields as a text of four words; momenta are divided by `scale`."""
    words = fields.split()
    here = [f"{name}.{q}" for q in words]
    more = [f"{name}.{q}" for q in of]

    def objects(event: Event) -> list[Vector | None]:
        found: list[Vector | None] = []
        for i in range(len(event[here[0]])):
            pt, eta, phi, *rest = (event[b][i] for b in here)
            fourth = rest[0] / scale if mass is None else mass
            vector = (pt / scale, eta, phi, fourth)
            found.append(vector if good is None or good(*(event[b][i] for b in more), pt / scale) else None)
        return found

    return Level((*here, *more), objects)


def cartesian(name: str, scale: float = 1.0, mass: str = "mass", good=None, of: Sequence[str] = (), at: str = ""):
    """Branches with momenta along axes; `at` is a branch with the numbers of the objects."""
    axes = [f"{name}.p{a}" for a in "xyz"] if scale != 1 else [f"{name}.momentum.{a}" for a in "xyz"]
    here, more = [*axes, f"{name}.{mass}"], [f"{name}.{q}" for q in of]

    def objects(event: Event) -> list[Vector | None]:
        found: list[Vector | None] = []
        for i in event[at] if at else range(len(event[here[0]])):
            px, py, pz, m = (event[b][i] / scale for b in here)
            pt = math.sqrt(px * px + py * py)
            vector = (pt, math.asinh(pz / pt), math.atan2(py, px), m)
            found.append(vector if good is None or good(*(event[b][i] for b in more), pt) else None)
        return found

    return Level((*here, *more, *([at] if at else [])), objects)


def energetic(name: str) -> Level:
    """TreeMaker's vectors, whose mass follows from the energy."""
    here = [f"{name}.fCoordinates.{q}" for q in ("fPt", "fEta", "fPhi", "fE")]

    def objects(event: Event) -> list[Vector | None]:
        rows = zip(*(event[b] for b in here), strict=True)
        return [(pt, eta, phi, math.sqrt(max(e**2 - (pt * math.cosh(eta)) ** 2, 0))) for pt, eta, phi, e in rows]

    return Level(tuple(here), objects)


def distance(a: Vector, b: Vector) -> float:
    turn = abs(a[2] - b[2]) % (2 * math.pi)
    return math.hypot(a[1] - b[1], min(turn, 2 * math.pi - turn))


def matched(truth: list[Vector | None], reco: list[Vector | None], how: float | list[int]) -> dict[int, int]:
    """Truth number -> reco number: of all candidates the nearest first, one by one."""
    if isinstance(how, list):
        found = [(distance(truth[t], reco[r]), r, t) for r, t in enumerate(how) if 0 <= t < len(truth)]
    else:
        every = [(r, t) for r in range(len(reco)) for t in range(len(truth)) if truth[t] and reco[r]]
        found = [(d, r, t) for r, t in every if (d := distance(truth[t], reco[r])) < how]
    partner: dict[int, int] = {}
    for _, r, t in sorted(found):
        if t not in partner and r not in partner.values():
            partner[t] = r
    return partner


NONE: Vector = (0.0, 0.0, 0.0, 0.0)


def loop(path: Path, tree: str, weight: str, truth: Level, reco: Level, how: float | str) -> list[tuple]:
    """Rows as the reader has them: flags, weight, and the vectors of both levels, zero where there is no object."""
    branches = dict.fromkeys([weight, *truth.branches, *reco.branches, *([how] if isinstance(how, str) else [])])
    rows = []
    for event in formats.events(path, tree, [b for b in branches if b]):
        w = event[weight] if weight else 1.0
        w = w[0] if isinstance(w, list) else w
        t, r = truth.objects(event), reco.objects(event)
        partner = matched(t, r, event[how] if isinstance(how, str) else how)
        for number, vector in enumerate(t):
            if vector:
                other = r[partner[number]] if number in partner else None
                rows.append((True, other is not None, w, *vector, *(other or NONE)))
        for number, vector in enumerate(r):
            if vector and number not in partner.values():
                rows.append((False, True, w, *NONE, *vector))
    return rows


DATA = {
    "nanoaod": ("nano_tt_v15.root", "Events", "genWeight"),
    "nanoaod 2015": ("nanoAOD_2015_CMS_Open_Data_ttbar.root", "Events", "genWeight"),
    "delphes": ("delphes.root", "Delphes", "Event.Weight"),
    "physlite": ("uproot-issue-123b.root", "CollectionTree", "EventInfoAuxDyn.mcEventWeights"),
    "pfnano": ("", "Events", "genWeight"),
    "scouting": ("", "Events", "genWeight"),
    "treemaker": ("", "TreeMaker2/PreSelection", "Weight"),
    "edm4hep": ("", "events", ""),
}
"""Format -> file, tree and weight; without a file, a stand-in is written."""


def is_kind(number: int, status: bool = False, least: float = 0) -> Callable[..., bool]:
    """Whether a particle is of this kind, stable where there is a status, and hard enough."""
    if status:
        return lambda pid, state, pt: abs(pid) == number and state == 1 and pt > least
    return lambda pid, pt: abs(pid) == number and pt > least


LEPTON = ("pdgId",)
STABLE = ("pdgId", "status")
PT = "PT Eta Phi Mass"
AT = "pt eta phi m"
DRESSED = "AntiKt4TruthDressedWZJetsAux"
LARGE = "AntiKt10TruthSoftDropBeta100Zcut10JetsAux"
NANO = {
    "jets": (nano("GenJet"), nano("Jet"), "Jet_genJetIdx"),
    "fat_jets": (nano("GenJetAK8"), nano("FatJet"), "FatJet_genJetAK8Idx"),
    "muons": (nano("GenDressedLepton", good=is_kind(13), of=LEPTON), nano("Muon"), 0.1),
    "electrons": (nano("GenDressedLepton", good=is_kind(11), of=LEPTON), nano("Electron"), 0.1),
    "taus": (nano("GenVisTau"), nano("Tau"), 0.2),
    "photons": (nano("GenIsolatedPhoton", 0.0), nano("Photon", 0.0), 0.1),
}
SUBJETS = {"subjets": (nano("SubGenJetAK8"), nano("SubJet"), 0.1)}


def part(number: int, least: float = 0) -> Level:
    """Stable particles of Delphes."""
    return dotted("Particle", PT, good=is_kind(number, True, least), of=("PID", "Status"))


CASES: dict[str, dict[str, tuple[Level, Level, float | str]]] = {
    "nanoaod": {name: NANO[name] for name in ("jets", "fat_jets", "photons")} | SUBJETS,
    "nanoaod 2015": {name: NANO[name] for name in ("jets", "muons", "electrons", "taus")},
    "pfnano": NANO | SUBJETS,
    "scouting": {
        "jets": (nano("GenJet"), nano("ScoutingPFJet", "m"), 0.2),
        "reclustered_jets": (nano("GenJet"), nano("ScoutingPFJetRecluster"), "ScoutingPFJetRecluster_genJetIdx"),
        "fat_jets": (nano("GenJetAK8"), nano("ScoutingFatPFJetRecluster"), "ScoutingFatPFJetRecluster_genJetAK8Idx"),
        "muons": (nano("GenPart", good=is_kind(13, True), of=STABLE), nano("ScoutingMuonVtx", "m"), 0.1),
        "electrons": (nano("GenPart", good=is_kind(11, True), of=STABLE), nano("ScoutingElectron", "m"), 0.1),
        "photons": (nano("GenPart", good=is_kind(22, True, 5), of=STABLE), nano("ScoutingPhoton", "m"), 0.1),
    },
    "delphes": {
        "jets": (dotted("GenJet", PT), dotted("Jet", PT), 0.2),
        "fat_jets": (dotted("GenJet08", PT), dotted("ParticleFlowJet08", PT), 0.4),
        "muons": (part(13), dotted("Muon", "PT Eta Phi", 0.1057), 0.1),
        "electrons": (part(11), dotted("Electron", "PT Eta Phi", 0.000511), 0.1),
        "photons": (part(22, 5), dotted("Photon", "PT Eta Phi", 0.0), 0.1),
    },
    "physlite": {
        "jets": (dotted(DRESSED, AT, scale=1000), dotted("AnalysisJetsAuxDyn", AT, scale=1000), 0.3),
        "fat_jets": (dotted(LARGE, AT, scale=1000), dotted("AntiKt10UFOCSSKJetsAux", AT, scale=1000), 0.6),
        "muons": (
            cartesian("TruthMuonsAuxDyn", 1000, "m"),
            dotted("AnalysisMuonsAuxDyn", "pt eta phi", 0.1057, 1000),
            0.1,
        ),
        "electrons": (
            cartesian("TruthElectronsAuxDyn", 1000, "m"),
            dotted("AnalysisElectronsAuxDyn", AT, scale=1000),
            0.1,
        ),
        "photons": (
            cartesian("TruthPhotonsAuxDyn", 1000, "m", good=lambda pt: pt > 5),
            dotted("AnalysisPhotonsAuxDyn", "pt eta phi", 0.0, 1000),
            0.1,
        ),
        "taus": (
            dotted(
                "TruthTausAuxDyn",
                "pt_vis eta_vis phi_vis m_vis",
                scale=1000,
                good=lambda hadronic, pt: hadronic == 1,
                of=("IsHadronicTau",),
            ),
            dotted("AnalysisTauJetsAuxDyn", AT, scale=1000),
            0.2,
        ),
    },
    "treemaker": {
        "jets": (energetic("GenJets"), energetic("Jets"), 0.2),
        "fat_jets": (energetic("GenJetsAK8"), energetic("JetsAK8"), 0.4),
        "muons": (energetic("GenMuons"), energetic("Muons"), 0.1),
        "electrons": (energetic("GenElectrons"), energetic("Electrons"), 0.1),
    },
    "edm4hep": {
        name: (
            cartesian("Particle", good=is_kind(number, True), of=("PDG", "generatorStatus")),
            cartesian("ReconstructedParticles", at=f"{branch}#0.index"),
            0.1,
        )
        for name, number, branch in (("muons", 13, "Muon"), ("electrons", 11, "Electron"))
    },
}
