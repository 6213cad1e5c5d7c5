"""Iterative Bayesian unfolding: the formula against a loop, bins and iterations by the stated rules, closure."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from truthward.errors import DivergedError
from truthward.physics.generators.gaussian import Gaussian
from truthward.study.observable import Observable
from truthward.unfold.ibu import Ibu, IbuBins, _Counts
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica


def unfolded(inputs, replicas=(NOMINAL,), **options):
    result = Ibu(**options).unfold(inputs, replicas, seed=1)
    rows = list(result.rows)
    return result, {n: np.concatenate([r[n] for r in rows]) for n in rows[0]}


def test_formula_against_a_plain_loop(toy):
    inputs, _ = toy(events=2000, simulated=4000, background=0.05)
    inner = np.array([-1.0, 0.0, 1.0])
    counts = _Counts.fill([inputs], 0, IbuBins(inner, inner), False)
    t, r = (np.digitize(v[:, 0], inner) for v in (inputs.truth, inputs.reco))
    n = np.array([inputs.weight[inputs.fiducial & (t == i)].sum() for i in range(4)])
    response = np.array(
        [[inputs.weight[inputs.matched & (t == i) & (r == j)].sum() / n[i] for j in range(4)] for i in range(4)]
    )
    fixed = np.array([inputs.weight[inputs.fixed & (r == j)].sum() for j in range(4)])
    data = np.bincount(np.digitize(inputs.data_reco[:, 0], inner), inputs.data_weight)
    prior = n.copy()
    for _ in range(3):
        ratio = [data[j] / (response[:, j] @ n + fixed[j]) for j in range(4)]
        n = [n[i] / response[i].sum() * sum(response[i, j] * ratio[j] for j in range(4)) for i in range(4)]
    found = counts.truth
    np.testing.assert_allclose(found[0], prior)
    for _ in range(3):
        found = counts.step(found)
    np.testing.assert_allclose(found[0], n, rtol=1e-10)


def test_counts_with_shares_by_hand():
    """Two bins, below and above zero: (data - background) times matched / (matched + fakes), and variances with it."""
    nan = np.nan
    # truth, reco, pass_truth, pass_reco, weight, signal
    events = [
        (-1.0, -1.0, True, True, 6.0, True),
        (-1.0, +1.0, True, True, 1.0, True),
        (+1.0, +1.0, True, True, 4.0, True),
        (+1.0, nan, True, False, 2.0, True),
        (nan, -1.0, False, True, 2.0, True),
        (nan, +1.0, False, True, 5.0, True),
        (nan, -1.0, False, True, 3.0, False),
        (+1.0, +1.0, True, True, 1.0, False),
    ]
    truth, reco, pass_truth, pass_reco, weight, signal = (np.array(column) for column in zip(*events, strict=True))
    data = np.array([[-1.0], [-2.0], [1.0]], dtype=np.float32)
    inputs = Inputs(
        observables=[Observable(name="x0", range=(-4.0, 4.0), bins=2)],
        truth=truth[:, None],
        reco=reco[:, None],
        pass_truth=pass_truth,
        pass_reco=pass_reco,
        weight=weight,
        event_id=np.arange(8, dtype=np.uint64),
        signal=signal,
        split=np.zeros(8, dtype=np.uint8),
        carried={},
        data_reco=data,
        seed=1,
        data_weight=np.array([5.0, 8.0, 11.0]),
        data_id=np.arange(3, dtype=np.uint64),
        data_validation=np.zeros(3, dtype=bool),
    )
    zero = np.zeros(1)
    absolute, share = (_Counts.fill([inputs], 0, IbuBins(zero, zero), s) for s in (False, True))
    for counts in (absolute, share):
        assert counts.response[0].tolist() == [[6.0, 1.0], [0.0, 4.0]]
        assert counts.truth[0].tolist() == [7.0, 6.0]
        assert counts.matched[0].tolist() == [7.0, 4.0]
    assert absolute.data[0].tolist() == [13.0, 11.0]
    assert absolute.data_variance[0].tolist() == [25.0 + 64.0, 121.0]
    assert absolute.fixed[0].tolist() == [5.0, 6.0]
    # Matched over signal: 6 / 8 below, 5 / 10 above.
    assert share.data[0].tolist() == [(13.0 - 3.0) * 0.75, (11.0 - 1.0) * 0.5]
    assert share.data_variance[0].tolist() == [89.0 * 0.75**2, 121.0 * 0.5**2]
    assert share.fixed[0].tolist() == [0.0, 0.0]
    # One step: n_i / matched_i sum_j response_ij data_j / expected_j.
    (found,) = share.step(share.truth)
    assert found == pytest.approx([7 / 7 * (6 * 7.5 / 6 + 1 * 5 / 5), 6 / 4 * (4 * 5 / 5)])


@pytest.mark.parametrize("fakes", ["absolute", "share"])
def test_as_many_iterations_are_made_as_are_stated(toy, fakes):
    inputs, _ = toy(events=2000, simulated=4000)
    method = Ibu(fakes=fakes, tolerance=0.1)
    result, columns = unfolded(inputs, fakes=fakes, tolerance=0.1)
    counts = _Counts.fill([inputs], 0, method.binning(inputs, 0), fakes == "share")
    n, changes = counts.truth, result.history[0]["changes"]
    assert result.iterations == len(changes) > 2
    binning = result.extra["binning"]
    assert (binning["purity"], binning["events"]) == (method.purity, method.events)
    assert binning["bins"]["x0"] == len(result.extra["inner_edges"]["x0"]) + 1 == result.history[0]["bins"]
    assert changes[-1] < 0.1 <= min(changes[:-1])
    for _ in range(result.iterations):
        n = counts.step(n)
    edges = np.array([-np.inf, *result.extra["inner_edges"]["x0"], np.inf])
    found = np.histogram(columns["truth_x0"], edges, weights=columns["weight:x0"])[0]
    np.testing.assert_allclose(found, n[0], rtol=1e-6)


def test_four_iterations_are_made_at_least(toy):
    inputs, _ = toy(events=2000, simulated=4000)
    assert unfolded(inputs, tolerance=1e3)[0].iterations == 4
    assert unfolded(inputs, tolerance=1e3, max_iterations=2)[0].iterations == 2


def test_jacobian_against_differences(toy):
    inputs, _ = toy(events=2000, simulated=4000)
    inner = np.array([-1.0, 0.0, 1.0])
    counts = _Counts.fill([inputs], 0, IbuBins(inner, inner), False)

    def run():
        n, jacobian = counts.truth, np.zeros((4, 4))
        for _ in range(4):
            new = counts.step(n)
            jacobian = counts.jacobian(n[0], new[0], jacobian)
            n = new
        return n[0], jacobian

    before, jacobian = run()
    counts.data = counts.data + np.array([0.0, 0.01, 0.0, 0.0])
    np.testing.assert_allclose((run()[0] - before) / 0.01, jacobian[:, 1], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("fakes", ["absolute", "share"])
def test_closure_and_yield(toy, fakes):
    inputs, nature = toy(events=20000, simulated=60000, share=fakes == "share", resolution=0.25)
    inputs = replace(inputs, observables=[inputs.observables[0].model_copy(update={"range": (-2.4, 3.0), "bins": 9})])
    result, columns = unfolded(inputs, fakes=fakes)
    edges = np.array([-np.inf, *result.extra["inner_edges"]["x0"], np.inf])
    truth = nature.fiducial_yield(20000) * nature.truth_probability(edges)
    found, prior = (
        np.histogram(columns["truth_x0"], edges, weights=w)[0]
        for w in (columns["weight:x0"], inputs.weight[inputs.fiducial])
    )
    assert found.sum() == pytest.approx(truth.sum(), rel=0.03)
    assert np.abs(found / truth - 1.0).mean() < 0.05
    assert np.abs(prior / truth - 1.0).mean() > 0.2


def test_forgotten_fakes_do_not_close(toy):
    inputs, nature = toy(events=20000, simulated=60000)
    _, columns = unfolded(replace(inputs, pass_reco=inputs.pass_reco & ~inputs.fakes))
    assert columns["weight:x0"].sum() > 1.1 * nature.fiducial_yield(20000)


def test_bins_fulfil_their_rule(toy):
    inputs, _ = toy(simulated=20000, resolution=0.4)
    bins = Ibu().binning(inputs, 0)
    inner = bins.truth
    counts = _Counts.fill([inputs], 0, bins, False)
    inside = np.diagonal(counts.response[0])
    assert len(inner) >= 4
    # The last bin takes what is left, and need not fulfil it by itself.
    for purity in (0.2, 0.5):
        assert bins.truth.tolist() == inner.tolist()
        assert (inside >= purity * counts.matched[0])[:-1].all()
        assert (inside >= purity * counts.response[0].sum(axis=0))[:-1].all()
        bins = Ibu(purity=0.5).binning(inputs, 0)
        inner, counts = bins.truth, _Counts.fill([inputs], 0, bins, False)
        inside = np.diagonal(counts.response[0])
    assert len(Ibu(purity=0.8).binning(inputs, 0).truth) < len(inner) < len(Ibu().binning(inputs, 0).truth)
    assert set(inner) <= set(inputs.observables[0].edges)


def test_bins_by_hand():
    """Four fine bins of 10 true events: 8, 2, 6 and 6 stay; 10, 4, 16 and 10 are seen there."""
    moves = {(0, 0): 8, (0, 1): 2, (1, 0): 2, (1, 1): 2, (1, 2): 6, (2, 2): 6, (2, 3): 4, (3, 3): 6, (3, 2): 4}
    truth, reco = (np.repeat([pair[k] + 0.5 for pair in moves], list(moves.values())) for k in (0, 1))
    size = len(truth)
    every = np.ones(size, dtype=bool)

    def edges(data, **options):
        inputs = Inputs(
            observables=[Observable(name="x0", range=(0.0, 4.0), bins=4)],
            truth=truth[:, None],
            reco=reco[:, None],
            pass_truth=every,
            pass_reco=every,
            weight=np.ones(size),
            event_id=np.arange(size, dtype=np.uint64),
            signal=every,
            split=np.zeros(size, dtype=np.uint8),
            carried={},
            seed=1,
            data_reco=np.repeat([0.5, 1.5, 2.5, 3.5], data)[:, None],
            data_weight=np.ones(sum(data)),
            data_id=np.arange(sum(data), dtype=np.uint64),
            data_validation=np.zeros(sum(data), dtype=bool),
        )
        bins = Ibu(**options).binning(inputs, 0)
        assert bins.truth.tolist() == bins.reco.tolist()
        return bins.truth.tolist()

    # The second has a stability of 2 / 10; with the third 14 of 20 stay.
    assert edges([9, 9, 9, 9], events=3.0, purity=0.1) == [1.0, 2.0, 3.0]
    assert edges([9, 9, 9, 9], events=3.0, purity=0.3) == [1.0, 3.0]
    # The last one, of 6 in 10, is left and joins them.
    assert edges([9, 9, 9, 9], events=3.0, purity=0.65) == [1.0]
    # Too few are seen in the second, and too few data are.
    assert edges([9, 9, 9, 9], events=9.0, purity=0.1) == [1.0, 3.0]
    assert edges([9, 2, 2, 9], events=9.0, purity=0.1) == [1.0]
    assert edges([2, 2, 2, 2], events=9.0, purity=0.1) == []


def test_bins_follow_a_shift_of_the_detector(toy):
    inputs, _ = toy(simulated=20000, resolution=0.3)
    shifted = replace(inputs, reco=inputs.reco + 1.0, data_reco=inputs.data_reco + 1.0)
    plain, moved = Ibu().binning(inputs, 0), Ibu().binning(shifted, 0)
    assert abs(len(moved.truth) - len(plain.truth)) <= 1
    middle = slice(1, -1)
    np.testing.assert_allclose((moved.reco - moved.truth)[middle], 1.0, atol=0.5)
    np.testing.assert_allclose((plain.reco - plain.truth)[middle], 0.0, atol=0.5)


def test_no_event_is_lost_beyond_the_range(toy):
    inputs, _ = toy()
    narrow = [o.model_copy(update={"range": (-1.0, 1.0), "bins": 5}) for o in inputs.observables]
    counts = _Counts.fill([inputs], 0, Ibu().binning(replace(inputs, observables=narrow), 0), False)
    assert counts.truth.sum() == pytest.approx(inputs.weight[inputs.fiducial].sum())
    assert counts.data.sum() == pytest.approx(inputs.data_weight.sum())


def test_tighter_tolerance_iterates_more_and_replicas_share_the_choice(toy):
    inputs, _ = toy()
    loose, _ = unfolded(inputs, tolerance=0.3)
    tight, _ = unfolded(inputs, [Replica("data_bootstrap", 1)], tolerance=0.05)
    nominal, _ = unfolded(inputs, tolerance=0.05)
    assert loose.iterations < tight.iterations == nominal.iterations


def test_bootstraps_spread_as_poisson(toy):
    """Without smearing, misses and fakes the variance of a bin is its data content."""
    inputs, _ = toy(resolution=0.0, efficiency=[1.0, 1.0], fakes=[0.0, 0.0])
    replicas = [Replica("data_bootstrap", i) for i in range(200)]
    result, columns = unfolded(inputs, replicas)
    edges = np.array([-np.inf, *result.extra["inner_edges"]["x0"], np.inf])
    spread = np.var(
        [np.histogram(columns["truth_x0"], edges, weights=columns[r.column("x0")])[0] for r in replicas], axis=0, ddof=1
    )
    content = np.histogram(inputs.data_reco, edges)[0]
    # Of B bins, that fluctuate by themselves, the mean ratio is known to sqrt(2 / 199 / B).
    assert content.size > 8
    assert np.mean(spread / content) == pytest.approx(1.0, abs=4 * np.sqrt(2 / 199 / content.size))


def test_of_ten_data_events_the_options_that_are_named_work() -> None:
    rng = np.random.default_rng(9)
    samples = [
        Gaussian(mean=10.0, expected=10.0).draw(2000, rng),
        Gaussian(mean=10.3, width=1.15).draw(10, rng),
    ]
    for first, columns in enumerate(samples):
        columns["event_id"] = np.arange(len(columns["weight"]), dtype=np.uint64) + np.uint64(first * 10**9)
        columns["process"] = np.where(columns["process"] == 0, "signal", "background")
    inputs = Inputs.from_columns(*samples, [Observable(name="x0", range=(6.0, 14.0), bins=20)], seed=1)
    # By the rule of the bins they are one, and of fewer bins an option is named.
    declared = np.linspace(8.8, 11.2, 4)
    counts = _Counts.fill([inputs], 0, IbuBins(declared, declared), False)
    with pytest.raises(DivergedError, match=r"the data are few.*`max_iterations: (\d+)`.*raise `events`") as caught:
        Ibu(tolerance=0.05)._converge(counts)
    named = int(re.search(r"max_iterations: (\d+)", str(caught.value))[1])
    assert len(Ibu(tolerance=0.05, max_iterations=named)._converge(counts)) == named
    for options in ({}, {"events": 1.0}, {"events": 500.0}):
        (rows,) = Ibu(**options).unfold(inputs, [NOMINAL], seed=1).rows
        assert rows["weight:x0"].sum() == pytest.approx(inputs.data_weight.sum(), rel=0.2)
