"""The rooms of the house and what each may import: read by the test of imports, by the digests and by the docs.

A new stage is a folder with `section.py` and `stage.py`, a line in `ROOMS`, a section in `study/config.py`, a file of
its name in `rules/` and an adapter for each rule in `workflow/scripts/`. A new method, model, reader or calibrator is a
file in the folder of its kind and nothing else, see `study/plugins.py`.
"""

from __future__ import annotations

ROOMS = {
    "errors": 0,
    "layers": 0,
    "records": 0,
    "study": 0,
    "run": 0,
    "events": 1,
    "physics": 1,
    "learn": 2,
    "models": 3,
    "ratio": 3,
    "simulate": 4,
    "ingest": 4,
    "calibrate": 4,
    "systematics": 4,
    "surrogate": 4,
    "amplify": 4,
    "unfold": 4,
    "validate": 4,
    "publish": 4,
    "compare": 4,
    "report": 5,
    "cli": 6,
}
"""Folder or module at the top of the package -> its layer. A module imports from its own layer or from lower ones."""

SECTION = "section"
"""Module of a stage that says what its section of a config may hold. It is of the lowest layer: a dry run reads it."""

STAGES = 4
"""The layer whose rooms do not import each other, but for `USES`."""

USES = {
    ("compare", "validate"): "predictions are judged by the measures of the validation",
    ("amplify", "surrogate"): "a surrogate is sampled beyond its training statistics",
    ("validate", "unfold"): "stress tests unfold pseudo-data by every method",
}
"""Stage and stage that it calls, with the reason. All others meet in tables of events alone."""

NUMERICS = {"numpy", "scipy", "pandas", "pyarrow", "awkward", "vector", "uproot", "fastjet", "pythia8mc"}
THIRD_PARTY = {
    0: {"fsspec", "pydantic", "typing_extensions", "yaml"},
    1: NUMERICS,
    2: {"torch", "torchdiffeq", "safetensors", "numpy"},
    3: {"torch", "zuko", "lightgbm", "scipy", "numpy", "safetensors"},
    4: {"torch", "safetensors", "yaml"} | NUMERICS,
    5: {"matplotlib", "mplhep", "rich"} | NUMERICS,
    6: {"rich", "torch", "yaml"},
}
"""Layer -> what its modules may import beside the standard library. A dry run loads that of layer 0 alone."""

LEFT_OUT = {
    "errors": "how errors are named",
    "layers": "which rooms there are",
    "run.array_task": "which command a task of a SLURM array becomes",
    "run.checksums": "whether files are as they were written",
    "run.digests": "this digest",
    "run.environment": "which packages are installed; these have a digest of their own",
    "run.job": "what surrounds a stage",
    "run.kept": "where finished artefacts wait",
    "run.launch": "how many processes there are",
    "run.lock": "who writes",
    "run.provenance": "what is noted of how an artefact was made",
    "run.workflow": "where the files of the workflow are",
}
"""What no digest of code holds, and what it decides instead of a result. All else that a rule reaches is in its digest.

What the scheduler alone may use (`study.config`, `study.checks`) is reached by no rule: what these decide travels as
`spec`.
"""


def layer(module: str) -> int:
    """Layer of `truthward.<module>`, given without the package's name; 0 for the package itself.

    Raises:
        KeyError: a room that is not in `ROOMS`.
    """
    room, _, rest = module.partition(".")
    return 0 if not room or rest == SECTION else ROOMS[room]
