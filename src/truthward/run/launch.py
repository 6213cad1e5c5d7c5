"""Several processes for one job: if a rule has more than one GPU, torchrun replaces the job and starts it once per GPU.
Each process runs the whole stage, and the trainings in it share their batches (`learn.distributed`).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any

GIVEN = "TRUTHWARD_GPUS"
"""Environment variable with the number of GPUs of the rule, for the trainings of a job."""


def gpus(resources: Any) -> int:
    """GPUs of a rule's `resources`, under the names that the SLURM plug-in reads; 0 where there are none."""
    return next((int(n) for name in ("gpus", "gpu", "nvidia_gpu") if (n := getattr(resources, name, 0))), 0)


def rank() -> int | None:
    """Rank of this process under torchrun; None outside of torchrun."""
    return int(os.environ["LOCAL_RANK"]) if "LOCAL_RANK" in os.environ else None


def torchrun(processes: int) -> None:
    """Become torchrun, which runs this script `processes` times on this machine. Does not return.

    It passes SIGTERM and SIGUSR1 on, so that the trainings save their state. Its exit code is non-zero if any process
    failed.
    """
    words = ["--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", str(processes)]
    # SLURM announces the time limit by SIGUSR1. By default it would kill torchrun, but not its processes.
    words += ["--signals-to-handle", "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "torch.distributed.run", *words, *sys.argv])


def end_with_torchrun() -> None:
    """Have the kernel send this process SIGTERM when the torchrun that started it dies, be it of SIGKILL: processes of
    torchrun are sessions of their own, which no signal to the job's group reaches. Linux alone can do that."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
