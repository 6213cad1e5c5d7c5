"""Names of varied columns: what they say, and what is missing of them."""

import pytest

from truthward.study.variations import Variation, column_of, missing, reco_flag, variation_of

PAIR = {"kind": "shifted", "replicas": 2}


@pytest.mark.parametrize("column", ["reco_m", "truth_m:jes:0", "reco_m:jes", "reco_m:jes:x", "weight:0", "split:a:0"])
def test_other_columns_are_no_variations(column):
    assert variation_of(column) is None


def test_branches_stand_for_columns():
    assert [column_of(b) for b in ("reco_jet_pt__jes__10", "pass_reco__jes_up__0", "weight__pdf__3")] == [
        "reco_jet_pt:jes:10",
        "pass_reco:jes_up:0",
        "weight:pdf:3",
    ]
    for plain in ("reco_m__x", "truth_m__jes__0", "reco_m__jes__up"):
        assert column_of(plain) == plain


def test_a_shift_has_the_acceptance_of_its_own_where_it_has_one():
    known = ["pass_reco", "pass_reco:jes:0"]
    assert reco_flag("reco_m:jes:0", known) == "pass_reco:jes:0"
    assert [reco_flag(c, known) for c in ("reco_m:jes:1", "reco_m")] == ["pass_reco"] * 2


@pytest.mark.parametrize(
    ("columns", "lacks"),
    [
        ([], "reco_<observable>:jes:0"),
        (["reco_m:jes:0", "reco_m:jes:1"], None),
        (["reco_m:jes:0", "reco_m:jes:1", "reco_w:jes:1"], "reco_w:jes:0"),
        (["reco_m:jes:0", "reco_m:jes:1", "pass_reco:jes:0"], "pass_reco:jes:1"),
        (["pass_reco:jes:0", "pass_reco:jes:1"], "reco_<observable>:jes:0"),
        (["weight:jes:0", "weight:jes:1"], "reco_<observable>:jes:0"),
    ],
)
def test_what_a_shift_lacks(columns, lacks):
    found = missing({"jes": PAIR}, columns)
    assert found is None if lacks is None else found.startswith(f"no column {lacks}, which systematics.jes")


def test_what_a_weight_lacks():
    entry = {"scale": {"kind": "weight", "replicas": 2}, "shower": {"kind": "alternative", "replicas": 1}}
    assert missing(entry, ["weight:scale:0", "weight:scale:1"]) is None
    assert missing(entry, ["weight:scale:0"]).startswith("no column weight:scale:1")


def test_a_systematic_whose_name_begins_another_is_another():
    """jes and jes_eta, and observables m and m_jes: each column goes to its own."""
    branches = ["reco_m__jes__0", "reco_m__jes_eta__0", "reco_m_jes__jes__1", "weight__jes_eta__1"]
    columns = [column_of(b) for b in branches]
    assert columns == ["reco_m:jes:0", "reco_m:jes_eta:0", "reco_m_jes:jes:1", "weight:jes_eta:1"]
    assert [variation_of(c) for c in columns] == [
        Variation("reco_m", "jes", 0),
        Variation("reco_m", "jes_eta", 0),
        Variation("reco_m_jes", "jes", 1),
        Variation("weight", "jes_eta", 1),
    ]
    single = {"kind": "shifted", "replicas": 1}
    both = {"jes": single, "jes_eta": single}
    assert missing(both, ["reco_m:jes:0", "reco_m:jes_eta:0"]) is None
    assert missing(both, ["reco_m:jes:0"]).startswith(
        "no column reco_<observable>:jes_eta:0, which systematics.jes_eta"
    )
    assert missing(both, ["reco_m:jes_eta:0"]).startswith("no column reco_<observable>:jes:0, which systematics.jes ")
    assert reco_flag("reco_m:jes:0", ["pass_reco", "pass_reco:jes_eta:0"]) == "pass_reco"
