"""Names of the columns that vary the simulation: `<base>:<systematic>:<index>`.

`reco_<observable>:<systematic>:<index>` is the observable in the index-th variation (up, down, ...) of a systematic,
`pass_reco:...` its acceptance if the shift moves events into or out of it, `weight:...` the full weight, not a factor.
Without such a column, the nominal column is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Variation:
    """A column `<base>:<systematic>:<index>` replaces `base` in the index-th variation of a systematic."""

    base: str
    systematic: str
    index: int


_VARIATION = re.compile(r"^(reco_[^:]+|pass_reco|weight):([A-Za-z][A-Za-z0-9_]*):(\d{1,6})$")
_BRANCH = re.compile(r"^(reco_\w+?|pass_reco|weight)__([A-Za-z]\w*?)__(\d{1,6})$")


def variation_of(column: str) -> Variation | None:
    """Base, systematic and index of the columns `reco_<observable>:<systematic>:<index>`, `pass_reco:...` and
    `weight:...`, else None.

    >>> variation_of("reco_m:jes:1")
    Variation(base='reco_m', systematic='jes', index=1)
    >>> variation_of("reco_m")
    """
    found = _VARIATION.match(column)
    return Variation(found[1], found[2], int(found[3])) if found else None


def column_of(branch: str) -> str:
    """Column of a branch with this name, without a map: names in ROOT files cannot have a colon.

    >>> column_of("reco_m__jes__1"), column_of("reco_m")
    ('reco_m:jes:1', 'reco_m')
    """
    return _BRANCH.sub(r"\1:\2:\3", branch)


def reco_flag(column: str, known: Iterable[str]) -> str:
    """The flag that shows which events have a value of a reco column: a variation may have its own acceptance.

    >>> reco_flag("reco_m:jes:1", ["pass_reco", "pass_reco:jes:1"]), reco_flag("reco_m:jes:0", ["pass_reco"])
    ('pass_reco:jes:1', 'pass_reco')
    """
    varied = variation_of(column)
    own = f"pass_reco:{varied.systematic}:{varied.index}" if varied else "pass_reco"
    return own if own in known else "pass_reco"


def seen_and_tilted(columns: Iterable[str]) -> tuple[list[str], list[str]]:
    """Columns of a hidden systematic that exist at both levels, and columns at truth level only.

    >>> seen_and_tilted(["jet_pt", "truth_soft"])
    (['jet_pt'], ['truth_soft'])
    """
    every = list(columns)
    return [c for c in every if not c.startswith("truth_")], [c for c in every if c.startswith("truth_")]


def tilt_of(systematic: str, column: str) -> str:
    """Name of the source of uncertainty of a tilted column.

    >>> tilt_of("composition", "truth_soft")
    'composition_truth_soft'
    """
    return f"{systematic}_{column}"


def missing(systematics: Mapping[str, Mapping[str, Any]], columns: Iterable[str]) -> str | None:
    """The first column that the systematics of the config need and the simulation lacks, as a message; else None.

    Args:
        systematics: name -> {"kind": "shifted" or "weight", "replicas": n}; other kinds need no columns.

    A shifted systematic needs the same observables in each of its variations, and at least one.

    >>> missing({"jes": {"kind": "shifted", "replicas": 2}}, ["reco_m:jes:0"])
    'no column reco_m:jes:1, which systematics.jes needs (replicas: 2)'
    """
    found = [v for column in columns if (v := variation_of(column))]
    for name, entry in systematics.items():
        own = {v for v in found if v.systematic == name}
        bases = {v.base for v in own if v.base != "weight"} if entry["kind"] == "shifted" else {"weight"}
        if not any(base.startswith("reco_") or base == "weight" for base in bases):
            bases |= {"reco_<observable>"}
        for index in range(int(entry["replicas"])) if entry["kind"] in ("shifted", "weight") else ():
            if lacking := sorted(base for base in bases if Variation(base, name, index) not in own):
                column = f"{lacking[0]}:{name}:{index}"
                return f"no column {column}, which systematics.{name} needs (replicas: {entry['replicas']})"
    return None
