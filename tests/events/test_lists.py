"""Expressions over lists: elements, indices, masks and reductions, against loops over the events."""

from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from truthward.errors import InputError
from truthward.events.expression import Expression
from truthward.events.lists import formed

NAN = float("nan")
PT = [[50.0, 30.0, 20.0], [], [40.0], [NAN, 25.0]]
ETA = [[0.1, -2.0, 1.0], [], [0.3], [1.5, -1.5]]
EVENTS = {
    "pt": ak.Array(PT),
    "eta": ak.values_astype(ak.Array(ETA), np.float32),
    "gen": ak.Array([[10.0, 11.0], [7.0], [9.0], []]),
    "to": ak.values_astype(ak.Array([[1, -1, 5], [], [0], [0, 2]]), np.int16),
    "best": np.array([2, 0, -1, 1]),
    "met": np.array([45.0, 20.0, 30.0, 10.0]),
    "tight": ak.Array([[True, False, True], [], [False], [True, True]]),
    "ids": ak.unflatten(np.array([2**63 + 1, 8, 0, 2**64 - 1], dtype=np.uint64), [2, 1, 0, 1]),
    "hits": ak.Array([[[1.0, 2.0], [], [3.0]], [], [[4.0]], [[], [5.0, 7.0, 6.0]]]),
}


def value(text: str, events: dict[str, Any] | None = None) -> Any:
    return Expression(text).evaluate(EVENTS if events is None else events)


def same(found: Any, expected: Any) -> bool:
    """Whether two nested lists have equal numbers; NaN equals NaN."""
    return str(ak.to_list(found)) == str(expected)


VALUES = {
    # Elements
    "pt[0]": [50.0, NAN, 40.0, NAN],
    "pt[-1]": [20.0, NAN, 40.0, 25.0],
    "pt[-3]": [50.0, NAN, NAN, NAN],
    "pt[best]": [20.0, NAN, NAN, 25.0],
    "(pt / 10 + eta * 0)[1]": [3.0, NAN, NAN, 2.5],
    "hits[0][1]": [2.0, NAN, NAN, NAN],
    "hits[0]": [[1.0, 2.0], [], [4.0], []],
    "hits[-1][-1]": [3.0, NAN, 4.0, 6.0],
    "count(hits[0])": [2, 0, 1, 0],
    "tight[0]": [1.0, NAN, 0.0, 1.0],
    "tight[0] & (met > 0)": [True, False, False, True],
    # Indices
    "gen[to]": [[11.0, NAN, NAN], [], [9.0], [NAN, NAN]],
    "gen[to[0]]": [11.0, NAN, 9.0, NAN],
    "gen[to[pt > 25]]": [[11.0, NAN], [], [9.0], []],
    "pt[argmax(eta)]": [20.0, NAN, 40.0, NAN],
    "pt[argmax(pt[eta > 9])]": [NAN] * 4,
    "hits[to]": [[[], [], []], [], [[4.0]], [[], []]],
    "gen[ids]": [[NAN, NAN], [7.0], [], [NAN]],
    # Masks
    "pt[eta > 0]": [[50.0, 20.0], [], [40.0], [NAN]],
    "pt[(pt > 20) & (abs(eta) < 2.5)][0]": [50.0, NAN, 40.0, 25.0],
    "pt[tight]": [[50.0, 20.0], [], [], [NAN, 25.0]],
    "pt[gen[to] > 10]": [[50.0], [], [], []],
    "hits[pt > 25]": [[[1.0, 2.0], []], [], [[4.0]], []],
    "hits[hits > 2]": [[[], [], [3.0]], [], [[4.0]], [[], [5.0, 7.0, 6.0]]],
    "to[to >= 0]": [[1, 5], [], [0], [0, 2]],
    # Reductions
    "sum(pt)": [100.0, 0.0, 40.0, NAN],
    "sum(eta > 0)": [2.0, 0.0, 1.0, 1.0],
    "count(pt[pt > 25])": [2, 0, 1, 0],
    "min(pt)": [20.0, NAN, 40.0, NAN],
    "max(hits)": [[2.0, NAN, 3.0], [], [4.0], [NAN, 7.0]],
    "mean(hits)": [[1.5, NAN, 3.0], [], [4.0], [NAN, 6.0]],
    "count(hits)": [[2, 0, 1], [], [1], [0, 3]],
    "sum(count(hits))": [3.0, 0.0, 1.0, 3.0],
    "first(hits)": [[1.0, NAN, 3.0], [], [4.0], [NAN, 5.0]],
    "any(pt > 45)": [True, False, False, False],
    "all(pt > 25)": [False, True, True, False],
    "any(hits > 2)": [[False, False, True], [], [True], [False, True]],
    "argmax(pt)": [0, -1, 0, -1],
    "argmin(hits)": [[0, -1, 0], [], [0], [-1, 0]],
    "max(gen[to])": [NAN, NAN, 9.0, NAN],
    # Order
    "sort(pt)[1]": [30.0, NAN, NAN, NAN],
    "sort(pt)": [[50.0, 30.0, 20.0], [], [40.0], [25.0, NAN]],
    "sort(pt, eta)": [[20.0, 50.0, 30.0], [], [40.0], [NAN, 25.0]],
    "sort(pt, -eta)[0]": [30.0, NAN, 40.0, 25.0],
    "sort(pt, eta * 0)": PT,
    "sort(hits)": [[[2.0, 1.0], [], [3.0]], [], [[4.0]], [[], [7.0, 6.0, 5.0]]],
    "sort(hits, pt)": [[[1.0, 2.0], [], [3.0]], [], [[4.0]], [[5.0, 7.0, 6.0], []]],
    "sort(to)": [[5, 1, -1], [], [0], [2, 0]],
    # Bits
    "bit(best, 1)": [True, False, True, False],
    "bit(ids, 63)": [[True, False], [False], [], [True]],
    "bit(ids, 0)": [[True, False], [False], [], [True]],
    "bit(ids[0], 63)": [True, False, False, True],
    "any(bit(ids, 3))": [True, False, False, True],
}


@pytest.mark.parametrize("text", VALUES)
def test_value(text):
    assert same(value(text), VALUES[text])


@pytest.mark.parametrize("text", VALUES)
def test_chunks_give_the_same_values_of_the_same_type(text):
    whole = value(text)
    for start, stop in ((0, 0), (0, 1), (1, 2), (1, 3), (3, 4)):
        part = value(text, {name: values[start:stop] for name, values in EVENTS.items()})
        assert type(part) is type(whole)
        if isinstance(whole, np.ndarray):
            assert part.dtype == whole.dtype
        else:
            assert part.type.content == whole.type.content
        assert same(part, ak.to_list(whole[start:stop]))


@pytest.mark.parametrize("text", [text for text in VALUES if "hits" not in text])
def test_lists_that_are_all_empty_need_no_type(text):
    """Of `ak.Array([[]])`, which has no numbers, as of an event that has a type."""
    typed = {name: values[:1][[[]]] if isinstance(values, ak.Array) else values[:1] for name, values in EVENTS.items()}
    bare = {name: ak.Array([[]]) if isinstance(values, ak.Array) else values for name, values in typed.items()}
    assert same(value(text, bare), ak.to_list(value(text, typed)))


def test_missing_values_and_lists():
    events = {"x": ak.Array([[1.0, None, 3.0], None, [2.0]]), "i": ak.Array([0, None, 5]), "n": ak.Array([1, None, 3])}
    assert same(value("x * 1", events), [[1.0, NAN, 3.0], [], [2.0]])
    assert same(value("x[1]", events), [NAN, NAN, NAN])
    assert same(value("x[i]", events), [1.0, NAN, NAN])
    assert same(value("count(x)", events), [3, 0, 1])
    assert same(value("sum(x)", events), [NAN, 0.0, 2.0])
    assert same(value("sum(x[isfinite(x)])", events), [4.0, 0.0, 2.0])
    assert same(value("x[x > 1]", events), [[3.0], [], [2.0]])
    assert same(value("n + 1", events), [2.0, NAN, 4.0])
    assert same(value("bit(n, 0)", events), [True, False, True])
    masked = {"n": np.ma.array([1, 2], mask=[False, True])}
    assert same(value("n * 2", masked), [2.0, NAN])


def test_lists_of_a_fixed_length():
    for fixed in (
        np.arange(6).reshape(3, 2),
        ak.from_numpy(np.arange(6).reshape(3, 2)),
        np.arange(12).reshape(3, 2, 2),
    ):
        events = {"x": fixed, "met": np.array([1.0, 2.0, 3.0]), "two": ak.Array([[1, 0], [0], []])}
        last = np.asarray(fixed)[..., 1]
        assert same(value("first(x) + 1", events), (np.asarray(fixed)[..., 0] + 1.0).tolist())
        assert same(value("x[1] + 0", events), np.asarray(fixed)[:, 1].astype(float).tolist())
        assert same(value("max(x)", events), last.astype(float).tolist())
        # A value per event goes to all elements of its event.
        assert same(value("(x * met)[1]", events), (np.asarray(fixed)[:, 1].T * events["met"]).T.tolist())
        assert value("x[two]", events).ndim == fixed.ndim


def test_one_event_does_not_stretch():
    """Lengths of 1 are no reason to repeat what is there."""
    events = {"x": ak.Array([[1.0]]), "y": ak.Array([[1.0, 2.0]]), "met": np.array([3.0])}
    assert same(value("y + met", events), [[4.0, 5.0]])
    with pytest.raises(InputError, match="lists need equal lengths"):
        value("x + y", events)


def test_numbers_of_64_bits_stay_exact():
    ids = ak.unflatten(np.array([2**63 + 1, 2**63 + 3, 2**63 + 1], dtype=np.uint64), [2, 1])
    events = {"ids": ids, "pt": ak.Array([[1.0, 2.0], [3.0]])}
    assert value("sort(ids, pt)", events).to_list() == [[2**63 + 3, 2**63 + 1], [2**63 + 1]]
    assert value("ids[pt > 1]", events).to_list() == [[2**63 + 3], [2**63 + 1]]
    for place in (0, 1, 62, 63):
        expected = [[bool(number >> place & 1) for number in event] for event in ids.to_list()]
        assert value(f"bit(ids, {place})", events).to_list() == expected
    signed = np.array([-1, 2**62 + 1, -(2**63)])
    assert value("bit(n, 63)", {"n": signed}).tolist() == [True, False, True]
    assert value("bit(n, 62)", {"n": signed}).tolist() == [True, True, False]
    assert value("bit(n, 7)", {"n": np.array([-128, 127], dtype=np.int8)}).tolist() == [True, False]


def test_angles():
    rng = np.random.default_rng(1)
    phi = np.concatenate([rng.uniform(-20, 20, 2000), np.pi * np.arange(-6, 7), [1e-300, -1e-17, 0.0]])
    phi = np.concatenate([phi, np.nextafter(phi, np.inf), np.nextafter(phi, -np.inf)])
    found = value("delta_phi(a, b)", {"a": phi, "b": np.zeros(len(phi))})
    assert (found >= -np.pi).all()
    assert (found < np.pi).all()
    np.testing.assert_allclose(np.exp(1j * found), np.exp(1j * phi), atol=1e-14)
    small = np.abs(phi) < 3
    np.testing.assert_array_equal(found[small], phi[small])
    assert value("delta_phi(a, 0)", {"a": np.array([np.pi])}) == -np.pi
    assert np.isnan(value("delta_phi(a, 0)", {"a": np.array([np.nan, np.inf])})).all()
    found = value("delta_r(eta, pt, eta[0], pt[0])")
    expected = [
        [np.hypot(e - es[0], np.angle(np.exp(1j * (p - ps[0])))) for e, p in zip(es, ps, strict=True)]
        for es, ps in zip(EVENTS["eta"].to_list(), PT, strict=True)
    ]
    np.testing.assert_allclose(ak.flatten(found), ak.flatten(ak.Array(expected)), rtol=1e-12)


WRONG = {
    "pt[met > 20]": (4, "the condition is not one value for each element of the list"),
    "pt[gen > 20]": (4, "the condition has another length than the list, such as 2 values for 3 elements"),
    "pt[hits > 20]": (4, "the condition is not one value for each element"),
    "pt[met]": (4, "numbers with fractions, or conditions, where whole numbers are needed"),
    "1 + met[0]": (5, "[ ] needs a branch with a list per event"),
    "1 + met[best]": (5, "[ ] needs a branch with a list per event"),
    "1 + met[tight]": (5, "[ ] needs a branch with a list per event"),
    "pt[0][0]": (1, "[ ] needs a branch with a list per event"),
    "1 + sum(met)": (5, "sum needs a branch with a list per event"),
    "mean(met)": (1, "mean needs a branch with a list per event"),
    "1 + max(met)": (5, "max needs a branch with a list per event"),
    "argmin(best)": (1, "argmin needs a branch with a list per event"),
    "all(met > 1)": (1, "all needs a branch with a list per event"),
    "first(3)": (1, "first needs a branch with a list per event"),
    "sort(met)": (1, "sort needs a branch with a list per event"),
    "sort(pt, met)": (1, "the order is not one value for each element of the list"),
    "sort(pt, gen)": (1, "the order has another length than the list"),
    "2 * (pt + gen)": (6, "its branches do not fit together"),
    "2 * delta_phi(pt, gen)": (5, "its branches do not fit together"),
    "any(pt)": (5, "a number where a condition is needed"),
    "bit(met, 3)": (5, "numbers with fractions, or conditions, where whole numbers are needed"),
    "2 > bit(to, 16)": (5, "no bit 16 in numbers of 16 bits"),
    "1 + name": (5, "text where a number is needed"),
    "count(name)": (7, "text where a number is needed"),
    "name[0]": (1, "text where a number is needed"),
    "1 + pt[0].x": (11, "only vectors have attributes such as .x"),
    "1 + all": (5, "no branch all"),
    "pt.x + 1": (1, "no branch pt.x"),
    "pt[0] + jets.x": (9, "no branch jets.x"),
}


@pytest.mark.parametrize("text", WRONG)
def test_what_does_not_fit_is_refused_with_its_place(text):
    place, reason = WRONG[text]
    with pytest.raises(InputError) as caught:
        value(text, EVENTS | {"name": ak.Array(["a", "b", "c", "d"])})
    message = str(caught.value)
    assert message.startswith(f"expression {text!r}: {reason}")
    assert f", at character {place}; " in message
    assert len(message.splitlines()) == 1


def test_a_function_that_is_not_called_is_a_branch_where_there_is_one():
    events = {"first": np.array([2.0]), "all": np.array([1.0]), "bit": ak.Array([[3, 4]])}
    assert same(value("first / 4 + all", events), [1.5])
    assert same(value("first(bit) + bit[1]", events), [7.0])
    with pytest.raises(InputError, match=r"to call the function, write mean\(\.\.\.\)"):
        value("mean / 2", events)


def test_the_form_of_values():
    """What is in the form already is not copied."""
    flat = np.arange(3.0)
    assert formed(flat) is flat
    lists = ak.Array([[1.0], []])
    assert np.shares_memory(ak.to_numpy(ak.flatten(formed(lists))), ak.to_numpy(ak.flatten(lists)))
    assert str(formed(ak.Array([None, [1]])).type) == "2 * var * int64"
    assert isinstance(formed(ak.Array([1, 2])), np.ndarray)


@pytest.fixture(scope="module")
def loaded() -> Callable[..., dict[str, Any]]:
    def load(path: Any, *names: str) -> dict[str, Any]:
        if not path.is_file():
            pytest.skip(f"needs {path.name} of ../shared/data, which is not here")
        with uproot.open(path) as file:
            return {name: file["Events"][name].array() for name in names}

    return load


def test_real_nanoaod(shared_data, loaded):
    jets = ("Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass", "Jet_btagPNetB", "Jet_genJetIdx")
    events = loaded(shared_data / "nano_tt_v15.root", *jets, "GenJet_pt", "GenPart_statusFlags")
    part = {name: events[name].to_list() for name in events}
    rows = range(len(part["Jet_pt"]))
    assert max(len(part["Jet_pt"][row]) for row in rows) > 5

    def loop(one: Callable[[dict[str, list]], Any]) -> list:
        return [one({name: part[name][row] for name in part}) for row in rows]

    def partners(e: dict[str, list]) -> list:
        return [e["GenJet_pt"][i] if 0 <= i < len(e["GenJet_pt"]) else NAN for i in e["Jet_genJetIdx"]]

    def tagged(e: dict[str, list]) -> float:
        scores = e["Jet_btagPNetB"]
        return e["Jet_pt"][int(np.argmax(scores))] if scores else NAN

    def leading(e: dict[str, list]) -> float:
        chosen = [p for p, eta in zip(e["Jet_pt"], e["Jet_eta"], strict=True) if p > 30 and abs(eta) < 2.4]
        return chosen[0] if chosen else NAN

    expected = {
        "GenJet_pt[Jet_genJetIdx]": partners,
        "Jet_pt[argmax(Jet_btagPNetB)]": tagged,
        "Jet_pt[(Jet_pt > 30) & (abs(Jet_eta) < 2.4)][0]": leading,
        "sort(Jet_pt, -Jet_btagPNetB)[0]": lambda e: (
            e["Jet_pt"][int(np.argmin(e["Jet_btagPNetB"]))] if e["Jet_pt"] else NAN
        ),
        "count(GenPart_statusFlags[bit(GenPart_statusFlags, 13)])": lambda e: sum(
            flag >> 13 & 1 for flag in e["GenPart_statusFlags"]
        ),
        "any(abs(Jet_eta) > 4)": lambda e: any(abs(eta) > 4 for eta in e["Jet_eta"]),
    }
    for text, one in expected.items():
        assert same(value(text, events), loop(one)), text
    met = value("hypot(sum(Jet_pt * cos(Jet_phi)), sum(Jet_pt * sin(Jet_phi)))", events)
    pt = value("sum(p4(Jet_pt, Jet_eta, Jet_phi, Jet_mass)).pt", events)
    np.testing.assert_allclose(met, pt, rtol=1e-9, atol=1e-9)
