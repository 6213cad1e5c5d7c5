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
    """What became of one case: "typed error", "right result", "altered" (silently), or "other"."""

    target: str
    number: int
    outcome: str
    kind: str = ""
    detail: str = ""


def run(cases: Sequence[tuple[str, int]], *, seed: str = "1") -> list[Outcome]:
    """Run cases (target, number), those of a target next to one another; the same seed gives the same damage."""
    found: list[Outcome] = []
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1] / "src"), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        while len(found) < len(cases):
            left = cases[len(found) :]
            command = [sys.executable, str(HERE / "worker.py"), f"{folder}/case", seed, str(MEMORY), str(SECONDS)]
            plan = "".join(f"{target}\t{number}\n" for target, number in left)
            done = subprocess.run(command, input=plan, env=environment, capture_output=True, text=True)
            lines = done.stdout.splitlines()
            results = [line.split("\t") for line in lines if line != "begin"]
            found += [Outcome(t, n, *r) for (t, n), r in zip(left, results, strict=False)]
            if len(results) == len(left):
                break
            if lines.count("begin") == len(results):
                raise RuntimeError(f"no case was running when the worker ended:\n{done.stderr[-3000:]}")
            ended = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit {done.returncode}"
            detail = f"hangs for {SECONDS} s" if ended == "SIGALRM" else f"ends the process: {ended}"
            found.append(Outcome(*left[len(results)], "other", detail=f"{detail} {done.stderr[-300:]}"))
    return found
