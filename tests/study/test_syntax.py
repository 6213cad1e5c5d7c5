"""What the text of an expression alone shows: kinds, names, and the place of what is wrong."""

import pytest

from truthward.errors import ConfigError
from truthward.study.columns import check_map, check_selection
from truthward.study.signatures import CONDITION, FUNCTIONS, NUMBER, RESERVED
from truthward.study.syntax import Syntax

KINDS = {
    "x": None,
    "x[0]": None,
    "first(x)": None,
    "sort(x)[0]": None,
    "jets[0].btag": None,
    "x + y": NUMBER,
    "sum(x)": NUMBER,
    "count(x)": NUMBER,
    "argmax(x)": NUMBER,
    "x[argmax(x)] / 2": NUMBER,
    "sum(jets).mass": NUMBER,
    "(jets[0] + jets[1]).mass": NUMBER,
    "p4(a, b, c, d)[0].pt": NUMBER,
    "delta_r(a, b, c, d)": NUMBER,
    "any(x > 1)": CONDITION,
    "all(x)": CONDITION,
    "bit(x, 3)": CONDITION,
    "(x > 1)[0]": CONDITION,
    "first(x > 1)": CONDITION,
    "sort(x > 1, x)": CONDITION,
    "~(jets[0].btag)": CONDITION,
}


@pytest.mark.parametrize("text", KINDS)
def test_kind_is_what_the_text_shows(text):
    assert Syntax(text).kind is KINDS[text]


NAMES = {
    "jets[0].pt": {"jets"},
    "jets.pt": {"jets.pt"},
    "jets.pt[0]": {"jets.pt"},
    "(jets[0] + jets[1]).mass": {"jets"},
    "sum(jets[jets.btag > 0.5]).mass": {"jets", "jets.btag"},
    "GenJet_pt[Jet_idx][best]": {"GenJet_pt", "Jet_idx", "best"},
    "sort(pt, `a b`)[-1]": {"pt", "a b"},
    "first / all": {"first", "all"},
    "first(first)": {"first"},
    "`sqrt` + pi": {"sqrt"},
    "bit(flags, 3)": {"flags"},
}


@pytest.mark.parametrize("text", NAMES)
def test_names_are_the_branches(text):
    assert Syntax(text).names == NAMES[text]


def test_what_is_tested_may_have_nan():
    assert Syntax("any(isfinite(x[best])) & (sum(y[isfinite(z)]) > 0)").guarded == {"x", "best", "z"}
    assert Syntax("x[True & (x > pi)]").constants == {"pi", "True"}


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - RESERVED))
def test_a_function_that_is_not_called_is_a_branch(name):
    assert Syntax(f"{name} / 1000").names == {name}
    with pytest.raises(ConfigError, match=rf"{name} takes \d( to \d)? argument"):
        Syntax(f"{name}()")


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_reserved_name_needs_arguments_or_backticks(name):
    assert Syntax(f"`{name}` / 1000").names == {name}
    with pytest.raises(ConfigError, match=f"{name} needs arguments in parentheses at character 5;"):
        Syntax(f"1 + {name}")


WRONG = {
    "a + x[1.5]": ("a place in a list must be a whole number from -999 to 999", 7),
    "x[-1000]": ("a place in a list", 3),
    "x['a']": ("a place in a list", 3),
    "x[True]": ("a place in a list", 3),
    "x[y + 1]": ("a number where a condition or an index is needed", 3),
    "x[floor(y)]": ("a number where a condition or an index is needed", 3),
    "x[p4(a, b, c, d)]": ("a vector where a condition or an index is needed", 3),
    "x[0:1]": ("'0:1' is not allowed", 3),
    "x[0, 1]": ("'(0, 1)' is not allowed", 3),
    "2[0]": ("'2[0]' is not allowed", 1),
    "bit(x > 1, 3)": ("a condition where a branch of whole numbers is needed", 5),
    "bit(x, -1)": ("a bit must be a number from 0 to 63", 8),
    "bit(x, 1.0)": ("a bit must be a number from 0 to 63", 8),
    "bit(x, y)": ("a bit must be a number from 0 to 63", 8),
    "any(x + 1)": ("a number where a condition is needed", 5),
    "all(argmin(x))": ("a number where a condition is needed", 5),
    "first(x + 1) & y": ("a number where a condition is needed", 1),
    "1 + sqrt(x).pt": ("only vectors have attributes such as .pt; a number is", 5),
    "p4(a, b, c, d).ptt": ("a vector has no attribute ptt; nearest names: pt", 16),
    "(x[0] + x[1]).__class__": ("a vector has no attribute __class__", 15),
    "é + sum(`é x`).`é`": ("a vector has no attribute é", 16),
    "p4(a, b, c, d)": ("a vector where a number is needed", 1),
    "sum(p4(a, b, c, d))": ("a vector where a number is needed", 1),
    "2 * p4(a, b, c, d)": ("a vector where a number is needed", 5),
    "p4(a, b, c, d) - sqrt(x)": ("a vector and a number have no sum or difference", 1),
    "p4(a, b, c)": ("p4 takes 4 argument(s), 3 given", 1),
    "sort(x, y, z)": ("sort takes 1 to 2 argument(s), 3 given", 1),
    "sort(x, y=z)": ("there is no function sort; nearest names: sort", 1),
    "frist(x)": ("there is no function frist; nearest names: first", 1),
    "x[0].pt()": ("'x[0].pt()' is not allowed", 1),
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_has_its_place(text):
    reason, place = WRONG[text]
    with pytest.raises(ConfigError) as caught:
        Syntax(text)
    assert reason in str(caught.value)
    assert f" at character {place}; valid: " in str(caught.value)


def test_the_config_is_refused_before_the_first_job():
    check_map({"reco_m": "(jets[0] + jets[1]).mass", "pass_reco": "any(Jet_pt[abs(Jet_eta) < 2] > 30)"})
    with pytest.raises(ConfigError, match=r"branches\.reco_m: .*a vector has no attribute mas.*at character 16;"):
        check_map({"reco_m": "p4(a, b, c, d).mas"})
    check_selection({"reco": "any(reco_constituents_pt > 3)"})
    for text in ("sum(reco_constituents_pt)", "argmax(reco_constituents_pt)", "reco_m"):
        with pytest.raises(ConfigError, match=r"selection\.reco: .* is a number; write a condition"):
            check_selection({"reco": text})
