"""Describe the machine as rows of a table (what, how much)."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import torch

GB = 1e9
# Seconds. If a controller is down, sinfo waits for minutes.
PATIENCE = 10


def devices(results: Path) -> list[tuple[str, str]]:
    """Processor, memory, GPUs that torch sees, SLURM partitions, and the disk of `results`."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    page = os.sysconf("SC_PAGE_SIZE")
    total, free = page * os.sysconf("SC_PHYS_PAGES") / GB, page * os.sysconf("SC_AVPHYS_PAGES") / GB
    rows = [
        ("Python", f"{platform.python_version()}, {platform.system()} {platform.machine()}"),
        ("CPU", f"{usable} of {os.cpu_count()} cores, torch uses {torch.get_num_threads()}"),
        ("Memory", f"{total:.1f} GB, {free:.1f} GB unused"),
    ]
    rows += [("GPU", gpu) for gpu in gpus()]
    rows += [("SLURM", line) for line in slurm()]
    existing = next(folder for folder in (results, *results.absolute().parents) if folder.exists())
    disk = shutil.disk_usage(existing)
    rows.append(("Disk", f"{disk.free / GB:.0f} GB free of {disk.total / GB:.0f} GB at {results}/"))
    return rows


def gpus() -> list[str]:
    """One line for each GPU, or the reason why there is none."""
    if not torch.cuda.is_available():
        return [
            "none that torch sees" + ("" if torch.version.cuda else f" (torch {torch.__version__} is without CUDA)")
        ]
    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [f"{device.name}, {device.total_memory / GB:.1f} GB" for device in found]


def slurm() -> list[str]:
    """One line for each partition, or a line that says where jobs run without one."""
    if shutil.which("sinfo") is None:
        return ["none here (no sinfo): jobs run on this machine"]
    command = ["sinfo", "--noheader", "--format=partition %P: %a, %D nodes of %c cores and %m MB, %G"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return ["installed, but sinfo does not answer"]
    # The last line of an error is the important one.
    said = done.stderr.strip().splitlines() or ["sinfo: no partition"]
    return done.stdout.replace("(null)", "no GPU").splitlines() or said[-1:]
