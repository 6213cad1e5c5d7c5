"""Published bins are the declared ones: nothing is merged, and a binned method states no bin that it did not unfold."""

from types import SimpleNamespace

import numpy as np
import pytest

from truthward.events.binning import own_edges, published_edges, rank
from truthward.events.families import Histogram, RankWarning, family
from truthward.study.observable import Observable

DECLARED = {"name": "w", "range": (0.0, 0.6), "bins": 50}


def sample(*inner: float) -> SimpleNamespace:
    return SimpleNamespace(metadata={"inner_edges": {"w": list(inner)}} if inner else {})


def test_without_published_edges_all_bins_are_published():
    o = Observable(**DECLARED)
    assert published_edges(sample(), o).tolist() == o.edges
    assert own_edges(sample(), o) is None


def test_published_edges_are_those_declared_to_the_last_digit():
    """0.012 * 9 is 0.10800000000000001 as a double product: what is written as 0.108 must be found all the same."""
    o = Observable(**DECLARED, published=(0.0, 12 * 0.009, 0.6))
    assert published_edges(sample(), o).tolist() == [0.0, o.edges[9], 0.6]


def test_a_binned_method_publishes_the_declared_edges_that_it_has():
    o = Observable(**DECLARED, published=(0.0, 0.036, 0.108, 0.6))
    inner = (o.edges[3], o.edges[8])
    assert own_edges(sample(*inner), o).tolist() == [0.0, *inner, 0.6]
    assert published_edges(sample(*inner), o).tolist() == [0.0, o.edges[3], 0.6]
    part = o.model_copy(update={"published": (0.036, 0.108)})
    assert published_edges(sample(*inner), part).tolist() == [0.0, 0.6], "nothing in common: one bin"


@pytest.mark.parametrize(
    ("published", "message"),
    [
        ((0.0, 0.02, 0.6), r"published edge 0\.02 is not an edge of the 50 bins .* the nearest edge is 0\.024"),
        ((0.0, 0.6, 0.3), "must have at least two edges, in increasing order"),
        ((0.3,), "must have at least two edges, in increasing order"),
    ],
)
def test_edges_that_are_none_are_refused(published, message):
    with pytest.raises(ValueError, match=message):
        Observable(**DECLARED, published=published)


def test_the_rank_is_that_of_the_smaller_bootstrap():
    random = np.random.default_rng(1)
    counts = {"data_bootstrap": 7, "mc_bootstrap": 5, "initialisation": 2}
    families = {name: family(name, count) for name, count in counts.items()}
    replicas = {name: random.poisson(100, (count, 9)) for name, count in counts.items()}
    histogram = Histogram(np.arange(10.0), np.full(9, 100.0), replicas, families)
    with pytest.warns(RankWarning):
        covariance = histogram.covariance(["mc_bootstrap"])
    assert rank(histogram) == np.linalg.matrix_rank(covariance) == 4
