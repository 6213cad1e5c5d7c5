"""A response that depends on what is not unfolded: no look at the data shows it, and the study says what it lacks."""

import json

import numpy as np
import pytest
import uproot

from tests.workflow.conftest import Clone
from truthward.events.unfolded import Unfolded
from truthward.physics.generators.gaussian import Gaussian

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

DETECTOR = {"dimensions": 2, "resolution": 0.5, "leak": 0.5}
NATURE = DETECTOR | {"mean": [10.1, 0.6]}
MISSING = "no model uncertainty: the bands are statistical uncertainty only; add `systematics` of kind closure, hidden"


def hidden(study: dict) -> None:
    """x1 is not unfolded, moves the response of x0, and has another mean in the data: 0.6 for 0."""
    for section in ("calibrate", "surrogate", "amplify"):
        study.pop(section)
    simulation = {"kind": "gaussian", **DETECTOR, "mean": [10.0, 0.0], "expected": 2000}
    nature = {"kind": "gaussian", **NATURE}
    study["samples"] = {
        "simulation": {"role": "simulation", "generate": simulation, "events": 4000},
        "pseudodata": {"role": "data", "generate": nature, "events": 2000, "closure": True},
    }
    study["unfold"]["methods"] = {"ibu": {"kind": "ibu"}}
    study["unfold"]["replicas"] = {"data_bootstrap": 9, "mc_bootstrap": 9, "initialisation": 0}
    study["publish"] = study["publish"] | {"method": "ibu", "example": None}


def data_without_truth(clone: Clone) -> dict:
    """The data as real ones are, in a file of the reco level alone; the sample's entry."""
    columns = Gaussian(**NATURE).draw(2000, np.random.default_rng(1))
    kept = {name: columns[name] for name in ("reco_x0", "reco_x1", "pass_reco")}
    numbers = np.arange(2000, dtype=np.uint64)
    ids = {"run": np.ones_like(numbers), "lumi": np.ones_like(numbers), "event": numbers}
    with uproot.recreate(clone.path("data.root")) as file:
        file["events"] = kept | ids
    branches = {name: name for name in (*kept, *ids)}
    return {"role": "data", "read": {"kind": "flat_tree", "files": ["data.root"], "branches": branches}}


def test_a_study_without_model_uncertainty_says_so_and_may_be_held_to_it(empty) -> None:
    data = data_without_truth(empty)
    empty.study(hidden)
    empty.study(lambda s: s["samples"].update(pseudodata=data))
    said = empty.run("results/tiny/publication/metadata.json")
    assert "\nibu: warnings\n" in said
    assert MISSING in said
    readme = empty.path("results/tiny/publication/README.md").read_text(encoding="utf-8")
    assert "no model uncertainty" in readme
    assert "total uncertainty" not in readme.lower()
    empty.study(lambda s: s["publish"].update(require="good"))
    done = empty.call("results/tiny/publication/metadata.json", "--cores", "2", "--configfile", "study.yaml")
    text = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1
    assert "VerdictError: ibu: not published, because its verdict is warnings and publish.require is good: " in text
    assert MISSING in text


def test_a_hidden_quantity_as_the_data_have_it_covers(empty) -> None:
    empty.study(hidden)
    empty.study(lambda s: s.update(systematics={"composition": {"kind": "hidden", "columns": ["x1"]}}))
    target = "results/tiny/validate/ibu.json"
    empty.run(target)
    found = json.loads(empty.path(target).read_text(encoding="utf-8"))
    assert found["uncertainty"] == "total uncertainty"
    assert found["verdict"]["verdict"] == "good"
    edges = np.array(found["observables"]["x0"]["coverage"]["edges"])
    result = Unfolded(empty.path("results/tiny/unfold/ibu/unfolded.parquet")).histogram("x0", edges)
    nature = Gaussian(**NATURE)
    off = result.nominal - nature.fiducial_yield(2000) * nature.truth_probability(edges)
    # The truth's own fluctuation is in the data's bootstraps.
    statistical = np.sqrt(np.diag(result.covariance(["data_bootstrap", "mc_bootstrap"])))
    rms = {name: np.sqrt(np.mean((off / s) ** 2)) for name, s in (("all", result.sigma), ("without", statistical))}
    assert 0.5 < rms["all"] < 1.5
    assert rms["without"] > 2.5, rms
