"""`make check` on a study that is finished, and on configs that cannot run."""

import os
import re
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]


def checked(clone) -> tuple[int, str]:
    environment = os.environ | {"PYTHONPATH": str(clone.folder / "src"), "COLUMNS": "150", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "truthward.cli", "check", "study.yaml"]
    done = subprocess.run(command, cwd=clone.folder, env=environment, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def test_finished_study_has_nothing_to_do_and_a_change_is_explained(fork) -> None:
    code, said = checked(fork)
    assert code == 0
    assert "Plan: nothing is to be done" in said
    assert said.endswith("Nothing is wrong\n")
    assert "unfold.methods.generative.model" in said
    fork.study(lambda s: s["unfold"]["methods"]["ibu"].update(kind="ibu", max_iterations=7))
    fork.path("results/tiny/report/summary.png").unlink()
    code, said = checked(fork)
    assert code == 0
    lines = {
        line.split()[0]: " ".join(line.split()) for line in said.partition("Plan: ")[2].splitlines() if line.split()
    }
    assert lines["unfold_nominal"] == "unfold_nominal 1 method.max_iterations added"
    assert lines["unfold"] == "unfold 1 after unfold_nominal; after unfold_part"
    assert lines["report_summary"] == "report_summary 1 not made yet"
    assert "omnifold" not in said.partition("Plan: ")[2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s["calibrate"].update(members=1), "ConfigError: study.yaml: calibrate.members: 1 given"),
        (lambda s: s["unfold"]["methods"]["ibu"].update(kind="ibu", iteration=3), "ConfigError: study.yaml: unfold."),
        (
            lambda s: s["samples"].update(
                pseudodata={
                    "role": "data",
                    "read": {"kind": "flat_tree", "files": ["no/*.root"], "branches": {"reco_x0": "x", "reco_x1": "x"}},
                }
            ),
            "samples.pseudodata.read",
        ),
    ],
)
def test_what_would_fail_later_is_said_now(empty, change, said) -> None:
    empty.study(change)
    code, text = checked(empty)
    assert code == 1
    assert said in text
    assert "Nothing is wrong" not in text


def test_other_versions_are_shown_and_refused(empty) -> None:
    empty.edit("envs/requirements.lock", "numpy==", "numpy==9.9+")
    code, text = checked(empty)
    assert code == 1
    assert re.search(r"Packages: 1 of \d+ not as in the lock", text)
    assert "StaleError: numpy " in text
