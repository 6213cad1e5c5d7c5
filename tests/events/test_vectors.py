"""Four-vectors in expressions, against the formulas of kinematics in numpy."""

from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
import vector

from truthward.errors import InputError
from truthward.events.expression import Expression
from truthward.study.signatures import ATTRIBUTES

COUNTS = [3, 0, 1, 2]


@pytest.fixture
def events() -> dict[str, Any]:
    """Lists of vectors in the precision of most files, as branches and as records."""
    rng = np.random.default_rng(4)
    size = sum(COUNTS)
    flat = {
        "pt": rng.exponential(40, size) + 5,
        "eta": rng.normal(0, 1.5, size),
        "phi": rng.uniform(-np.pi, np.pi, size),
        "mass": rng.exponential(4, size),
        "btag": rng.random(size),
    }
    lists = {name: ak.unflatten(values.astype(np.float32), COUNTS) for name, values in flat.items()}
    lists["id"] = ak.unflatten(2**60 + np.arange(size), COUNTS)
    lists["good"] = ak.unflatten(rng.random(size) < 0.5, COUNTS)
    return {f"J_{name}": values for name, values in lists.items()} | {
        "jets": ak.zip(lists, with_name="Momentum4D"),
        "best": np.array([1, 0, 5, -1]),
        "met": np.array([10.0, 20.0, 30.0, 40.0]),
    }


def cartesian(events: dict[str, Any]) -> list[np.ndarray]:
    """(jets, 4) of px, py, pz, energy for each event."""
    found = []
    for jets in events["jets"]:
        pt, eta, phi, mass = (np.array(jets[name], dtype=float) for name in ("pt", "eta", "phi", "mass"))
        pz = pt * np.sinh(eta)
        found.append(np.stack([pt * np.cos(phi), pt * np.sin(phi), pz, np.sqrt(pt**2 + pz**2 + mass**2)], axis=1))
    return found


def attributes(p: np.ndarray) -> dict[str, float]:
    """Of one vector (4,)."""
    px, py, pz, energy = p
    pt = np.hypot(px, py)
    return {
        "px": px,
        "py": py,
        "pz": pz,
        "energy": energy,
        "pt": pt,
        "eta": np.arcsinh(pz / pt),
        "phi": np.arctan2(py, px),
        "mass": np.sqrt(max(energy**2 - px**2 - py**2 - pz**2, 0)),
        "rapidity": 0.5 * np.log((energy + pz) / (energy - pz)),
    }


def same(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(ak.to_numpy(found), expected, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes(events, name):
    p = cartesian(events)
    pair = [attributes(jets[0] + jets[1])[name] if len(jets) > 1 else np.nan for jets in p]
    both = "p4(J_pt, J_eta, J_phi, J_mass)"
    for text in (f"(jets[0] + jets[1]).{name}", f"({both}[0] + {both}[1]).{name}"):
        same(Expression(text).evaluate(events), pair)
    last = [attributes(jets[-1])[name] if len(jets) else np.nan for jets in p]
    momenta = "pxpypze(jets.px, jets.py, jets.pz, jets.energy)"
    for text in (f"jets[-1].{name}", f"{both}[-1].{name}", f"jets.{name}[-1]", f"{momenta}[-1].{name}"):
        same(Expression(text).evaluate(events), last)
    each = [attributes(one)[name] for jets in p for one in jets]
    same(ak.flatten(Expression(f"jets.{name}").evaluate(events)), each)
    same(ak.flatten(Expression(f"(jets - jets + jets).{name}").evaluate(events)), each)
    total = [attributes(jets.sum(axis=0))[name] if len(jets) else 0.0 for jets in p]
    kept = np.array(COUNTS) > 0
    same(Expression(f"sum(jets).{name}").evaluate(events)[kept], np.array(total)[kept])


def test_the_sum_of_no_vectors_is_zero(events):
    found = {name: Expression(f"sum(jets).{name}").evaluate(events)[1] for name in ATTRIBUTES}
    assert np.isnan(found.pop("rapidity"))
    assert set(found.values()) == {0.0}


def test_what_is_missing_is_nan(events):
    for name in ATTRIBUTES:
        for text in (f"jets[2].{name}", f"(jets[0] + jets[2]).{name}"):
            found = Expression(text).evaluate(events)
            assert np.isnan(found).tolist() == [False, True, True, True], text
    found = Expression("(jets[best] + jets[0]).eta").evaluate(events)
    assert np.isnan(found).tolist() == [False, True, True, True]
    # One NaN among the components is enough, also where the library would give a number.
    for name in set(ATTRIBUTES) - {"px", "pz", "energy"}:
        assert np.isnan(Expression(f"pxpypze(met, log(-met), met, met * 3).{name}").evaluate(events)).all()


def test_masks_indices_and_order(events):
    jets = events["jets"]
    assert Expression("jets[jets.good].pt").evaluate(events).to_list() == jets[jets.good].pt.to_list()
    assert Expression("count(jets[jets.pt > 30])").evaluate(events).tolist() == ak.sum(jets.pt > 30, axis=1).to_list()
    by = Expression("sort(jets, jets.btag).pt").evaluate(events)
    assert by.to_list() == jets.pt[ak.argsort(jets.btag, axis=1, ascending=False)].to_list()
    best = Expression("jets[argmax(jets.btag)].pt").evaluate(events)
    np.testing.assert_array_equal(best, ak.fill_none(ak.max(by[:, :1], axis=1), np.nan))
    assert Expression("jets[0].pt - first(jets).pt").evaluate(events)[[0, 2, 3]].tolist() == [0, 0, 0]
    # A vector of the event meets each vector of its list.
    found = Expression("(jets + jets[0]).mass[0]").evaluate(events)
    same(found[[0, 2, 3]], 2 * ak.to_numpy(ak.firsts(jets.mass))[[0, 2, 3]].astype(float))


def test_fields_of_records_keep_their_type(events):
    assert Expression("jets.id").evaluate(events).to_list() == events["J_id"].to_list()
    assert Expression("jets[jets.good].id").evaluate(events).to_list() == events["J_id"][events["J_good"]].to_list()
    assert Expression("bit(jets[0].id, 0)").evaluate(events).tolist() == [False, False, True, False]
    assert Expression("any(jets.good)").evaluate(events).dtype == bool
    # A branch of that name comes first, and a branch of a dotted name needs no records.
    assert Expression("jets.pt").evaluate(events | {"jets.pt": np.arange(4)}).tolist() == [0, 1, 2, 3]
    assert Expression("Jet.PT").evaluate({"Jet.PT": np.arange(4)}).tolist() == [0, 1, 2, 3]


def test_a_field_of_records_that_may_be_missing_is_nan_in_the_end():
    lead = ak.Array([{"pt": 1.5, "n": 2}, None])
    assert str(Expression("lead.pt").evaluate({"lead": lead})) == "[1.5 nan]"
    assert str(Expression("lead.n").evaluate({"lead": lead})) == "[ 2. nan]"


def test_single_precision_does_not_spoil_masses():
    """Two light particles far forward: in 32 bits the mass of their sum would be lost."""
    half = {"pt": 20.0, "eta": 4.5, "phi": 0.25, "mass": 0.000511}
    other = half | {"phi": 0.2578125}
    events = {
        "e": ak.values_astype(ak.Array([[half, other]]), np.float32),
        "px": np.array([1.0]),
    }
    p = cartesian({"jets": events["e"]})[0].sum(axis=0)
    found = Expression("(e[0] + e[1]).mass").evaluate(events)
    assert found[0] == pytest.approx(attributes(p)["mass"], rel=1e-4)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_chunks_change_nothing(events, name):
    for text in (f"sum(jets).{name}", f"jets[1].{name}", f"jets.{name}", f"(jets[0] + jets[1]).{name}"):
        whole = Expression(text).evaluate(events)
        for start, stop in ((0, 0), (1, 2), (1, 4), (0, 1)):
            part = Expression(text).evaluate({key: values[start:stop] for key, values in events.items()})
            assert type(part) is type(whole)
            assert str(ak.to_list(part)) == str(ak.to_list(whole[start:stop]))


WRONG = {
    "jets[0]": (1, "a vector where a number is needed"),
    "1 + abs(jets)": (9, "a vector where a number is needed"),
    "jets[0] + 1": (1, "a vector and a number have no sum or difference"),
    "2 * jets[0]": (5, "a vector where a number is needed"),
    "jets & (met > 1)": (1, "a vector where a condition is needed"),
    "sort(jets)": (1, "vectors have no order"),
    "any(jets[0].ptt > 1)": (13, "no attribute or field ptt"),
    "1 + jets.ptt": (5, "no attribute or field ptt"),
    "1 + jets.__class__": (5, "no attribute or field __class__"),
    "jets.pt.mass": (1, "no branch jets.pt.mass"),
    "met[0].pt": (1, "[ ] needs a branch with a list per event"),
    "sqrt(met) + first(J_pt).pt": (25, "only vectors have attributes such as .pt"),
    "p4(1, 2, 3, 4).pt": (1, "a vector of numbers alone"),
    "p4(J_pt, others, 0, 0).pt": (1, "its branches do not fit together"),
    "(plain[0] + plain[1]).mass": (2, "records with the fields pt, x are no vectors"),
    "plain.mass": (1, "records with the fields pt, x are no vectors"),
}


@pytest.mark.parametrize("text", WRONG)
def test_what_does_not_fit_is_refused_with_its_place(events, text):
    place, reason = WRONG[text]
    events |= {"plain": ak.zip({"pt": events["J_pt"], "x": events["J_pt"]}), "others": ak.Array([[1.0]] * 4)}
    with pytest.raises(InputError) as caught:
        Expression(text).evaluate(events)
    assert str(caught.value).startswith(f"expression {text!r}: {reason}")
    assert f", at character {place}; " in str(caught.value)


def test_real_nanoaod(shared_data):
    path = shared_data / "nano_tt_v15.root"
    if not path.is_file():
        pytest.skip(f"needs {path.name} of ../shared/data, which is not here")
    with uproot.open(path) as file:
        names = [f"Jet_{name}" for name in ("pt", "eta", "phi", "mass")]
        events = {name: file["Events"][name].array() for name in names}
    fields = {name.removeprefix("Jet_"): ak.values_astype(events[name], np.float64) for name in names}
    jets = ak.zip(fields, with_name="Momentum4D", behavior=vector.backends.awkward.behavior)
    two = ak.num(jets) > 1
    assert ak.sum(two) > 100
    expected = np.where(two, ak.to_numpy((ak.pad_none(jets, 2)[:, 0] + ak.pad_none(jets, 2)[:, 1]).mass), np.nan)
    for text in ("(p4({0})[0] + p4({0})[1]).mass", "(jets[0] + jets[1]).mass"):
        found = Expression(text.format(", ".join(names))).evaluate(events | {"jets": jets})
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    found = Expression("delta_r(Jet_eta[0], Jet_phi[0], Jet_eta[1], Jet_phi[1])").evaluate(events)
    np.testing.assert_allclose(found[two], jets[two][:, 0].deltaR(jets[two][:, 1]), rtol=1e-12)
    np.testing.assert_allclose(
        Expression("sum(jets[jets.pt > 30]).mass").evaluate({"jets": jets}),
        ak.sum(jets[jets.pt > 30], axis=1).mass,
        rtol=1e-6,
        atol=1e-4,
    )
