"""What OmniFold's steps work on: parts of a sample that stand for all of it, and how a result folds to the data."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from truthward.unfold.omnifold.sample import OmnifoldBlock, Refold, scaling_of


def block_of(data, reco, data_weight):
    """What `Refold` needs of a block: the cells of its values, and the weights of the data."""
    values = {"data": data, "reco": reco}
    return SimpleNamespace(cells=lambda level, bins: bins.cells(values[level]), data_weight=data_weight)


@pytest.mark.parametrize("part", [2, 3])
def test_a_part_of_the_simulation_stands_for_all_of_it(toy, part):
    """The weights of what a fold sees, times N / n."""
    inputs, _ = toy(events=300, simulated=900, background=0.1)
    train = np.arange(900) % part > 0
    scaling = scaling_of(inputs, constituents=False)
    block = OmnifoldBlock([inputs], train=train, hold_out=False, scaling=scaling)
    n = np.count_nonzero(train)
    assert n == 900 - 900 // part
    for mask, found in (
        (inputs.matched, block.matched_weight),
        (inputs.fakes, block.fake_weight),
        (inputs.background, block.background_weight),
    ):
        seen = inputs.weight[np.flatnonzero(mask & train)]
        assert found.shape == (len(seen), 1)
        assert found.sum() == pytest.approx(seen.sum() * 900 / n)
    # What is unfolded are all fiducial events, with their own weights; the data are all there.
    assert block.weight[:, 0].tolist() == inputs.weight[inputs.fiducial].tolist()
    assert block.data_weight[:, 0].tolist() == inputs.data_weight.tolist()


def test_samples_of_a_kind_have_a_chi2_of_one_a_bin_in_the_mean():
    """Two independent Poisson samples of equal size, one as data and one as simulation, in two observables."""
    rng, found = np.random.default_rng(6), []
    for _ in range(300):
        data, reco = (rng.normal(size=(rng.poisson(2000), 2)) for _ in range(2))
        refold = Refold(SimpleNamespace(data_reco=data), 1)
        block = block_of(data, reco, np.ones((len(data), 1)))
        refold.add(block, np.ones((len(reco), 1)))
        chi2, terms = refold.chi2()
        assert terms == 20
        found.append(chi2[0])
    # The two observables share their yields, in which their chi2 is correlated.
    assert np.mean(found) == pytest.approx(20, abs=5 * np.sqrt(2 * 22 / 300))


def test_the_chi2_by_hand():
    """Twelve data events of weight 1/2 against six of weight 2, all in the first of two bins; none in the second."""
    refold = Refold(SimpleNamespace(data_reco=np.arange(10.0)[:, None]), 1)
    data, reco = np.zeros((12, 1)), np.zeros((6, 1))
    block = block_of(data, reco, np.full((12, 1), 0.5))
    refold.add(block, np.full((6, 1), 2.0))
    chi2, terms = refold.chi2()
    assert terms == 1
    assert chi2[0] == pytest.approx((12 * 0.5 - 6 * 2.0) ** 2 / (12 * 0.25 + 6 * 4.0))
    refold.clear()
    assert refold.chi2() == (0.0, 0)
