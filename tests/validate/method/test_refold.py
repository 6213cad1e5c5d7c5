"""Folding: the response is used once, its errors are right, and a wrong one is found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from truthward.events.families import Histogram
from truthward.events.table import EventTable
from truthward.validate.distances import Counts
from truthward.validate.method.refold import Response, compare_refolded

EDGES = np.array([0.0, 1.0, 2.0, 3.0])


def test_by_hand():
    response = Response(EDGES)
    yes = np.array([True, True, True, True, False])
    # Two events in the first truth bin, one of them missed; one below the edges; one above, of weight 3; one fake.
    response.add(
        np.array([0.5, 0.5, -1.0, 9.0, np.nan]),
        np.array([1.5, np.nan, 0.5, 3.0, 2.5]),
        yes,
        np.array([True, False, True, True, True]),
        np.array([1.0, 1.0, 1.0, 3.0, 0.5]),
    )
    folded, _, lost = response.fold(np.array([2.0, 10.0, 7.0, 0.0, 6.0]))
    # Half of 10 in the second bin, 2 of the underflow in the first; 6 of the overflow and the fake in the third.
    assert folded.tolist() == [0.0, 2.0, 5.0, 6.5, 0.0]
    assert lost == 7.0


def test_fakes_that_go_with_the_signal_by_hand():
    signal = np.array([True, True, True, False])
    for share, expected in ((False, [0.0, 6.0, 0.5, 0.0, 0.0]), (True, [0.0, 8.0, 0.5, 0.0, 0.0])):
        response = Response(EDGES, share=share)
        # One matched event, which a result of three makes as many; two fakes beside it; background in the next bin.
        response.add(
            np.array([0.5, np.nan, np.nan, np.nan]),
            np.array([0.5, 0.5, 0.5, 1.5]),
            np.arange(4) == 0,
            np.ones(4, dtype=bool),
            np.array([6.0, 1.0, 1.0, 0.5]),
            signal=signal,
            simulated=np.array([2.0, 1.0, 1.0, 0.5]),
        )
        folded, covariance, _ = response.fold(np.array([0.0, 4.0, 0.0, 0.0, 0.0]))
        assert folded.tolist() == expected
        # Fakes in proportion have their own error, in proportion.
        assert np.diag(covariance)[1:3].tolist() == [2.0 * (4.0 if share else 1.0), 0.25]


def test_folding_the_simulation_itself_gives_its_reco_spectrum(study, observables):
    path = study.simulation()
    table = EventTable(path)
    response = Response.of(table, {"x": np.asarray(observables[0].edges)})["x"]
    mask, reco = table.level("reco", ["x"])
    data = Counts.of(reco[mask, 0], table.read(["weight"])["weight"][mask], np.asarray(observables[0].edges))
    folded, covariance, lost = response.fold(response.fiducial)
    assert np.allclose(folded, data.contents)
    assert lost == 0
    assert (np.linalg.eigvalsh(covariance) > -1e-9).all()
    # Efficiency and fakes once each: misses are not in the data, fakes are.
    assert folded.sum() == pytest.approx(data.contents.sum())
    assert response.matched.sum() / response.fiducial.sum() == pytest.approx(0.9, abs=0.02)
    assert response.fixed.sum() / response.fiducial.sum() == pytest.approx(0.05 / 0.95, abs=0.015)


def test_the_errors_of_a_finite_simulation_are_those_of_repeated_ones():
    edges, repeats = np.linspace(-2, 2, 9), 300
    random = np.random.default_rng(4)
    truth = 500 * np.ones(edges.size + 1)
    folded, covariances = [], []
    for _ in range(repeats):
        x, n = random.normal(size=1500), 1500
        response = Response(edges)
        weight = random.choice([-1.0, 1.0, 2.0], n, p=[0.1, 0.6, 0.3])
        response.add(x, x + random.normal(0, 0.5, n), random.random(n) < 0.95, random.random(n) < 0.8, weight)
        found, covariance, _ = response.fold(truth)
        folded.append(found)
        covariances.append(covariance)
    expected = np.cov(np.array(folded).T)
    stated = np.mean(covariances, axis=0)
    assert np.diag(stated) == pytest.approx(np.diag(expected), rel=0.35)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs((stated - expected) / scale).max() < 0.25


def test_a_wrong_response_and_a_wrong_yield_are_found_and_a_right_one_is_not(study, observables):
    edges = np.asarray(observables[0].edges)
    response = Response.of(EventTable(study.simulation()), {"x": edges})["x"]

    def p(bias: float, scale: float = 1.0) -> float:
        path, truth = study.data(bias=bias)
        reco = EventTable(path).read(["reco_x"])["reco_x"]
        data = Counts.of(reco, np.ones(len(reco)), edges)
        own = Counts.of(truth["x"], np.full(len(truth["x"]), scale), edges)
        return compare_refolded(response, own.contents, data)["chi2"]["p"]

    assert p(0.0) > 0.01
    assert p(0.25) < 1e-6
    assert p(0.0, 1.15) < 1e-4


def test_data_outside_of_the_edges_count():
    response = Response(EDGES)
    x = np.random.default_rng(1).uniform(-1, 4, 5000)
    every = np.ones(5000, bool)
    response.add(x, x, every, every, np.ones(5000))
    found = compare_refolded(response, response.fiducial, Counts.of(x, np.ones(5000), EDGES))
    assert len(found["data"]) == 5
    assert found["data"][0] > 900
    assert found["chi2"]["ndf"] == 5
    assert found["chi2"]["value"] == pytest.approx(0, abs=1e-9)
    assert found["chi2"]["edges"][0] is None


def test_the_ratio_of_a_joint_result_mends_a_response_that_depends_on_another_observable():
    edges, n = np.linspace(-2.5, 2.5, 21), 20_000
    random = np.random.default_rng(6)

    def sample(share: float):
        """x is shifted at reco level where the hidden k is 1; `share` of the events have it."""
        x, k = random.normal(size=n), random.random(n) < share
        return x, k, x + 0.3 * k + random.normal(0, 0.3, n)

    every, ones = np.ones(n, bool), np.ones(n)
    x, k, reco = sample(0.3)
    truth, _, measured = sample(0.6)
    unfolded, data = Counts.of(truth, ones, edges), Counts.of(measured, ones, edges)

    def p(weight: np.ndarray) -> float:
        response = Response(edges)
        response.add(x, reco, every, every, weight)
        return compare_refolded(response, unfolded.contents, data)["chi2"]["p"]

    assert p(ones) < 1e-6
    assert p(np.where(k, 0.6 / 0.3, 0.4 / 0.7)) > 0.01


def test_the_ratio_goes_to_fiducial_events_by_id_and_value(study, observables):
    table, edges = EventTable(study.simulation()), np.asarray(observables[0].edges)
    inside, truth = table.level("truth", ["x"])
    plain = Response.of(table, {"x": edges})["x"]
    # A factor that is constant in a truth bin changes its sum, not its response; fakes stay.
    ratio = 1.0 + (np.digitize(truth[inside, 0], edges) % 3)
    ids = table.read(["event_id"])["event_id"][inside]

    def known(asked: np.ndarray, values: np.ndarray) -> np.ndarray:
        place = np.searchsorted(ids, asked)
        assert np.array_equal(ids[place], asked)
        assert np.array_equal(truth[inside][place], values)
        return ratio[place]

    changed = Response.of(table, {"x": edges}, ratio=known)["x"]
    assert np.allclose(changed.fold(changed.fiducial)[0] - changed.fixed, changed.matched.sum(axis=0))
    assert np.allclose(changed.fold(plain.fiducial)[0], plain.fold(plain.fiducial)[0])
    assert np.array_equal(changed.fixed, plain.fixed)
    assert changed.fiducial.sum() == pytest.approx(ratio.sum())


def test_the_figure_has_the_simulation_before_unfolding_also_of_a_joint_result(study, observables):
    """The response of a joint result is re-weighted; the curve of the simulation is not."""
    table, edges = EventTable(study.simulation()), np.asarray(observables[0].edges)
    mask, reco = table.level("reco", ["x"])
    simulated = Counts.of(reco[mask, 0], table.read(["weight"])["weight"][mask], edges)
    plain = Response.of(table, {"x": edges})["x"]
    tilted = Response.of(table, {"x": edges}, ratio=lambda _, values: np.exp(0.5 * values[:, 0]))["x"]
    result = Histogram(np.array([-np.inf, *edges, np.inf]), tilted.fiducial, {}, {})
    shown = compare_refolded(tilted, result, simulated, prior=plain)["shown"]
    before, after = (np.array(shown[what]["sum"]) for what in ("prior", "folded"))
    assert np.allclose(before, shown["data"]["sum"])
    assert np.abs(after / before - 1.0).max() > 0.2


def test_two_independent_samples_of_a_kind_have_one_a_bin_in_the_mean():
    """The true spectrum, folded by a finite simulation, against data: chi2 is the number of bins on average."""
    # Eight bins of equal content at reco level, where the width is sqrt(1 + 0.5^2).
    edges, random, excess = 1.25**0.5 * stats.norm.ppf(np.arange(1, 8) / 8), np.random.default_rng(8), []
    every = np.ones(3000, bool)

    def sample(n):
        x = random.normal(size=n)
        return x, x + random.normal(0, 0.5, n)

    truth = 3000 * np.diff(stats.norm.cdf(edges), prepend=0.0, append=1.0)
    for _ in range(300):
        response, (x, reco) = Response(edges), sample(3000)
        response.add(x, reco, every, every, np.ones(3000))
        measured = sample(random.poisson(3000))[1]
        chi2 = compare_refolded(response, truth, Counts.of(measured, np.ones(len(measured)), edges))["chi2"]
        assert chi2["ndf"] == 8
        excess.append(chi2["value"] - 8)
    assert np.mean(excess) == pytest.approx(0, abs=5 * np.sqrt(2 * 8 / 300))
