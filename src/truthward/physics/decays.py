"""Decays in flight, before the calorimeters, of particles that are stable at particle level.

Particle level is defined as at the LHC experiments: particles with c tau > 10 mm are stable. So K0S and strange baryons
are single particles there, but a detector sees their daughters. Masses, c tau and branching ratios come from the Review
of Particle Physics (Phys. Rev. D 110, 030001). Channels below 0.5% are left out, and the others are scaled to a sum of
one. Decays are isotropic in the rest frame: hyperons have no polarisation. Flight paths are straight lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Species(NamedTuple):
    """c tau (mm), and the decay channels: branching ratio and PDG codes of the two daughters."""

    c_tau: float
    channels: tuple[tuple[float, int, int], ...]


DECAYS = {
    111: Species(2.553e-5, ((1.0, 22, 22),)),
    310: Species(26.844, ((0.6920, 211, -211), (0.3069, 111, 111))),
    3122: Species(78.9, ((0.639, 2212, -211), (0.358, 2112, 111))),
    3222: Species(24.04, ((0.5157, 2212, 111), (0.4831, 2112, 211))),
    3112: Species(44.34, ((1.0, 2112, -211),)),
    3322: Species(87.1, ((1.0, 3122, 111),)),
    3312: Species(49.1, ((1.0, 3122, -211),)),
    3334: Species(24.61, ((0.678, 3122, -321), (0.236, 3322, -211), (0.086, 3312, 111))),
}
"""PDG code of the particle -> its decays. Antiparticles decay to antiparticles. The neutral pion is only a daughter."""
C_TAU = {code: species.c_tau for code, species in DECAYS.items()}
MASS = {
    22: 0.0,
    111: 0.134977,
    211: 0.139570,
    321: 0.493677,
    2112: 0.939565,
    2212: 0.938272,
    3122: 1.115683,
    3312: 1.32171,
    3322: 1.31486,
}
"""PDG code of a daughter -> mass in GeV. The mass of a parent follows from its four-momentum."""
CHARGE = {22: 0, 111: 0, 211: 1, 321: 1, 2112: 0, 2212: 1, 3122: 0, 3312: -1, 3322: 0}
"""PDG code of a daughter -> charge in units of e. Its antiparticle has the opposite charge."""
OWN_ANTIPARTICLE = (22, 111)

RADIUS, HALF_LENGTH = 1290.0, 3000.0
"""Inner surface of the calorimeters (mm): a particle that reaches it stops there and does not decay."""


class Flight(NamedTuple):
    """Particles in flat arrays, (N,) each: event, four-momentum (GeV), PDG code, charge (e), place of birth (mm)."""

    event: np.ndarray
    px: np.ndarray
    py: np.ndarray
    pz: np.ndarray
    energy: np.ndarray
    pid: np.ndarray
    charge: np.ndarray
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray

    def select(self, mask: np.ndarray) -> Flight:
        """The particles that pass the mask, (N,) bool."""
        rows = np.flatnonzero(mask)
        return Flight(*(column[rows] for column in self))


def decay_in_flight(
    particles: Flight, rng: np.random.Generator, *, radius: float = RADIUS, half_length: float = HALF_LENGTH
) -> Flight:
    """Let the particles of `DECAYS` fly and decay, then their daughters, until nothing decays any more.

    The flight length is beta gamma c tau times an exponential random number. If it ends inside the cylinder, the
    daughters replace the particle. If not, the particle reaches the calorimeter and does not decay.

    Args:
        particles: particles of the collision, born at x = y = z = 0 or elsewhere.
        rng: the only source of randomness.
        radius, half_length: size of the cylinder, mm.

    Returns:
        The remaining particles, in no particular order. The sum of their four-momenta is the sum of `particles`.
    """
    settled = []
    waiting = particles
    while True:
        unstable = np.isin(np.abs(waiting.pid), list(DECAYS))
        settled.append(waiting.select(~unstable))
        waiting = waiting.select(unstable)
        if len(waiting.pid) == 0:
            return Flight(*(np.concatenate(column) for column in zip(*settled, strict=True)))
        c_tau = _of(C_TAU, waiting.pid)
        # p / m is beta gamma along each axis.
        scale = rng.exponential(size=len(c_tau)) * c_tau / _mass(waiting)
        end = waiting._replace(
            x=waiting.x + scale * waiting.px, y=waiting.y + scale * waiting.py, z=waiting.z + scale * waiting.pz
        )
        inside = (np.hypot(end.x, end.y) < radius) & (np.abs(end.z) < half_length)
        settled.append(waiting.select(~inside))
        waiting = _daughters(end.select(inside), rng)


def _of(table: Mapping[int, float], code: np.ndarray) -> np.ndarray:
    """The values of PDG codes, (N,), in a table by their absolute value."""
    kinds, which = np.unique(np.abs(code), return_inverse=True)
    return np.array([table[int(kind)] for kind in kinds])[which]


def _mass(p: Flight) -> np.ndarray:
    return np.sqrt(p.energy**2 - p.px**2 - p.py**2 - p.pz**2)


def _channels(pid: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """PDG codes of both daughters, (N,) each, drawn with the branching ratios."""
    first, second = np.zeros_like(pid), np.zeros_like(pid)
    drawn = rng.random(len(pid))
    for kind in np.unique(np.abs(pid)):
        rows = np.abs(pid) == kind
        channels = DECAYS[int(kind)].channels
        edges = np.cumsum([share for share, _, _ in channels])
        chosen = np.searchsorted(edges / edges[-1], drawn[rows], side="right")
        for column, place in ((first, 1), (second, 2)):
            column[rows] = np.array([channel[place] for channel in channels])[chosen]
    anti = pid < 0
    first, second = (np.where(anti & ~np.isin(code, OWN_ANTIPARTICLE), -code, code) for code in (first, second))
    return first, second


def _daughters(parent: Flight, rng: np.random.Generator) -> Flight:
    """Both daughters of each particle, isotropic in its rest frame, (2 N,)."""
    codes = _channels(parent.pid, rng)
    mass = _mass(parent)
    m1, m2 = (_of(MASS, code) for code in codes)
    k = np.sqrt(np.maximum((mass**2 - (m1 + m2) ** 2) * (mass**2 - (m1 - m2) ** 2), 0.0)) / (2.0 * mass)
    e = (mass**2 + m1**2 - m2**2) / (2.0 * mass)
    cosine, phi = rng.uniform(-1.0, 1.0, len(k)), rng.uniform(-np.pi, np.pi, len(k))
    sine = np.sqrt(1.0 - cosine**2)
    rest = np.stack([k * sine * np.cos(phi), k * sine * np.sin(phi), k * cosine])
    p = np.stack([parent.px, parent.py, parent.pz])
    along = (rest * p).sum(axis=0)
    # Lorentz boost by p / E. The second daughter is the difference, so rounding loses no momentum.
    first = rest + p * (along / (mass * (parent.energy + mass)) + e / mass)
    energy = (parent.energy * e + along) / mass
    momenta = [(*first, energy), (*(p - first), parent.energy - energy)]
    born = (parent.x, parent.y, parent.z)
    pieces = []
    for code, (px, py, pz, en) in zip(codes, momenta, strict=True):
        charge = (np.sign(code) * _of(CHARGE, code)).astype(parent.charge.dtype)
        pieces.append(Flight(parent.event, px, py, pz, en, code, charge, *born))
    return Flight(*(np.concatenate(column) for column in zip(*pieces, strict=True)))
