"""Slices, backgrounds and cross sections: what does not go together is refused before the first job."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from truthward.errors import ConfigError
from truthward.study.checks import parse
from truthward.study.config import Config

RECO = {"reco_x": "x", "pass_reco": "x > 1", "weight": "genWeight"}
SIGNAL = {"truth_x": "gen_x", **RECO}


def sample(role: str, branches: dict[str, str], **more: Any) -> dict[str, Any]:
    read = {"kind": "flat_tree", "files": ["x.root"], "branches": dict(branches)}
    return {"role": role, "read": read, **more}


RUNS = {"tree": "Runs", "branch": "genEventSumw"}
STUDY: dict[str, Any] = {
    "study": "toy",
    "luminosity": {"value": 36.3, "unit": "fb-1"},
    "samples": {
        "low": sample("simulation", SIGNAL, cross_section=1234.5, k_factor=1.1, generator_weights=dict(RUNS)),
        "high": sample("simulation", SIGNAL, cross_section=12.3, generator_weights={"histogram": "sumw", "bin": 1}),
        "ttbar": sample("background", RECO, cross_section=831.8, generator_weights="1.23e9"),
        "data": sample("data", {"reco_x": "x", "run": "run", "lumi": "luminosityBlock"}, certified="golden.json"),
    },
    "observables": {"x": {"range": [0, 5], "bins": 20}},
    "unfold": {"methods": {"ibu": {"kind": "ibu"}}},
    "publish": {"method": "ibu", "licence": "CC0-1.0", "fiducial": "all"},
}


def changed(*changes: tuple[str, object]) -> dict[str, Any]:
    """The study with other values; None removes a key."""
    content = copy.deepcopy(STUDY)
    for key, value in changes:
        *path, last = key.split("/")
        section = content
        for part in path:
            section = section[part]
        section[last] = value
        if value is None:
            del section[last]
    return content


def test_slices_and_backgrounds_are_one_simulation() -> None:
    config = parse(STUDY)
    assert config.merged() == ["low", "high", "ttbar"]
    assert config.simulation == "prediction"
    assert config.published_luminosity() == 36.3
    found = config.normalisation("low")
    assert found is not None
    assert (found["cross_section"], found["k_factor"], found["luminosity"]) == (1234.5, 1.1, 36_300.0)
    assert found["generator_weights"]["branch"] == "genEventSumw"
    assert config.normalisation("data") is None
    assert parse(changed(("luminosity", {"value": 2.0, "unit": "nb-1"}))).published_luminosity() == 2e-6


def test_one_simulation_is_not_merged() -> None:
    config = parse(changed(("samples/high", None), ("samples/ttbar", None)))
    assert config.merged() == []
    assert config.simulation == "low"


def test_samples_of_known_yields_need_neither_cross_section_nor_luminosity() -> None:
    samples = {"a": sample("simulation", SIGNAL), "b": sample("background", RECO), "d": sample("data", {"reco_x": "x"})}
    assert parse(changed(("luminosity", None), ("samples", samples))).merged() == ["a", "b"]
    # Such as a background that was estimated from data, beside others of known cross section.
    config = parse(changed(("samples/qcd", sample("background", RECO, cross_section=None))))
    assert config.normalisation("qcd") is None


WEIGHTS = "samples/low/generator_weights"
LOW = "samples/low/read/branches"
CASES = [
    ([("luminosity", None)], "samples.low.cross_section: needs the luminosity of the data; add `luminosity: {value"),
    ([("luminosity", 36.3)], "luminosity: 36.3 given; input should be a valid dictionary"),
    ([("luminosity", {"value": 36.3})], "luminosity.unit: this key is needed"),
    ([("luminosity", {"value": 36.3, "unit": "fb"})], "luminosity.unit: 'fb' given; input should be 'ub-1', 'nb-1'"),
    ([("luminosity", {"value": -1, "unit": "fb-1"})], "luminosity.value: -1 given; input should be greater than 0"),
    (
        [(WEIGHTS, None)],
        "samples.low: `cross_section` needs `generator_weights`, the sum over all events before any skim",
    ),
    ([(WEIGHTS, {"tree": "Runs"})], "samples.low.generator_weights: give a number, or exactly one of `branch`"),
    ([(WEIGHTS, {"branch": "a", "sum": 2.0})], "samples.low.generator_weights: give a number, or exactly one of"),
    ([(WEIGHTS, {"branch": "a", "bin": 2})], "samples.low.generator_weights: `bin` needs `histogram`"),
    ([(WEIGHTS, {"histogram": "a", "tree": "b"})], "samples.low.generator_weights: `tree` needs `branch`"),
    ([(WEIGHTS, {"histogram": "a", "bin": 0})], "samples.low.generator_weights.bin: 0 given; input should be greater"),
    ([(WEIGHTS, {"trees": "a"})], "samples.low.generator_weights.trees: no such key; valid: tree, branch, histogram"),
    ([(WEIGHTS, 0)], "samples.low.generator_weights.sum: 0 given; input should be greater than 0"),
    ([(WEIGHTS, "many")], "samples.low.generator_weights.sum: 'many' given; input should be a valid number"),
    ([("samples/low/cross_section", -2)], "samples.low.cross_section: -2 given; input should be greater than 0"),
    (
        [("samples/high/cross_section", None)],
        "samples.high: `generator_weights` is given without `cross_section`; add it",
    ),
    (
        [("samples/ttbar/cross_section", None), ("samples/ttbar/generator_weights", None)],
        "samples.ttbar: no `cross_section`, but samples.low has one; add it (pb), or write `cross_section: null`",
    ),
    ([("samples/data/cross_section", 2.0)], "samples.data: `cross_section` is for simulation that is read"),
    ([("publish/luminosity", 36.3)], "publish.luminosity: `luminosity` of the study says it already; remove it here"),
    ([("samples/prediction", STUDY["samples"]["low"])], "samples.prediction: this name is reserved for the table into"),
    (
        [("samples/signal", STUDY["samples"]["ttbar"])],
        "samples.signal: a background has the name of its sample as process",
    ),
    ([(f"{LOW}/truth_y", "y")], "samples.high lacks the column truth_y, which samples.low has; map it in both, or in"),
    ([("samples/high/read/branches/reco_y", "y")], "samples.low lacks the column reco_y, which samples.high has"),
    ([("samples/ttbar/read/branches/reco_y", "y")], "samples.low lacks the column reco_y, which samples.ttbar has"),
    (
        [("samples/high/read/branches/weight:pdf:0", "w")],
        "samples.low lacks the column weight:pdf:0, which samples.high has; map it in both, or in neither; "
        "where it does not vary, map weight as it is",
    ),
    ([("samples/low/certified", "golden.json")], "samples.low: `certified` is for real data that are read"),
    ([("samples/data/closure", True)], "samples.data: `certified` is for real data that are read, without `closure`"),
    (
        [("samples/data/read/branches/lumi", None)],
        "samples.data.certified: needs run and lumi of each event, but the map has no lumi; add it to "
        "samples.data.read.branches, such as `lumi: luminosityBlock`",
    ),
    (
        [("samples/more", STUDY["samples"]["data"])],
        "samples: exactly one sample with role data is needed, found ['data'",
    ),
    (
        [("samples/low", None), ("samples/high", None)],
        "samples: at least one sample with role simulation is needed, found none",
    ),
]


@pytest.mark.parametrize(("changes", "said"), CASES)
def test_a_mistake_is_named(changes, said) -> None:
    with pytest.raises(ConfigError) as error:
        parse(changed(*changes))
    assert str(error.value).startswith("config: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_truth_that_the_map_of_a_background_has_is_not_compared() -> None:
    parse(changed(("samples/ttbar/read/branches/truth_z", "z")))


VARIED = [(f"samples/{name}/read/branches/weight:pdf:{i}", "w") for name in ("low", "high") for i in (0, 1)]


def test_a_background_may_lack_a_systematic() -> None:
    pdf = ("systematics", {"pdf": {"kind": "weight"}})
    parse(changed(*VARIED, pdf))
    with pytest.raises(ConfigError, match=r"samples\.ttbar lacks the column weight:pdf:1, which samples\.low has"):
        parse(changed(*VARIED, pdf, ("samples/ttbar/read/branches/weight:pdf:0", "w")))
    alone = [(f"samples/ttbar/read/branches/weight:pdf:{i}", "w") for i in (0, 1)]
    with pytest.raises(ConfigError, match=r"samples\.low lacks the column weight:pdf:0, which samples\.ttbar has"):
        parse(changed(*alone, pdf))


def test_hidden_columns_and_features_are_needed_of_a_background_at_reco_level() -> None:
    more = [(f"samples/{name}/read/branches/{lv}_y", "y") for name in ("low", "high") for lv in ("truth", "reco")]
    more += [("samples/data/read/branches/reco_y", "y"), ("systematics", {"h": {"kind": "hidden", "columns": ["y"]}})]
    with pytest.raises(ConfigError, match=r"samples\.low has; map it in both|samples\.ttbar does not provide reco_y"):
        parse(changed(*more))
    parse(changed(*more, ("samples/ttbar/read/branches/reco_y", "y")))


def test_slices_of_different_particle_levels(monkeypatch) -> None:
    monkeypatch.setattr(Config, "particle_levels", lambda _: {"c tau > 10 mm": "low", "all decayed": "high"})
    with pytest.raises(
        ConfigError, match=r"slices of different particle levels \(samples\.low: c tau > 10 mm; samples\.hi"
    ):
        parse(STUDY)
    parse(changed(("publish/particle_level", "c tau > 10 mm")))


def test_generators_state_the_particle_level() -> None:
    content = changed(("luminosity", None))
    content["samples"] = {
        "simulation": {"role": "simulation", "generate": {"kind": "pythia"}},
        "pseudodata": {"role": "data", "generate": {"kind": "pythia"}},
    }
    content["observables"] = {"jet_pt": {"range": [0, 500], "bins": 5}}
    (level,) = parse(content).particle_levels()
    assert parse(content).particle_level() == level
