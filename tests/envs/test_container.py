"""The definition of the container against what it is made of. That it builds can only be seen where Apptainer is."""

import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEFINITION = (ROOT / "envs" / "container.def").read_text(encoding="utf-8")


def definition() -> dict[str, list[str]]:
    """The sections of container.def, without comments; what stands before the first is "header"."""
    sections, name = {"header": []}, "header"
    for line in DEFINITION.splitlines():
        if line.startswith("%"):
            name = line[1:].strip()
            sections[name] = []
        elif line.strip() and not line.strip().startswith("#"):
            sections[name].append(line.strip())
    return sections


def test_container_installs_the_lock_on_the_python_of_the_project() -> None:
    found = definition()
    assert list(found) == ["header", "arguments", "files", "post", "environment", "runscript", "test"]
    python = re.fullmatch(r"From: python:(\d\.\d+)-slim-bookworm", found["header"][1])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == f">={python[1]}"
    assert found["header"][0] == "Bootstrap: docker"
    pip = [line for line in found["post"] if line.startswith("pip ")]
    assert len(pip) == 1
    assert pip[0].endswith("-r /opt/truthward/envs/requirements.lock")
    wheels = re.search(r"--only-binary (\S+)", (ROOT / "Makefile").read_text(encoding="utf-8"))[1]
    assert f"--only-binary {wheels} " in pip[0], "as the Makefile installs it"


def test_container_copies_what_the_workflow_needs() -> None:
    pairs = [line.split() for line in definition()["files"]]
    for source, target in pairs:
        assert (ROOT / source).exists(), source
        assert target == f"/opt/truthward/{source}"
    copied = {source for source, _ in pairs}
    assert {"Snakefile", "config.yaml", "rules", "workflow", "profiles", "src", "envs/requirements.lock"} <= copied


def test_container_tests_itself_with_a_module_that_is_there() -> None:
    (call,) = (line for line in definition()["test"] if " -m " in line)
    module, study = re.search(r"-m (\S+) check (\S+)", call).groups()
    assert importlib.util.find_spec(module)
    assert (ROOT / study).is_file()


def test_container_variants_differ_in_one_line() -> None:
    """Rendered with another build argument, as Apptainer fills them in, one line is another."""
    (argument,) = definition()["arguments"]
    name, default = argument.split("=", 1)
    text = DEFINITION
    assert set(re.findall(r"{{ *(\w+) *}}", text)) == {name}
    one, other = (text.replace(f"{{{{ {name} }}}}", value).splitlines() for value in (default, "--find-links=wheels"))
    differing = [(a, b) for a, b in zip(one, other, strict=True) if a != b]
    assert len(differing) == 1
    assert differing[0][0].strip().startswith("pip install")


@pytest.mark.parametrize("section", ["post", "environment", "runscript", "test"])
def test_container_scripts_are_shell(section) -> None:
    done = subprocess.run(["sh", "-n"], input="\n".join(definition()[section]), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_workflow_runs_in_the_container_that_the_definition_builds() -> None:
    image = re.search(r'^container: "(.+)"$', (ROOT / "Snakefile").read_text(encoding="utf-8"), flags=re.MULTILINE)[1]
    assert f"apptainer build {image} envs/container.def" in DEFINITION
