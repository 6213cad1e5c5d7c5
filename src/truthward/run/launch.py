"""Several processes for one job: where a rule has more than one GPU, torchrun takes the job's place and starts it anew,
once a GPU; every process then runs the whole stage, and the trainings in it share their batches (`learn.distributed`).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any

GIVEN = "TRUTHWARD_GPUS"
"""Environment variable that tells the trainings of a job how many GPUs its rule has."""


def gpus(resources: Any) -> int:
    """GPUs of a rule's `resources`, under the names that the SLURM plug-in reads; 0 where there are none."""
    return next((int(n) for name in ("gpus", "gpu", "nvidia_gpu") if (n := getattr(resources, name, 0))), 0)


def rank() -> int | None:
    """Number of this process among those that torchrun started; None outside of torchrun."""
    return int(os.environ["LOCAL_RANK"]) if "LOCAL_RANK" in os.environ else None


def torchrun(processes: int) -> None:
    """Become torchrun, which runs this script `processes` times on this machine. Does not return.

    It hands SIGTERM and SIGUSR1 on, so that the trainings save their state, and its exit code is non-zero where any of
    the processes failed.
    """
    words = ["--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", str(processes)]
    # By default it would die of SIGUSR1, which is how SLURM announces the time limit, and leave its processes behind.
    words += ["--signals-to-handle", "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "torch.distributed.run", *words, *sys.argv])


def end_with_torchrun() -> None:
    """Have the kernel send this process SIGTERM when the torchrun that started it dies, be it of SIGKILL: processes of
    torchrun are sessions of their own, which no signal to the job's group reaches. Linux alone can do that."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
