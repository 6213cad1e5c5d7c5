"""Sources of uncertainty in a config: their families, and what they need of the samples."""

import pytest

from tests.study.test_config import READ, STUDY, changed
from truthward.errors import ConfigError
from truthward.study.checks import parse
from truthward.systematics.section import Systematic

HIDDEN = READ | {"branches": {"truth_x0": "t", "reco_x0": "r", "truth_soft": "s"}}


MADE = {"herwig": {"generate": {"kind": "gaussian"}}}


def with_systematics(simulation: dict, systematics: dict, others: dict | None = None) -> dict:
    content = changed("samples.simulation", {"role": "simulation", **simulation})
    content["samples"] |= {name: {"role": "alternative", **entry} for name, entry in (others or {}).items()}
    return content | {"systematics": systematics}


def test_systematics_are_families() -> None:
    gaussian = {"generate": {"kind": "gaussian", "systematics": {"jes": {"bias": 0.1}, "scale": {"mean": 0.1}}}}
    entries = {
        "jes": {"kind": "shifted"},
        "scale": {"kind": "weight", "replicas": 1},
        "shower": {"kind": "alternative", "sample": "herwig"},
    }
    config = parse(with_systematics(gaussian, entries, MADE))
    counts = {name: n for name, n in config.families().items() if name.startswith("systematic")}
    assert counts == {"systematic:jes": 2, "systematic:scale": 1, "systematic:shower": 1}
    assert config.alternatives() == {"shower": "herwig"}
    assert config.sample("simulation") == "simulation"


def test_what_covers_a_wrong_simulation_is_known_from_the_config() -> None:
    entries = {
        "norm": {"kind": "weight", "replicas": 1},
        "shower": {"kind": "alternative", "sample": "herwig"},
        "closure": {"kind": "closure"},
        "composition": {"kind": "hidden", "columns": ["x1", "x2", "truth_x3", "truth_x4"]},
        "regularisation": {"kind": "regularisation"},
    }
    gaussian = {"generate": {"kind": "gaussian", "systematics": {"norm": {"background": 0.1}}}}
    config = parse(with_systematics(gaussian, entries, MADE))
    counts = {name: n for name, n in config.families().items() if name.startswith("systematic")}
    # Columns that the detector sees are one whole shift together; each tilted one is a pair of its own.
    assert counts == {
        "systematic:norm": 1,
        "systematic:shower": 1,
        "systematic:closure": 1,
        "systematic:composition": 1,
        "systematic:composition_truth_x3": 2,
        "systematic:composition_truth_x4": 2,
        "systematic:regularisation": 2,
    }
    assert config.model_families() == [name for name in counts if name != "systematic:norm"]
    assert config.variations() == {"norm": {"kind": "weight", "replicas": 1}}
    assert parse(STUDY).model_families() == []


@pytest.mark.parametrize(
    ("simulation", "systematics", "others", "said"),
    [
        (
            {"generate": {"kind": "gaussian"}},
            {"jes": {"kind": "shifted"}},
            {},
            ["systematics.jes", "add it to samples.simulation.generate.systematics"],
        ),
        (
            {"generate": {"kind": "gaussian", "systematics": {"jes": {"bias": 0.1}}}},
            {"jes": {"kind": "shifted", "replicas": 3}},
            {},
            ["systematics.jes.replicas", "up and down"],
        ),
        ({"read": READ}, {"jes": {"kind": "shifted"}}, {}, ["no column reco_x0:jes:1", "systematics.jes", "map it"]),
        ({"read": READ}, {"jes": {"kind": "weight", "replicas": 1}}, {}, ["no column weight:jes:0"]),
        ({"read": READ}, {"jes": {"kind": "shift"}}, {}, ["systematics.jes.kind", "'shift' given", "alternative"]),
        ({"read": READ}, {"jes": {"kind": "shifted", "sample": "h"}}, {}, ["systematics.jes", "`sample`"]),
        ({"read": READ}, {"s": {"kind": "alternative"}}, {}, ["systematics.s", "`sample`"]),
        (
            {"read": READ},
            {"s": {"kind": "alternative", "sample": "herwg"}},
            MADE,
            ["systematics.s.sample", "'herwg'", "did you mean 'herwig'"],
        ),
        ({"read": READ}, {}, MADE, ["samples.herwig", "no systematic uses"]),
        (
            {"read": READ},
            {"s": {"kind": "alternative", "sample": "herwig"}},
            {"herwig": {"read": READ}},
            ["samples.herwig.read.branches.reco_x0:jes:0", "only the simulation has variations"],
        ),
        ({"read": READ}, {"calibration": {"kind": "shifted", "replicas": 1}}, {}, ["systematics.calibration"]),
        ({"read": READ}, {"c": {"kind": "closure", "replicas": 2}}, {}, ["systematics.c", "no `replicas`"]),
        ({"read": READ}, {"c": {"kind": "closure"}, "d": {"kind": "closure"}}, {}, ["systematics.d", "c has the kind"]),
        ({"read": READ}, {"h": {"kind": "hidden"}}, {}, ["systematics.h", "needs `columns`"]),
        ({"read": READ}, {"h": {"kind": "hidden", "columns": ["reco_pt"]}}, {}, ["reco_pt exists at reco level only"]),
        ({"read": READ}, {"h": {"kind": "hidden", "columns": ["x0"]}}, {}, ["'x0' is unfolded"]),
        ({"read": HIDDEN}, {"h": {"kind": "hidden", "columns": ["soft"]}}, {}, ["write truth_soft"]),
        ({"read": HIDDEN}, {"h": {"kind": "hidden", "columns": ["truth_hard"]}}, {}, ["provide truth_hard"]),
        ({"read": HIDDEN}, {"h": {"kind": "hidden", "columns": ["pt"], "size": 0.1}}, {}, ["systematics.h", "`size`"]),
        (
            {"read": HIDDEN},
            {"h": {"kind": "hidden", "columns": ["truth_soft"]}, "h_truth_soft": {"kind": "closure"}},
            {},
            ["systematics.h_truth_soft", "truth_ column"],
        ),
    ],
)
def test_a_mistaken_systematic_is_named(simulation, systematics, others, said) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(with_systematics(simulation, systematics, others))
    message = str(caught.value)
    assert "\n" not in message
    for part in said:
        assert part in message


def test_learned_systematics_travel_with_the_options_they_use() -> None:
    entries = {
        "c": {"kind": "closure"},
        "h": {"kind": "hidden", "columns": ["x1", "truth_x2"]},
        "s": {"kind": "hidden", "columns": ["truth_x3"], "sample": "herwig"},
        "r": {"kind": "regularisation"},
    }
    config = parse(with_systematics({"generate": {"kind": "gaussian"}}, entries, MADE))
    assert config.learned() == {
        "c": {"kind": "closure"},
        "h": {"kind": "hidden", "columns": ["x1", "truth_x2"], "size": 0.3},
        "s": {"kind": "hidden", "columns": ["truth_x3"], "sample": "herwig"},
    }
    assert {n: Systematic(**entry).used() for n, entry in config.learned().items()} == config.learned()
