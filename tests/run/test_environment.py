"""The environment's files agree with each other and with what is imported; a changed pin reruns what it can change."""

import ast
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from truthward.errors import ConfigError, StaleError
from truthward.run import digests, environment

ROOT = Path(__file__).parents[2]
CONDA_NAMES = {"pytorch": "torch"}
# The peer has an environment of its own.
FOLDERS = ("src", "workflow", "tests", "benchmarks", "envs", "docs")
# Not what a benchmark has installed into a hidden folder of its own.
SOURCES = [p for d in FOLDERS for p in (ROOT / d).rglob("*.py") if "/." not in p.relative_to(ROOT).as_posix()]
SOURCES = [p for p in SOURCES if (ROOT / "benchmarks" / "peer") not in p.parents]


def lock_script():
    spec = importlib.util.spec_from_file_location("lock", ROOT / "envs" / "lock.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pins(text: str) -> dict[str, str]:
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    pairs = (line.split("==") for line in lines if line)
    return {environment.canonical(name): version for name, version in pairs}


def read(name: str) -> str:
    return (ROOT / "envs" / name).read_text(encoding="utf-8")


IN = ("requirements", "dev", "hepmc", "remote")
"""Files of direct requirements."""


def wanted_pins() -> dict[str, str]:
    """Direct requirements: of the package, of its development, and optional ones."""
    return {name: pin for file in IN for name, pin in pins(read(f"{file}.in")).items()}


def test_lock_is_the_closure_of_what_is_required_and_says_why() -> None:
    assert read("requirements.lock") == lock_script().lock(), "run `make lock`"


def test_lock_satisfies_every_requirement() -> None:
    script = lock_script()
    locked = pins(read("requirements.lock"))
    stated = script.closure(script.direct())
    bad = [
        f"{by} requires {requirement}, locked is {locked.get(name)}"
        for name, requirements in stated.items()
        for requirement, by in requirements
        if not requirement.specifier.contains(locked.get(name, "0"), prereleases=True)
    ]
    assert bad == []
    assert set(stated) == set(locked), "missing or superfluous"


def test_markers_and_extras_are_evaluated_for_the_target(monkeypatch) -> None:
    script = lock_script()
    stated = {
        "one": [
            "two[fast]>=1",
            "never; sys_platform == 'win32'",
            "old; python_version < '3.11'",
            "not_asked; extra=='x'",
        ],
        "two": ["three; extra == 'fast'", "four; extra == 'slow'"],
    }
    monkeypatch.setattr(script, "distribution", lambda name: type("D", (), {"requires": stated.get(name)}))
    found = script.closure([(script.Requirement("One"), "requirements.in")])
    assert {name: [by for _, by in s] for name, s in found.items()} == {
        "one": ["requirements.in"],
        "two": ["one"],
        "three": ["two"],
    }


def test_lock_holds_every_direct_requirement_at_its_pin() -> None:
    wanted = wanted_pins()
    assert wanted.items() <= pins(read("requirements.lock")).items()
    assert wanted["torch"] == "2.13.0", "without a local label, which registries do not have"


def test_lock_is_what_is_installed() -> None:
    assert environment.differing(environment.pins()) == {}


def test_conda_environment_has_the_same_packages() -> None:
    entries = yaml.safe_load(read("chain.yaml"))["dependencies"]
    conda = dict(entry.split("=", 1) for entry in entries if isinstance(entry, str) and entry != "pip")
    assert conda.pop("python") == "3.11"
    pip = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    found = {CONDA_NAMES.get(n, n): v for n, v in conda.items()} | pins("\n".join(pip))
    assert found == wanted_pins()


def test_package_requires_what_the_environment_is_made_of() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    dynamic = project["tool"]["setuptools"]["dynamic"]
    assert dynamic["dependencies"] == {"file": ["envs/requirements.in"]}
    extras = {name: {"file": [f"envs/{name}.in"]} for name in IN[1:]}
    assert dynamic["optional-dependencies"] == extras
    assert {"dependencies", "optional-dependencies"} <= set(project["project"]["dynamic"])
    assert len(wanted_pins()) == sum(len(pins(read(f"{name}.in"))) for name in IN)
    assert project["project"]["requires-python"] == ">=3.11"


def test_files_hold_no_address() -> None:
    for path in (ROOT / "envs").iterdir():
        if path.is_file():
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                assert not re.search(r"://|\w\.(org|com|io|net|dev)\b", line), f"{path.name}:{number}: {line}"
                if path.suffix in (".in", ".lock"):
                    assert not re.match(r"\s*-|.* @ ", line), f"{path.name}:{number}: an option or a path: {line}"
    for line in read("requirements.lock").splitlines()[1:]:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*  # via [a-z0-9.-]+(, [a-z0-9.-]+)*", line), line


def test_every_import_is_of_a_direct_requirement() -> None:
    packages = importlib.metadata.packages_distributions()
    everything, run_time = wanted_pins(), pins(read("requirements.in"))
    own = {p.stem for p in SOURCES} | {"truthward", "benchmarks", "tests"}
    unknown = set()
    for path in SOURCES:
        wanted = run_time if path.relative_to(ROOT).parts[0] in ("src", "workflow") else everything
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for top in {n.split(".")[0] for n in names} - sys.stdlib_module_names - own:
                owners = {environment.canonical(d) for d in packages.get(top, [top])}
                if not owners & set(wanted):
                    unknown.add(f"{path.relative_to(ROOT)} imports {top} of {', '.join(owners)}")
    assert unknown == set()


# What follows is `truthward.run.environment`.

LOCK = """\
# A heading.
numpy==2.0  # via awkward, requirements.in, torch
awkward==1.0  # via requirements.in
awkward-cpp==5  # via awkward
torch==3.0  # via requirements.in
Jinja2==7.1  # via torch
ruff==0.1  # via requirements.in
"""


def by(*modules: str) -> dict[str, str]:
    """Modules that a stage imports."""
    return dict.fromkeys(modules, "stage.py")


@pytest.fixture
def lock(tmp_path):
    """A function that writes a lock and gives its path, each time a new one."""
    return lambda text, name="one": (tmp_path / f"{name}.lock", (tmp_path / f"{name}.lock").write_text(text))[0]


@pytest.mark.parametrize(
    ("old", "new", "modules", "equal"),
    [
        ("# A heading.", "# Another.\n", {"torch"}, True),
        ("Jinja2", "jinja2", {"torch"}, True),
        ("ruff==0.1", "ruff==0.2", {"torch", "awkward"}, True),
        ("torch==3.0", "torch==3.1", {"awkward"}, True),
        ("torch==3.0", "torch==3.1", {"torch"}, False),
        ("awkward-cpp==5", "awkward-cpp==6", {"awkward"}, False),
        ("awkward-cpp==5", "awkward-cpp==6", {"torch"}, True),
        ("numpy==2.0", "numpy==2.1", {"torch"}, False),
        ("Jinja2==7.1", "Jinja2==7.2", {"torch"}, False),
    ],
)
def test_digest_goes_by_the_pins_that_the_code_can_reach(lock, old, new, modules, equal) -> None:
    before = environment.digest(by(*modules), lock(LOCK))
    assert (environment.digest(by(*modules), lock(LOCK.replace(old, new), "two")) == before) is equal


def test_digest_does_not_go_by_order(lock) -> None:
    turned = "\n".join(reversed(LOCK.splitlines()))
    assert environment.digest(by("torch"), lock(turned)) == environment.digest(by("torch"), lock(LOCK, "two"))


def test_module_whose_package_has_another_name_is_found(lock) -> None:
    one = lock("pyyaml==1.0  # via requirements.in\n")
    two = lock("pyyaml==2.0  # via requirements.in\n", "two")
    assert environment.digest(by("yaml"), one) != environment.digest(by("yaml"), two)


def test_unpinned_import_is_refused(lock) -> None:
    with pytest.raises(
        ConfigError, match=r"stage\.py imports nothing_known, which envs/requirements\.lock does not pin"
    ):
        environment.digest(by("nothing_known"), lock(LOCK))


def test_broken_lock_is_refused(lock, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"one.lock:2: 'numpy>=2' is not `name==version"):
        environment.pins(lock("torch==3.0\nnumpy>=2\n"))
    with pytest.raises(ConfigError, match=r"install truthward again; in a checkout: `pip install \.`"):
        environment.pins(tmp_path / "none.lock")


def test_installed_versions_are_held_against_the_lock(lock, monkeypatch) -> None:
    installed = {"numpy": "2.0", "torch": "3.0+cpu", "awkward": "1.1"}

    def version(name: str) -> str:
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    path = lock(LOCK)
    environment.check_installed(by("numpy", "torch"), path)
    with pytest.raises(StaleError, match=r"awkward 1.1 is installed, .* has 1.0: .*make \.venv/\.stamp.*lock"):
        environment.check_installed(by("numpy", "awkward"), path)
    with pytest.raises(StaleError, match=r"ruff \(none\) is installed"):
        environment.check_installed(by("ruff"), path)


def test_stages_depend_on_what_they_import(root) -> None:
    def foreign(rule: str, *kinds: tuple[str, str]) -> set[str]:
        return set(digests.foreign(digests.reached(root / "workflow" / "scripts" / f"{rule}.py", kinds)))

    assert "pythia8mc" in foreign("simulate", ("physics.generators", "pythia"))
    assert not {"pythia8mc", "torch"} & foreign("simulate", ("physics.generators", "gaussian"))
    assert {"torch", "numpy", "pyarrow"} <= foreign("unfold_part", ("unfold", "omnifold"))
    assert "matplotlib" not in foreign("unfold_part", ("unfold", "omnifold"))
    assert "matplotlib" in foreign("unfold_figures")


@pytest.mark.parametrize(
    ("planned", "said"), [({"digest": "0"}, "source changed"), ({"environment": "0"}, "requirements.lock changed")]
)
def test_job_that_differs_from_its_plan_is_refused(root, planned, said) -> None:
    adapter = root / "workflow" / "scripts" / "ingest.py"
    code = digests.code(adapter)
    digests.check(adapter, code)
    with pytest.raises(StaleError, match=said):
        digests.check(adapter, code | planned)


def test_job_on_other_packages_than_the_locks_is_refused(root, monkeypatch) -> None:
    adapter = root / "workflow" / "scripts" / "ingest.py"
    code = digests.code(adapter)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0")
    with pytest.raises(StaleError, match=r"numpy 0\.0 is installed"):
        digests.check(adapter, code)


def test_tests_of_a_group_go_to_one_worker(tmp_path) -> None:
    """Versions of pytest and pytest-xdist that disagree deal them out like any others, and say nothing."""
    mark = 'import os, pytest\n@pytest.mark.xdist_group("g")\n@pytest.mark.parametrize("i", range(6))\n'
    (tmp_path / "test_group.py").write_text(mark + "def test(i):\n    print('worker', os.getpid())\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup", "-rP", "-p", "no:cacheprovider", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    workers = re.findall(r"worker (\d+)", done.stdout)
    assert len(workers) == 6
    assert len(set(workers)) == 1
