"""A parametrised CMS-like detector with energy flow, in numpy.

Efficiencies, resolutions and granularities have the size that the CMS card of Delphes 3 (1307.6346) and the CMS
detector paper (JINST 3 S08004) give. The implementation is our own. The stochastic term of the hadron calorimeter and
its threshold (in units of the resolution) were chosen to give reasonable shares of misses and fakes in Z+jets. If a
particle is stable at particle level but decays before the calorimeters, the detector sees its daughters (`decays`).

The model does not have: the bending of tracks in the magnetic field (only a momentum threshold), pile-up, conversions,
and showers wider than a tower. The daughters of a decay enter the tower to which their momentum points from the
collision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import awkward as ak
import numpy as np

from truthward.physics.decays import Flight, decay_in_flight
from truthward.physics.jets import delta_phi

ETA_MAX = 5.0
TRACKER_ETA = 2.5
TRACKED_RADIUS = 600.0
"""Particles born further out (mm) cross too few layers for a track, as in CMS (1405.6569); the value is our choice."""
PION_MASS = 0.13957
MUON_MASS = 0.10566
# Regions of a calorimeter: |eta| from, |eta| to, size of a tower in eta and in phi.
ECAL = ((0.0, 1.479, 0.0174), (1.479, 3.0, 0.0200), (3.0, ETA_MAX, 0.175))
HCAL = ((0.0, 1.740, 0.0870), (1.740, 3.0, 0.1745), (3.0, ETA_MAX, 0.175))


def tracking_efficiency(pt: np.ndarray, eta: np.ndarray, pid: np.ndarray) -> np.ndarray:
    """Probability that a charged particle of pt (GeV) gives a track, (N,); zero for |eta| >= 2.5."""
    barrel = np.abs(eta) < 1.5
    soft = pt < 1.0
    hadron = np.where(barrel, np.where(soft, 0.70, 0.95), np.where(soft, 0.60, 0.85))
    muon = np.where(barrel, np.where(soft, 0.75, 0.99), np.where(soft, 0.70, 0.98))
    return np.where(np.abs(eta) < TRACKER_ETA, np.where(np.abs(pid) == 13, muon, hadron), 0.0)


def track_resolution(pt: np.ndarray, eta: np.ndarray, pid: np.ndarray) -> np.ndarray:
    """Relative resolution of a track's pt, (N,): multiple scattering (constant) and hit resolution (linear in pt).

    Electrons radiate in the tracker, so their constant term is larger.
    """
    region = np.digitize(np.abs(eta), (0.5, 1.5))
    constant = np.array((0.010, 0.015, 0.025))[region]
    linear = np.array((1.0e-4, 1.5e-4, 3.5e-4))[region]
    return np.hypot(np.where(np.abs(pid) == 11, 3.0 * constant, constant), linear * pt)


def angular_resolution(pt: np.ndarray) -> np.ndarray:
    """Resolution of a track's eta and phi, (N,), radians: 0.2 mrad from the hits, 1 mrad GeV / pt from scattering."""
    return np.hypot(2.0e-4, 1.0e-3 / pt)


def ecal_resolution(energy: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Absolute resolution (GeV) of an electromagnetic tower: noise, stochastic, constant; larger behind more matter."""
    a = np.abs(eta)
    central = np.sqrt(0.40**2 + 0.11**2 * energy + (0.008 * energy) ** 2)
    forward = np.sqrt(2.08**2 * energy + (0.107 * energy) ** 2)
    matter = np.where(a < 1.5, 1.0 + 0.64 * a**2, 2.16 + 5.6 * (a - 2.0) ** 2)
    return np.where(a < 2.5, matter * central, forward)


def hcal_resolution(energy: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Absolute resolution (GeV) of a hadronic tower: 100%/sqrt(E) + 5%, and 280%/sqrt(E) + 11% for |eta| >= 3."""
    central = np.sqrt(1.00**2 * energy + (0.05 * energy) ** 2)
    forward = np.sqrt(2.80**2 * energy + (0.11 * energy) ** 2)
    return np.where(np.abs(eta) < 3.0, central, forward)


def smear(mean: np.ndarray, sigma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Log-normal random numbers of the given mean and standard deviation, (N,): positive and unbiased at any width."""
    s2 = np.log1p((sigma / mean) ** 2)
    return mean * np.exp(np.sqrt(s2) * rng.standard_normal(len(mean)) - 0.5 * s2)


def tower_of(event: np.ndarray, eta: np.ndarray, phi: np.ndarray, regions: tuple) -> tuple[np.ndarray, ...]:
    """The tower that each particle hits.

    Returns:
        key (N,) int64, unique for (event, tower); centre in eta and phi (N,); size in eta and in phi (N,).
    """
    side = np.where(eta < 0.0, -1.0, 1.0)
    edges = np.array([low for low, _, _ in regions])
    region = np.searchsorted(edges, np.abs(eta), side="right") - 1
    size = np.array([step for _, _, step in regions])[region]
    n_phi = np.array([round(2.0 * np.pi / step) for _, _, step in regions])[region]
    ring = np.floor((np.abs(eta) - edges[region]) / size)
    wedge = np.floor((phi + np.pi) / (2.0 * np.pi) * n_phi) % n_phi
    width = 2.0 * np.pi / n_phi
    centre_eta = side * (edges[region] + (ring + 0.5) * size)
    key = (((event * 2 + (side > 0)) * 4 + region) * 512 + ring.astype(np.int64)) * 512 + wedge.astype(np.int64)
    return key, centre_eta, (wedge + 0.5) * width - np.pi, size, width


def _flight(particles: ak.Array) -> Flight:
    """Particles of a collision as `Flight`, all born at the interaction point."""
    event = np.repeat(np.arange(len(particles)), ak.to_numpy(ak.num(particles, axis=1)))
    flat = ak.flatten(particles)
    columns = (ak.to_numpy(flat[name]) for name in ("px", "py", "pz", "E", "pid", "charge"))
    return Flight(event, *columns, *np.zeros((3, len(event))))


class Calorimeter(NamedTuple):
    """Regions (see `ECAL`), resolution (GeV) by energy and eta, threshold (GeV), response, PDG code of its towers."""

    regions: tuple
    resolution: Callable[[np.ndarray, np.ndarray], np.ndarray]
    minimum: float
    scale: float
    pid: int


@dataclass(frozen=True, kw_only=True)
class Detector:
    """Reconstruct energy-flow particles: tracks, and the energy in the calorimeters that the tracks do not explain.

    A charged hadron with a track is represented by its track. Its hadronic tower measures an energy. If this exceeds
    the momenta of all tracks that point to the tower significantly, the excess is a neutral hadron. Photons are
    electromagnetic towers. The direction of a tower is drawn uniformly within its area, so that the observables show
    no grid.

    Attributes:
        tracks: False to use only calorimeters: then every charged hadron is seen as its hadronic tower.
        track_pt_min: charged particles below this pt curl up and leave neither track nor deposit, GeV.
        efficiency: factor on the tracking efficiency.
        ecal_min: electromagnetic towers below this energy are noise, GeV.
        hcal_min: hadronic towers below this energy are noise, GeV.
        significance: the excess over the tracks counts from this number of standard deviations of the tower's energy.
        hcal_scale: response of the hadronic calorimeter.
    """

    tracks: bool = True
    track_pt_min: float = 0.5
    efficiency: float = 1.0
    ecal_min: float = 0.5
    hcal_min: float = 1.0
    significance: float = 2.0
    hcal_scale: float = 1.0

    def reconstruct(self, particles: ak.Array, rng: np.random.Generator) -> ak.Array:
        """Energy-flow particles of each event.

        Args:
            particles: (N, var) records px, py, pz, E (GeV), pid (PDG code), charge; only visible, stable particles.
            rng: the only source of randomness.

        Returns:
            (N, var) records px, py, pz, E (GeV), pid: +-11, +-13, +-211 for tracks, 22 and 130 for towers.
        """
        n_events = len(particles)
        flown = decay_in_flight(_flight(particles), rng)
        event, energy, pid, charge = flown.event, flown.energy, flown.pid, flown.charge
        pt = np.sqrt(flown.px**2 + flown.py**2)
        eta, phi = np.arcsinh(flown.pz / pt), np.arctan2(flown.py, flown.px)
        code = np.abs(pid)
        seen = (np.abs(eta) < ETA_MAX) & ((charge == 0) | (pt > self.track_pt_min))
        # One random number for each particle, used or not: then an event has the same tracks with any other option.
        drawn = rng.random(len(pt))
        found = np.flatnonzero((charge != 0) & seen & (self.tracks | (code == 13)))
        near = np.hypot(flown.x[found], flown.y[found]) < TRACKED_RADIUS
        chance = tracking_efficiency(pt[found], eta[found], pid[found]) * self.efficiency * near
        found = found[drawn[found] < chance]

        t_pt = smear(pt[found], pt[found] * track_resolution(pt[found], eta[found], pid[found]), rng)
        angle = angular_resolution(pt[found])
        t_eta = eta[found] + angle * rng.standard_normal(len(angle))
        t_phi = phi[found] + angle * rng.standard_normal(len(angle))
        mass = np.select([code[found] == 11, code[found] == 13], [0.000511, MUON_MASS], PION_MASS)
        t_pid = np.sign(charge[found]) * np.select([code[found] == 11, code[found] == 13], [-11, -13], 211)
        t_energy = np.sqrt((t_pt * np.cosh(t_eta)) ** 2 + mass**2)
        rows: list[tuple[np.ndarray, ...]] = [(event[found], t_pt, t_eta, t_phi, t_energy, t_pid)]

        # The energy of a track is subtracted in the tower that the particle entered.
        track_energy = np.zeros(len(pt))
        track_energy[found] = t_energy
        light = (code == 22) | (code == 11)
        for hits, calorimeter in (
            (np.flatnonzero(seen & light), Calorimeter(ECAL, ecal_resolution, self.ecal_min, 1.0, 22)),
            (
                np.flatnonzero(seen & ~light & (code != 13)),
                Calorimeter(HCAL, hcal_resolution, self.hcal_min, self.hcal_scale, 130),
            ),
        ):
            at = event[hits], eta[hits], phi[hits]
            rows.append(self._towers(calorimeter, *at, energy[hits], track_energy[hits], rng))
        merged = [np.concatenate(column) for column in zip(*rows, strict=True)]
        order = np.argsort(merged[0], kind="stable")
        owner, pt, eta, phi, energy, pid = (column[order] for column in merged)
        out = ak.zip({"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta), "E": energy, "pid": pid})
        return ak.unflatten(out, np.bincount(owner, minlength=n_events))

    def _towers(
        self,
        calorimeter: Calorimeter,
        event: np.ndarray,
        eta: np.ndarray,
        phi: np.ndarray,
        energy: np.ndarray,
        track_energy: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, ...]:
        """Neutral energy-flow particles of one calorimeter, as (event, pt, eta, phi, energy, pid)."""
        key, centre_eta, centre_phi, size_eta, size_phi = tower_of(event, eta, phi, calorimeter.regions)
        _, first, tower = np.unique(key, return_index=True, return_inverse=True)
        deposit = np.bincount(tower, weights=energy, minlength=len(first)) * calorimeter.scale
        of_tracks = np.bincount(tower, weights=track_energy, minlength=len(first))
        sigma = calorimeter.resolution(deposit, centre_eta[first])
        excess = smear(deposit, sigma, rng) - of_tracks
        at_eta = centre_eta[first] + size_eta[first] * (rng.random(len(first)) - 0.5)
        at_phi = delta_phi(centre_phi[first] + size_phi[first] * (rng.random(len(first)) - 0.5), 0.0)
        kept = (excess > calorimeter.minimum) & ((of_tracks == 0.0) | (excess > self.significance * sigma))
        excess, at_eta = excess[kept], at_eta[kept]
        pid = np.full(len(excess), calorimeter.pid)
        return event[first][kept], excess / np.cosh(at_eta), at_eta, at_phi[kept], excess, pid
