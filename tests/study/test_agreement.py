"""What sections of a config contradict each other in is refused before the first job."""

import copy

import pytest

from truthward.errors import ConfigError
from truthward.study.checks import parse

STUDY = {
    "study": "toy",
    "samples": {
        "simulation": {"role": "simulation", "generate": {"kind": "gaussian", "dimensions": 2}},
        "data": {"role": "data", "generate": {"kind": "gaussian", "dimensions": 2}, "closure": True},
    },
    "observables": {"x0": {"range": [-5, 5]}, "x1": {"range": [-5, 5], "atoms": [0]}},
    "unfold": {
        "methods": {"omnifold": {"kind": "omnifold"}, "generative": {"kind": "generative"}, "ibu": {"kind": "ibu"}}
    },
    "publish": {"method": "omnifold", "licence": "CC0-1.0", "fiducial": "all"},
}


def refused(change) -> str:
    content = copy.deepcopy(STUDY)
    change(content)
    with pytest.raises(ConfigError) as caught:
        parse(content)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def example(text: str, method: str = "omnifold"):
    return lambda s: s["publish"].update(example=text, method=method)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (example("x0"), ["publish.example: x0 is unfolded itself", "x2", "x0 ** 2", "without this key"]),
        (example(" x0"), ["x0 is unfolded itself"]),
        (example("x0 +"), ["publish.example: 'x0 +' is not a valid expression"]),
        (example("x0 * mass"), ["no observable mass"]),
        (example("eval(x2)"), ["eval is no function"]),
        (example("x2", "generative"), ["publish.example: no observable x2; there are: x0, x1"]),
        (
            lambda s: s["unfold"].update(replicas={"data_bootstrap": 1, "mc_bootstrap": 0, "initialisation": 0}),
            ["unfold.jobs: 2 given, but the study has 1 replicas"],
        ),
        (
            lambda s: (
                s["unfold"].update(methods={"omnifold": {"kind": "omnifold", "observables": ["x1"]}}),
                s.update(validate={"fit": {"parameter": "x2", "observable": "x0", "edges": [0, 1, 2, 3]}}),
            ),
            ["validate.fit.observable: no method unfolds 'x0'"],
        ),
    ],
)
def test_what_does_not_agree_is_named(change, said) -> None:
    text = refused(change)
    for part in said:
        assert part in text


@pytest.mark.parametrize(
    ("text", "method"), [(None, "omnifold"), ("x2", "omnifold"), ("x0 * x1", "generative"), ("x0", "ibu")]
)
def test_what_agrees_is_taken(text, method) -> None:
    content = copy.deepcopy(STUDY)
    content["publish"].update(example=text, method=method)
    assert parse(content).publish.example == text
