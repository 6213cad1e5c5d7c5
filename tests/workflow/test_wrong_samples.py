"""Samples whose result would be wrong end the study before anything trains, with words and a way out."""

import pytest

from tests.workflow.conftest import new_clone

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

GENERATED = "results/tiny/simulate/pseudodata/0.root"
COLUMNS = ("truth_x0", "truth_x1", "reco_x0", "reco_x1", "pass_truth", "pass_reco", "run", "lumi", "event")


def data_are(study: dict, **columns: str) -> None:
    """The tiny study's data, read from a file with these expressions in place of others."""
    branches = {name: name for name in COLUMNS} | columns
    read = {"kind": "flat_tree", "files": ["data.root"], "branches": branches}
    study["samples"]["pseudodata"] = {"role": "data", "closure": True, "read": read}


CASES = {
    "data in MeV": (
        lambda s: data_are(s, reco_x0="1000 * reco_x0"),
        [
            "InputError: observables.x0: pseudodata: 0 of ",
            "accepted events have reco_x0 in the range [6, 14] (found quantiles 5%, 50%, 95%: ",
            "one may be in MeV, the other in GeV",
            "(`reco_x0: <branch> / 1000` for pseudodata)",
        ],
    ),
    "one sample of five times the luminosity": (
        lambda s: (data_are(s), s["samples"]["simulation"]["generate"].update(expected=15000)),
        ["InputError: simulation: its weights sum to ", "times the", "scale its weights by 0.", "yield_difference"],
    ),
    "a sentinel that is not declared": (
        lambda s: data_are(s, reco_x0="where(reco_x1 > 9, reco_x0, -999)"),
        [
            "InputError: observables.x0: -999 is the value of ",
            "of reco_x0 in pseudodata, far from all others",
            "`atoms: [-999]` under observables.x0",
        ],
    ),
}


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """The tiny study's simulation and a file of data, made once."""
    clone = new_clone(tmp_path_factory.mktemp("samples") / "clone")
    clone.run(GENERATED, "results/tiny/simulate/simulation/0.root", "results/tiny/simulate/simulation/1.root")
    clone.path(GENERATED).rename(clone.path("data.root"))
    return clone


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_sample_ends_the_study_before_anything_trains(generated, tmp_path, case) -> None:
    change, said = CASES[case]
    clone = generated.fork(tmp_path / "clone")
    clone.study(change)
    done = clone.call("results/tiny/unfold/ibu/unfolded.parquet", "--cores", "2", "--configfile", "study.yaml")
    text = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1
    for part in said:
        assert part in text
    made = {path.name for path in clone.path("results/tiny").iterdir()}
    assert made == {"simulate", "ingest", "logs"}
    assert not clone.path("results/tiny/ingest/examined.json").exists()
