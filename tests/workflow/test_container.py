"""Jobs in a container: Snakemake takes them to the image, and results of either kind are the same to it."""

import os
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

# Says that it is Apptainer, writes down its arguments, and runs the command with the Python of the tests.
STAND_IN = """#!/bin/sh
if [ "$1" = --version ]; then echo "apptainer version 1.3.4"; exit; fi
echo "$@" >> "$0.calls"
while [ "$1" != -c ]; do shift; done
PATH="{python}:$PATH" exec bash -c "$2"
"""


def test_jobs_go_to_the_image_and_count_without_it(empty, tmp_path, monkeypatch) -> None:
    apptainer = tmp_path / "bin" / "apptainer"
    apptainer.parent.mkdir()
    apptainer.write_text(STAND_IN.replace("{python}", str(Path(sys.executable).parent)))
    apptainer.chmod(0o755)
    empty.path("envs/truthward.sif").touch()
    monkeypatch.setenv("PATH", str(apptainer.parent), prepend=os.pathsep)
    target = "results/tiny/simulate/pseudodata/0.root"
    empty.run("--software-deployment-method=apptainer", "--apptainer-args=--nv", target)
    calls = apptainer.with_name("apptainer.calls").read_text(encoding="utf-8").splitlines()
    jobs = [call for call in calls if call.startswith("exec ")]
    assert len(jobs) == 1
    assert " --nv " in jobs[0]
    assert " envs/truthward.sif " in jobs[0]
    assert empty.planned(target) == set(), "what a container made is not made again without one"
