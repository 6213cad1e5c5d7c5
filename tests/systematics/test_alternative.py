"""An alternative simulation becomes weights of the nominal one: exact in yields, close in density, or else flagged."""

from __future__ import annotations

import numpy as np
import pytest

from truthward.errors import InputError
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.physics.generators.gaussian import Gaussian
from truthward.records import read_record
from truthward.records.systematics import SystematicsSummary
from truthward.run.provenance import Record
from truthward.study.observable import Observable
from truthward.systematics.sample import CATEGORIES
from truthward.systematics.stage import vary

# Its fixtures are made once, on one worker.
pytestmark = pytest.mark.xdist_group("alternative")

OBSERVABLES = [Observable(name="x0", range=(-4.0, 4.0), bins=16)]
EDGES = np.array([-np.inf, -1.0, -0.4, 0.0, 0.4, 1.0, np.inf])
NOMINAL = {"background": 0.05, "negative_weights": 0.1, "expected": 1000.0}
OTHER = NOMINAL | {"mean": 0.35, "resolution": 0.6, "background": 0.1, "expected": 1200.0}


def sample(path, events: int, seed: int, **options) -> EventTable:
    columns = Gaussian(**options).draw(events, np.random.default_rng(seed))
    columns["process"] = np.where(columns["process"] == 0, "signal", "background")
    columns["event_id"] = np.arange(events, dtype=np.uint64) + np.uint64(seed * 10**7)
    write_table(path, [columns], observables={}, role="simulation", selection={}, record=Record.for_tests())
    return EventTable(path)


def run(folder, simulation, other, **options):
    vary(
        simulation,
        None,
        {"shower": {"kind": "alternative", "sample": "other"}},
        {"other": other},
        output=folder / "out.parquet",
        summary_out=folder / "out.json",
        observables=OBSERVABLES,
        seed=4,
        record=Record.for_tests(),
        **options,
    )
    return EventTable(folder / "out.parquet"), read_record(folder / "out.json", SystematicsSummary)["systematics"][
        "shower"
    ]


def categories(table: EventTable) -> dict[str, np.ndarray]:
    c = table.read(["pass_truth", "pass_reco", "process"])
    signal = c["process"] == "signal"
    return {
        "matched": signal & c["pass_truth"] & c["pass_reco"],
        "misses": signal & c["pass_truth"] & ~c["pass_reco"],
        "fakes": signal & ~c["pass_truth"] & c["pass_reco"],
        "background": ~signal & c["pass_reco"],
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("done")
    simulation, other = (
        sample(folder / "s.parquet", 12000, 1, **NOMINAL),
        sample(folder / "o.parquet", 12000, 2, **OTHER),
    )
    return simulation, other, *run(folder, simulation, other)


def test_nothing_but_a_column_is_added(done):
    simulation, _, table, _ = done
    assert set(table.columns) - set(simulation.columns) == {"weight:shower:0"}
    before, after = simulation.read(simulation.columns), table.read(simulation.columns)
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)
    assert table.metadata["selection"] == simulation.metadata["selection"]


def test_yields_of_all_categories_are_exact(done):
    _, other, table, summary = done
    new, theirs = table.read(["weight:shower:0"])["weight:shower:0"], other.read(["weight"])["weight"]
    ours, alternative = categories(table), categories(other)
    assert set(summary["categories"]) == set(CATEGORIES)
    for name in CATEGORIES:
        assert new[ours[name]].sum() == pytest.approx(theirs[alternative[name]].sum(), rel=1e-9)
        assert summary["categories"][name]["taken"] == "density"


def test_of_few_events_the_yields_alone_are_taken(tmp_path):
    simulation, other = (
        sample(tmp_path / "s.parquet", 150, 1, **NOMINAL),
        sample(tmp_path / "o.parquet", 150, 2, **OTHER),
    )
    table, summary = run(tmp_path, simulation, other)
    c, theirs = table.read(["weight", "weight:shower:0"]), other.read(["weight"])["weight"]
    ours, alternative = categories(table), categories(other)
    for name, mask in ours.items():
        assert summary["categories"][name]["taken"] == "yield"
        assert c["weight:shower:0"][mask].sum() == pytest.approx(theirs[alternative[name]].sum(), rel=1e-9)
        ratio = c["weight:shower:0"][mask] / c["weight"][mask]
        assert ratio == pytest.approx(ratio[0], rel=1e-9)


def test_the_density_becomes_that_of_the_other(done):
    """The truth in closed form, and the response, which no re-weighting of the truth alone would change."""
    _, _, table, summary = done
    c = table.read(["weight", "weight:shower:0", "pass_truth", "truth_x0", "reco_x0"])
    fiducial, other = c["pass_truth"], Gaussian(**OTHER)
    expected = other.truth_probability(EDGES) * other.fiducial_yield()
    after = np.histogram(c["truth_x0"][fiducial], EDGES, weights=c["weight:shower:0"][fiducial])[0]
    before = np.histogram(c["truth_x0"][fiducial], EDGES, weights=c["weight"][fiducial])[0]
    assert np.abs(after / expected - 1).max() < 0.12
    assert np.abs(before / expected - 1).max() > 0.4
    both = categories(table)["matched"]
    distance = (c["reco_x0"] - c["truth_x0"])[both].astype(float)
    width = [np.sqrt(np.average(distance**2, weights=c[w][both])) for w in ("weight", "weight:shower:0")]
    assert width[0] == pytest.approx(0.5, abs=0.02)
    assert width[1] == pytest.approx(0.6, abs=0.03)
    assert summary["effective_size"] < summary["effective_size_before"]
    assert summary["closes"]
    matched = summary["categories"]["matched"]
    assert matched["auc_before"] - 0.5 > 10 * matched["auc_error"]


def test_a_feature_becomes_that_of_the_other_where_networks_see_it(tmp_path):
    """Its mean at reco level; x1 is independent of what is unfolded, which shows nothing of it."""
    two = NOMINAL | {"dimensions": 2, "expected": 4000.0}
    simulation = sample(tmp_path / "s.parquet", 4000, 5, **two)
    other = sample(tmp_path / "o.parquet", 4000, 6, **two | {"mean": [0.0, 0.5]})
    found = {}
    for names in ([], ["x1"]):
        table, _ = run(tmp_path, simulation, other, features={"reco": names, "truth": []}, epochs=10)
        c, both = table.read(["weight:shower:0", "reco_x1"]), categories(table)["matched"]
        found[len(names)] = np.average(c["reco_x1"][both], weights=c["weight:shower:0"][both])
    assert found[0] == pytest.approx(0.0, abs=0.1)
    assert found[1] == pytest.approx(0.5, abs=0.1)


def test_what_does_not_close_is_flagged(done, tmp_path):
    """No weight can move events to where there are none."""
    simulation, _, _, _ = done
    far = sample(tmp_path / "far.parquet", 6000, 3, **NOMINAL | {"mean": 3.0, "width": 0.3})
    _, summary = run(tmp_path, simulation, far, epochs=6)
    assert not summary["closes"]
    assert any("separates the re-weighted simulation from far" in text for text in summary["warnings"])
    assert summary["largest_over_mean"] > 20


def test_an_alternative_without_background_says_nothing_of_it(done, tmp_path):
    simulation, _, _, _ = done
    signal = sample(tmp_path / "signal.parquet", 4000, 3, **NOMINAL | {"background": 0.0, "fakes": [0.002, 0.002]})
    table, summary = run(tmp_path, simulation, signal, epochs=2)
    c, ours = table.read(["weight", "weight:shower:0"]), categories(table)
    np.testing.assert_array_equal(c["weight:shower:0"][ours["background"]], c["weight"][ours["background"]])
    assert summary["categories"]["background"]["taken"] == "nothing"
    # Of a handful of fakes the yield is taken over, and no shape.
    assert summary["categories"]["fakes"]["taken"] == "yield"
    ratio = (c["weight:shower:0"] / c["weight"])[ours["fakes"]]
    np.testing.assert_allclose(ratio, ratio[0])


def test_a_category_that_is_lacking_is_named(done, tmp_path):
    simulation, _, _, _ = done
    full = sample(tmp_path / "full.parquet", 2000, 3, **NOMINAL | {"efficiency": [1.0, 1.0]})
    with pytest.raises(InputError, match=r"full\.parquet: systematics\.shower: misses: the weights of 0 events"):
        run(tmp_path, simulation, full, epochs=1)
    assert not list(tmp_path.glob("out*"))
