"""Learned probabilities whose inverse is used: exact sums, and no larger inverse than any that was learned from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from truthward.learn.fit import Settings
from truthward.ratio.probability import Probability

SETTINGS = Settings(epochs=15, batch_size=256, learning_rate=1e-2)


def trained(inverse: bool) -> tuple[Probability, torch.Tensor, np.ndarray, np.ndarray]:
    """Two members, of a label that is rare at low x; the second has none of the events below 0.2."""
    rng = np.random.default_rng(1)
    x = rng.uniform(0.0, 2.0, 6000)
    label = rng.random(6000) < 1.0 / (1.0 + np.exp(-4.0 * (x - 0.8)))
    weights = np.stack([np.ones(6000), (x > 0.2).astype(float)], axis=1)
    events, model = torch.from_numpy(x.astype(np.float32))[:, None], Probability(1, [1, 1])
    model.train(events, label, weights, SETTINGS, seed=2, held_out=None, name="test", inverse=inverse)
    return model, events, label, weights


def test_the_inverse_is_bounded_by_that_of_the_events_with_the_label() -> None:
    model, x, label, weights = trained(inverse=True)
    inverse = 1.0 / model(x)
    for e in range(2):
        seen = label & (weights[:, e] != 0)
        assert (weights[seen, e] * inverse[seen, e]).sum() == pytest.approx(weights[:, e].sum(), rel=1e-6)
        assert inverse[seen, e].max() == pytest.approx(1.0 / model.lowest[e])
    far = torch.full((1, 1), -5.0)
    np.testing.assert_allclose(model(far)[0], model.lowest)
    # What the network itself says there is far beyond.
    loose, *_ = trained(inverse=False)
    assert loose.lowest.tolist() == [0.0, 0.0]
    assert (loose(far)[0] < 0.2 * model.lowest).all()


def test_the_bound_is_kept_with_the_networks() -> None:
    model, x, *_ = trained(inverse=True)
    far = torch.cat([x[:50], torch.full((1, 1), -5.0)])
    for m in range(2):
        member = model.member(m)
        back = Probability.from_arrays(member.arrays())
        np.testing.assert_allclose(member(far)[:, 0], model(far)[:, m], rtol=1e-5)
        assert member.lowest[0] == model.lowest[m]
        np.testing.assert_array_equal(back(far), member(far))
