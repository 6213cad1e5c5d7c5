"""A clone of the checkout in which real Snakemake runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "GITHUB_TOKEN",
    "HTTPS_PROXY",
    "HOSTNAME",
    "EDITOR",
    "SLURM_JOB_COMMENT",
    "TRUTHWARD_SECRET",
)
CANARY = "canary-9f3a7c51"
"""What these variables hold while the finished study runs; no artefact may."""

PARTS = ("Snakefile", "config.yaml", "rules", "workflow", "profiles", "src", "envs")
ROOT = Path(__file__).parents[2]


class Clone:
    """A working copy: `run` calls Snakemake in it, `planned` says which jobs a call would run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / name

    def call(
        self, *words: str, timeout: int = 1500, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess:
        own = {"PYTHONPATH": str(self.folder / "src"), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "snakemake", *words]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=os.environ | own | (environment or {}),
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def run(self, *words: str, study: str = "study.yaml", cores: int = 2, timeout: int = 1500) -> str:
        done = self.call(*words, "--cores", str(cores), "--configfile", study, timeout=timeout)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
        return done.stdout + done.stderr

    def planned(self, *words: str, study: str = "study.yaml") -> set[str]:
        """Outputs (first of each job) that would be made, relative to results/<study>/."""
        # The plain logger, which names the outputs, with the triggers of the default profile.
        profile = yaml.safe_load(self.path("profiles/default/config.yaml").read_text(encoding="utf-8"))
        triggers = ["--rerun-triggers", *profile["rerun-triggers"]]
        done = self.call(*words, "-n", "--workflow-profile", "none", *triggers, "--configfile", study)
        text = done.stdout + done.stderr
        assert done.returncode == 0, text[-4000:]
        outputs = re.findall(r"^ +output: results/\w+/([^,\s]+)", text, flags=re.MULTILINE)
        assert outputs or "Nothing to be done" in text, text[-4000:]
        return set(outputs)

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.path(name)
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{name} does not hold {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def study(self, change) -> None:
        """Apply a function to the study's config."""
        content = yaml.safe_load(self.path("study.yaml").read_text(encoding="utf-8"))
        change(content)
        self.path("study.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    def fork(self, folder: Path) -> Clone:
        """Another clone, to which results and Snakemake's records are carried."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Clone(folder)


def new_clone(folder: Path, study: str = "tiny") -> Clone:
    folder.mkdir(parents=True)
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=ignore)
        else:
            shutil.copy(source, folder / part)
    shutil.copy(ROOT / "workflow" / "studies" / f"{study}.yaml", folder / "study.yaml")
    return Clone(folder)


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Clone:
    """The tiny study, run to its end once; tests work on forks of it."""
    clone = new_clone(tmp_path_factory.mktemp("finished") / "clone")
    with pytest.MonkeyPatch.context() as surroundings:
        for name in SECRETS:
            surroundings.setenv(name, CANARY)
        clone.output, clone.canary = clone.run(), CANARY
    return clone


@pytest.fixture
def fork(finished, tmp_path) -> Clone:
    """A fresh clone to which the finished study's results were carried."""
    return finished.fork(tmp_path / "clone")


@pytest.fixture
def empty(tmp_path) -> Clone:
    """A clone without results."""
    return new_clone(tmp_path / "clone")
