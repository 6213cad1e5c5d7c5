"""Anti-kT jets, soft-drop grooming, N-subjettiness and subjets, for arrays of many events at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import awkward as ak
import fastjet
import numpy as np

# With this radius, reclustering puts all constituents into one jet.
ALL_IN_ONE = 1000.0


class Jets(NamedTuple):
    """The leading jet of each event: pt (GeV), pseudorapidity eta, rapidity, phi (radians), m (GeV), (N,) each.

    For an event without a jet all values are 0 and the list of constituents is empty.
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


def kinematics(
    p: ak.Array | Mapping[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """pt, pseudorapidity, rapidity, phi, mass of flat four-momenta of positive pt, (N,) each; masses are at least 0."""
    # Flat numpy: the same formulas on jagged arrays are several times slower.
    px, py, pz, energy = (ak.to_numpy(p[name]) for name in ("px", "py", "pz", "E"))
    pt2 = px**2 + py**2
    pt = np.sqrt(pt2)
    m2 = np.maximum(energy**2 - pz**2 - pt2, 0.0)
    # asinh(pz/mt) is the rapidity, without the cancellation in E - pz for a forward particle.
    return pt, np.arcsinh(pz / pt), np.arcsinh(pz / np.sqrt(pt2 + m2)), np.arctan2(py, px), np.sqrt(m2)


def delta_phi(a: np.ndarray, b: np.ndarray | float) -> np.ndarray:
    """Difference of azimuth in [-pi, pi]."""
    d = a - b
    return d - 2.0 * np.pi * np.round(d / (2.0 * np.pi))


def _cluster(particles: ak.Array, algorithm: int, radius: float) -> fastjet.ClusterSequence:
    return fastjet.ClusterSequence(
        ak.to_packed(particles[["px", "py", "pz", "E"]]), fastjet.JetDefinition(algorithm, radius)
    )


def leading_jet(
    particles: ak.Array, *, radius: float = 0.4, min_pt: float = 20.0, opposite: np.ndarray | None = None
) -> Jets:
    """Cluster with anti-kT (0802.1189, E-scheme) and keep the jet of largest pt.

    Args:
        particles: (N, var) records with px, py, pz, E (GeV); further fields are passed on to the constituents.
        radius: jet radius.
        min_pt: an event without a jet above this pt (GeV) counts as an event without a jet.
        opposite: (N,) azimuths; only jets more than pi/2 away from them are used.
    """
    if len(particles) == 0:
        empty = np.zeros(0)
        return Jets(empty, empty, empty, empty, empty, particles)
    particles = ak.to_packed(particles)
    sequence = _cluster(particles, fastjet.antikt_algorithm, radius)
    found = sequence.inclusive_jets(min_pt=min_pt)
    parts = sequence.constituent_index(min_pt=min_pt)
    # Flat numpy from here: awkward takes several times as long for the same.
    owner = np.repeat(np.arange(len(particles)), ak.to_numpy(ak.num(found, axis=1)))
    jets = {name: ak.to_numpy(ak.flatten(found[name])) for name in ("px", "py", "pz", "E")}
    order = np.lexsort((-(jets["px"] ** 2 + jets["py"] ** 2), owner))
    if opposite is not None:
        away = jets["px"] * np.cos(opposite[owner]) + jets["py"] * np.sin(opposite[owner]) < 0.0
        order = order[away[order]]
    # Sorted by event, then by falling pt.
    events, first = np.unique(owner[order], return_index=True)
    lead = order[first]
    columns: dict[str, np.ndarray] = {}
    for name, values in zip(Jets._fields, kinematics({n: p[lead] for n, p in jets.items()}), strict=False):
        columns[name] = np.zeros(len(particles))
        columns[name][events] = values
    sizes = ak.to_numpy(ak.num(particles, axis=1))
    members = ak.flatten(parts, axis=1)[lead]
    counts = np.zeros(len(particles), dtype=np.int64)
    counts[events] = ak.to_numpy(ak.num(members, axis=1))
    start = np.repeat(np.cumsum(sizes) - sizes, counts)
    chosen = ak.flatten(particles)[start + ak.to_numpy(ak.flatten(members))]
    return Jets(**columns, constituents=ak.unflatten(chosen, counts))


def soft_drop(
    constituents: ak.Array, *, radius: float = 0.4, zcut: float = 0.1, beta: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Soft-drop groomed mass and momentum sharing (1402.2657, eq. 2.1), on a Cambridge/Aachen tree.

    Args:
        constituents: (N, var) records with px, py, pz, E (GeV), at least one each.
        radius: R0 of the condition z > zcut (dR/R0)^beta; it has no effect at beta = 0.

    Returns:
        (mass, zg), (N,) each: zg = 0 and mass = 0 if no splitting passes.
    """
    sequence = _cluster(constituents, fastjet.cambridge_algorithm, ALL_IN_ONE)
    groomed = sequence.exclusive_jets_softdrop_grooming(njets=1, beta=beta, symmetry_cut=zcut, R0=radius)
    zg, mass = ak.to_numpy(groomed.symmetrysoftdrop), ak.to_numpy(groomed.msoftdrop)
    # fastjet returns -1 if nothing passes, and -sqrt(-m^2) if rounding makes m^2 negative.
    passed = zg > 0.0
    return np.where(passed & (mass > 0.0), mass, 0.0), np.where(passed, zg, 0.0)


def n_subjettiness(constituents: ak.Array, *, radius: float = 0.4) -> np.ndarray:
    """tau_1 and tau_2 (1011.2268, eq. 2.1) with beta = 1 and exclusive-kT axes (no minimisation), (N, 2).

    Args:
        constituents: (N, var) records with px, py, pz, E (GeV), at least one each.
        radius: R0 of the normalisation sum pt_i R0.
    """
    sequence = _cluster(constituents, fastjet.kt_algorithm, ALL_IN_ONE)
    return ak.to_numpy(sequence.njettiness("NormalizedMeasure", "KT_Axes", [1, 2], 1.0, radius))


def subjets(constituents: ak.Array, *, count: int = 3, radius: float = 0.4) -> np.ndarray:
    """Subjets by falling pt, (N, count, 4): px, py, pz, E (GeV), all 0 for an axis without particles.

    A particle belongs to the nearest axis, if this is within `radius` (rapidity and azimuth). So does XCone
    (1508.01516), but the axes here are exclusive-kT axes and do not minimise N-jettiness.

    Args:
        constituents: (N, var) records with px, py, pz, E (GeV), at least `count` each.
    """
    if len(constituents) == 0:
        return np.zeros((0, count, 4))
    # `exclusive_jets` warns for every algorithm, also for kT, and changes the layout of all warnings.
    members = _cluster(constituents, fastjet.kt_algorithm, ALL_IN_ONE).exclusive_jets_constituent_index(njets=count)
    counts = ak.to_numpy(ak.num(constituents, axis=1))
    owner, flat = np.repeat(np.arange(len(counts)), counts), ak.flatten(constituents)
    sizes, first = ak.to_numpy(ak.num(members, axis=2)).ravel(), np.cumsum(counts) - counts
    event = np.repeat(np.repeat(np.arange(len(counts)), count), sizes)
    axis = np.empty(len(owner), dtype=np.int64)
    axis[first[event] + ak.to_numpy(ak.flatten(members, axis=None))] = np.repeat(np.arange(len(sizes)), sizes)

    def summed(cell: np.ndarray, chosen: np.ndarray) -> dict[str, np.ndarray]:
        return {
            n: np.bincount(cell[chosen], weights=ak.to_numpy(flat[n])[chosen], minlength=len(sizes))
            for n in ("px", "py", "pz", "E")
        }

    axes = ak.zip(summed(axis, np.ones(len(axis), dtype=bool)))
    _, _, rapidity, phi, _ = (column.reshape(-1, count) for column in kinematics(axes))
    _, _, own_rapidity, own_phi, _ = kinematics(flat)
    distance = np.hypot(own_rapidity[:, None] - rapidity[owner], delta_phi(own_phi[:, None], phi[owner]))
    near = summed(owner * count + distance.argmin(axis=1), distance.min(axis=1) < radius)
    found = np.stack(list(near.values()), axis=-1).reshape(-1, count, 4)
    order = np.argsort(-np.hypot(found[..., 0], found[..., 1]), axis=1, kind="stable")
    return np.take_along_axis(found, order[..., None], axis=1)
