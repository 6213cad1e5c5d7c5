"""Every mistake in a config is refused before the first job, in one line that names the key and what is valid."""

import copy
import subprocess
import sys

import pytest
import yaml

from truthward.checks import load, parse
from truthward.config import observables_from
from truthward.errors import ConfigError

STUDY = {
    "study": "toy",
    "samples": {
        "simulation": {"role": "simulation", "generate": {"kind": "gaussian", "dimensions": 1}},
        "data": {"role": "data", "generate": {"kind": "gaussian"}, "closure": True},
    },
    "observables": {"x0": {"range": [-5, 5], "bins": 20}},
    "unfold": {"methods": {"ibu": {"kind": "ibu"}}},
    "publish": {"method": "ibu", "licence": "CC0-1.0", "fiducial": "all", "example": "x0"},
}


def changed(key: str, value: object) -> dict:
    content = copy.deepcopy(STUDY)
    *path, last = key.split(".")
    section = content
    for part in path:
        section = section[part]
    section[last] = value
    return content


def test_a_right_config_is_taken() -> None:
    config = parse(STUDY)
    assert config.sample("data") == "data"
    assert config.has_closure
    (observable,) = observables_from(config.observable_list())
    assert observable.edges[0] == -5
    assert len(observable.edges) == 21


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("observables.x0.bin", 3, ["observables.x0.bin", "valid", "did you mean 'bins'"]),
        ("stduy", "x", ["stduy", "did you mean 'study'"]),
        ("seed", "one", ["seed", "'one' given", "integer"]),
        ("unfold.methods.ibu.kind", "omnifoldd", ["unfold.methods.ibu.kind", "omnifoldd", "did you mean 'omnifold'"]),
        ("unfold.methods.ibu.bogus", 3, ["unfold.methods.ibu.bogus", "no such option", "valid"]),
        ("samples.simulation.generate.dimensions", "two", ["samples.simulation.generate.dimensions", "'two'", "int"]),
        ("observables.x77", {"range": [0, 1]}, ["observables.x77", "samples.simulation", "x0"]),
        ("observables.x0.range", [1, 0], ["observables.x0", "must rise"]),
        ("samples.data.role", "dta", ["samples.data.role", "'dta' given", "simulation"]),
        ("samples.data.role", "simulation", ["samples.data", "closure"]),
        ("publish.method", "omnifold", ["publish.method", "unfold.methods", "ibu"]),
        ("unfold.methods", {}, ["unfold.methods", "at least one"]),
        ("study", "../escape", ["study", "../escape"]),
        ("samples.data.read", {"kind": "flat_tree", "files": ["x.root"]}, ["samples.data", "exactly one"]),
        ("calibrate", {"kind": "repulsive", "membrs": 3}, ["calibrate.membrs", "did you mean 'members'"]),
        ("unfold.replicas", {"data_bootstrap": -1}, ["unfold.replicas.data_bootstrap", "-1 given"]),
    ],
)
def test_a_mistake_is_named(key: str, value: object, said: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(changed(key, value), "study.yaml")
    message = str(caught.value)
    assert message.startswith("study.yaml: ")
    assert "\n" not in message
    for part in said:
        assert part in message


def test_a_missing_key_is_named() -> None:
    content = copy.deepcopy(STUDY)
    del content["publish"]["licence"]
    with pytest.raises(ConfigError, match=r"publish\.licence: this key is needed"):
        parse(content)


def test_a_data_map_must_not_carry_truth() -> None:
    read = {"kind": "flat_tree", "files": ["x.root"], "branches": {"reco_x0": "x", "truth_x0": "t"}}
    with pytest.raises(ConfigError, match="closure: true"):
        parse(changed("samples.data", {"role": "data", "read": read}))


def test_every_ready_made_study_is_right(root) -> None:
    studies = [root / "config.yaml", *sorted((root / "workflow" / "studies").glob("*.yaml"))]
    assert len(studies) >= 3
    names = [load(path).study for path in studies]
    assert len(set(names)) == len(names)


def test_every_key_of_the_default_config_is_commented(root) -> None:
    text = (root / "config.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)
    lines = text.splitlines()
    bare = [
        line for before, line in zip(["", *lines], lines, strict=False)
        if line and not line.startswith((" ", "#")) and not before.startswith("#")
    ]  # fmt: skip
    assert [line for line in bare if line.split(":")[0] not in ("unfold", "validate", "publish")] == []


def test_checking_a_config_loads_nothing_heavy(root) -> None:
    program = (
        "import sys; from truthward.checks import load; load('config.yaml');"
        "print([m for m in ('torch', 'awkward', 'numpy', 'uproot', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
