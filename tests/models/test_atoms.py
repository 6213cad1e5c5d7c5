"""Integers and atoms come out of every generative model as they are in the events, also under a condition."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from truthward.learn.fit import Settings, fit
from truthward.learn.nets import seeded
from truthward.learn.quantile import QuantileTransform
from truthward.study import plugins

KINDS = plugins.kinds("models")
ATOM = 0.0
EVENTS = 3000

pytestmark = pytest.mark.parametrize("kind", KINDS)


def events(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Truth (n, 3): a mass, a multiplicity that grows with it, a groomed fraction that is 0 the more often the larger
    the mass; and mass and multiplicity as a detector sees them (n, 2)."""
    rng = np.random.default_rng(seed)
    mass = rng.gamma(3.0, 1.0, n)
    number = 1 + rng.poisson(2.0 + mass)
    failed = rng.random(n) < 0.015 * mass**1.7
    fraction = np.where(failed, ATOM, 0.1 + 0.4 * rng.random(n) ** 2)
    seen = np.stack([mass * (1.0 + 0.1 * rng.standard_normal(n)), rng.binomial(number, 0.9)], 1)
    return torch.tensor(np.stack([mass, number, fraction], 1)).float(), torch.tensor(seen).float()


@cache
def drawn(kind: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training events, what is drawn for new ones, the truth of these, and their condition."""
    truth, reco = events(EVENTS, seed=1)
    to_normal = QuantileTransform(3, integer=[False, True, False], atoms=[[], [], [ATOM]]).fit(truth)
    shown = QuantileTransform(2, integer=[False, True]).fit(reco)
    model = seeded(3, plugins.build, "models", {"kind": kind}, dimensions=3, conditions=2)
    place = torch.rand(truth.shape, generator=torch.Generator().manual_seed(2))
    data = to_normal(truth, place), shown(reco, torch.full_like(reco, 0.5))
    settings = Settings(epochs=40, batch_size=250, learning_rate=4e-3)
    fit(model, model.loss, data, torch.ones(EVENTS), settings, seed=5, label=kind)
    expected, condition = events(8000, seed=6)
    noise = torch.randn(expected.shape, generator=torch.Generator().manual_seed(7))
    found = to_normal.inverse(model.sample(shown(condition, torch.full_like(condition, 0.5)), noise))
    return truth, found, expected, condition


def test_integers_are_integers_that_were_seen(kind):
    truth, found, _, _ = drawn(kind)
    assert torch.isin(found[:, 1], truth[:, 1]).all()


def test_only_the_atom_lies_below_the_smallest_fraction(kind):
    truth, found, _, _ = drawn(kind)
    assert (found[:, 2] == ATOM).any()
    assert not ((found[:, 2] != ATOM) & (found[:, 2] < truth[truth[:, 2] != ATOM, 2].min())).any()


@pytest.mark.parametrize("region", ["all", "small mass", "large mass"])
def test_atom_and_integers_have_their_probabilities_also_under_a_condition(kind, region):
    _, found, expected, condition = drawn(kind)
    large = condition[:, 0] > 3.0
    here = {"all": large | ~large, "small mass": ~large, "large mass": large}[region]
    wanted = float((expected[here, 2] == ATOM).float().mean())
    # The training sample is the smallest one; 0.03 is for the training itself.
    sigma = (wanted * (1.0 - wanted) / (EVENTS * float(here.float().mean()))) ** 0.5
    assert abs(float((found[here, 2] == ATOM).float().mean()) - wanted) < 3.0 * sigma + 0.03
    for number in expected[:, 1].unique():
        p, q = (float((x[here, 1] == number).float().mean()) for x in (found, expected))
        assert abs(p - q) < 3.0 * (q / (EVENTS * float(here.float().mean()))) ** 0.5 + 0.02, number
    # Negative control: the regions differ by far more than what is allowed within each.
    others = [float((expected[r, 2] == ATOM).float().mean()) for r in (large, ~large)]
    assert others[0] - others[1] > 0.1
