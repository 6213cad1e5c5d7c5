"""Boosted hadronic top decays from Pythia 8 with the parametrised detector: the events of 2501.12363."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pythia8mc

from truthward.errors import ConfigError
from truthward.physics.detector import Detector
from truthward.physics.generators.base import Generator
from truthward.physics.jets import kinematics, leading_jet, subjets
from truthward.physics.observables import ABSENT, composition
from truthward.physics.particles import FB_PER_MB, accepted, started, visible
from truthward.study.seeds import seed_for

LEPTON_ETA_MAX = 2.4
JET_ETA_MAX = 2.5
PAIRS = {"m_12": (0, 1), "m_13": (0, 2), "m_23": (1, 2)}


class Top(Generator):
    """tt -> (b q q) (b mu nu) in pp collisions: the large jet opposite to the muon, and its three subjets.

    The large jet is the hardest anti-kT jet (without the muon) more than pi/2 in azimuth from the hardest muon. Its
    three subjets are found as by XCone (see `jets.subjets`), which grooms soft wide-angle radiation away. They are
    ordered by falling pt. m_jjj is the mass of all three, m_12, m_13, m_23 are the masses of pairs, jet_pt is the pt
    of all three; GeV.

    Acceptance, at each level with the objects of that level: muon pt > lepton_pt_min, |eta| < 2.4; jet_pt > jet_pt_min
    and |eta| < 2.5 of all three subjets together; each subjet pt > subjet_pt_min; m_jjj within `mass_window`, which
    keeps jets that hold the whole decay. Misses and fakes are events that migrate across these cuts.

    The top quark decays to hadrons, and the antiquark decays to leptons. Every event has a column `truth_top_mass`, the
    mass parameter of its generation. No detector measures it, so it is not unfolded; it tells samples apart. The
    natural width of the top follows its mass. Further columns hold the composition of the large jet, see
    `observables.composition`. Particles with c tau > 10 mm are stable at particle level.

    Args:
        top_mass: GeV; if a list is given, each mass has an equal part of every block.
        multiparton: multiparton interactions, which make generation several times slower. Without them jets hold no
            underlying event.
        tune: number of Pythia's pp tune, as for `pythia`.
        energy: energy of the collision, GeV.
        pt_hat_min: cut on the hard process, GeV. The default loses about a fifth of the accepted events; a lower cut
            loses fewer and is slower.
        lepton_pt_min: acceptance: pt of the muon above this, GeV.
        jet_pt_min: acceptance: pt of the three subjets together above this, GeV.
        subjet_pt_min: acceptance: pt of each subjet above this, GeV.
        mass_window: acceptance: lowest and highest m_jjj, GeV.
        radius: radius of the large jet.
        subjet_radius: radius of its subjets.
        luminosity: per fb; weights are sigma * luminosity / generated. 0: every event has weight 1, as in data.
        tracks: whether the detector has a tracker; without it every charged hadron is seen as its hadronic tower.
        track_pt_min: charged particles below this pt leave neither track nor deposit, GeV.
        tracking_efficiency: factor on the efficiency of tracks.
        ecal_min: electromagnetic towers below this energy are noise, GeV.
        hcal_min: hadronic towers below this energy are noise, GeV.
        significance: the excess of a tower over the tracks counts from this number of standard deviations.
        hcal_scale: response of the hadronic calorimeter.

    Raises:
        ConfigError: no mass, a mass that is not positive, or a window that does not rise.
    """

    PROVIDES = (
        "m_jjj",
        "m_12",
        "m_13",
        "m_23",
        "jet_pt",
        "jet_eta",
        "charged_fraction",
        "em_fraction",
        "neutral_fraction",
        "soft_fraction",
    )
    PROVIDES_TRUTH = ("strange_fraction", "top_mass")
    PARTICLE_LEVEL = "particles with c tau > 10 mm are stable"

    BOUNDS = (("> 0", "top_mass"),)

    def __init__(
        self,
        *,
        top_mass: float | list[float] = 172.5,
        multiparton: bool = False,
        tune: int = 14,
        energy: float = 13000.0,
        pt_hat_min: float = 330.0,
        lepton_pt_min: float = 30.0,
        jet_pt_min: float = 400.0,
        subjet_pt_min: float = 30.0,
        mass_window: list[float] = [130.0, 215.0],  # noqa: B006 (only read, never changed)
        radius: float = 1.2,
        subjet_radius: float = 0.4,
        luminosity: float = 1.0,
        tracks: bool = True,
        track_pt_min: float = 0.5,
        tracking_efficiency: float = 1.0,
        ecal_min: float = 0.5,
        hcal_min: float = 1.0,
        significance: float = 2.0,
        hcal_scale: float = 1.0,
    ) -> None:
        self.masses = [float(m) for m in (top_mass if isinstance(top_mass, list) else [top_mass])]
        if not self.masses or min(self.masses) <= 0.0:
            raise ConfigError(f"top_mass: {top_mass} given; a mass in GeV, or a list of them, is needed")
        if len(mass_window) != 2 or not 0.0 <= mass_window[0] < mass_window[1]:
            raise ConfigError(f"mass_window: {mass_window} given; two increasing numbers in GeV are needed")
        self.settings = (
            f"Beams:eCM = {energy}",
            f"Tune:pp = {tune}",
            "Top:gg2ttbar = on",
            "Top:qqbar2ttbar = on",
            "24:onMode = off",
            "24:onPosIfAny = 1 2 3 4 5",
            "24:onNegIfAny = 13",
            f"PartonLevel:MPI = {'on' if multiparton else 'off'}",
            f"PhaseSpace:pTHatMin = {pt_hat_min}",
        )
        self.lepton_pt_min, self.jet_pt_min, self.subjet_pt_min = lepton_pt_min, jet_pt_min, subjet_pt_min
        self.mass_window = tuple(mass_window)
        self.radius, self.subjet_radius, self.luminosity = radius, subjet_radius, luminosity
        self.detector = Detector(
            tracks=tracks,
            track_pt_min=track_pt_min,
            efficiency=tracking_efficiency,
            ecal_min=ecal_min,
            hcal_min=hcal_min,
            significance=significance,
            hcal_scale=hcal_scale,
        )

    def block(self, events: int, *, total: int, seed: int) -> dict[str, Any]:
        """Exactly `events` accepted events, shared among the masses; each mass has its own Pythia.

        Raises:
            TruthwardError: if Pythia does not start, or gives up on every event of a batch.
        """
        pieces, places = [], []
        for k, mass in enumerate(self.masses):
            if len(place := np.arange(k, events, len(self.masses))):
                pieces.append(self._of(mass, len(place), total=total, seed=seed_for(seed, "top_mass", k)))
                places.append(place)
        order = np.argsort(np.concatenate(places))
        return {name: np.concatenate([piece[name] for piece in pieces])[order] for name in pieces[0]}

    def _of(self, mass: float, events: int, *, total: int, seed: int) -> dict[str, Any]:
        settings = (*self.settings, f"6:m0 = {mass}")
        pythia, rng = started(settings, seed), np.random.default_rng(seed)
        out, generated = accepted(pythia, settings, events, lambda record: self._accept(pythia, record, rng))
        expected = pythia.infoPython().sigmaGen() * FB_PER_MB * self.luminosity / generated * (events / total)
        out["truth_top_mass"] = np.where(out["pass_truth"], mass, ABSENT).astype(np.float32)
        out["weight"] = np.full(events, expected if self.luminosity else 1.0)
        return out | {"process": np.zeros(events, dtype=np.int32)}

    def _accept(self, pythia: pythia8mc.Pythia, record: ak.Array, rng: np.random.Generator) -> tuple[dict, np.ndarray]:
        """Columns of the accepted events of a batch, and their rows in it, (n,)."""
        particles = visible(pythia, record)
        levels = [self._level(p) for p in (particles, self.detector.reconstruct(particles, rng))]
        # No detector tells a kaon from a pion here.
        del levels[1][0]["strange_fraction"]
        rows = np.flatnonzero(levels[0][1] | levels[1][1])
        columns: dict[str, Any] = {}
        for prefix, (values, passed) in zip(("truth", "reco"), levels, strict=True):
            columns[f"pass_{prefix}"] = passed[rows]
            for name, value in values.items():
                columns[f"{prefix}_{name}"] = np.where(passed, value, ABSENT)[rows].astype(np.float32)
        return columns, rows

    def _level(self, particles: ak.Array) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Observables and acceptance of one level, (N,) each; observables have no meaning where acceptance is false."""
        values = {name: np.zeros(len(particles)) for name in (*self.PROVIDES, "strange_fraction")}
        passed = np.zeros(len(particles), dtype=bool)
        muons = particles[np.abs(particles.pid) == 13]
        rows = np.flatnonzero(ak.num(muons, axis=1) > 0)
        hardest = ak.argmax(muons[rows].px ** 2 + muons[rows].py ** 2, axis=1, keepdims=True)
        pt, eta, _, phi, _ = kinematics(ak.flatten(muons[rows][hardest]))
        good = (pt > self.lepton_pt_min) & (np.abs(eta) < LEPTON_ETA_MAX)
        rows, pt, phi = rows[good], pt[good], phi[good]
        rest = particles[rows]
        # The muon is found among the others by its momentum, since it was taken from the same list.
        rest = rest[(np.abs(rest.pid) != 13) | (np.sqrt(rest.px**2 + rest.py**2) < pt)]
        jets = leading_jet(rest, radius=self.radius, min_pt=0.5 * self.jet_pt_min, opposite=phi)
        held = ak.to_numpy(ak.num(jets.constituents, axis=1)) >= 3
        rows = rows[held]
        constituents = jets.constituents[held]
        found = subjets(constituents, radius=self.subjet_radius)
        whole = found.sum(axis=1)
        whole_pt = np.hypot(whole[:, 0], whole[:, 1])
        inside = (whole_pt > self.jet_pt_min) & (np.hypot(found[..., 0], found[..., 1]) > self.subjet_pt_min).all(
            axis=1
        )
        rows, found, whole, whole_pt = rows[inside], found[inside], whole[inside], whole_pt[inside]
        for name, share in composition(constituents[inside]).items():
            values[name][rows] = share
        values["m_jjj"][rows] = _mass(whole)
        for name, pair in PAIRS.items():
            values[name][rows] = _mass(found[:, pair].sum(axis=1))
        values["jet_pt"][rows], values["jet_eta"][rows] = whole_pt, np.arcsinh(whole[:, 2] / whole_pt)
        low, high = self.mass_window
        inside = (values["m_jjj"][rows] > low) & (values["m_jjj"][rows] < high)
        passed[rows] = inside & (np.abs(values["jet_eta"][rows]) < JET_ETA_MAX)
        return values, passed


def _mass(p: np.ndarray) -> np.ndarray:
    """Masses of four-momenta, (N, 4) -> (N,), at least 0."""
    return np.sqrt(np.maximum(p[:, 3] ** 2 - (p[:, :3] ** 2).sum(axis=1), 0.0))
