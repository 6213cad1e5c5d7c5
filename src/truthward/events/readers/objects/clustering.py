"""Jets clustered from the particles of a file, where it has no jets at that level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import awkward as ak
import fastjet
import numpy as np
import vector

from truthward.study.objects import Cluster

vector.register_awkward()


def clustered(particles: ak.Array, how: Cluster, inside: Sequence[str] = ()) -> dict[str, Any]:
    """Inclusive jets of each event.

    Args:
        particles: (E, var) records with pt, eta, phi and mass, GeV.
        how: algorithm, radius and smallest pt.
        inside: fields of the particles that are wanted of the constituents.

    Returns:
        pt, eta, phi, mass (E, jets), and "constituents.<field>" (E, jets, var) for each field of `inside`.
    """
    algorithm = getattr(fastjet, f"{how.algorithm}_algorithm")
    p4 = ak.zip({name: particles[name] for name in ("pt", "eta", "phi", "mass")}, with_name="Momentum4D")
    bare = ak.to_packed(ak.zip({"px": p4.px, "py": p4.py, "pz": p4.pz, "E": p4.energy}, depth_limit=2))
    # Without any particle in the chunk, fastjet has no type to work with.
    if not ak.any(ak.num(bare, axis=1)):
        none = ak.Array(np.empty((len(bare), 0)))
        empty = ak.from_regular(none)
        nested = ak.values_astype(empty[:, :, np.newaxis][:, :, :0], np.float64)
        return dict.fromkeys(("pt", "eta", "phi", "mass"), empty) | {f"constituents.{n}": nested for n in inside}
    sequence = fastjet.ClusterSequence(bare, fastjet.JetDefinition(algorithm, how.radius))
    jets = sequence.inclusive_jets(min_pt=how.pt_min)
    vectors = ak.zip({n: jets[n] for n in ("px", "py", "pz", "E")}, with_name="Momentum4D")
    found = {"pt": vectors.pt, "eta": vectors.eta, "phi": vectors.phi, "mass": vectors.mass}
    if inside:
        index = sequence.constituent_index(min_pt=how.pt_min)
        counts = ak.num(index, axis=2)
        flat = particles[ak.flatten(index, axis=2)]
        for name in inside:
            found[f"constituents.{name}"] = ak.unflatten(flat[name], ak.flatten(counts), axis=1)
    return found
