"""Z(-> neutrinos) + jet from Pythia 8 with the parametrised detector: the benchmark of 1911.09107."""

from __future__ import annotations

from typing import Any, Literal

import awkward as ak
import numpy as np
import pythia8mc

from truthward.errors import ConfigError
from truthward.physics.detector import Detector
from truthward.physics.generators.base import Generator
from truthward.physics.jets import leading_jet
from truthward.physics.observables import level
from truthward.physics.particles import FB_PER_MB, accepted, last_pt, lines_of, started, visible

# Scale of the shower (GeV) at which the pt of the Z is checked. Later it changes by 1.1 GeV (standard deviation), 4 at
# most. But most of the time is spent there: 5 ms an event, in multiparton interactions, against 0.5 ms before.
VETO_SCALE = 4.0


class _SoftZ(pythia8mc.UserHooks):
    """Stop an event early if the pt of its Z is below `z_pt_min` (GeV) at the shower scale `VETO_SCALE`."""

    def __init__(self, z_pt_min: float) -> None:
        pythia8mc.UserHooks.__init__(self)
        self.z_pt_min = z_pt_min

    def canVetoPT(self) -> bool:
        return True

    def scaleVetoPT(self) -> float:
        return VETO_SCALE

    def doVetoPT(self, position: int, event: pythia8mc.Event) -> bool:
        born = 5 if event[5].id() == 23 else 6
        return event[event[born].iBotCopyId()].pT() < self.z_pt_min


class Pythia(Generator):
    """Z + jet in pp collisions, Z to three kinds of neutrinos; leading anti-kT jet at both levels.

    Acceptance at truth level: pt(Z) > z_pt_min; the leading jet of visible particles has pt > jet_pt_min and
    |eta| < jet_eta_max. Acceptance at reco level: the same cuts on the missing pt (vector sum of the energy-flow
    particles) and on the leading jet of energy-flow particles. `z_pt` at reco level is the missing pt. Particles with
    c tau > 10 mm are stable at particle level. Further columns hold the composition of the jet, see
    `observables.composition`.

    Misses and fakes come from migration across these cuts. So events are generated from pt(Z) = z_pt_min - z_pt_margin
    (at the shower scale of 4 GeV), without a cut on jets. A small share of the accepted events would come from below
    this margin; they are missing here, and nearly all of them would be fakes.

    Args:
        process: the hard process; only "zjets".
        tune: number of Pythia's pp tune: 14 Monash, 21 A14, 26 A14 var2- (the "Tune 26" of OmniFold).
        shower: "simple" (pt-ordered dipoles) or "vincia" (antennae; several times slower).
        alpha_s: strong coupling at the Z mass in the final-state shower; 0: the value of the tune.
        settings: further settings of Pythia by name, on top of the tune, such as {"StringZ:aLund": 0.36}.
        energy: energy of the collision, GeV.
        pt_hat_min: cut on the hard process, GeV; low enough that initial-state radiation cannot bias the margin.
        z_pt_min: acceptance: pt of the Z, or missing pt, above this, GeV.
        z_pt_margin: events are generated from this many GeV below z_pt_min.
        jet_pt_min: acceptance: pt of the leading jet above this, GeV.
        jet_eta_max: acceptance: |eta| of the leading jet below this.
        radius: radius of the anti-kT jets.
        luminosity: per fb; weights are sigma * luminosity / generated. 0: every event has weight 1, as in data.
        tracks: whether the detector has a tracker; without it every charged hadron is seen as its hadronic tower.
        track_pt_min: charged particles below this pt leave neither track nor deposit, GeV.
        tracking_efficiency: factor on the efficiency of tracks.
        ecal_min: electromagnetic towers below this energy are noise, GeV.
        hcal_min: hadronic towers below this energy are noise, GeV.
        significance: the excess of a tower over the tracks counts from this number of standard deviations.
        hcal_scale: response of the hadronic calorimeter.
    """

    PROVIDES = (
        "m",
        "M",
        "w",
        "ln_rho",
        "tau21",
        "zg",
        "jet_pt",
        "jet_eta",
        "z_pt",
        "charged_fraction",
        "em_fraction",
        "neutral_fraction",
        "soft_fraction",
    )
    PROVIDES_TRUTH = ("strange_fraction",)
    PARTICLE_LEVEL = "particles with c tau > 10 mm are stable"

    def __init__(
        self,
        *,
        process: Literal["zjets"] = "zjets",
        tune: int = 14,
        shower: Literal["simple", "vincia"] = "simple",
        alpha_s: float = 0.0,
        settings: dict[str, Any] = {},  # noqa: B006 (only read, never changed)
        energy: float = 14000.0,
        pt_hat_min: float = 140.0,
        z_pt_min: float = 200.0,
        z_pt_margin: float = 30.0,
        jet_pt_min: float = 150.0,
        jet_eta_max: float = 3.0,
        radius: float = 0.4,
        luminosity: float = 1.0,
        tracks: bool = True,
        track_pt_min: float = 0.5,
        tracking_efficiency: float = 1.0,
        ecal_min: float = 0.5,
        hcal_min: float = 1.0,
        significance: float = 2.0,
        hcal_scale: float = 1.0,
    ) -> None:
        if pt_hat_min > z_pt_min - z_pt_margin:
            raise ConfigError(
                f"pt_hat_min: {pt_hat_min} is above z_pt_min - z_pt_margin = {z_pt_min - z_pt_margin}: it would cut "
                "into the acceptance; lower pt_hat_min or z_pt_margin"
            )
        if alpha_s < 0.0 or (alpha_s and shower == "vincia"):
            raise ConfigError(
                f"alpha_s: {alpha_s} given with `shower: {shower}`; 0 or a positive number is expected, and 0 with "
                "vincia"
            )
        self.settings = (
            f"Beams:eCM = {energy}",
            f"Tune:pp = {tune}",
            f"PartonShowers:model = {1 if shower == 'simple' else 2}",
            "Vincia:sectorShower = off",
            "WeakBosonAndParton:qqbar2gmZg = on",
            "WeakBosonAndParton:qg2gmZq = on",
            "WeakZ0:gmZmode = 2",
            "23:onMode = off",
            "23:onIfAny = 12 14 16",
            f"PhaseSpace:pTHatMin = {pt_hat_min}",
            *([f"TimeShower:alphaSvalue = {alpha_s}"] if alpha_s else []),
            *lines_of(settings),
        )
        self.chosen, self.luminosity = dict(settings), luminosity
        self.z_pt_min, self.z_pt_margin = z_pt_min, z_pt_margin
        self.jet_pt_min, self.jet_eta_max, self.radius = jet_pt_min, jet_eta_max, radius
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
        """Exactly `events` accepted events. Each block has a new Pythia, so blocks do not depend on each other.

        Raises:
            TruthwardError: if Pythia does not start, or gives up on every event of a batch.
        """
        pythia = started(self.settings, seed, hook=_SoftZ(self.z_pt_min - self.z_pt_margin), keep=self.chosen)
        rng = np.random.default_rng(seed)
        out, generated = accepted(pythia, self.settings, events, lambda record: self._accept(pythia, record, rng))
        # With the early veto, sigma is the cross section of the events that Pythia returns. Each block estimates the
        # accepted cross section, sigma * events / generated. The sample has their mean, weighted by events / total.
        expected = pythia.infoPython().sigmaGen() * FB_PER_MB * self.luminosity / generated * (events / total)
        per_event = expected if self.luminosity else 1.0
        return out | {"weight": np.full(events, per_event), "process": np.zeros(events, dtype=np.int32)}

    def _accept(self, pythia: pythia8mc.Pythia, record: ak.Array, rng: np.random.Generator) -> tuple[dict, np.ndarray]:
        """Columns of the accepted events of a batch, and their rows in it, (n,)."""
        z_pt = last_pt(record, 23)
        particles = visible(pythia, record)
        reco = self.detector.reconstruct(particles, rng)
        missing = np.hypot(ak.to_numpy(ak.sum(reco.px, axis=1)), ak.to_numpy(ak.sum(reco.py, axis=1)))
        inside = {}
        for prefix, parts, recoil in (("truth", particles, z_pt), ("reco", reco, missing)):
            # Clustering takes most of the time below, and most events fail this cut.
            rows = np.flatnonzero(recoil > self.z_pt_min)
            jets = leading_jet(parts[rows], radius=self.radius)
            passed = (jets.pt > self.jet_pt_min) & (np.abs(jets.eta) < self.jet_eta_max)
            inside[prefix] = jets.select(passed), recoil[rows[passed]], rows[passed]
        either = np.union1d(*(rows for _, _, rows in inside.values()))
        columns: dict[str, Any] = {}
        for prefix, (jets, recoil, rows) in inside.items():
            columns |= level(jets, recoil, np.isin(either, rows), prefix=prefix, radius=self.radius)
        return columns, either
