"""The environment's files agree with each other, and hold no address."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"pytorch": "torch"}


def pins(text: str) -> dict[str, str]:
    lines = [line.strip() for line in text.splitlines()]
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pairs}


def read(name: str) -> str:
    return (ROOT / "envs" / name).read_text(encoding="utf-8")


def test_lock_holds_every_requirement_at_its_version() -> None:
    wanted, locked = pins(read("requirements.in")), pins(read("requirements.lock"))
    assert wanted.items() <= locked.items()


def test_lock_is_what_is_installed() -> None:
    from importlib.metadata import version

    differing = {
        n: (v, version(n)) for n, v in pins(read("requirements.lock")).items() if version(n).split("+")[0] != v
    }
    assert differing == {}


def test_conda_environment_has_the_same_packages() -> None:
    entries = yaml.safe_load(read("chain.yaml"))["dependencies"]
    conda = dict(entry.split("=", 1) for entry in entries if isinstance(entry, str) and entry != "pip")
    conda.pop("python")
    pip = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    found = {CONDA_NAMES.get(n, n): v for n, v in conda.items()} | pins("\n".join(pip))
    assert found == pins(read("requirements.in"))


def test_no_registry_address() -> None:
    for path in (ROOT / "envs").iterdir():
        assert "://" not in path.read_text(encoding="utf-8"), path.name
