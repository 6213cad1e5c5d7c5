"""Jets by anti-kT, soft-drop grooming and N-subjettiness, for whole arrays of events at a time."""

from __future__ import annotations

from typing import NamedTuple

import awkward as ak
import fastjet
import numpy as np

# Reclustering takes every constituent into one jet, whatever the distance.
ALL_IN_ONE = 1000.0


class Jets(NamedTuple):
    """The leading jet of each event: pt (GeV), pseudorapidity eta, rapidity, phi (radians), m (GeV), (N,) each.

    All are 0 for an event without a jet, and its list of constituents is empty.
    """

    pt: np.ndarray
    eta: np.ndarray
    rapidity: np.ndarray
    phi: np.ndarray
    m: np.ndarray
    constituents: ak.Array

    def select(self, mask: np.ndarray) -> Jets:
        """The jets of the events in `mask`, (N,) bool."""
        return Jets(*(column[mask] for column in self))


def momenta(pt: ak.Array, eta: ak.Array, phi: ak.Array, mass: ak.Array) -> ak.Array:
    """Four-momenta as a record with fields px, py, pz, E (GeV); eta is the pseudorapidity."""
    pz = pt * np.sinh(eta)
    return ak.zip({"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pz, "E": np.sqrt(pt**2 + pz**2 + mass**2)})


def kinematics(p: ak.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """pt, pseudorapidity, rapidity, phi, mass of flat four-momenta of positive pt, (N,) each; no mass is below 0."""
    # Flat numpy: the same lines on jagged arrays are four times slower.
    px, py, pz, energy = (ak.to_numpy(p[name]) for name in ("px", "py", "pz", "E"))
    pt2 = px**2 + py**2
    pt = np.sqrt(pt2)
    m2 = np.maximum(energy**2 - pz**2 - pt2, 0.0)
    # asinh(pz/mt) is the rapidity without the cancellation in E - pz of a forward particle.
    return pt, np.arcsinh(pz / pt), np.arcsinh(pz / np.sqrt(pt2 + m2)), np.arctan2(py, px), np.sqrt(m2)


def delta_phi(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Difference of azimuth in [-pi, pi]."""
    d = a - b
    return d - 2.0 * np.pi * np.round(d / (2.0 * np.pi))


def _cluster(particles: ak.Array, algorithm: int, radius: float) -> fastjet.ClusterSequence:
    bare = ak.to_packed(particles[["px", "py", "pz", "E"]])
    return fastjet.ClusterSequence(bare, fastjet.JetDefinition(algorithm, radius))


def leading_jet(particles: ak.Array, *, radius: float = 0.4, min_pt: float = 20.0) -> Jets:
    """Cluster with anti-kT (0802.1189, E-scheme) and keep the jet of largest pt.

    Args:
        particles: (N, var) records with px, py, pz, E (GeV); further fields are carried to the constituents.
        radius: jet radius.
        min_pt: an event whose jets are all softer (GeV) counts as one without a jet.
    """
    if len(particles) == 0:
        empty = np.zeros(0)
        return Jets(empty, empty, empty, empty, empty, particles)
    sequence = _cluster(particles, fastjet.antikt_algorithm, radius)
    jets = sequence.inclusive_jets(min_pt=min_pt)
    lead = ak.argmax(jets.px**2 + jets.py**2, axis=1, keepdims=True)
    index = ak.firsts(sequence.constituent_index(min_pt=min_pt)[lead], axis=1)
    index = ak.values_astype(ak.fill_none(index, [], axis=0), np.int64)
    has = ak.to_numpy(ak.num(jets, axis=1) > 0)
    best = ak.flatten(jets[has][lead[has]])
    columns = []
    for values in kinematics(best):
        column = np.zeros(len(particles))
        column[has] = values
        columns.append(column)
    return Jets(*columns, ak.to_packed(particles[index]))


def soft_drop(
    constituents: ak.Array, *, radius: float = 0.4, zcut: float = 0.1, beta: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Soft-drop groomed mass and momentum sharing (1402.2657, eq. 2.1), on a Cambridge/Aachen tree.

    Args:
        constituents: (N, var) records with px, py, pz, E (GeV), at least one each.
        radius: R0 of the condition z > zcut (dR/R0)^beta; it has no effect at beta = 0.

    Returns:
        (mass, zg), (N,) each: zg = 0 and mass = 0 where no splitting passes.
    """
    sequence = _cluster(constituents, fastjet.cambridge_algorithm, ALL_IN_ONE)
    groomed = sequence.exclusive_jets_softdrop_grooming(njets=1, beta=beta, symmetry_cut=zcut, R0=radius)
    zg, mass = ak.to_numpy(groomed.symmetrysoftdrop), ak.to_numpy(groomed.msoftdrop)
    # fastjet says -1 where nothing passes, and -sqrt(-m^2) where rounding makes m^2 negative.
    passed = zg > 0.0
    return np.where(passed & (mass > 0.0), mass, 0.0), np.where(passed, zg, 0.0)


def n_subjettiness(constituents: ak.Array, *, radius: float = 0.4) -> np.ndarray:
    """tau_1 and tau_2 (1011.2268, eq. 2.1) with beta = 1 about exclusive-kT axes (no minimisation), (N, 2).

    Args:
        constituents: (N, var) records with px, py, pz, E (GeV), at least one each.
        radius: R0 of the normalisation sum pt_i R0.
    """
    sequence = _cluster(constituents, fastjet.kt_algorithm, ALL_IN_ONE)
    return ak.to_numpy(sequence.njettiness("NormalizedMeasure", "KT_Axes", [1, 2], 1.0, radius))
