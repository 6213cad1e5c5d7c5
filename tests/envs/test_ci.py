"""The hosted checks call targets that the Makefile has, on the Python of the project."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def targets() -> set[str]:
    """Targets of the Makefile."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z]+):", text, flags=re.MULTILINE))


def test_hosted_checks_call_targets_of_the_makefile() -> None:
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yaml").read_text(encoding="utf-8"))["jobs"]["make"]
    called = job["strategy"]["matrix"]["target"]
    assert {target.split()[0] for target in called} == {"lint", "fast", "run", "docs"}
    assert {target.split()[0] for target in called} <= targets()
    for config in re.findall(r"CONFIG=(\S+)", " ".join(called)):
        assert (ROOT / config).is_file()
    assert "make ${{ matrix.target }}" in [step.get("run") for step in job["steps"]]
    python = next(step["with"]["python-version"] for step in job["steps"] if "setup-python" in step.get("uses", ""))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == f">={python}"


def test_every_target_is_explained() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    explained = set(re.findall(r"^# make ([a-z]+)", text, flags=re.MULTILINE))
    phony = set(re.search(r"^\.PHONY: (.*)$", text, flags=re.MULTILINE)[1].split())
    assert phony == targets()
    assert explained <= phony
    assert phony - explained <= {"tables", "clean"}


def test_make_commands_of_the_guide_are_there() -> None:
    said = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", said, flags=re.MULTILINE)) - {"call"} <= targets()
