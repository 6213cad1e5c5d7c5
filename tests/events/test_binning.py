"""Merged bins keep to their rule: a covariance of full rank, equal yields, atoms apart."""

import numpy as np
import pytest

from truthward.errors import InputError
from truthward.events.binning import coarse_edges
from truthward.events.families import Histogram, RankWarning, family


def histogram(nominal: np.ndarray, **counts: int) -> Histogram:
    """A histogram in bins of width 1 from 0 with Poisson replicas."""
    random = np.random.default_rng(1)
    replicas = {name: random.poisson(nominal, (count, nominal.size)) for name, count in counts.items()}
    families = {name: family(name, count) for name, count in counts.items()}
    return Histogram(np.arange(nominal.size + 1.0), nominal.astype(float), replicas, families)


def test_each_bootstrap_has_full_rank_and_bins_have_equal_yield():
    fine = histogram(np.full(60, 100), data_bootstrap=30, mc_bootstrap=18, initialisation=2)
    coarse = fine.merged(coarse_edges(fine))
    assert coarse.nominal.tolist() == [1000.0] * 6
    for name in ("data_bootstrap", "mc_bootstrap"):
        assert np.linalg.matrix_rank(coarse.covariance([name])) == 6
    with pytest.warns(RankWarning):
        fine.covariance()


def test_atoms_stay_by_themselves_within_the_limit():
    contents = np.full(60, 100)
    contents[0], contents[59] = 900, 0
    edges = coarse_edges(histogram(contents, data_bootstrap=30), [0.0, 60.0, 99.0])
    assert {0.0, 1.0, 59.0, 60.0} <= set(edges)
    assert edges.size - 1 <= 10
    assert 1.0 not in coarse_edges(histogram(contents + (np.arange(60) == 1), data_bootstrap=6))


def test_little_to_go_by():
    assert coarse_edges(histogram(np.full(8, 5), initialisation=3)).size == 9, "no bootstrap, no limit"
    assert coarse_edges(histogram(np.array([1, 99, 3, 9]), data_bootstrap=12)).size == 5, "few enough as they are"
    assert coarse_edges(histogram(np.full(8, 5), data_bootstrap=2)).tolist() == [0, 8]
    assert coarse_edges(histogram(np.array([7, 0, 0]), data_bootstrap=6), [0.5]).tolist() == [0, 1, 3]
    with pytest.raises(InputError, match="cannot merge"):
        coarse_edges(histogram(np.zeros(8), data_bootstrap=9))
