"""Distances beside their floors: two samples of a truth lie on the floor, a shifted one above it."""

from __future__ import annotations

import numpy as np
import pytest

from truthward.events.unfolded import Unfolded, family, weight_columns, write_unfolded
from truthward.run.provenance import Record
from truthward.study.observable import Observable
from truthward.validate import distances, metrics
from truthward.validate.distances import Counts
from truthward.validate.events import Events

EDGES = np.linspace(0.0, 0.5, 11)


def test_the_last_bin_has_its_upper_edge_and_nothing_is_lost():
    values = np.array([-1.0, 0.0, 0.05, 0.5, 0.6], dtype=np.float32)
    found = Counts.of(values, np.array([1.0, 2.0, 3.0, 4.0, 5.0]), EDGES)
    assert found.contents[[0, 1, 2, -2, -1]].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert found.variance.sum() == 55
    assert found.total == (15.0, pytest.approx(np.sqrt(55)))
    assert found.size == pytest.approx(81 / 29)
    merged = found.merged(5)
    assert merged.contents.tolist() == [1.0, 5.0, 4.0, 5.0]
    assert merged.edges.tolist() == [0.0, 0.25, 0.5]


@pytest.mark.parametrize("atoms", [False, True])
def test_the_transport_floor_is_what_real_samples_give(atoms):
    def draw(seed, n):
        x = np.random.default_rng(seed).gamma(2.0, 1.0, n)
        return np.round(x) if atoms else x

    truth = draw(0, 50_000)
    floor = distances.transport_floor(truth, np.ones(truth.size), sizes=(2000, 500), seed=1)
    real = [metrics.wasserstein1(draw(s, 2000), draw(s + 10_000, 500)) for s in range(1, 101)]
    assert floor["mean"] == pytest.approx(np.mean(real), rel=0.12)
    assert floor["sd"] == pytest.approx(np.std(real), rel=4 / np.sqrt(2 * 100))
    shifted = distances.transport(draw(7, 2000) + 0.4, np.ones(2000), truth, np.ones(truth.size), seed=1)
    assert shifted["significance"] > 5


def test_the_discriminator_of_an_equal_sample_is_on_the_floor_and_of_a_shifted_one_above():
    edges = np.linspace(-3, 3, 51)

    def counts(seed, shift=0.0):
        return Counts.of(np.random.default_rng(seed).normal(shift, 1, 5000), np.ones(5000), edges)

    truth = counts(0)
    same = [distances.discriminator(counts(s).inner, counts(s).size, truth, seed=1)["excess"] for s in range(1, 30)]
    other = distances.discriminator(counts(1, 0.2).inner, 5000, truth, seed=1)
    assert abs(np.mean(same)) < other["floor"]["sd"]
    assert other["significance"] > 5
    assert other["value"] > 4 * other["floor"]["mean"] / 2


def test_a_negative_bin_costs_the_figure_and_says_why():
    truth = Counts.of(np.array([0.01, 0.1, 0.2]), np.ones(3), EDGES)
    bad = truth.inner.copy()
    bad[0] = -1
    found = distances.discriminator(bad, 3.0, truth, seed=1)
    assert found["value"] is None
    assert "negative" in found["reason"]
    negative = Counts.of(np.array([0.01, 0.1, 0.2]), np.array([-1.0, 1.0, 1.0]), EDGES)
    assert distances.discriminator(truth.inner, 3.0, negative, seed=1)["floor"] is None


def test_bootstraps_state_the_spread():
    edges = np.linspace(-3, 3, 31)
    random = np.random.default_rng(2)
    truth = Counts.of(random.normal(size=100_000), np.ones(100_000), edges)
    x = [random.normal(0.3, 1, 2000) for _ in range(100)]
    real = np.std(
        [metrics.triangular_discriminator(Counts.of(v, np.ones(2000), edges).inner, truth.inner, edges) for v in x]
    )
    found = distances.bootstrapped(x[0], np.ones(2000), truth, seed=1)
    assert found["sd"] == pytest.approx(real, rel=0.4)
    assert len(found["values"]) == distances.BOOTSTRAPS


def test_bootstraps_of_a_histogram_are_those_of_its_events():
    random = np.random.default_rng(8)
    x, w = random.beta(2, 3, 3000) * 0.5, random.choice([0.5, 1.0, 3.0], 3000)
    truth = Counts.of(random.beta(2, 3, 3000) * 0.5, np.ones(3000), EDGES)
    of_events = distances.bootstrapped(x, w, truth, seed=1)
    of_counts = distances.bootstrapped_counts(Counts.of(x, w, EDGES), truth, seed=2)
    assert len(of_counts["values"]) == len(of_events["values"])
    error = of_events["sd"] / np.sqrt(len(of_events["values"]))
    assert abs(of_counts["mean"] - of_events["mean"]) < 4 * error
    assert of_counts["sd"] == pytest.approx(of_events["sd"], rel=0.45)
    # Weights widen the spread: with the same contents and no weights it would be about half of it.
    plain = Counts(EDGES, Counts.of(x, w, EDGES).contents, Counts.of(x, w, EDGES).contents)
    assert distances.bootstrapped_counts(plain, truth, seed=2)["mean"] < 0.85 * of_counts["mean"]


def test_of_stacked_blocks_the_nominal_one_is_taken(tmp_path):
    families = {"data_bootstrap": family("data_bootstrap", 2)}
    blocks = [
        {
            "truth_x": np.full(10, 0.1 * (b + 1)),
            "event_id": np.arange(10, dtype=np.uint64) + np.uint64(10 * b),
            "block": np.full(10, b, dtype=np.int32),
            name: np.full(10, b + 1.0),
        }
        for b, name in enumerate(weight_columns(families))
    ]
    write_unfolded(
        tmp_path / "u.parquet",
        blocks,
        method="g",
        kind="generative",
        observables=["x"],
        joint=True,
        families=families,
        history=[],
        record=Record.for_tests(),
    )
    sample = Unfolded(tmp_path / "u.parquet")
    own = Events.nominal(sample, [Observable(name="x", range=(0.0, 1.0), bins=4)], limit=100, key=1)
    assert own.column("x") == pytest.approx(np.full(10, 0.1))
    assert own.weights.tolist() == [1.0] * 10
    assert own.histograms["x"].inner.tolist() == [10.0, 0.0, 0.0, 0.0]
    histogram, whole = distances.unfolded_histogram(sample, "x", np.array([0.0, 0.15, 0.25]))
    assert histogram.nominal.tolist() == [10.0, 0.0]
    assert histogram.replicas["data_bootstrap"].tolist() == [[0.0, 20.0], [0.0, 0.0]]
    assert whole.replicas["data_bootstrap"][1].tolist() == [0.0, 0.0, 0.0, 30.0]
