"""Pseudo-data of known truth, and hidden quantities as the data have them or tilted, against closed forms."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import norm

from tests.systematics.conftest import RESPONSE, SLOPE
from truthward.errors import InputError
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.run.provenance import Record
from truthward.study.observable import Observable
from truthward.systematics import closure
from truthward.systematics.hidden import _at_fixed_truth, _scores
from truthward.systematics.sample import Measured, Simulated, shared_columns
from truthward.systematics.stage import vary

# Its fixtures are made once, on one worker.
pytestmark = pytest.mark.xdist_group("systematics_model")

OBSERVABLES = [Observable(name="x0", range=(-4.0, 4.0), bins=16)]
EVENTS = 8000
SYSTEMATICS = {
    "closure": {"kind": "closure"},
    "seen": {"kind": "hidden", "columns": ["h"]},
    "tilt": {"kind": "hidden", "columns": ["truth_h"], "size": 0.4},
    "like": {"kind": "hidden", "columns": ["truth_h"], "sample": "other"},
}
EDGES = np.array([-np.inf, -1.2, -0.6, 0.0, 0.6, 1.2, np.inf])


def run(folder, simulation, data, systematics, **others):
    summary = vary(
        simulation,
        data,
        systematics,
        others,
        output=folder / "out.parquet",
        summary_out=folder / "out.json",
        observables=OBSERVABLES,
        seed=3,
        record=Record.for_tests(),
        epochs=12,
        batch_size=1024,
    )
    out = EventTable(folder / "out.parquet")
    return out.read(out.columns), summary


@pytest.fixture(scope="module")
def same(tmp_path_factory, table):
    """Data of the simulation's response, with another prior."""
    simulation, data = table(EVENTS, 1), table(EVENTS, 2, role="data", mean=0.4)
    only = {name: SYSTEMATICS[name] for name in ("closure", "seen")}
    return run(tmp_path_factory.mktemp("same"), simulation, data, only)


@pytest.fixture(scope="module")
def other(tmp_path_factory, table):
    """Data in which the hidden quantity is larger by 0.6 at each truth."""
    simulation, data = table(EVENTS, 1), table(EVENTS, 3, role="data", shift=0.6)
    return run(tmp_path_factory.mktemp("other"), simulation, data, SYSTEMATICS, other=table(EVENTS, 4, shift=-0.25))


def slope_and_shift(columns, weight: str) -> np.ndarray:
    """E[h | t] of the fiducial events, fitted by a straight line: constant, slope."""
    w, t, h = (columns[name].astype(float) for name in (weight, "truth_x0", "truth_h"))
    return np.polynomial.polynomial.polyfit(t, h, 1, w=np.sqrt(w))


def spectrum(columns, weight: str) -> np.ndarray:
    return np.histogram(columns["truth_x0"], EDGES, weights=columns[weight])[0]


def test_a_hidden_quantity_gets_the_distribution_of_the_data_at_each_truth(other):
    columns, summary = other
    constant, slope = slope_and_shift(columns, "weight:seen:0")
    # r depends on t and h, and r_h on h: 0.6 is seen to about a tenth.
    assert constant == pytest.approx(0.6, abs=0.08)
    assert slope == pytest.approx(SLOPE, abs=0.08)
    assert summary["seen"]["moved"]["h"] == pytest.approx(0.6, abs=0.08)


def test_another_prior_is_no_hidden_difference(same):
    """h in the data is larger by 0.5 x 0.4 because t is larger; at each t it is as simulated."""
    columns, summary = same
    constant, slope = slope_and_shift(columns, "weight:seen:0")
    assert constant == pytest.approx(0.0, abs=0.06)
    assert slope == pytest.approx(SLOPE, abs=0.06)
    assert abs(summary["seen"]["moved"]["h"]) < 0.06


@pytest.mark.parametrize("weight", ["weight:seen:0", "weight:tilt_truth_h:0", "weight:tilt_truth_h:1"])
def test_hidden_weights_keep_the_prior(other, weight):
    columns, _ = other
    np.testing.assert_allclose(spectrum(columns, weight) / spectrum(columns, "weight"), 1.0, atol=0.05)
    assert columns[weight].sum() == pytest.approx(columns["weight"].sum(), rel=1e-9)


def test_a_tilt_has_the_size_it_was_given(other):
    """sigma(h | t) is one: the mean at fixed t moves by 0.4, either way."""
    columns, summary = other
    for i, sign in enumerate((1.0, -1.0)):
        constant, slope = slope_and_shift(columns, f"weight:tilt_truth_h:{i}")
        assert constant == pytest.approx(sign * 0.4, abs=0.04)
        assert slope == pytest.approx(SLOPE, abs=0.04)
    assert summary["tilt_truth_h"]["moved"] == pytest.approx([0.4, -0.4], abs=0.03)


def test_a_tilt_takes_its_size_from_another_sample(other):
    """Its h is smaller by a quarter at each truth."""
    assert other[1]["like_truth_h"]["size"] == pytest.approx(0.25, abs=0.03)


def test_pseudo_data_are_put_together_by_hand(tmp_path, table, monkeypatch):
    """A ratio of two at reco level: misses follow it, background keeps its weight and is taken from the data."""
    read = table(2000, 1)
    columns = read.read(read.columns)
    columns["process"] = np.where(np.arange(2000) < 200, "background", "signal")
    path = tmp_path / "s.parquet"
    write_table(path, [columns], observables={}, role="simulation", selection={}, record=Record.for_tests())
    simulation = Simulated.load(EventTable(path), ["x0"])
    data = Measured.load(table(1000, 2, role="data"))
    events = len(data.weight)
    seen = {}

    def twice(x, w, y, v, **options):
        seen.update(data=v.sum(), rows=(len(x), len(y)))
        return 2 * w, {"closes": True, "auc_before": 0.5, "auc_after": 0.5, "auc_error": 0.01}

    monkeypatch.setattr(closure, "weights_like", twice)
    nu = np.full(simulation.fiducial.sum(), 1.5)
    weight, _ = closure.pseudo_data(simulation, data, nu, name="closure", seed=1)
    background = simulation.masks["background"].sum()
    signal = simulation.masks["matched"].sum()
    assert seen == {"data": events - background, "rows": (signal, events + background)}
    np.testing.assert_allclose(weight[simulation.masks["matched"]], 3.0)
    np.testing.assert_allclose(weight[simulation.masks["misses"]], 3.0, rtol=1e-3)
    np.testing.assert_array_equal(weight[simulation.masks["background"]], 1.0)


def test_equal_values_share_the_middle_of_their_ranks():
    found = _scores(np.array([[1.0], [0.0], [1.0], [3.0]]), np.array([1.0, 2.0, 1.0, -4.0]))[:, 0]
    assert norm.cdf(found) == pytest.approx([3 / 8, 1 / 8, 3 / 8, 6 / 8])


def test_a_factor_that_goes_with_the_truth_is_taken_back():
    """Over its mean at fixed truth nothing is left of it."""
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(EVENTS, 1))
    fiducial = np.ones(EVENTS, dtype=bool)
    simulation = SimpleNamespace(truth=truth, weight=np.ones(EVENTS), fiducial=fiducial)
    found = _at_fixed_truth(simulation, np.exp(0.5 * truth[:, 0]), 3, "toy")
    assert found.mean() == pytest.approx(1.0)
    assert np.std(found[np.abs(truth[:, 0]) < 2]) < 0.05


def test_a_function_of_the_observables_is_not_hidden(tmp_path, table):
    simulation = table(3000, 1)
    columns = simulation.read(simulation.columns)
    columns["truth_h"] = columns["truth_x0"] ** 3
    path = tmp_path / "s.parquet"
    write_table(path, [columns], observables={}, role="simulation", selection={}, record=Record.for_tests())
    with pytest.raises(InputError, match=r"systematics\.tilt: truth_h is a function of the unfolded observables"):
        run(tmp_path, EventTable(path), None, {"tilt": SYSTEMATICS["tilt"]})
    with pytest.raises(InputError, match=r"systematics\.seen: truth_h: a function of the unfolded observables"):
        run(tmp_path, EventTable(path), table(3000, 2, role="data"), {"seen": SYSTEMATICS["seen"]})


def reco(columns, weight: str) -> dict[str, float]:
    kept = columns["pass_reco"]
    return {n: np.average(columns[n][kept], weights=columns[weight][kept]) for n in ("reco_x0", "reco_h")}


def test_pseudo_data_agree_with_the_data_in_all_that_is_seen(other):
    columns, summary = other
    assert sorted(summary["closure"]["columns"]) == ["h", "x0"]
    found = reco(columns, "weight:closure:0")
    # Of the data: h has the mean 0.6, and r that of t + 0.5 h.
    assert found["reco_h"] == pytest.approx(0.6, abs=0.05)
    assert found["reco_x0"] == pytest.approx(RESPONSE * 0.6, abs=0.05)
    accepted = columns["pass_reco"]
    assert columns["weight:closure:0"][accepted].sum() == pytest.approx(0.9 * EVENTS, rel=0.02)
    assert summary["closure"]["auc_before"] > 0.6
    assert not summary["closure"]["warnings"]


def test_boosted_trees_make_pseudo_data_that_networks_test(tmp_path, table):
    simulation, data = table(EVENTS, 1), table(EVENTS, 3, role="data", shift=0.6)
    columns, summary = run(tmp_path, simulation, data, {"closure": {"kind": "closure", "classifier": "boosted_trees"}})
    found = reco(columns, "weight:closure:0")
    # Early stopping leaves a part of the difference, which the test by networks states.
    assert found["reco_h"] == pytest.approx(0.6, abs=0.1)
    assert found["reco_x0"] == pytest.approx(RESPONSE * 0.6, abs=0.06)
    assert summary["closure"]["auc_before"] > 0.6
    assert summary["closure"]["auc_after"] < 0.53


def test_of_the_same_response_pseudo_data_have_it_too(same):
    """Another prior alone: r - t, and h at each t, of the pseudo-data are those of the simulation."""
    columns, _ = same
    found = reco(columns, "weight:closure:0")
    assert found["reco_x0"] == pytest.approx(0.4 + RESPONSE * SLOPE * 0.4, abs=0.05)
    kept = columns["pass_reco"]
    t, r, w = (columns[n][kept].astype(float) for n in ("truth_x0", "reco_x0", "weight:closure:0"))
    fitted = np.polynomial.polynomial.polyfit(t, r, 1, w=np.sqrt(w))
    assert fitted == pytest.approx([0.0, 1.0 + RESPONSE * SLOPE], abs=0.05)


def test_the_efficiency_of_pseudo_data_is_the_simulation_s(other):
    columns, _ = other
    w, passed = columns["weight:closure:0"], columns["pass_reco"]
    every, seen = (np.histogram(columns["truth_x0"][m], EDGES, weights=w[m])[0] for m in (passed | True, passed))
    np.testing.assert_allclose(seen / every, 0.9, atol=0.03)


def test_what_calibration_derives_is_left_out(table):
    simulation = table(100, 1)
    simulation.columns += ["reco_h_raw", "reco_h_sigma_systematic", "reco_h:jes:0", "reco_y"]
    assert sorted(shared_columns(simulation, simulation)) == ["h", "x0", "y"]
