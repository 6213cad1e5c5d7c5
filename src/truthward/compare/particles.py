"""Final-state particles and jets of event files, as columns for expressions.

Columns of numbers: `weight`, `missing_pt`, and for the jet of largest pt `lead_pt`, `lead_eta` and `lead_<name>` for
the observables of `physics.observables.substructure`; NaN without a jet. Columns of lists: `pt`, `eta`, `phi`, `mass`,
`energy`, `pid` of all final-state particles, and `jet_pt`, `jet_eta`, `jet_phi`, `jet_mass` by falling pt. GeV and
radians. What is final is what the file says (status 1): the particle level is that of its generator.
"""

from __future__ import annotations

import gzip
import importlib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import awkward as ak
import fastjet
import numpy as np

from truthward.compare.section import Entry, Jets
from truthward.errors import ConfigError, InputError
from truthward.physics.jets import kinematics, leading_jet
from truthward.physics.observables import substructure

EVENTS = 2000
"""Events that are turned into arrays at a time."""
SHORT = (111, 221)
"""pi0 and eta: they decay well within 10 mm."""

Event = tuple[float, np.ndarray]
"""Weight, and final-state particles (n, 5): px, py, pz, E in GeV, PDG code."""


def particles(path: Path, entry: Entry) -> Iterator[tuple[dict[str, Any], int, list[str]]]:
    """Columns of some events, their number, and notes for the user.

    Raises:
        ConfigError: the package for this format is not installed.
        InputError: the file is of no known format, or damaged.
    """
    events = _events(path)
    while chunk := list(islice(events, EVENTS)):
        notes = []
        flat = np.concatenate([p for _, p in chunk])
        if np.isin(np.abs(flat[:, 4]), SHORT).any():
            notes.append(
                "pi0 or eta are among the final-state particles: their decays were switched off, so the particle level "
                "is not that of particles with c tau > 10 mm"
            )
        if _is_lhe(path):
            notes.append("LHE events hold partons: there is no particle level, hadronisation or underlying event")
        yield _columns(chunk, flat, entry.jets), len(chunk), notes


def _events(path: Path) -> Iterator[Event]:
    return _lhe(path) if _is_lhe(path) else _hepmc(path)


def _is_lhe(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(".lhe")


def _hepmc(path: Path) -> Iterator[Event]:
    try:
        pyhepmc = importlib.import_module("pyhepmc")
    except ImportError as error:
        raise ConfigError(f"{path}: HepMC3 files are read by pyhepmc: pip install 'truthward[hepmc]'") from error
    try:
        with pyhepmc.open(str(path)) as file:
            for event in file:
                found = event.numpy.particles
                final, factor = found.status == 1, 1e-3 if event.momentum_unit == pyhepmc.Units.MEV else 1.0
                momentum = [factor * np.asarray(getattr(found, n))[final] for n in ("px", "py", "pz", "e")]
                yield float(event.weights[0]) if event.weights else 1.0, np.stack([*momentum, found.pid[final]], axis=1)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as HepMC3 ({str(error)[:200]}); check the file") from error


def _lhe(path: Path) -> Iterator[Event]:
    """Events of a Les Houches file (hep-ph/0609017), with their nominal weight."""
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            for _, element in ET.iterparse(file):
                if element.tag == "event":
                    yield _lhe_event(element.text or "")
                    element.clear()
    except (ET.ParseError, OSError, EOFError, ValueError, IndexError) as error:
        raise InputError(f"{path}: cannot be read as an LHE file ({str(error)[:200]}); check the file") from error


def _lhe_event(text: str) -> Event:
    lines = [line.split() for line in text.strip().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    number, weight = int(lines[0][0]), float(lines[0][2])
    rows = [[float(x) for x in (*line[6:10], line[0])] for line in lines[1 : 1 + number] if int(line[1]) == 1]
    return weight, np.array(rows).reshape(-1, 5)


def _columns(chunk: list[Event], flat: np.ndarray, jets: Jets) -> dict[str, Any]:
    counts = [len(p) for _, p in chunk]
    fields = {n: flat[:, i] for i, n in enumerate(("px", "py", "pz", "E"))}
    table = ak.unflatten(ak.zip(fields | {"pid": flat[:, 4].astype(int)}), counts)
    columns: dict[str, Any] = {"weight": np.array([w for w, _ in chunk]), "pid": table.pid, "energy": table.E}
    with np.errstate(divide="ignore", invalid="ignore"):
        values = dict(zip(("pt", "eta", "rapidity", "phi", "mass"), kinematics(ak.flatten(table)), strict=True))
    columns |= {n: ak.unflatten(values[n], counts) for n in ("pt", "eta", "phi", "mass")}
    unseen = np.isin(np.abs(flat[:, 4]), jets.invisible)
    owner = np.repeat(np.arange(len(chunk)), counts)
    missing = [np.bincount(owner[unseen], flat[unseen, i], minlength=len(chunk)) for i in (0, 1)]
    columns["missing_pt"] = np.hypot(*missing)
    inside = ~unseen & (np.abs(values["eta"]) < jets.eta_max)
    seen = ak.unflatten(ak.flatten(table)[inside], np.bincount(owner[inside], minlength=len(chunk)))
    return columns | _jets(seen, jets)


def _jets(seen: ak.Array, jets: Jets) -> dict[str, Any]:
    """Jets by falling pt, and the substructure of the first."""
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, jets.radius)
    found = fastjet.ClusterSequence(ak.to_packed(seen[["px", "py", "pz", "E"]]), definition)
    inclusive = found.inclusive_jets(min_pt=jets.min_pt)
    order = ak.argsort(inclusive.px**2 + inclusive.py**2, axis=1, ascending=False)
    sizes, flat = ak.num(inclusive, axis=1), ak.flatten(inclusive[order])
    values = dict(zip(("pt", "eta", "rapidity", "phi", "mass"), kinematics(flat), strict=True))
    columns: dict[str, Any] = {f"jet_{n}": ak.unflatten(v, sizes) for n, v in values.items() if n != "rapidity"}
    lead = leading_jet(seen, radius=jets.radius, min_pt=jets.min_pt)
    there = lead.pt > 0
    inner = substructure(lead.select(there), radius=jets.radius) | {"pt": lead.pt[there], "eta": lead.eta[there]}
    for name, each in inner.items():
        columns[f"lead_{name}"] = np.full(len(there), np.nan)
        columns[f"lead_{name}"][there] = each
    return columns
