"""A task of a SLURM array is the job that it was given, and no other.

Snakemake's plugin for SLURM (2.8.0) starts each task of an array as a Snakemake of the first task's job, which runs the
task's own job inside. Having done so it treats the first job's output as its own: it touches it, fails where it is not
there yet, and removes it where the inner job failed. So each task but the first turns into its own job's Snakemake.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import zlib

OPTION = "--slurm-jobstep-array-execs="


def become_own_job() -> None:
    """Where this process is a later task of an array: go on as the command of its own job, and never return."""
    task = os.environ.get("SLURM_ARRAY_TASK_ID")
    for word in sys.argv:
        if word.startswith(OPTION) and task is not None:
            commands = json.loads(base64.b64decode(word.removeprefix(OPTION)))
            if task in commands:  # The first task is not among them: what the call says is its own job.
                os.execv("/bin/sh", ["sh", "-c", zlib.decompress(bytes.fromhex(commands[task])).decode()])
