"""The stress suite in real Snakemake: by request, one branch a method."""

import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

SUITE = {"validate/stress/stress.json", "validate/stress/stress.png"}


def alone(study) -> None:
    """IBU alone: it trains nothing."""
    study["unfold"]["methods"] = {"ibu": {"kind": "ibu"}}
    study["publish"]["method"] = "ibu"


def test_the_suite_runs_by_request_and_in_the_whole_where_the_config_asks(fork) -> None:
    assert fork.planned() == set()
    methods = {f"validate/stress/{m}.json" for m in ("omnifold", "generative", "ibu")}
    assert fork.planned("stress_all") == SUITE | methods
    fork.study(lambda s: s["validate"].update(stress={"scale": 1.1}))
    assert fork.planned() == SUITE | methods


def test_a_method_reruns_its_own_stress(fork) -> None:
    fork.study(alone)
    fork.run("stress_all")
    results = fork.path("results/tiny/validate/stress")
    assert "Response mismatch" in (results / "stress.md").read_text(encoding="utf-8")
    assert (results / "stress.png").stat().st_size > 10_000
    assert fork.planned("stress_all") == set()
    fork.study(lambda s: s["unfold"]["methods"].update(another={"kind": "ibu", "purity": 0.4}))
    assert fork.planned("stress_all") == SUITE | {"validate/stress/another.json"}
    fork.study(lambda s: s["unfold"]["methods"].pop("another"))
    with fork.path("src/truthward/unfold/omnifold/method.py").open("a") as file:
        file.write("\n\nANOTHER = 1\n")
    assert fork.planned("stress_all") == set()
    with fork.path("src/truthward/unfold/ibu.py").open("a") as file:
        file.write("\n\nANOTHER = 1\n")
    assert fork.planned("stress_all") == SUITE | {"validate/stress/ibu.json"}
