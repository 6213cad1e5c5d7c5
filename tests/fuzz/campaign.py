"""Many cases in worker processes: a crash or a hang ends one worker, is counted, and the rest goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
MEMORY, SECONDS = 1500, 20
"""What a case may take beyond the intact file: MB of address space, and seconds."""


@dataclass(frozen=True)
class Outcome:
    """What became of one case: "typed error", "right result", "altered" (silently), or "other".

    `outcome` is that of the reader alone, `checked` that of the reader behind the checksum, where there is one.
    """

    target: str
    number: int
    outcome: str
    checked: str
    kind: str = ""
    detail: str = ""


def run(
    cases: Sequence[tuple[str, int]], *, seed: str = "1", seconds: int = SECONDS, module: Path = HERE / "readers.py"
) -> list[Outcome]:
    """Run cases (target of the module, number), those of a target next to one another; a seed always does the same."""
    found: list[Outcome] = []
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1] / "src"), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        while len(found) < len(cases):
            left = cases[len(found) :]
            words = [HERE / "worker.py", module, f"{folder}/case", seed, MEMORY, seconds]
            plan = "".join(f"{target}\t{number}\n" for target, number in left)
            done = subprocess.run(
                [sys.executable, *map(str, words)], input=plan, env=environment, capture_output=True, text=True
            )
            lines = done.stdout.splitlines()
            results = [line.split("\t") for line in lines if line != "begin"]
            found += [Outcome(t, n, *r) for (t, n), r in zip(left, results, strict=False)]
            if len(results) == len(left):
                break
            if lines.count("begin") == len(results):
                raise RuntimeError(f"no case was running when the worker ended:\n{done.stderr[-3000:]}")
            ended = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit {done.returncode}"
            detail = f"hangs for {seconds} s" if ended == "SIGALRM" else f"ends the process: {ended}"
            found.append(Outcome(*left[len(results)], "other", "other", detail=f"{detail} {done.stderr[-300:]}"))
    return found
