"""Classifiers of constituents: invariances of the jet, ragged batches, and a difference that can be learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from truthward.errors import ConfigError, InputError
from truthward.learn.fit import Settings
from truthward.ratio.classifier import logits, stack_of, train_ratio
from truthward.ratio.constituents import ConstituentClassifier, JetScaling, jet_features, pair_features
from truthward.ratio.reweight import auc, train_mean

NETWORKS = ["deep_sets", "attention"]


def jets(events: int, *, mean: float = 5.0, spread: float = 0.1, seed: int = 1, limit: int = 12) -> Tensor:
    """Toys (N, P, 4): Poisson multiplicity, normal directions about an axis near phi = pi, three kinds."""
    rng = np.random.default_rng(seed)
    x = np.zeros((events, limit, 4), dtype=np.float32)
    x[..., 0] = rng.exponential(5.0, (events, limit))
    x[..., 1] = 0.7 + spread * rng.normal(size=(events, limit))
    x[..., 2] = np.mod(2 * np.pi + spread * rng.normal(size=(events, limit)), 2 * np.pi) - np.pi
    x[..., 3] = rng.integers(1, 4, (events, limit))
    x[np.arange(limit) >= rng.poisson(mean, events)[:, None]] = 0
    return torch.from_numpy(x)


def trained(network: str, **options) -> ConstituentClassifier:
    """A classifier whose last layer is not zero."""
    torch.manual_seed(2)
    classifier = ConstituentClassifier(network=network, width=8, **options)
    classifier.scaling.fit(jets(500))
    torch.nn.init.normal_(classifier.network.whole.layers[-1].weight)
    return classifier


@pytest.mark.parametrize("network", NETWORKS)
def test_order_and_padding_change_nothing(network):
    classifier, x = trained(network), jets(300)
    found = classifier(x)
    assert found.shape == (300,)
    assert found.std() > 1e-2
    tolerance = {"rtol": 1e-4, "atol": 1e-4}
    order = torch.randperm(x.shape[1])
    torch.testing.assert_close(classifier(x[:, order]), found, **tolerance)
    torch.testing.assert_close(classifier(torch.cat([x, torch.zeros(300, 5, 4)], dim=1)), found, **tolerance)
    # One by one: neither the other events of a batch nor their lengths have a say.
    torch.testing.assert_close(torch.cat([classifier(row[None]) for row in x[:20]]), found[:20], **tolerance)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_rotation_changes_nothing(network):
    classifier, x = trained(network), jets(100)
    turned = x.clone()
    turned[..., 2] = torch.remainder(x[..., 2] + 2.0, 2 * torch.pi) - torch.pi
    turned[x[..., 3] == 0] = 0
    torch.testing.assert_close(classifier(turned), classifier(x), rtol=1e-3, atol=1e-3)
    tilted = x.clone()
    tilted[..., 1] += x[..., 3] != 0
    assert (classifier(tilted) - classifier(x)).abs().max() > 1e-3, "the control: eta of the jet is an input"


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("own", [False, True])
def test_a_stack_equals_its_members(network, own):
    stack = stack_of(JetScaling().fit(jets(500)), [7, 8], network=network, width=8)
    assert (logits(stack, jets(9)) == 0.0).all()
    for p in stack.parameters():
        torch.nn.init.normal_(p, std=0.3)
    x = torch.stack([jets(50, seed=s) for s in (1, 2)], dim=1) if own else jets(50)
    found = logits(stack, x)
    assert found.shape == (50, 2)
    for member in range(2):
        single = ConstituentClassifier(network=network, width=8)
        single.load_state_dict(stack.state_of(member))
        with torch.no_grad():
            alone = single(x[:, member] if own else x).numpy()
        np.testing.assert_allclose(found[:, member], alone, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_are_finite_with_one_constituent_and_with_none(network):
    x = jets(4)
    x[0] = 0
    x[1, 1:] = 0
    x[1, 0, 3] = 1
    x[2, 1] = x[2, 0] = torch.tensor([1.0, 0.0, 0.0, 1.0])  # Two in the same place.
    classifier = trained(network)
    classifier.loss(x, torch.ones(4)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in classifier.parameters())


def test_features_of_two_known_particles():
    x = torch.zeros(1, 3, 4)
    x[0, 0] = torch.tensor([3.0, 0.1, torch.pi - 0.1, 2.0])
    x[0, 1] = torch.tensor([1.0, 0.1, -torch.pi + 0.1, -4.0])
    elements, mask, context = jet_features(x)
    assert mask.tolist() == [[True, True, False]]
    # The axis is a quarter of the way from one to the other, across pi; sines and not angles are averaged.
    torch.testing.assert_close(elements[0, :2, 4], torch.tensor([-0.05, 0.15]), rtol=0.01, atol=1e-3)
    torch.testing.assert_close(elements[0, :2, 2], torch.tensor([0.75, 0.25]))
    assert elements[0, :2, 7:].tolist() == [[0, 1, 0], [0, 0, 0]]
    assert context[0, 0].exp().item() == pytest.approx(4.0)
    assert context[0, 2].item() == 5.0, "a remainder of four counts as four"
    pairs = pair_features(x)[0, :, 0, 1]
    m2 = 2 * 3.0 * (1 - np.cos(0.2))
    expected = [np.log(0.2) + 2, 0.5 * np.log(0.2) + 1, 0.5 * np.log(0.25) + 1, 0.25 * np.log(m2)]
    np.testing.assert_allclose(pairs, expected, rtol=2e-3)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("change", [{"mean": 7.0}, {"spread": 0.13}], ids=str)
def test_learns_multiplicity_and_width(network, change):
    x = torch.cat([jets(1500, seed=3, **change), jets(1500, seed=4)])
    unseen = torch.cat([jets(1000, seed=5, **change), jets(1000, seed=6)])
    label = np.arange(3000) < 1500
    stack = stack_of(JetScaling().fit(x), [1], network=network, width=16, depth=1)
    settings = Settings(epochs=3, batch_size=128, learning_rate=1e-2)
    train_ratio(stack, x, label, np.ones((3000, 1)), settings, seed=1)
    area = auc(logits(stack, unseen)[:, 0], np.arange(2000) < 1000, np.ones(2000))
    # An ideal classifier of two Poisson numbers of 5 and 7 has 0.71; the widths give more.
    assert area > 0.66
    same = auc(
        logits(stack, torch.cat([jets(1000, seed=7), jets(1000, seed=8)]))[:, 0], np.arange(2000) < 1000, np.ones(2000)
    )
    assert same == pytest.approx(0.5, abs=0.05)


def test_soft_targets_reach_constituents():
    x = jets(600)
    ratio = np.exp(0.1 * (x[..., 3] != 0).sum(1).numpy())[:, None]
    stack = stack_of(JetScaling().fit(x), [1], network="deep_sets", width=16)
    offset, _ = train_mean(
        stack, x, ratio, np.ones((600, 1)), Settings(epochs=15, batch_size=64, learning_rate=5e-3), seed=1
    )
    found = logits(stack, x) + offset
    assert np.corrcoef(found[:, 0], np.log(ratio[:, 0]))[0, 1] > 0.95


def test_refusals():
    with pytest.raises(ConfigError, match="not a multiple of heads"):
        ConstituentClassifier(network="attention", width=10, heads=4)
    bad = jets(5)
    bad[2] = torch.nan
    with pytest.raises(InputError, match="48 values are not finite in 5 events"):
        JetScaling().fit(bad)
