"""Laws of the training loop: what it uses, what it refuses, how weights enter, and which weights it leaves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from truthward.errors import DivergedError, InputError
from truthward.learn.fit import History, Settings, fit
from truthward.learn.nets import MLP, seeded
from truthward.learn.stack import Stack

SETTINGS = Settings(epochs=6, batch_size=32, learning_rate=2e-2)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


X = normal(200, 2)
Y = X[:, 0] * X[:, 1] + 0.5 * normal(200, seed=1)
HELD = torch.arange(200) % 4 == 0
ONES = torch.ones(200)


def net(seed: int = 3) -> MLP:
    return seeded(seed, MLP, 2, 1, width=8, depth=1)


def squares(module):
    return lambda x, y: (module(x).squeeze(-1) - y).square()


def train(weights: Tensor = ONES, settings: Settings = SETTINGS, held: Tensor | None = HELD, seed: int = 1, **options):
    """A trained small network and its history."""
    module = net()
    history = fit(module, squares(module), (X, Y), weights, settings, seed=seed, validation=held, **options)
    return module, history


def mean_loss(module, rows: Tensor, weights: Tensor = ONES) -> float:
    with torch.no_grad():
        return float((squares(module)(X[rows], Y[rows]) * weights[rows]).mean())


def equal(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_it_learns_and_says_so():
    module, history = train(settings=Settings(epochs=40, batch_size=32, learning_rate=1e-2))
    assert len(history.train) == len(history.validation) == 40
    assert history.train[-1][0] < 0.5 * history.train[0][0]
    assert mean_loss(module, HELD) < 0.6 * mean_loss(net(), HELD)


def test_the_seed_decides_all():
    assert equal(train()[0], train()[0])
    assert not equal(train()[0], train(seed=2)[0])
    torch.manual_seed(99)  # What others drew before is nothing to it.
    first = train()[0]
    torch.manual_seed(98)
    assert equal(first, train()[0])


def test_rows_held_out_do_not_train():
    y = torch.where(HELD, torch.full_like(Y, 1e3), Y)
    settings = Settings(epochs=1, batch_size=32)
    one, other = net(), net()
    fit(one, squares(one), (X, Y), ONES, settings, seed=1, validation=HELD)
    fit(other, squares(other), (X, y), ONES, settings, seed=1, validation=HELD)
    assert equal(one, other)


def test_the_weights_are_those_of_the_best_epoch():
    settings = Settings(epochs=25, batch_size=16, learning_rate=0.5)
    module, history = train(settings=settings)
    losses = [epoch[0] for epoch in history.validation]
    assert history.best == [min(range(25), key=losses.__getitem__)]
    assert history.best != [24], "choose settings where the last epoch is not the best"
    assert mean_loss(module, HELD) == pytest.approx(min(losses), rel=1e-5)
    assert not module.training


def test_without_validation_the_last_epoch_is_used():
    module, history = train(held=None)
    assert history.best == [5]
    assert equal(module, train(held=torch.zeros(200, dtype=torch.bool))[0])


class Counter(nn.Module):
    """A number that every step lowers by the rate, as Adam does where the slope is constant."""

    def __init__(self) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.number.expand(len(x))


def scripted(losses: list[list[float]], patience: int) -> tuple[list[float], History]:
    """Train counters whose validation losses are given, one list a member: their numbers, and the history."""
    stack = Stack(Counter, range(len(losses)))
    epoch, seen = 0, []

    def loss(x: Tensor) -> Tensor:
        nonlocal epoch
        if stack.training:
            return stack.call("forward", x)
        seen.append(stack.call("forward", x)[:, 0].tolist())
        epoch += 1
        return torch.tensor([[own[epoch - 1]] for own in losses]).expand(-1, len(x))

    settings = Settings(epochs=len(losses[0]), batch_size=150, learning_rate=0.1, patience=patience)
    history = fit(stack, loss, (X,), torch.ones(200, len(losses)), settings, seed=1, validation=HELD)
    numbers = stack.call("forward", X[:1])[:, 0].tolist()
    assert numbers == [seen[best][m] for m, best in enumerate(history.best)], "the weights are of another epoch"
    return numbers, history


@pytest.mark.parametrize(("patience", "epochs", "best"), [(0, 4, 3), (1, 2, 0), (2, 3, 0), (3, 4, 3), (9, 4, 3)])
def test_patience_counts_the_epochs_since_the_best_one(patience, epochs, best):
    _, history = scripted([[1.0, 2.0, 2.0, 0.5]], patience)
    assert history.validation == [[1.0], [2.0], [2.0], [0.5]][:epochs]
    assert history.best == [best]


@pytest.mark.parametrize("patience", [0, 2, 3])
def test_each_of_a_stack_has_its_own_patience(patience):
    one, other = [1.0, 2.0, 2.0, 0.5], [1.0, 0.9, 0.8, 0.9]
    numbers, together = scripted([one, other], patience)
    first, alone = scripted([one], patience)
    second, too = scripted([other], patience)
    assert numbers == pytest.approx([*first, *second], rel=1e-5)
    assert together.best == alone.best + too.best == [0 if patience == 2 else 3, 2]


def test_each_epoch_has_an_order_of_its_own():
    module, seen = net(), []

    def loss(x: Tensor, y: Tensor) -> Tensor:
        seen.append(y)
        return squares(module)(x, y)

    fit(module, loss, (X, Y), ONES, Settings(epochs=3, batch_size=100), seed=1)
    first, second, third = (torch.cat(seen[2 * e : 2 * e + 2]) for e in range(3))
    for other in (second, third):
        assert not torch.equal(first, other)
        assert torch.equal(first.sort().values, other.sort().values)
    assert not torch.equal(second, third)


def test_the_rate_warms_up_and_falls_as_a_cosine():
    """Where the slope is constant each step of Adam is the rate: of 200 steps the sixth ends the warm-up of 3%."""
    module, numbers = Counter(), []

    def loss(x: Tensor) -> Tensor:
        numbers.append(float(module.number.detach()))
        return module(x)

    fit(module, loss, (X,), ONES, Settings(epochs=20, batch_size=20, learning_rate=0.5), seed=1)
    rates = -np.diff([*numbers, float(module.number.detach())])
    fractions = np.arange(200) / 200
    assert rates[0] == pytest.approx(0.0, abs=1e-6)
    assert rates[3] == pytest.approx(0.5 * 0.5 * 0.5 * (1 + math.cos(math.pi * 0.015)), rel=1e-4)
    assert rates[6] == pytest.approx(0.5 * 0.99778, rel=1e-4)
    assert rates[100] == pytest.approx(0.25, rel=1e-4)
    assert rates[199] == pytest.approx(0.5 * (math.pi * 0.005) ** 2 / 4, rel=0.02)
    expected = 0.25 * (1 + np.cos(np.pi * fractions)) * np.minimum(1, fractions / 0.03)
    np.testing.assert_allclose(rates, expected, rtol=1e-3, atol=1e-5)


def test_members_lose_patience_one_by_one():
    stack = Stack(lambda: MLP(2, 1, width=8, depth=1), [3, 4])
    labels = torch.stack([Y, normal(200, seed=5)])  # the second can only be learned by heart
    target = torch.arange(200)

    def loss(x: Tensor, row: Tensor) -> Tensor:
        return (stack.call("forward", x).squeeze(-1) - labels[:, row]).square()

    settings = Settings(epochs=60, batch_size=16, learning_rate=0.05, patience=4)
    history = fit(stack, loss, (X, target), torch.ones(200, 2), settings, seed=1, validation=HELD)
    early, late = sorted(history.best)
    assert late > early + 4, "choose labels where one member stops well before the other"
    stopped = history.best.index(early)
    with torch.no_grad():
        held = loss(X[HELD], target[HELD]).mean(1)
    # The early one has the weights of its own best epoch, though it was carried along after it.
    for member, best in enumerate(history.best):
        assert float(held[member]) == pytest.approx(history.validation[best][member], rel=1e-4)
    assert min(e[stopped] for e in history.validation[: early + 5]) == history.validation[early][stopped]


@pytest.mark.parametrize("weights", [1e-6 * ONES, 1e6 * ONES, ONES.double()])
def test_the_unit_of_the_weights_is_nothing(weights):
    torch.testing.assert_close(train(weights)[0].state_dict(), train()[0].state_dict(), rtol=1e-4, atol=1e-5)


def test_the_mean_of_weights_is_taken_once_and_not_batch_by_batch():
    # Batches of one event: divided by its batch's weight, each event would count alike.
    weights = torch.where(X[:, 0] > 0, 4.0, 0.25)
    settings = Settings(epochs=2, batch_size=1, learning_rate=1e-3)
    weighted, history = train(weights, settings, None)
    assert not equal(weighted, train(ONES, settings, None)[0])
    assert len(history.train) == 2
    # The first epoch's loss at a rate of zero is the plain weighted mean.
    _, history = train(weights, Settings(epochs=1, batch_size=7, learning_rate=0.0), HELD)
    scaled = weights / weights[~HELD].mean()
    assert history.train[0][0] == pytest.approx(mean_loss(net(), ~HELD, scaled), rel=1e-5)
    assert history.validation[0][0] == pytest.approx(mean_loss(net(), HELD, scaled), rel=1e-5)


def test_an_event_of_weight_two_is_two_events():
    weights = torch.where(torch.arange(200) < 100, 2.0, 1.0)
    settings = Settings(epochs=150, batch_size=1000, learning_rate=1e-2)
    module, doubled = net(), net()
    fit(module, squares(module), (X, Y), weights, settings, seed=1)
    twice = (torch.cat([X, X[:100]]), torch.cat([Y, Y[:100]]))
    fit(doubled, squares(doubled), twice, torch.ones(300), settings, seed=1)
    torch.testing.assert_close(module(X), doubled(X), rtol=1e-2, atol=1e-2)


def test_signed_weights_cancel():
    # Copies with a wrong label, once with each sign: together they are nothing.
    x, y = torch.cat([X, X, X]), torch.cat([Y, Y + 5, Y + 5])
    weights = torch.cat([ONES, ONES, -ONES])
    settings = Settings(epochs=150, batch_size=1000, learning_rate=1e-2, clip=0.0)
    signed, plain = net(), net()
    fit(signed, squares(signed), (x, y), weights, settings, seed=1)
    fit(plain, squares(plain), (X, Y), ONES, settings, seed=1)
    torch.testing.assert_close(signed(X), plain(X), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("rows", [1, 3])
def test_losses_that_are_not_finite_are_counted(rows):
    y = Y.clone()
    y[:rows] = math.nan
    module = net()
    with pytest.raises(DivergedError, match=rf"toy: epoch 0, batch 0: {rows} of 200 losses are not finite"):
        fit(module, squares(module), (X, y), ONES, Settings(batch_size=1000), seed=1, label="toy")


def test_a_loss_that_is_not_finite_in_validation_is_an_error_too():
    y = torch.where(HELD, torch.full_like(Y, math.inf), Y)
    module = net()
    with pytest.raises(DivergedError, match="validation: 50 of 50 losses are not finite"):
        fit(module, squares(module), (X, y), ONES, SETTINGS, seed=1, validation=HELD)


def test_parameters_that_diverge_in_the_last_step_are_an_error():
    module = net()
    settings = Settings(epochs=1, batch_size=1000)
    # At zero the root is finite and its slope is not.
    with pytest.raises(DivergedError, match="33 network parameters are not finite"):
        fit(module, lambda x, y: (0 * module(x)[:, 0]).abs().sqrt(), (X, Y), ONES, settings, seed=1)


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        (torch.where(torch.arange(200) < 3, math.nan, 1.0), "3 of 200 weights are not finite"),
        (torch.where(torch.arange(200) < 1, math.inf, 1.0), "1 of 200 weights are not finite"),
        (-ONES, "sum to -200"),
        (0 * ONES, "sum to 0"),
        (torch.stack([ONES, -ONES], 1), "sum to -200"),
    ],
)
def test_unusable_weights_are_refused(weights, match):
    module = net()
    with pytest.raises(DivergedError, match=match):
        fit(module, squares(module), (X, Y), weights, SETTINGS, seed=1)


def test_no_event_left_is_refused():
    with pytest.raises(InputError, match="no training event"):
        train(held=torch.ones(200, dtype=torch.bool))


def test_clipping_bounds_the_gradient_of_each_member():
    stack = Stack(lambda: MLP(2, 1, width=8, depth=1), [3, 3])
    before = {k: v.clone() for k, v in stack.state_dict().items()}
    labels = torch.tensor([[1.0], [1e4]])
    settings = Settings(epochs=3, batch_size=1000, clip=1.0)
    fit(
        stack,
        lambda x: (stack.call("forward", x)[..., 0] - labels).square(),
        (X,),
        torch.ones(200, 2),
        settings,
        seed=1,
    )
    norms = sum(p.grad.flatten(1).square().sum(1) for p in stack.parameters()).sqrt()
    assert (norms <= 1.0 + 1e-5).all()
    assert all(not torch.equal(before[k], v) for k, v in stack.state_dict().items())


def test_bf16_trains_and_leaves_fp32_weights():
    module, history = train(settings=Settings(epochs=6, batch_size=32, learning_rate=2e-2, precision="bf16"))
    assert all(p.dtype == torch.float32 for p in module.parameters())
    _, exact = train()
    assert history.train[-1][0] == pytest.approx(exact.train[-1][0], rel=0.05)


def test_frozen_parameters_stay():
    module = net()
    module.layers[0].weight.requires_grad_(False)
    before = module.layers[0].weight.clone()
    fit(module, squares(module), (X, Y), ONES, SETTINGS, seed=1)
    assert torch.equal(module.layers[0].weight, before)


def test_no_epoch_changes_nothing():
    module, history = train(settings=Settings(epochs=0))
    assert equal(module, net())
    assert history == History(best=[-1])
