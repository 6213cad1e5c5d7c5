"""The response of a trained classifier to other weights: known shifts, its equation, the spread of trainings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from truthward.errors import DivergedError
from truthward.learn.fit import Settings
from truthward.ratio import response
from truthward.ratio.classifier import balanced, classifier_of, logits, stack_of, train_ratio
from truthward.ratio.constituents import JetScaling
from truthward.ratio.response import RIDGE, SKETCH
from truthward.ratio.reweight import mean_ratio, train_mean

OPTIONS = {"width": 24, "depth": 2}
SETTINGS = Settings(epochs=8, batch_size=256, learning_rate=6e-3)
EVENTS = 3000


def ratio_response(network, x, numerator, weights, settings, *, held_out=None, **options):
    """Logits (N, E) at x from weights in any normalisation, of which some may be held out."""
    held = np.zeros(len(numerator), dtype=bool) if held_out is None else held_out
    even = balanced(weights, numerator, held)
    piece = x[torch.from_numpy(~held)], numerator[~held], even[~held]
    return response.ratio_response(network, [piece], len(piece[0]), settings, **options)(x)


def mean_response(network, x, chosen, ratio, weights, settings, *, held_out=None, **options):
    """Logits (M, E) at x from the ratios and weights (n, E) of the rows that are chosen."""
    trained = np.ones(len(weights), dtype=bool) if held_out is None else ~held_out
    unit = weights[trained] / weights[trained].mean(axis=0)
    piece = x[np.flatnonzero(chosen)[trained]], (ratio / mean_ratio(ratio, weights, "test"))[trained], unit
    return response.mean_response(network, [piece], len(piece[0]), settings, **options)(x)


@pytest.fixture(scope="module")
def ratio():
    """x of N(0.3, 1) over N(0, 1), the class, the trained network, and Poisson weights of 24 replicas."""
    rng = np.random.default_rng(3)
    numerator = np.arange(2 * EVENTS) < EVENTS
    x = torch.from_numpy((rng.normal(size=(2 * EVENTS, 1)) + 0.3 * numerator[:, None]).astype(np.float32))
    weights = np.ones((2 * EVENTS, 25))
    weights[:, 1:] = rng.poisson(1.0, size=(2 * EVENTS, 24))
    stack = stack_of(1, [5], **OPTIONS)
    train_ratio(stack, x, numerator, weights[:, :1], SETTINGS, seed=1)
    return x, numerator, member(stack), weights


def member(stack):
    network = classifier_of(1, **OPTIONS)
    network.load_state_dict(stack.state_of(0))
    return network.eval()


def test_unchanged_weights_are_the_nominal(ratio):
    x, numerator, network, weights = ratio
    found = ratio_response(
        network, x, numerator, np.column_stack([weights[:, 0], 3.0 * weights[:, 0], weights[:, 1]]), SETTINGS
    )
    nominal = network(x).detach().numpy()
    np.testing.assert_allclose(found[:, 0], nominal, atol=1e-5)
    np.testing.assert_allclose(found[:, 1], nominal, atol=1e-5)
    assert np.abs(found[:, 2] - nominal).max() > 0.02


def test_a_replica_does_not_depend_on_the_others_nor_on_the_pieces(ratio):
    x, numerator, network, weights = ratio
    every = ratio_response(network, x, numerator, weights, SETTINGS)
    few = ratio_response(network, x, numerator, weights[:, [0, 7]], SETTINGS, rows=777)
    np.testing.assert_allclose(few[:, 1], every[:, 7], atol=2e-5)


def test_hessian_of_a_part_of_many_events(ratio, monkeypatch):
    x, numerator, network, weights = ratio
    every = ratio_response(network, x, numerator, weights, SETTINGS)
    monkeypatch.setattr(response, "CURVED", 2000)
    part = ratio_response(network, x, numerator, weights, SETTINGS)
    nominal = every[:, :1]
    assert not np.allclose(part, every, atol=1e-4)
    assert np.sqrt(((part - every) ** 2).mean()) < 0.15 * np.sqrt(((every - nominal) ** 2).mean())


def test_known_change_of_the_density(ratio):
    x, numerator, network, weights = ratio
    slope = 0.1
    moved = np.where(numerator, np.exp(slope * x[:, 0].numpy()), 1.0)
    found = ratio_response(network, x, numerator, np.column_stack([weights[:, 0], moved]), SETTINGS, ridge=1e-6)
    change = found[:, 1] - found[:, 0]
    inner = np.abs(x[:, 0].numpy()) < 1.5
    # Multiplying one density by exp(0.1 x) adds 0.1 x and the logarithm of a norm.
    fitted = np.polyfit(x[inner, 0].numpy(), change[inner], 1)[0]
    assert fitted == pytest.approx(slope, rel=0.1)


def test_is_the_linear_response_of_all_layers(ratio):
    """Against the same step with the whole gradient of the network, of which the products of the sketch are means."""
    x, numerator, network, weights = ratio
    jacobian = []
    for event in x:
        network.zero_grad()
        network(event[None]).sum().backward()
        jacobian.append(torch.cat([p.grad.flatten() for p in network.parameters()]).numpy())
    phi = np.array(jacobian, dtype=np.float64)
    start = network(x).detach().double().numpy()
    even = balanced(weights, numerator, np.zeros(len(x), dtype=bool))
    chance = 1.0 / (1.0 + np.exp(-start))
    gradient = phi.T @ (even * (chance - numerator)[:, None])
    hessian = phi.T @ (phi * (even[:, 0] * chance * (1.0 - chance))[:, None])
    length = SETTINGS.learning_rate * SETTINGS.epochs * np.ceil(len(x) / SETTINGS.batch_size)
    # The same damping: F of the sketch is smaller than the number of parameters.
    size = OPTIONS["width"] + 1 + OPTIONS["depth"] * SKETCH
    damped = hessian + RIDGE / length * np.trace(hessian) / size * np.eye(len(hessian))
    expected = -phi @ np.linalg.solve(damped, gradient[:, 1:] - gradient[:, :1])
    found = ratio_response(network, x, numerator, weights, SETTINGS)
    change = found[:, 1:] - found[:, :1]
    assert np.corrcoef(change.ravel(), expected.ravel())[0, 1] > 0.97
    assert (change**2).mean() / (expected**2).mean() == pytest.approx(1.0, abs=0.05)


def test_signed_weights_have_a_response(ratio):
    x, numerator, network, weights = ratio
    signed = weights * np.where(np.random.default_rng(8).random(len(x)) < 0.15, -1.0, 1.0)[:, None]
    found = ratio_response(network, x, numerator, signed, SETTINGS)
    assert np.isfinite(found).all()
    assert 0.02 < (found[:, 1:] - found[:, :1]).std() < 2.0


def test_a_short_training_is_told_of(ratio, caplog):
    x, numerator, network, weights = ratio
    short = Settings(epochs=1, batch_size=6000, learning_rate=6e-3)
    with caplog.at_level("WARNING"):
        ratio_response(network, x, numerator, weights[:, :2], short)
    assert "replicas: {by: training}" in caplog.text


@pytest.mark.parametrize(("ridge", "agrees"), [(RIDGE, True), (30.0, False)])
def test_spread_is_that_of_trainings(ratio, ridge, agrees):
    x, numerator, network, weights = ratio
    stack = stack_of(1, [5] * 24, **OPTIONS)
    train_ratio(stack, x, numerator, weights[:, 1:], SETTINGS, seed=1)
    grid = torch.linspace(-2.0, 2.0, 15)[:, None]
    held = np.arange(len(x) + 15) >= len(x)
    padded = np.concatenate([weights, np.ones((15, 25))])
    ends = np.concatenate([numerator, np.arange(15) % 2 == 0])
    found = ratio_response(network, torch.cat([x, grid]), ends, padded, SETTINGS, held_out=held, ridge=ridge)[
        len(x) :, 1:
    ]
    full = logits(stack, grid)
    variance = (found.var(axis=1) / full.var(axis=1)).mean()
    assert (0.6 < variance < 1.5) == agrees, variance


@pytest.fixture(scope="module")
def mean():
    """Signed ratios of mean exp(0.5 x), some rows misses, and the network that learned them."""
    rng = np.random.default_rng(6)
    x = torch.from_numpy(rng.normal(size=(4000, 1)).astype(np.float32))
    chosen = rng.random(4000) < 0.8
    ratios = np.exp(0.5 * x[chosen].double().numpy()) * rng.choice([-0.5, 2.5], size=(chosen.sum(), 1))
    stack = stack_of(1, [3], **OPTIONS)
    train_mean(stack, x[torch.from_numpy(chosen)], ratios, np.ones_like(ratios), SETTINGS, seed=1)
    return x, chosen, ratios, member(stack)


def test_mean_of_signed_ratios(mean):
    x, chosen, ratios, network = mean
    steeper = ratios * np.exp(0.1 * x[chosen].double().numpy())
    both, ones = np.concatenate([ratios, 7.0 * ratios, steeper], axis=1), np.ones((len(ratios), 3))
    found = mean_response(network, x, chosen, both, ones, SETTINGS, ridge=1e-6)
    assert found.shape == (4000, 3)
    np.testing.assert_allclose(found[:, 0], network(x).detach().numpy(), atol=1e-5)
    # A common factor is in the mean ratio and not in the logit.
    np.testing.assert_allclose(found[:, 1], found[:, 0], atol=1e-5)
    inner = np.abs(x[:, 0].numpy()) < 1.5
    fitted = np.polyfit(x[inner, 0].numpy(), (found[:, 2] - found[:, 0])[inner], 1)[0]
    assert fitted == pytest.approx(0.1, abs=0.02)


def test_held_out_rows_have_no_say(ratio, mean):
    x, numerator, network, weights = ratio
    held = np.arange(len(x)) % 5 == 0
    pair, changed = weights[:, :2].copy(), weights[:, :2].copy()
    changed[held, 1] *= 1.0 + numerator[held] * (x[held, 0].numpy() > 0)
    for mask, same in ((held, True), (None, False)):
        found = [ratio_response(network, x, numerator, w, SETTINGS, held_out=mask)[:, 1] for w in (pair, changed)]
        assert np.allclose(*found, atol=1e-5) == same
    x, chosen, ratios, network = mean
    held = np.arange(len(ratios)) % 5 == 0
    pair = np.concatenate([ratios, ratios * np.exp(0.3 * x[chosen].double().numpy())], axis=1)
    # In another order: their mean is the same.
    changed = pair.copy()
    changed[held] = np.sort(pair[held], axis=0)
    for mask, same in ((held, True), (None, False)):
        found = [
            mean_response(network, x, chosen, r, np.ones_like(r), SETTINGS, held_out=mask)[:, 1]
            for r in (pair, changed)
        ]
        assert np.allclose(*found, atol=1e-5) == same


@pytest.mark.parametrize("network", ["deep_sets", "attention"])
def test_networks_of_constituents_respond(network):
    rng = np.random.default_rng(2)
    x = torch.from_numpy(np.abs(rng.normal(size=(300, 4, 4))).astype(np.float32))
    x[..., 3] = torch.from_numpy(rng.integers(0, 4, size=(300, 4)).astype(np.float32))
    found = classifier_of(JetScaling().fit(x), network=network, width=8, depth=1).eval()
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    weights = np.column_stack([np.ones(300), rng.poisson(1.0, 300)])
    response = ratio_response(found, x, np.arange(300) < 150, weights, SETTINGS)
    np.testing.assert_allclose(response[:, 0], found(x).detach().numpy(), atol=1e-5)
    assert np.abs(response[:, 1] - response[:, 0]).max() > 1e-3


def test_failures_are_counted(ratio, mean):
    x, numerator, network, weights = ratio
    bad = weights[:, :2].copy()
    bad[3, 1] = np.nan
    with pytest.raises(DivergedError):
        ratio_response(network, x, numerator, bad, SETTINGS)
    with pytest.raises(DivergedError, match="positive sum"):
        ratio_response(network, x, numerator, -weights[:, :2], SETTINGS)
    x, chosen, ratios, network = mean
    with pytest.raises(DivergedError, match="mean ratio is"):
        mean_response(network, x, chosen, -ratios, np.ones_like(ratios), SETTINGS)
