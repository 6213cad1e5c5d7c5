"""Samples of the benchmark of model uncertainties: Z+jets of Pythia under other tunes, showers and hadronisation.

Each is made once, in chunks of a block, and kept in `.cache/model_samples`: `python _model_samples.py NAME ...` makes
some of them, and goes on where it was interrupted. One generation serves as simulation, with weights for the luminosity
of the data, and as data, with weights of one; no pair has the same sample on both sides.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from pathlib import Path
from typing import Any

import _common as common

from truthward.run.artefact import write_json
from truthward.run.digests import code
from truthward.run.provenance import Record
from truthward.simulate.section import BLOCK
from truthward.simulate.stage import simulate
from truthward.study.plugins import build

SEED = 2026
EVENTS, FEWER = 21_000, 8_000
"""Accepted events, at either level, of each quoted sample and of each one for development."""
HERE = common.HERE / ".cache" / "model_samples"

HADRONS = {"StringZ:aLund": 0.30, "StringZ:bLund": 0.80, "StringPT:sigma": 0.304, "StringFlav:probStoUD": 0.30}
"""Monash has 0.68, 0.98, 0.335 and 0.217: these are the older defaults of Pythia 8, with half again the strangeness."""
SOFT = {"StringZ:aLund": 0.90, "StringZ:bLund": 0.70, "StringFlav:probStoUD": 0.16}
SAMPLES: dict[str, dict[str, Any]] = {
    "monash": {"tune": 14},
    "a14": {"tune": 21},
    "tune26": {"tune": 26},
    "tune26_strings": {"tune": 26, "settings": HADRONS | {"ColourReconnection:mode": 2}},
    "hadronisation": {"tune": 14, "settings": HADRONS},
    "no_reconnection": {"tune": 14, "settings": {"ColourReconnection:reconnect": False}},
    "shower": {"tune": 14, "alpha_s": 0.120, "settings": {"MultipartonInteractions:pT0Ref": 2.55}},
    "vincia": {"shower": "vincia"},
}
"""Of the quoted pairs."""
DEVELOPMENT: dict[str, dict[str, Any]] = {
    "tune4c": {"tune": 5},
    "soft_strings": {"tune": 14, "settings": SOFT},
    "gluon_move": {"tune": 14, "alpha_s": 0.128, "settings": {"ColourReconnection:mode": 2}},
}
"""Of the pairs on which options are chosen."""


def files(name: str) -> list[Path]:
    """The files of a sample, which need not exist yet."""
    return [folder(name) / f"{chunk}.root" for chunk in range(events(name) // BLOCK)]


def events(name: str) -> int:
    """Accepted events of a sample."""
    return EVENTS if name in SAMPLES else FEWER


def folder(name: str) -> Path:
    """Where a sample of these options lies."""
    text = json.dumps([entry(name), events(name), SEED], sort_keys=True)
    return HERE / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def entry(name: str) -> dict[str, Any]:
    """The generator of a sample, as a config has it."""
    return {"kind": "pythia", "luminosity": 1.0, **(SAMPLES | DEVELOPMENT)[name]}


def made_by() -> str:
    """Digest of the code that makes samples."""
    adapter = common.HERE.parent / "workflow" / "scripts" / "simulate.py"
    return code(adapter, [("physics.generators", "pythia")])["digest"]


def make(name: str) -> None:
    """Make what is lacking of a sample."""
    generator = build("physics.generators", entry(name))
    folder(name).mkdir(parents=True, exist_ok=True)
    write_json(folder(name) / "made.json", {"generate": entry(name), "code": made_by(), "git": common.GIT})
    for chunk, path in enumerate(files(name)):
        if not path.is_file():
            record = Record.for_tests()
            simulate(
                generator,
                path=path,
                events=events(name),
                seed=SEED,
                sample=name,
                chunk=chunk,
                chunks=len(files(name)),
                record=record,
            )


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for sample in sys.argv[1:] or [*DEVELOPMENT, *SAMPLES]:
        make(sample)
