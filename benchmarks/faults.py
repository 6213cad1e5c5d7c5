"""Faults, one after another: what was seen, what was lost, and how long the recovery took.

The cases are those of the tests, which hold every number of the unfolded sample against an undisturbed run; those of
SLURM raise one on this machine and are left out, with the reason, where that is impossible. QUICK: one of them.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from _common import HERE, QUICK, report

# Snakemake is called as a module by the interpreter that runs this; a job must not see this folder's modules.
sys.path[0] = str(HERE.parent)
os.environ["OMP_NUM_THREADS"] = "1"

from tests.cluster.faults import CLUSTER  # noqa: E402
from tests.cluster.faults import perform as perform_on  # noqa: E402
from tests.cluster.slurm import Cluster  # noqa: E402
from tests.faults.cases import LOCAL, can_mount, perform  # noqa: E402
from tests.faults.study import TARGET, Study  # noqa: E402

SHORT = ("notice",)


def main() -> None:
    rows, left_out = [], {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepared = Study.new(folder / "prepared")
        prepared.prepare()
        study = prepared.fork(folder / "undisturbed")
        started = time.monotonic()
        study.run(TARGET, cores=1)
        undisturbed, seconds = study.numbers(), time.monotonic() - started
        local = {key: case for key, case in LOCAL.items() if not QUICK or key in SHORT}
        if "full_disk" in local and not can_mount(folder / "mount"):
            left_out["full_disk"] = "needs root, to mount a small disk"
            del local["full_disk"]
        for key, case in local.items():
            rows.append({"where": "one machine", **asdict(perform(case, prepared.fork(folder / key), undisturbed))})
            _show(rows[-1])
        cluster = Cluster()
        reason = "QUICK" if QUICK else cluster.impossible()
        if reason:
            left_out |= dict.fromkeys(CLUSTER, reason)
        else:
            with cluster:
                for key, case in CLUSTER.items():
                    outcome = perform_on(case, prepared.fork(folder / f"slurm_{key}"), cluster, undisturbed)
                    rows.append({"where": "SLURM", **asdict(outcome)})
                    _show(rows[-1])
    report("faults", {"undisturbed_seconds": round(seconds, 1), "rows": rows, "left_out": left_out})


def _show(row: dict[str, object]) -> None:
    print("{where} | {fault} | {injected} | {seen} | lost: {lost} | {seconds} s".format(**row), flush=True)


if __name__ == "__main__":
    main()
