"""Random numbers are functions of the event and the label alone."""

import numpy as np

from truthward.events.bootstrap import poisson_weights
from truthward.events.hashing import mix, uniform
from truthward.study.seeds import seed_for

IDS = np.arange(200_000, dtype=np.uint64)


def test_bootstrap_weights_are_poisson() -> None:
    w = poisson_weights(IDS, seed=1, family="data_bootstrap", index=0)
    assert abs(w.mean() - 1) < 5 / np.sqrt(len(w))
    assert abs(w.var() - 1) < 0.02
    expected = np.exp(-1) / np.array([1, 1, 2, 6, 24])
    np.testing.assert_allclose(np.bincount(w.astype(int))[:5] / len(w), expected, atol=0.005)


def test_bootstrap_weights_do_not_depend_on_order_or_chunk() -> None:
    order = np.random.permutation(len(IDS))
    whole = poisson_weights(IDS, seed=1, family="f", index=3)
    assert (poisson_weights(IDS[order], seed=1, family="f", index=3) == whole[order]).all()
    assert (poisson_weights(IDS[500:600], seed=1, family="f", index=3) == whole[500:600]).all()


def test_replicas_and_families_are_independent() -> None:
    def w(family, index):
        return poisson_weights(IDS, seed=1, family=family, index=index)

    for other in (w("a", 1), w("b", 0)):
        assert abs(np.corrcoef(w("a", 0), other)[0, 1]) < 5 / np.sqrt(len(IDS))


def test_mix_is_one_to_one_and_uniform() -> None:
    assert len(np.unique(mix(IDS))) == len(IDS)
    u = uniform(IDS, 7)
    assert abs(u.mean() - 0.5) < 0.005
    assert u.min() >= 0
    assert u.max() < 1


def test_labels_do_not_run_into_each_other() -> None:
    assert seed_for(1, "a", "bc") != seed_for(1, "ab", "c")
