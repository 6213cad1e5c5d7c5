"""Variations of the simulation from files into the table: shifted values, acceptance of their own, weights."""

import numpy as np
import pytest

from truthward.errors import ConfigError, InputError
from truthward.events.readers.flat_tree import FlatTree
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.ingest.stage import ingest

JES = {"jes": {"kind": "shifted", "replicas": 2}, "scale": {"kind": "weight", "replicas": 2}}


@pytest.fixture
def varied(events):
    """Columns of the table and the branches that stand for them; shifts of 0.5 up and down, weights doubled, halved."""
    columns = events(400)
    up, down = (np.where(columns["pass_reco"], columns["reco_m"] + s, -99.0).astype(np.float32) for s in (0.5, -0.5))
    more = {
        "reco_m:jes:0": up,
        "reco_m:jes:1": down,
        "weight:scale:0": 2 * columns["weight"],
        "weight:scale:1": 0.5 * columns["weight"],
    }
    return columns, more


@pytest.fixture
def run(tmp_path, record, mass, write_root):
    def run(columns, branches=None, role="simulation", **options):
        path = write_root({name.replace(":", "__"): values for name, values in columns.items()})
        output = tmp_path / "t.parquet"
        reader = FlatTree(files=[str(path)], branches=branches or {}, same_names=branches is None)
        ingest(reader, output=output, observables=mass, role=role, record=record, **options)
        return EventTable(output)

    return run


@pytest.mark.parametrize("mapped", [False, True])
def test_columns_arrive(run, varied, mapped):
    columns, more = varied
    names = {**columns, **more}
    table = run(names, {n: n.replace(":", "__") for n in names} if mapped else None, systematics=JES)
    kept = columns["pass_truth"] | columns["pass_reco"]
    found = table.read([*more, "pass_reco"])
    for name in ("weight:scale:0", "weight:scale:1"):
        np.testing.assert_array_equal(found[name], more[name][kept])
    passed = found["pass_reco"]
    np.testing.assert_array_equal(found["reco_m:jes:0"][passed], more["reco_m:jes:0"][kept][passed])
    # No value, and so no sentinel, where the event is not accepted.
    assert np.isnan(found["reco_m:jes:1"][~passed]).all()


def test_tables_without_both_levels_have_none(run, varied):
    columns, more = varied
    data = {name: v for name, v in {**columns, **more}.items() if "truth" not in name}
    assert not [c for c in run(data, role="data").columns if ":" in c]


def test_a_missing_variation_is_named_with_the_way_out(run, varied):
    columns, more = varied
    for lost in ("reco_m:jes:1", "weight:scale:1"):
        given = {name: v for name, v in {**columns, **more}.items() if name != lost}
        with pytest.raises(InputError, match=rf": no column {lost}, which systematics\..*replicas: 2.*branches"):
            run(given, systematics=JES)


@pytest.mark.parametrize(("name", "count"), [("reco_m:jes:1", "1 of"), ("weight:scale:0", "1 of")])
def test_nan_is_refused_with_its_count(run, varied, name, count):
    columns, more = varied
    row = np.flatnonzero(columns["pass_reco"])[7]
    more[name] = more[name].copy()
    more[name][row] = np.nan
    with pytest.raises(InputError, match=rf"{count}.*(first at entry {row})"):
        run({**columns, **more})


def test_nan_where_the_variation_does_not_accept_is_nothing(run, varied):
    columns, more = varied
    flag = columns["pass_reco"] & (more["reco_m:jes:0"] < 8)
    more["reco_m:jes:0"] = np.where(flag, more["reco_m:jes:0"], np.nan).astype(np.float32)
    found = run({**columns, **more, "pass_reco:jes:0": flag, "pass_reco:jes:1": columns["pass_reco"]}).read(
        ["reco_m:jes:0", "pass_reco:jes:0"]
    )
    np.testing.assert_array_equal(np.isfinite(found["reco_m:jes:0"]), found["pass_reco:jes:0"])


def test_an_event_that_only_a_variation_accepts_is_kept(run, varied):
    columns, more = varied
    lost = ~columns["pass_truth"] & ~columns["pass_reco"]
    assert lost.sum() > 3
    flag = columns["pass_reco"] | lost
    more["reco_m:jes:0"] = np.where(flag, 5.0, -99.0).astype(np.float32)
    table = run({**columns, **more, "pass_reco:jes:0": flag, "pass_reco:jes:1": columns["pass_reco"]})
    found = table.read(["pass_truth", "pass_reco", "pass_reco:jes:0", "reco_m:jes:0", "reco_m"])
    only = found["pass_reco:jes:0"] & ~found["pass_reco"] & ~found["pass_truth"]
    assert only.sum() == lost.sum()
    assert (found["reco_m:jes:0"][only] == 5.0).all()
    assert np.isnan(found["reco_m"][only]).all()


def test_selection_sees_the_shifted_values(run, varied):
    columns, more = varied
    columns["reco_w"] = np.where(columns["pass_reco"], 1.0, -99.0).astype(np.float32)
    table = run({**columns, **more}, selection={"reco": "reco_m > 3"})
    found = table.read(["event_id", "pass_reco", "pass_reco:jes:0", "pass_reco:jes:1", "reco_w:jes:0", "reco_m:jes:0"])
    place = found["event_id"].astype(int)
    for name, values in (("", columns["reco_m"]), (":jes:0", more["reco_m:jes:0"]), (":jes:1", more["reco_m:jes:1"])):
        expected = columns["pass_reco"] & (values > 3)
        np.testing.assert_array_equal(found[f"pass_reco{name}"], expected[place])
        # None is lost with the events that nothing else accepts.
        assert found[f"pass_reco{name}"].sum() == expected.sum()
    assert found["pass_reco:jes:0"].sum() > found["pass_reco"].sum() > found["pass_reco:jes:1"].sum()
    # What is not shifted has values for the events that come in.
    assert (found["reco_w:jes:0"][found["pass_reco:jes:0"]] == 1.0).all()
    assert (found["reco_m:jes:0"][found["pass_reco:jes:0"]] > 3).all()


def test_an_acceptance_without_the_values_that_it_needs_is_refused(run, varied):
    columns, more = varied
    flags = {f"pass_reco:{s}:{i}": columns["pass_reco"] for s in ("jes", "jer") for i in range(2)}
    columns["reco_w"] = columns["reco_m"]
    with pytest.raises(InputError, match=r"has pass_reco:jer:0 but no reco_m:jer:0.*nominal branch"):
        run({**columns, **more, **flags})
    flags = {name: v for name, v in flags.items() if ":jes:" in name}
    with pytest.raises(InputError, match=r"selection\.reco: no column reco_w:jes:0.*pass_reco:jes:0 need it"):
        run({**columns, **more, **flags}, selection={"reco": "reco_w > 3"})


@pytest.mark.parametrize("name", ["reco_m:jes", "reco_m:jes:up", "truth_m:jes:0", "process:jes:0"])
def test_what_is_no_variation_is_refused(name):
    with pytest.raises(ConfigError, match=rf"branches\.{name}: not a valid name of a variation"):
        FlatTree(files=["x.root"], branches={name: "x"})


@pytest.mark.parametrize("name", ["weight:scale:0", "reco_m:jes:0"])
def test_the_table_of_data_has_no_variations(tmp_path, record, events, name):
    columns = {n: v for n, v in events().items() if "truth" not in n}
    columns[name] = columns["weight"]
    with pytest.raises(InputError, match=f"role data cannot have the columns {name}"):
        write_table(tmp_path / "t.parquet", [columns], observables={}, role="data", selection={}, record=record)
