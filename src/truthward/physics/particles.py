"""What generators that run Pythia 8 share: starting it, and its visible particles as arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import awkward as ak
import numpy as np
import pythia8mc

from truthward.errors import TruthwardError
from truthward.physics.detector import ETA_MAX

FB_PER_MB = 1.0e12
INVISIBLE = (12, 14, 16)
# The record of a batch holds every parton: 0.3 MB an event.
BATCH = 200


def started(settings: Sequence[str], seed: int, *, hook: pythia8mc.UserHooks | None = None) -> pythia8mc.Pythia:
    """A fresh Pythia with these settings, and with a seed made of `seed`.

    Raises:
        TruthwardError: where it refuses a setting or does not initialise.
    """
    pythia = pythia8mc.Pythia("", False)
    # Zero would mean a seed from the clock.
    for line in ("Print:quiet = on", *settings, "Random:setSeed = on", f"Random:seed = {1 + seed % 899_999_999}"):
        if not pythia.readString(line):
            raise TruthwardError(f"Pythia refuses the setting {line!r}")
    if hook is not None:
        pythia.setUserHooksPtr(hook)
    if not pythia.init():
        raise TruthwardError("Pythia does not initialise; the settings are: " + "; ".join(settings))
    return pythia


def accepted(
    pythia: pythia8mc.Pythia,
    settings: Sequence[str],
    events: int,
    accept: Callable[[ak.Array], tuple[dict[str, Any], np.ndarray]],
) -> tuple[dict[str, Any], int]:
    """Generate until exactly `events` are accepted.

    Args:
        accept: the record of a batch -> the columns of its accepted events and their rows in it, (n,).

    Returns:
        The columns, (events,) or (events, var) each, and how many events were generated for them.

    Raises:
        TruthwardError: where Pythia gives up on every event of a batch.
    """
    pieces: list[dict[str, Any]] = []
    found = generated = 0
    while found < events:
        # Half of what is generated is accepted: a short last batch wastes nothing.
        size = min(BATCH, 2 * (events - found) + 10)
        batch = pythia.nextBatch(size)
        if len(batch) == 0:
            raise TruthwardError(f"Pythia made none of {size} events; the settings are: {'; '.join(settings)}")
        columns, rows = accept(batch.prt)
        wanted = events - found
        if len(rows) > wanted:
            # The luminosity ends with the last event that is kept.
            generated += int(rows[wanted - 1]) + 1
            columns = {name: column[:wanted] for name, column in columns.items()}
        else:
            generated += len(batch)
        found += min(len(rows), wanted)
        pieces.append(columns)
    out = {name: ak.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    return {name: value if value.ndim > 1 else ak.to_numpy(value) for name, value in out.items()}, generated


def visible(pythia: pythia8mc.Pythia, record: ak.Array) -> ak.Array:
    """Final visible particles with |eta| < 5 as records px, py, pz, E (GeV), pid, charge (units of e)."""
    counts = ak.to_numpy(ak.num(record, axis=1))
    flat = ak.flatten(record)
    status, pid = ak.to_numpy(flat.status), ak.to_numpy(flat.id)
    px, py, pz, energy = (ak.to_numpy(flat.p[name]) for name in ("px", "py", "pz", "e"))
    # |pz| < sinh(5) pt is |eta| < 5, without dividing by the pt of what flies down the beam.
    seen = (status > 0) & (np.abs(pz) < np.sinh(ETA_MAX) * np.hypot(px, py)) & ~np.isin(np.abs(pid), INVISIBLE)
    pid = pid[seen]
    kinds, which = np.unique(pid, return_inverse=True)
    charge = np.array([pythia.particleData.charge(int(kind)) for kind in kinds])[which]
    owner = np.repeat(np.arange(len(record)), counts)[seen]
    fields = {"px": px[seen], "py": py[seen], "pz": pz[seen], "E": energy[seen], "pid": pid, "charge": charge}
    return ak.unflatten(ak.zip(fields), np.bincount(owner, minlength=len(record)))
