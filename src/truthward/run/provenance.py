"""The provenance that every artefact records."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from truthward import __version__
from truthward.records.shared import Git, Provenance


@cache
def git_state() -> Git:
    """Commit of the checkout that the package runs from, and whether it has uncommitted changes; None outside git."""
    here = Path(__file__).parent

    def ask(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    status = ask("status", "--porcelain", "--untracked-files=no") if commit else None
    return {"commit": commit, "dirty": bool(status) if status is not None else None}


def device() -> str:
    """The devices of this job: `cpu`, `2 x cpu`, `4 x NVIDIA A100`.

    torch is used only if the stage has loaded it: this layer does not import it.
    """
    torch, processes = sys.modules.get("torch"), int(os.environ.get("WORLD_SIZE", "1"))
    name = torch.cuda.get_device_name() if torch and torch.cuda.is_initialized() else "cpu"
    return f"{processes} x {name}" if processes > 1 else name


@dataclass
class Record:
    """Opened when a stage starts; `finish` closes it into the dictionary that is stored in the artefact.

    It has no values of environment variables and no host name.
    """

    stage: str
    spec: dict[str, Any]
    code: str
    seed: int
    started: float = field(default_factory=time.perf_counter)

    @classmethod
    def for_tests(cls) -> Record:
        """A record for a call outside of a workflow."""
        return cls(stage="test", spec={}, code="", seed=0)

    def finish(
        self,
        *,
        events_in: int | None = None,
        events_out: int | None = None,
        sum_w: float | None = None,
        sum_w2: float | None = None,
    ) -> Provenance:
        """Close the record: counts of events, sums of weights and their squares, wall time (s), peak memory (MB)."""
        peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {
            "package": "truthward",
            "version": __version__,
            "git": git_state(),
            "python": platform.python_version(),
            "platform": sys.platform,
            "stage": self.stage,
            "spec": self.spec,
            "code": self.code,
            "seed": self.seed,
            "device": device(),
            "events_in": events_in,
            "events_out": events_out,
            "sum_of_weights": None if sum_w is None else float(sum_w),
            "sum_of_squared_weights": None if sum_w2 is None else float(sum_w2),
            "wall_seconds": round(time.perf_counter() - self.started, 3),
            "peak_memory_mb": round(peak_kb / 1024, 1),
        }
