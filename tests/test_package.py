"""A wheel holds all that a study needs: the package, and the workflow that `truthward new-study` lays down."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from truthward import __version__
from truthward.run import workflow

ROOT = Path(__file__).parents[1]
BUILT_FROM = ("src", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "envs", *workflow.LAID_DOWN)
CARRIED = f"truthward/{workflow.CARRIED}"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder into which the wheel was unpacked; it is built from a copy, which stays as it was."""
    folder = tmp_path_factory.mktemp("package")
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / "copy" / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
        else:
            shutil.copy(ROOT / name, folder / "copy" / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*command, "--wheel-dir", str(folder), str(folder / "copy")], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    (wheel,) = folder.glob("*.whl")
    assert wheel.name == f"truthward-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def files(folder: Path, *patterns: str) -> set[str]:
    return {p.relative_to(folder).as_posix() for pattern in patterns for p in folder.rglob(pattern) if p.is_file()}


def test_the_wheel_holds_every_module_and_nothing_twice(installed) -> None:
    own = {name for name in files(installed / "truthward", "*.py", "py.typed") if not name.startswith("_workflow")}
    assert own == files(ROOT / "src" / "truthward", "*.py", "py.typed")
    assert {path.name for path in installed.iterdir()} == {"truthward", f"truthward-{__version__}.dist-info"}


def test_the_wheel_holds_the_page_of_publications_and_not_its_sources(installed) -> None:
    own, there = (folder / "truthward/publish/explore" for folder in (installed, ROOT / "src"))
    assert files(own, "*.html", "*.txt", "*.js", "*.json") == {"page.html", "LICENSES.txt"}
    assert (own / "page.html").read_bytes() == (there / "page.html").read_bytes()


def test_the_wheel_holds_the_workflow(installed) -> None:
    wanted = {"Snakefile", "config.yaml", "envs/requirements.lock"}
    for part in ("rules", "workflow", "profiles"):
        wanted |= {f"{part}/{name}" for name in files(ROOT / part, "*.smk", "*.py", "*.rst", "*.yaml")}
    assert "rules/common.smk" in wanted
    assert files(installed / CARRIED, "*") == wanted
    assert all((installed / CARRIED / name).read_bytes() == (ROOT / name).read_bytes() for name in wanted)


def test_the_wheel_has_the_command_and_the_pins(installed) -> None:
    (about,) = installed.glob("*.dist-info")
    assert "truthward = truthward.cli.main:main" in (about / "entry_points.txt").read_text()
    required = [line for line in (ROOT / "envs" / "requirements.in").read_text().splitlines() if "==" in line]
    metadata = (about / "METADATA").read_text()
    assert [line for line in required if f"Requires-Dist: {line}\n" not in metadata] == []


def test_an_installed_package_plans_a_study_in_an_empty_folder(installed, tmp_path) -> None:
    """Away from any checkout: the config is written, the workflow laid down, and Snakemake plans every job."""

    def said(*words: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    lock = installed / CARRIED / "envs" / "requirements.lock"
    assert said("-c", "from truthward.run import environment; print(environment.LOCK)") == f"{lock}\n"
    assert "This folder had no workflow" in said("-m", "truthward.cli", "new-study", "demo", "--template", "tiny")
    plan = said("-m", "snakemake", "--dry-run", "--workflow-profile", "none", "--configfile", "demo.yaml")
    assert "rule unfold_nominal:" in plan


def test_digests_are_those_of_the_checkout(installed) -> None:
    """What was made with a checkout is not made again with the package, and the other way round."""
    code = (
        "from truthward.run import digests, workflow\n"
        "adapter = workflow.home() / 'workflow/scripts/unfold_nominal.py'\n"
        "print(digests.code(adapter, [('unfold', 'omnifold')]))\n"
        "digests.hand_over(adapter.parent)\n"
        "print(digests.os.environ[digests.PLAN])"
    )

    def said(path: Path) -> str:
        environment = os.environ | {"PYTHONPATH": str(path)}
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert said(installed) == said(ROOT / "src")
    assert "adapter/unfold_nominal.py" in said(installed)
