"""Every mistake in a config is refused before the first job, in one line that names the key and what is valid."""

import copy
import subprocess
import sys

import pytest
import yaml

from truthward.errors import ConfigError
from truthward.study.checks import load, parse
from truthward.study.observable import observables_from

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


FEATURES = [
    (
        {"kind": "ibu", "features": {"reco": ["x1"]}},
        ["the method ibu takes no features", "generative, omnifold"],
    ),
    ({"kind": "feature_fit", "features": {}}, ["the method feature_fit takes no features"]),
    (
        {"kind": "generative", "features": {"truth": ["x1"]}},
        [".truth: the method generative takes features at level reco only", "unfold it"],
    ),
    (
        {"kind": "omnifold", "features": {"recoo": ["x1"]}},
        [".recoo: the method omnifold takes features at level reco, truth"],
    ),
    ({"kind": "omnifold", "features": {"reco": ["x0"]}}, ["'x0' is unfolded"]),
    ({"kind": "omnifold", "features": {"reco": ["x1", "x1"]}}, ["'x1' is named twice"]),
    ({"kind": "omnifold", "features": {"reco": ["reco_x1"]}}, ["samples.simulation", "(did you mean 'x1'?)"]),
    ({"kind": "omnifold", "features": {"truth": ["x11"]}}, ["does not provide truth_x11", "(did you mean 'x1'?)"]),
    ({"kind": "omnifold", "features": {"reco": "x1"}}, ["'x1' given", "list of names"]),
    ({"kind": "omnifold", "features": ["x1"]}, ["['x1'] given", "dict"]),
    ({"kind": "omnifold", "features": {"reco": ["constituents_pt"]}}, ["one number per event"]),
]


@pytest.mark.parametrize(("entry", "said"), FEATURES)
def test_features_that_cannot_be_are_refused(entry, said) -> None:
    with pytest.raises(ConfigError) as error:
        parse(changed("unfold.methods.m", entry))
    assert "unfold.methods.m.features" in str(error.value)
    for part in said:
        assert part in str(error.value)


def test_features_are_taken_from_a_map_and_from_what_the_calibration_adds() -> None:
    """Of branches that have the names of columns only a job can tell."""
    branches = {f"{level}_{n}": n for level in ("truth", "reco") for n in ("x0", "jet_pt")} | {"reco_flow": "flow"}
    content = changed(
        "samples.simulation",
        {"role": "simulation", "read": {"kind": "flat_tree", "files": ["s.root"], "branches": branches}},
    )
    content["samples"]["data"] = {
        "role": "data",
        "read": {
            "kind": "flat_tree",
            "files": ["d.root"],
            "branches": {n: b for n, b in branches.items() if "truth" not in n},
        },
    }
    content["calibrate"] = {"kind": "repulsive", "features": ["jet_pt"], "scales": ["jet_pt"]}
    with pytest.raises(ConfigError, match=r"calibrate\.scales: none of jet_pt is an observable or a feature"):
        parse(content)
    names = ["flow", "jet_pt", "jet_pt_raw", "jet_pt_sigma_systematic"]
    content["unfold"]["methods"]["m"] = {"kind": "omnifold", "features": {"reco": names, "truth": ["jet_pt"]}}
    parse(content)
    content["unfold"]["methods"]["m"]["features"] = {"reco": ["jet_pt"], "truth": ["flow"]}
    with pytest.raises(ConfigError, match=r"samples\.simulation does not provide truth_flow"):
        parse(content)
    for sample in content["samples"].values():
        del sample["read"]["branches"]
    with pytest.raises(ConfigError, match=r"simulation\.read\.branches: nothing is mapped; .*`same_names: true`"):
        parse(content)
    for sample in content["samples"].values():
        sample["read"]["same_names"] = True
    assert parse(content).features() == {"truth": ["flow"], "reco": ["jet_pt"]}


FIT = {"parameter": "mass", "observable": "x0", "edges": [0, 1, 2, 3]}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("observables.x0.bin", 3, ["observables.x0.bin", "valid", "did you mean 'bins'"]),
        ("stduy", "x", ["stduy", "did you mean 'study'"]),
        ("seed", "one", ["seed", "'one' given", "integer"]),
        ("unfold.methods.ibu.kind", "omnifoldd", ["unfold.methods.ibu.kind", "omnifoldd", "did you mean 'omnifold'"]),
        ("unfold.methods.m", {"kind": "omnifold", "observables": ["x"]}, ["unfold.methods.m.observables", "'x'", "x0"]),
        ("unfold.methods.ibu.bogus", 3, ["unfold.methods.ibu.bogus", "no such option", "valid"]),
        ("samples.simulation.generate.dimensions", "two", ["samples.simulation.generate.dimensions", "'two'", "int"]),
        ("observables.x77", {"range": [0, 1]}, ["observables.x77", "samples.simulation", "x0"]),
        ("observables.x0.range", [1, 0], ["observables.x0", "must increase"]),
        ("samples.data.role", "dta", ["samples.data.role", "'dta' given", "simulation"]),
        ("samples.data.role", "simulation", ["samples.data", "closure"]),
        ("publish.method", "omnifold", ["publish.method", "unfold.methods", "ibu"]),
        ("unfold.methods", {}, ["unfold.methods", "at least one"]),
        ("unfold.methods.calibrate", {"kind": "ibu"}, ["unfold.methods", "'calibrate'", "another name"]),
        ("unfold.methods.stress", {"kind": "ibu"}, ["unfold.methods", "'stress'", "another name"]),
        ("observables.constituents_n", {"range": [0, 1]}, ["observables.constituents_n", "another name"]),
        ("publish.licence", "</SCRIPT ><script>alert(1)", ["publish.licence", "valid: text without"]),
        ("observables.x0", {"range": [0, 1], "label": "a <!-- b"}, ["observables.x0.label", "valid: text without"]),
        ("observables.x0.range", ["a", 1], ["observables.x0.range", "'a' given", "number"]),
        ("surrogate", {"uncertainty": {"kind": "ensemble", "layers": "all"}}, ["surrogate.uncertainty", "no `layers`"]),
        ("surrogate", {"uncertainty": {"membrs": 3}}, ["uncertainty.membrs", "did you mean 'members'"]),
        ("surrogate", {"learning_rate": float("nan")}, ["surrogate.learning_rate", "finite numbers"]),
        ("surrogate", {"correction": {"epoch": 3}}, ["surrogate.correction.epoch", "did you mean 'epochs'"]),
        (
            "surrogate",
            {"models": {"m": {"kind": "consistency", "teacher": {"kind": "flow_matching", "widht": 3}}}},
            ["surrogate.models.m.teacher.widht", "did you mean 'width'"],
        ),
        ("study", "../escape", ["study", "../escape"]),
        ("samples.data.read", {"kind": "flat_tree", "files": ["x.root"]}, ["samples.data", "exactly one"]),
        ("samples.data.checksums", "SHA256SUMS", ["samples.data", "`checksums` is for samples that are read"]),
        ("samples.data.chunks", 21, ["samples.data", "21 chunks", "at most 20"]),
        ("calibrate", {"kind": "repulsive", "membrs": 3}, ["calibrate.membrs", "did you mean 'members'"]),
        ("validate", {"fit": FIT | {"observable": "x"}}, ["validate.fit.observable", "'x' is not one of", "x0"]),
        ("validate", {"fit": FIT | {"edges": [0, 1, 2]}}, ["validate.fit.edges", "three bins"]),
        ("validate", {"fit": FIT | {"edges": [0, 1, 1, 2]}}, ["validate.fit.edges", "increasing"]),
        ("validate", {"fit": FIT | {"edges": ["a", 1, 1, 2]}}, ["validate.fit.edges", "'a' given", "number"]),
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


def test_the_particle_level_is_the_generators_or_as_the_config_says() -> None:
    assert parse(STUDY).particle_level() is None
    pythia = changed("samples.simulation.generate", {"kind": "pythia"})
    pythia["observables"] = {"m": {"range": [0, 75]}}
    pythia["samples"]["data"]["generate"] = {"kind": "pythia", "luminosity": 0}
    assert parse(pythia).particle_level() == "particles with c tau > 10 mm are stable"
    pythia["publish"]["particle_level"] = "partons"
    assert parse(pythia).particle_level() == "partons"


def test_a_missing_key_is_named() -> None:
    content = copy.deepcopy(STUDY)
    del content["publish"]["licence"]
    with pytest.raises(ConfigError, match=r"publish\.licence: this key is needed"):
        parse(content)


def test_a_data_map_must_not_carry_truth() -> None:
    read = {"kind": "flat_tree", "files": ["x.root"], "branches": {"reco_x0": "x", "truth_x0": "t"}}
    with pytest.raises(ConfigError, match="closure: true"):
        parse(changed("samples.data", {"role": "data", "read": read}))


READ = {"kind": "flat_tree", "files": ["x.root"], "branches": {"truth_x0": "t", "reco_x0": "r", "reco_x0:jes:0": "u"}}


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
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if line and not line.startswith((" ", "#")) and not before.startswith("#")
    ]
    assert [line for line in bare if line.split(":")[0] not in ("unfold", "validate", "publish")] == []


def test_checking_a_config_loads_nothing_heavy(root) -> None:
    program = (
        "import sys; from truthward.study.checks import load; load('config.yaml');"
        "print([m for m in ('torch', 'awkward', 'numpy', 'uproot', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


MAPPED = {"truth_x0": "t", "reco_x0": "r / 1000", "pass_reco": "(r > 20) & ok"}


def read_by_map(content: dict) -> dict:
    """The study with both samples read from files by a map."""
    content["samples"] = {
        "simulation": {"role": "simulation", "read": {"kind": "flat_tree", "files": ["s"], "branches": dict(MAPPED)}},
        "data": {
            "role": "data",
            "read": {"kind": "flat_tree", "files": ["d"], "branches": {"reco_x0": "r"}},
            "closure_read": {"kind": "flat_tree", "files": ["c"], "branches": {"truth_x0": "t"}},
        },
    }
    content["calibrate"] = None
    return content


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("samples.simulation.read.branches.reco_x0", "r / ", "not an expression (invalid syntax) at its end"),
        (
            "samples.simulation.read.branches.reco_x0",
            "r + sqr(r)",
            "no function sqr; nearest names: sqrt",
        ),
        ("samples.simulation.read.branches.weight", "w % 2", "'w % 2' is not allowed, at character 1"),
        ("samples.simulation.read.branches.weight", ["w"], "['w'] given; an expression over branches is expected"),
        ("samples.simulation.read.branches.weight", "`w", "a backtick is not closed, at character 1"),
        ("samples.simulation.read.branches.weight", "2`w`", "an operator is missing beside `w`, at character 2"),
        ("samples.simulation.read.branches.pass_reco", "r > 2 & r < 3", "a number where a condition is needed"),
        ("samples.simulation.read.branches.recox0", "r", "no such column; valid: truth_<name>"),
        ("samples.data.read.branches.reco_x0", "(`jet pt` + \u00b5) * a[1000]", "a place in a list must be a whole"),
        ("samples.data.closure_read.branches.truth_x0", "t t", "not an expression (invalid syntax) at character"),
        ("samples.data.closure_read.branches", {}, "nothing is mapped; write `column: branch`"),
        ("selection.reco", "reco_x0 > > 1", "not an expression (invalid syntax) at character 11"),
        ("selection.reco", "truth_x0 > 1", "truth_x0 is no column of this level"),
        ("selection.truth", "truth_x0 + 1", "is a number; write a condition"),
        ("selection.truth", "truth_x0", "is a number; write a condition"),
        ("selection.reco", "reco_x1 > 1", "samples.simulation.read does not provide reco_x1; it provides reco_x0"),
    ],
)
def test_expressions_are_refused_before_any_file_is_opened(key, text, said):
    content = read_by_map(changed("seed", 1))
    parse(content)
    *path, last = key.split(".")
    part = content
    for name in path:
        part = part.setdefault(name, {})
    part[last] = text
    with pytest.raises(ConfigError) as error:
        parse(content)
    assert str(error.value).startswith(f"config: {key}: ")
    assert said in str(error.value)


def test_columns_of_same_names_are_known_to_the_files_alone():
    content = read_by_map(changed("seed", 1))
    content["samples"]["simulation"]["read"] = {"kind": "flat_tree", "files": ["s"], "same_names": True}
    content["selection"] = {"truth": "truth_x1 > 1"}
    parse(content)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("calibrate.features", ["pt", "x0"], "calibrate.features: samples.simulation does not provide reco_pt"),
        ("calibrate.features", ["x0", "x0"], "calibrate.features: ['x0', 'x0'] given; name each feature once"),
        ("calibrate.log_features", ["x1"], "calibrate.log_features: 'x1' is not among the features: x0"),
        ("calibrate.target", "x1", "calibrate.scales: ['x0'] given; the target 'x1' must be among them"),
        ("calibrate.scales", ["x0", "y"], "calibrate.scales: samples.simulation does not provide reco_y"),
        (
            "validate.stress",
            {"hidden": "jet_pt"},
            "validate.stress.hidden: samples.simulation does not provide truth",
        ),
        ("validate.stress", {"hidden": "x0"}, "validate.stress.hidden: 'x0' is unfolded"),
        ("validate.stress", {"scaled": "x1"}, "validate.stress.scaled: 'x1' given; an observable that is continuous"),
        ("validate.fit", FIT, "validate.fit.parameter: samples.simulation does not provide truth_mass"),
    ],
)
def test_columns_that_no_sample_provides_are_refused(key, value, said):
    content = changed("validate", {})
    options = {"features": ["x0"], "log_features": [], "target": "x0", "scales": ["x0"]}
    content["calibrate"] = {"kind": "repulsive", **options}
    parse(content)
    section, option = key.split(".")
    content[section][option] = value
    with pytest.raises(ConfigError) as error:
        parse(content)
    assert said in str(error.value)


def test_a_rule_that_needs_pseudo_data_is_refused_without_them() -> None:
    method = {"m": {"kind": "omnifold", "stop": {"rule": "closure"}}}
    publish = {"method": "m", "licence": "CC0-1.0", "fiducial": "all"}
    content = changed("unfold", {"methods": method}) | {"publish": publish}
    with pytest.raises(ConfigError, match=r"unfold\.methods\.m\.stop\.rule: closure needs pseudo-data.*kind: closure"):
        parse(content)
    assert parse(content | {"systematics": {"c": {"kind": "closure"}}}).kinds() == {"c": "closure"}
