"""Start Pythia 8, generate accepted events, and turn its visible particles into arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import awkward as ak
import numpy as np
import pythia8mc

from truthward.errors import ConfigError, TruthwardError
from truthward.physics.detector import ETA_MAX

FB_PER_MB = 1.0e12
INVISIBLE = (12, 14, 16)
STABLE = ("ParticleDecays:limitTau0 = on", "ParticleDecays:tau0Max = 10")
"""The particle level of the LHC experiments: particles with c tau > 10 mm are stable (`PARTICLE_LEVEL` states it)."""
OWN = (
    *("Beams:", "Random:", "Tune:", "PartonShowers:model", "ParticleDecays:", "PhaseSpace:", "HardQCD:", "SoftQCD:"),
    *("WeakBosonAndParton:", "WeakZ0:", "Top:", "PartonLevel:", "HadronLevel:", "Print:", "Main:", "Next:", "Init:"),
    *("Stat:", "Parallelism:"),
)
"""Settings that the generators set themselves: an option does it, or the metadata would not describe the events."""
# The record of a batch holds every parton, about 0.3 MB an event.
BATCH = 200


def lines_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Turn the settings of a config into lines for Pythia, and try each of them.

    >>> lines_of({"StringZ:aLund": 0.3, "ColourReconnection:reconnect": False})
    ('StringZ:aLund = 0.3', 'ColourReconnection:reconnect = off')

    Raises:
        ConfigError: Pythia does not know the setting or refuses its value, or the config may not set it.
    """
    if not settings:
        return ()
    pythia, lines = pythia8mc.Pythia("", False), []
    pythia.readString("Print:quiet = on")
    for name, value in settings.items():
        # Pythia does not distinguish capitals from small letters.
        if name.lower().startswith(tuple(own.lower() for own in OWN)):
            raise ConfigError(f"settings.{name}: the generator sets this itself; use its options, or remove it")
        text = {True: "on", False: "off"}[value] if isinstance(value, bool) else value
        line = f"{name} = {text}"
        if not _known(pythia, name):
            version = pythia.settings.parm("Pythia:versionNumber")
            raise ConfigError(f"settings.{name}: Pythia {version:.3f} has no such setting; see its manual")
        if not pythia.readString(line):
            raise ConfigError(
                f"settings.{name}: {value!r} given; Pythia refuses it: its range or type is wrong; see its manual"
            )
        lines.append(line)
    return tuple(lines)


def _known(pythia: pythia8mc.Pythia, name: str) -> bool:
    known = pythia.settings
    return any(ask(name) for ask in (known.isFlag, known.isMode, known.isParm, known.isWord))


class _Pythia(pythia8mc.Pythia):
    """Holds its hook. Pythia itself holds the C++ part alone, which vetoes nothing once the Python part is gone."""

    hook: pythia8mc.UserHooks | None = None


def started(
    settings: Sequence[str],
    seed: int,
    *,
    hook: pythia8mc.UserHooks | None = None,
    keep: Mapping[str, Any] | None = None,
) -> pythia8mc.Pythia:
    """Start a new Pythia with these settings, the particle level of `STABLE`, and a seed made from `seed`.

    Args:
        keep: settings that must still have these values after the start. A shower may bring a tune of its own.

    Raises:
        TruthwardError: if Pythia refuses a setting, replaces a setting of `keep`, or does not initialise.
    """
    pythia = _Pythia("", False)
    # Seed 0 would mean a seed from the clock.
    own = ("Random:setSeed = on", f"Random:seed = {1 + seed % 899_999_999}")
    for line in ("Print:quiet = on", *STABLE, *settings, *own):
        if not pythia.readString(line):
            raise TruthwardError(f"Pythia refuses the setting {line!r}; correct `settings`")
    if hook is not None:
        pythia.hook = hook
        pythia.setUserHooksPtr(hook)
    if not pythia.init():
        raise TruthwardError("Pythia does not initialise; check the settings: " + "; ".join(settings))
    for name, value in (keep or {}).items():
        if (found := _value(pythia, name)) != value:
            raise TruthwardError(f"Pythia replaced the setting {name} = {value} by {found}; leave it out of `settings`")
    return pythia


def _value(pythia: pythia8mc.Pythia, name: str) -> Any:
    """The current value of a setting."""
    known = pythia.settings
    for ask, get in ((known.isFlag, known.flag), (known.isMode, known.mode), (known.isParm, known.parm)):
        if ask(name):
            return get(name)
    return known.word(name)


def accepted(
    pythia: pythia8mc.Pythia,
    settings: Sequence[str],
    events: int,
    accept: Callable[[ak.Array], tuple[dict[str, Any], np.ndarray]],
) -> tuple[dict[str, Any], int]:
    """Generate until exactly `events` are accepted.

    Args:
        accept: function of the record of a batch. It returns the columns of the accepted events and their rows, (n,).

    Returns:
        The columns, (events,) or (events, var) each, and the number of events that were generated for them.

    Raises:
        TruthwardError: if Pythia gives up on every event of a batch.
    """
    pieces: list[dict[str, Any]] = []
    found = generated = 0
    while found < events:
        # About half of the generated events are accepted, so a short last batch wastes no time.
        size = min(BATCH, 2 * (events - found) + 10)
        batch = pythia.nextBatch(size)
        if len(batch) == 0:
            raise TruthwardError(f"Pythia made no event, {size} were wanted; check the settings: {'; '.join(settings)}")
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
    # Three of four entries of a record are partons and what has decayed: everything else is of the final ones alone.
    final = np.flatnonzero(ak.to_numpy(flat.status) > 0)
    pid = ak.to_numpy(flat.id)[final]
    px, py, pz, energy = (ak.to_numpy(flat.p[name])[final] for name in ("px", "py", "pz", "e"))
    # |pz| < sinh(5) pt means |eta| < 5, without a division by the pt of particles along the beam.
    seen = (np.abs(pz) < np.sinh(ETA_MAX) * np.hypot(px, py)) & ~np.isin(np.abs(pid), INVISIBLE)
    pid = pid[seen]
    kinds = np.unique(pid)
    charge = np.array([pythia.particleData.charge(int(kind)) for kind in kinds])[np.searchsorted(kinds, pid)]
    ends = np.searchsorted(final[seen], np.concatenate([[0], np.cumsum(counts)]))
    fields = {"px": px[seen], "py": py[seen], "pz": pz[seen], "E": energy[seen], "pid": pid, "charge": charge}
    return ak.unflatten(ak.zip(fields), np.diff(ends))


def last_pt(record: ak.Array, code: int) -> np.ndarray:
    """pt (GeV) of the last entry with this PDG code in the record of each event, (N,).

    Raises:
        TruthwardError: an event has no such entry.
    """
    counts = ak.to_numpy(ak.num(record, axis=1))
    ends = np.cumsum(counts)
    flat = ak.flatten(record)
    found = np.concatenate([[-1], np.flatnonzero(ak.to_numpy(flat.id) == code)])
    last = found[np.searchsorted(found, ends) - 1]
    if missing := int((last < ends - counts).sum()):
        raise TruthwardError(f"{missing} of {len(counts)} events have no particle {code}; check the hard process")
    return np.hypot(*(ak.to_numpy(flat.p[name])[last] for name in ("px", "py")))
