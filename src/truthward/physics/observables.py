"""The observables of the Z+jets benchmark (1911.09107, section 4; 2503.09720), and their atoms.

An atom is a value that a finite share of jets has exactly. If no splitting passes soft drop, zg = 0 and ln_rho = -14.
A jet of one or two constituents has tau21 = 0. No value is ever NaN.
"""

from __future__ import annotations

import awkward as ak
import numpy as np

from truthward.physics.jets import Jets, delta_phi, kinematics, n_subjettiness, soft_drop

SUBSTRUCTURE = ("m", "M", "w", "ln_rho", "tau21", "zg")
LN_RHO_FLOOR = -14.0
SOFT_PT = 1.0
"""Constituents below this pt (GeV) are soft: tracks are lost there, and calorimeters see noise."""
ELECTRON, PHOTON = 11, 22
NEUTRAL_HADRONS = (111, 130, 310, 311, 2112, 3122, 3322)
STRANGE = (130, 310, 311, 321, 3112, 3122, 3222, 3312, 3322, 3334)
COMPOSITION = ("charged_fraction", "em_fraction", "neutral_fraction", "soft_fraction", "strange_fraction")
ABSENT = -99.0
"""Value of a ROOT branch if the event is not in the acceptance of that level. Read the flag, never this value."""


def substructure(jets: Jets, *, radius: float = 0.4, zcut: float = 0.1) -> dict[str, np.ndarray]:
    """The six substructure observables of jets with at least one constituent each, (N,) float64.

    - m: mass (GeV). - M: number of constituents.
    - w: width, sum pt_i dR_i / sum pt_i, dR in rapidity and azimuth from the jet's axis.
    - ln_rho: ln(m_sd^2 / pt^2), with the soft-drop mass m_sd and the pt of the ungroomed jet. It is -14 if no splitting
      passes, and never lower: a groomed mass of less than one part in 1,100 of pt cannot be resolved.
    - tau21: tau_2 / tau_1 with beta = 1 and exclusive-kT axes. - zg: shared momentum of the soft-drop splitting.
    """
    if len(jets.pt) == 0:
        return {name: np.zeros(0) for name in SUBSTRUCTURE}
    parts = jets.constituents
    multiplicity = ak.to_numpy(ak.num(parts, axis=1))
    owner = np.repeat(np.arange(len(parts)), multiplicity)
    pt, _, rapidity, phi, _ = kinematics(ak.flatten(parts))
    dr = np.hypot(rapidity - jets.rapidity[owner], delta_phi(phi, jets.phi[owner]))
    groomed, zg = soft_drop(parts, radius=radius, zcut=zcut)
    ln_rho = np.full(len(zg), LN_RHO_FLOOR)
    massive = groomed > 0.0
    ln_rho[massive] = np.maximum(2.0 * np.log(groomed[massive] / jets.pt[massive]), LN_RHO_FLOOR)
    tau = n_subjettiness(parts, radius=radius)
    # With two constituents tau_2 is zero except for rounding; tau_1 = 0 if they are exactly collinear.
    resolved = (multiplicity > 2) & (tau[:, 0] > 0.0)
    tau21 = np.divide(tau[:, 1], tau[:, 0], out=np.zeros(len(tau)), where=resolved)
    return {
        "m": jets.m,
        "M": multiplicity.astype(np.float64),
        "w": np.bincount(owner, weights=pt * dr) / np.bincount(owner, weights=pt),
        "ln_rho": ln_rho,
        "tau21": tau21,
        "zg": zg,
    }


def composition(constituents: ak.Array) -> dict[str, np.ndarray]:
    """Composition of jets: shares of the scalar sum of their constituents' pt, (N,) float64 in [0, 1].

    The response of a detector depends on it, but no substructure observable shows it.

    - charged_fraction: charged particles, or tracks. - em_fraction: photons, electrons and positrons.
    - neutral_fraction: neutral hadrons. - soft_fraction: constituents of pt < 1 GeV.
    - strange_fraction: kaons and strange baryons; it has a meaning only at truth level, where particles are identified.

    Args:
        constituents: (N, var) records px, py, pz, E (GeV), pid (PDG code), at least one each.
    """
    owner = np.repeat(np.arange(len(constituents)), ak.to_numpy(ak.num(constituents, axis=1)))
    flat = ak.flatten(constituents)
    pt = np.hypot(ak.to_numpy(flat.px), ak.to_numpy(flat.py))
    code = np.abs(ak.to_numpy(flat.pid))
    total = np.bincount(owner, weights=pt, minlength=len(constituents))
    neutral = np.isin(code, NEUTRAL_HADRONS)
    members = (
        ~neutral & (code != PHOTON),
        (code == PHOTON) | (code == ELECTRON),
        neutral,
        pt < SOFT_PT,
        np.isin(code, STRANGE),
    )
    sums = (np.bincount(owner, weights=pt * chosen, minlength=len(constituents)) for chosen in members)
    return {name: part / total for name, part in zip(COMPOSITION, sums, strict=True)}


def level(
    jets: Jets, z_pt: np.ndarray, passed: np.ndarray, *, prefix: str, radius: float = 0.4
) -> dict[str, np.ndarray | ak.Array]:
    """The columns of one level of the event table: `<prefix>_<observable>` (N,) float32 and constituents (N, var).

    Args:
        jets: leading jets of the n events that are accepted at this level.
        z_pt: their transverse momentum of the Z, or missing transverse momentum, (n,), GeV.
        passed: acceptance of this level, (N,) bool, true for n. Others have the value `ABSENT` and no constituents.
        prefix: "truth" or "reco".
    """
    values = substructure(jets, radius=radius)
    values |= {"jet_pt": jets.pt, "jet_eta": jets.eta, "z_pt": z_pt}
    values |= composition(jets.constituents)
    if prefix == "reco":
        # This detector cannot tell a kaon from a pion.
        del values["strange_fraction"]
    columns: dict[str, np.ndarray | ak.Array] = {f"pass_{prefix}": passed}
    for name, value in values.items():
        column = np.full(len(passed), ABSENT, dtype=np.float32)
        column[passed] = value
        columns[f"{prefix}_{name}"] = column
    counts = np.zeros(len(passed), dtype=np.int64)
    counts[passed] = ak.to_numpy(ak.num(jets.constituents, axis=1))
    flat = ak.flatten(jets.constituents)
    pt, eta, _, phi, _ = kinematics(flat)
    for name, value in (("pt", pt), ("eta", eta), ("phi", phi), ("pid", ak.to_numpy(flat.pid))):
        columns[f"{prefix}_constituents_{name}"] = ak.unflatten(value.astype(np.float32), counts)
    return columns
