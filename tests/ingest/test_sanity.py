"""Samples that cannot be unfolded as they are: each trouble has its words, and none is seen where none is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ingest.conftest import MASS, Columns, measured, simulation
from truthward.errors import InputError
from truthward.events.readers.flat_tree import FlatTree
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.ingest import profile
from truthward.ingest.sanity import examine
from truthward.ingest.stage import ingest
from truthward.study.observable import Observable


def test_nothing_is_said_of_samples_that_are_well(look) -> None:
    assert look() == {"simulation": [], "data": []}
    assert look(other=simulation(3)) == {"simulation": [], "data": [], "herwig": []}


def test_large_tables_are_looked_at_in_part_and_counted_in_full(look, monkeypatch) -> None:
    monkeypatch.setattr(profile, "SAMPLE", 1000)
    assert look() == {"simulation": [], "data": []}

    def third(s: Columns, d: Columns) -> None:
        d["reco_m"][:300] = 85.0 + np.arange(300) / 300

    (text,) = [t for t in look(third)["data"] if "extrapolated" in t]
    assert int(text.split()[0]) == pytest.approx(300, abs=4 * np.sqrt(300 * 2.4))


def set_reco(where: str, value: Any, rows: slice = slice(None)):
    def change(s: Columns, d: Columns) -> None:
        columns = {"simulation": s, "data": d}[where]
        columns["reco_m"][rows] = value(columns["reco_m"][rows]) if callable(value) else value

    return change


def both(*changes):
    def change(s: Columns, d: Columns) -> None:
        for one in changes:
            one(s, d)

    return change


def set_weights(where: str, factor: float):
    def change(s: Columns, d: Columns) -> None:
        {"simulation": s, "data": d}[where]["weight"] *= factor

    return change


REFUSED = {
    "data in MeV": (
        set_reco("data", lambda x: 1000 * x),
        ["observables.m: data: 0 of 2400 accepted events have reco_m in the range [20, 80]", "quantiles 5%, 50%, 95%"],
    ),
    "data in MeV, by the factor": (set_reco("data", lambda x: 1000 * x), [" times that of simulation", "/ 1000"]),
    "simulation in MeV": (set_reco("simulation", lambda x: 1000 * x), ["observables.m: simulation: 0 of", "* 1000"]),
    "six of ten out of range": (
        set_reco("data", lambda x: 90.0 + x / 10, slice(1440)),
        ["observables.m: data: 959 of 2400 accepted events have reco_m in the range [20, 80]"],
    ),
    "another definition": (set_reco("data", lambda x: x / 10 + 70), ["more than half of the events of data"]),
    "constant": (set_reco("data", 50.0), ["data: reco_m is 50 in 2400 of 2400 accepted events; it is a constant"]),
    "almost constant": (
        both(set_reco("data", 50.0), set_reco("data", 1e9, slice(1))),
        ["data: reco_m is 50 in 2399 of 2400 accepted events; it is a constant"],
    ),
    "five times the luminosity": (
        set_weights("simulation", 5),
        ["simulation: its weights sum to ", "the 2400 of data", "`ingest: {yield_difference: "],
    ),
    "a negative yield": (set_weights("simulation", -1), ["simulation: its weights sum to -"]),
    "a sentinel": (
        set_reco("data", -999.0, slice(24)),
        ["observables.m: -999 is the value of 1.00% of reco_m in data", "`atoms: [-999]` under observables.m"],
    ),
    "two sentinels": (
        both(set_reco("simulation", -99.0, slice(900)), set_reco("data", 1e6, slice(24))),
        ["observables.m: -99 is the value of", "observables.m: 1000000 is the value of 1.00% of reco_m in data"],
    ),
}


@pytest.mark.parametrize("trouble", REFUSED)
def test_what_would_give_a_plausible_wrong_answer_is_refused(look, trouble) -> None:
    change, said = REFUSED[trouble]
    with pytest.raises(InputError) as caught:
        look(change)
    for part in said:
        assert part in str(caught.value)


def cut(s: Columns, d: Columns) -> None:
    s["pass_reco"] &= s["truth_m"] > 45.0


FLAGGED = {
    "one value far outside": (set_reco("data", 1e9, slice(1)), "data", "reco_m is 1e+09 in 1 of 2400 events, far from"),
    "no efficiency": (both(cut, set_weights("data", 0.7)), "simulation", "none of "),
    "one heavy event": (
        lambda s, d: s["weight"].__setitem__(s["pass_reco"].argmax(), 450.0),
        "simulation",
        "one event has 16% of the sum of weights at reco level (weight 450",
    ),
}


@pytest.mark.parametrize("trouble", FLAGGED)
def test_what_may_be_right_is_a_flag_and_a_warning(look, trouble, caplog) -> None:
    change, sample, said = FLAGGED[trouble]
    flags = look(change)
    (text,) = [text for text in flags[sample] if said in text]
    assert f"{sample}: {text}" in caplog.text


def test_events_out_of_range_and_of_support_are_counted_as_by_numpy(look) -> None:
    s, d = simulation(), measured()
    d["reco_m"][:480] = 80.0 + d["reco_m"][:480] / 100
    most = s["reco_m"][s["pass_reco"]].max()
    inside, beyond = (d["reco_m"] <= 80.0) & (d["reco_m"] >= 20.0), d["reco_m"] > most
    flags = look(set_reco("data", lambda x: 80.0 + x / 100, slice(480)))["data"]
    assert [text.partition(" (")[0] for text in flags] == [
        f"{inside.sum()} of 2400 accepted events have reco_m in the range [20, 80]",
        f"{beyond.sum()} of 2400 events have reco_m above {d['reco_m'][beyond].min():.5g}, but simulation has no "
        "event there: the result is extrapolated there",
    ]


def test_the_region_without_efficiency_is_that_of_the_cut(look) -> None:
    # Of the toy's truth 26.6% lies below 45.
    (text,) = [t for t in look(both(cut, set_weights("data", 0.7)))["simulation"] if "efficiency" in t]
    assert f"none of {(simulation()['truth_m'] <= 45.0).sum()} events with truth_m below 4" in text


def test_a_declaration_lets_through_what_is_right(look) -> None:
    flags = look(set_weights("simulation", 5), yield_difference=None)
    assert flags == look(set_weights("simulation", 5), yield_difference=4.5) == {"simulation": [], "data": []}
    atomic = MASS.model_copy(update={"atoms": (-999.0,)})
    for share in (24, 720):
        sentinels = both(set_reco("data", -999.0, slice(share)), set_reco("simulation", -999.0, slice(share)))
        assert look(sentinels, atomic) == {"simulation": [], "data": []}


def test_a_difference_that_may_be_chance_is_none(look) -> None:
    def few(s: Columns, d: Columns) -> None:
        for name in list(d):
            d[name] = d[name][:10]
        s["weight"] *= 14 / s["weight"][s["pass_reco"]].sum()

    assert look(few) == {"simulation": [], "data": []}


def test_another_simulation_is_held_against_the_data_too(look) -> None:
    other = simulation(3)
    other["weight"] *= 5
    with pytest.raises(InputError, match="herwig: its weights sum to"):
        look(other=other)


@pytest.mark.parametrize("weights", ["added", "split"])
def test_events_of_no_weight_and_halves_change_nothing(look, weights) -> None:
    def change(s: Columns, d: Columns) -> None:
        n = len(d["weight"])
        for name in list(d):
            d[name] = np.concatenate([d[name], d[name]])
        d["event_id"][n:] += 10**6
        if weights == "added":
            d["weight"][n:] = 0.0
            d["reco_m"][n:] = -999.0
        else:
            d["weight"] /= 2

    flags = look(change)
    assert flags["simulation"] == []
    # Each value twice is no spike; but as data, events that are there twice have another error.
    said = ["its weights are all 0.5", "50.0% of the events at reco level have the same observables as another event"]
    assert len(flags["data"]) == (2 if weights == "split" else 0)
    assert all(text.startswith(start) for text, start in zip(flags["data"], said, strict=False))


PADDED = {"reco_m": "reco_m", "truth_m": "truth_m", "reco_q": "reco_m + 0", "event_id": "event_id"}


@pytest.mark.parametrize("atoms", [(), (-99.0,)])
def test_flags_that_are_not_mapped_are_stated_and_padding_behind_them_is_refused(
    write_root, tmp_path, record, atoms, caplog
) -> None:
    observable = MASS.model_copy(update={"atoms": atoms})
    samples = {"simulation": simulation(), "data": measured()}
    samples["simulation"]["reco_m"][:3] = samples["data"]["reco_m"][:3] = -99.0
    tables = []
    for name, columns in samples.items():
        path = write_root(columns, f"{name}.root")
        branches = {c: text for c, text in PADDED.items() if text.split()[0] in columns}
        reader = FlatTree(files=[str(path)], tree="events", branches=branches)
        # Branches named as flags stand in the file; where the map says otherwise they are not the flags.
        reader.mapping = {c: e for c, e in reader.mapping.items() if c in branches}
        ingest(reader, output=tmp_path / f"{name}.parquet", observables=[observable], role=name, record=record)
        tables.append((name, EventTable(tmp_path / f"{name}.parquet")))
    assert "pass_truth is not mapped: all 3000 events read count as accepted" in caplog.text
    if not atoms:
        with pytest.raises(InputError) as caught:
            examine(*tables, [observable], yield_difference=None)
        for part in (
            "simulation: 3 of 3000",
            "data: 3 of 2400",
            "reco_m = -99",
            "pass_reco is not mapped",
            "atoms: [-99]",
        ):
            assert part in str(caught.value)
        return
    flags = examine(*tables, [observable], yield_difference=None)
    assert any(text.startswith("pass_truth is not mapped: all 3000 events") for text in flags["simulation"])
    assert any(text.startswith("pass_reco is not mapped: all 2400 events") for text in flags["data"])
    assert "reco_q is -99 in 3 events, but pass_reco is not mapped; map it" in flags["data"]


def test_columns_are_as_declared(look) -> None:
    with pytest.raises(InputError, match="truth_m is declared `integer: true`, but has values such as"):
        look(observable=MASS.model_copy(update={"integer": True}))
    wide = Observable(name="m", range=(0.0, 1e5), bins=20)
    assert all("in one of 20 bins, [0, 5000]" in text for text in look(observable=wide)["data"])
    assert len(look(observable=wide)["data"]) == 1
    (text,) = look(observable=MASS.model_copy(update={"atoms": (-1.0,)}))["simulation"]
    assert "no event of any sample has the declared atom -1" in text
    # Double precision held them apart; a table of float32 has steps of 128 there.
    late = Observable(name="m", range=(1.7e9 - 1000, 1.7e9 + 1000), bins=2)

    def later(s: Columns, d: Columns) -> None:
        s["truth_m"] += 1.7e9
        s["reco_m"] += 1.7e9
        d["reco_m"] += 1.7e9

    assert any("with steps of 128" in text for text in look(later, late)["data"])


def test_an_atom_that_only_the_data_have_is_out_of_support(look) -> None:
    atomic = MASS.model_copy(update={"atoms": (0.0,)})
    (text,) = look(set_reco("data", 0.0, slice(240)), atomic)["data"]
    assert text.startswith("240 of 2400 events have reco_m at the atom 0, but no event of simulation")


def test_trees_of_different_names_are_flagged(write_root, tmp_path, record) -> None:
    parts = [simulation(), simulation(2)]
    paths = [str(write_root(parts[i], f"{i}.root", tree=tree)) for i, tree in enumerate(("nominal", "jes_up"))]
    names = {c: c for c in parts[0]}
    output = tmp_path / "s.parquet"
    ingest(FlatTree(files=paths, branches=names), output=output, observables=[MASS], role="simulation", record=record)
    write_table(tmp_path / "d.parquet", [measured()], observables={}, role="data", selection={}, record=record)
    tables = ("simulation", EventTable(tmp_path / "s.parquet")), ("data", EventTable(tmp_path / "d.parquet"))
    flags = examine(*tables, [MASS], yield_difference=None)
    assert "its files have different trees: nominal, jes_up" in flags["simulation"][0]
