"""Bridges between Gaussians: the posterior in closed form, and what a map of distributions is and is not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from truthward.errors import ConfigError
from truthward.learn.fit import Settings, fit
from truthward.learn.nets import seeded
from truthward.models.bridge import Bridge

CORRELATION, SMEAR = 0.8, 0.75
GAIN = 1 / (1 + SMEAR**2)


def gaussian(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Truth (n, 2), unit widths and correlated; reco smeared in each coordinate, scaled to unit width."""
    g = torch.Generator().manual_seed(seed)
    e = torch.randn(n, 2, generator=g)
    truth = torch.stack([e[:, 0], CORRELATION * e[:, 0] + (1 - CORRELATION**2) ** 0.5 * e[:, 1]], 1)
    return truth, (truth + SMEAR * torch.randn(n, 2, generator=g)) * GAIN**0.5


def posterior(reco: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (n, 2) and covariance (2, 2) of the truth given reco."""
    prior = torch.tensor([[1.0, CORRELATION], [CORRELATION, 1.0]])
    gain = prior @ torch.linalg.inv(prior + SMEAR**2 * torch.eye(2))
    return reco / GAIN**0.5 @ gain.T, prior - gain @ prior


def bridge(dimensions: int = 2, conditions: int = 2, **options) -> Bridge:
    return seeded(2, Bridge, dimensions=dimensions, conditions=conditions, width=48, depth=2, **options)


def trained(truth: Tensor, reco: Tensor, **options) -> Bridge:
    model = bridge(**options)
    settings = Settings(epochs=25, batch_size=500, learning_rate=4e-3)
    fit(model, model.loss, (truth, reco), torch.ones(len(truth)), settings, seed=5, label="bridge")
    return model


def test_at_rest_the_events_are_where_they_start():
    """A network of zeros moves nothing: the first columns are the condition with noise of width sigma, others noise."""
    model = bridge(dimensions=3, conditions=2, noise=0.25)
    for p in model.parameters():
        torch.nn.init.zeros_(p)
    reco, noise = torch.randn(50, 2), torch.randn(50, 3)
    start = torch.cat([reco + 0.25 * noise[:, :2], noise[:, 2:]], 1)
    torch.testing.assert_close(model.sample(reco, noise), start)
    with torch.no_grad():
        found = model.log_prob(start, reco)
    expected = -0.5 * (noise.square() + math.log(2 * math.pi)).sum(1) - 2 * math.log(0.25)
    torch.testing.assert_close(found, expected)


def test_conditional_learns_the_posterior_and_its_density():
    truth, reco = gaussian(20000, seed=1)
    model = trained(truth, reco)
    point = torch.tensor([[0.8, -0.4]])
    mean, covariance = posterior(point)
    torch.manual_seed(3)
    drawn = model.sample(point.expand(20000, -1))
    torch.testing.assert_close(drawn.mean(0), mean[0], atol=0.08, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), covariance, atol=0.06, rtol=0)
    truth, reco = gaussian(500, seed=2)
    mean, covariance = posterior(reco)
    exact = torch.distributions.MultivariateNormal(mean, covariance).log_prob(truth)
    with torch.no_grad():
        # The mean difference is the Kullback-Leibler divergence.
        assert abs(float((exact - model.log_prob(truth, reco)).mean())) < 0.04


@pytest.mark.parametrize(("pairing", "noise"), [("paired", 0.0), ("paired", 0.5), ("unpaired", 0.5)])
def test_a_map_gives_the_distribution_and_not_the_posterior(pairing, noise):
    model = trained(*gaussian(20000, seed=1), pairing=pairing, noise=noise)
    _, reco = gaussian(20000, seed=2)
    torch.manual_seed(3)
    drawn = model.sample(reco)
    wanted = torch.tensor([[1.0, CORRELATION], [CORRELATION, 1.0]])
    torch.testing.assert_close(drawn.T.cov(), wanted, atol=0.07, rtol=0)
    assert (reco.T.cov() - wanted).abs().max() > 0.2, "reco itself would pass"
    point = torch.tensor([[0.8, -0.4]]).expand(5000, -1)
    width = model.sample(point).T.cov().diagonal()
    assert (width - posterior(point)[1].diagonal()).abs().min() > 0.1
    if not noise:
        assert width.max() < 1e-9, "direct diffusion is a function of the event"


def test_unpaired_starts_from_another_event_of_the_batch():
    truth, reco = gaussian(64, seed=1)
    losses = {}
    for pairing, start in (("unpaired", reco), ("paired", reco), ("paired", reco.roll(1, 0))):
        torch.manual_seed(1)
        losses[pairing, start is reco] = bridge(pairing=pairing).loss(truth, start)
    assert torch.equal(losses["unpaired", True], losses["paired", False])
    assert not torch.equal(losses["unpaired", True], losses["paired", True])


def test_only_conditional_has_a_density():
    assert bridge().LIKELIHOOD
    assert bridge().CONDITIONAL
    for pairing in ("paired", "unpaired"):
        model = bridge(pairing=pairing)
        assert not model.LIKELIHOOD
        assert not model.CONDITIONAL
        with pytest.raises(ConfigError, match=f"pairing {pairing} has no tractable density"):
            model.log_prob(torch.zeros(1, 2), torch.zeros(1, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"noise": 0.0}, "noise 0.0 given"), ({"noise": -1.0}, "noise -1"), ({"width": 0}, "width 0")],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Bridge(dimensions=2, conditions=2, **options)
