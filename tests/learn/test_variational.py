"""A posterior of weights, where the exact one is known, and around every model of the folder."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from truthward.errors import ConfigError
from truthward.learn.fit import Settings, fit
from truthward.learn.nets import seeded
from truthward.learn.stack import Stack
from truthward.learn.variational import Variational
from truthward.study import plugins

FEATURES, NOISE, PRIOR = 3, 0.7, 0.8


class Regression(nn.Module):
    """y = w . c + b with normal noise of known width."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(FEATURES, 1)

    def loss(self, x: Tensor, condition: Tensor) -> Tensor:
        return 0.5 * ((x - self.layer(condition)) / NOISE).square().squeeze(1)


def events(n: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    """(y (n, 1), features (n, 3)); columns and constant are orthogonal, so that the exact posterior is a product."""
    g = torch.Generator().manual_seed(seed)
    raw = torch.cat([torch.ones(n, 1), torch.randn(n, FEATURES, generator=g)], 1)
    features = torch.linalg.qr(raw).Q[:, 1:] * math.sqrt(n)
    y = features @ torch.tensor([[1.0], [-0.5], [0.0]]) + 0.3 + NOISE * torch.randn(n, 1, generator=g)
    return y, features


def learned(n: int, batch: int, **options) -> tuple[Variational, Tensor, Tensor]:
    y, features = events(n)
    model = seeded(2, lambda: Variational(Regression(), events=n, prior=PRIOR, initial=0.02, **options))
    # As many steps for each batch size.
    settings = Settings(epochs=320 * batch // n, batch_size=batch, learning_rate=0.08)
    fit(model, model.loss, (y, features), torch.ones(n), settings, seed=3)
    return model, y, features


def exact_sigma(n: int, nats: float = 1.0) -> tuple[float, float]:
    """Of each weight and of the constant."""
    precision = nats * n / NOISE**2
    return (precision + FEATURES / PRIOR**2) ** -0.5, (precision + 1.0 / PRIOR**2) ** -0.5


@pytest.mark.parametrize(("n", "batch", "nats"), [(200, 25, 1.0), (200, 100, 1.0), (800, 100, 0.25)])
def test_posterior_of_a_linear_regression_is_the_exact_one_whatever_the_batch(n, batch, nats):
    model, y, features = learned(n, batch, nats=nats)
    weight, constant = exact_sigma(n, nats)
    assert model.spread == ["layer.weight", "layer.bias"]
    for log_sigma, wanted in zip(model.log_sigma, (weight, constant), strict=True):
        torch.testing.assert_close(log_sigma.exp(), torch.full_like(log_sigma, wanted), rtol=0.2, atol=0.0)
    mean = weight**2 * nats * (features.T @ y).squeeze(1) / NOISE**2
    assert ((model.module.layer.weight[0] - mean).abs() < 0.5 * weight).all()
    drawn = torch.stack([s["layer.weight"] for s in model.posterior(1000, seed=1)])
    torch.testing.assert_close(drawn.std(0), model.log_sigma[0].exp(), rtol=0.1, atol=0.0)
    torch.testing.assert_close(drawn.mean(0), model.module.layer.weight, rtol=0.0, atol=0.15 * weight)


def test_each_event_has_its_own_draw_and_its_tokens_share_it():
    layer = nn.Linear(4, 2)

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def loss(self, x: Tensor, condition: Tensor) -> Tensor:
            return self.layer(x)

    model = Variational(Tokens(), events=10.0, initial=0.5)
    model.scale = math.inf  # The KL divergence is not looked at here.
    x = torch.randn(1, 1, 4, generator=torch.Generator().manual_seed(1)).expand(200, 3, 4)
    torch.manual_seed(1)
    with torch.no_grad():
        found = torch.stack([model.loss(x, x) for _ in range(100)]) - layer(x)  # (100, 200, 3, 2)
    assert torch.equal(found[:, :, 0], found[:, :, 2])
    sigma = torch.tensor(0.25)
    wanted = sigma * (1.0 + x[0, 0].square().sum()).sqrt()
    assert abs(found.std() / wanted - 1.0) < 0.1
    # Events of one call are nearly independent: the mean over 200 of them fluctuates as that of a few dozen at least.
    assert found[:, :, 0].mean(1).std() < 0.25 * wanted


def test_only_the_last_layers_have_a_spread_where_wanted():
    flow = seeded(1, plugins.build, "models", {"kind": "coupling_flow", "transforms": 3}, dimensions=2, conditions=0)
    last = Variational(flow, events=10.0, layers="last")
    assert last.spread == [f"couplings.{i}.network.layers.4.{leaf}" for i in range(3) for leaf in ("weight", "bias")]
    assert len(Variational(flow, events=10.0).spread) == 18


@pytest.mark.parametrize("layers", ["all", "last"])
@pytest.mark.parametrize("kind", plugins.kinds("models"))
def test_every_model_takes_a_posterior_and_gives_plain_models_back(kind, layers):
    def plain():
        return plugins.build("models", {"kind": kind}, dimensions=2, conditions=1)

    x, c = torch.randn(32, 2), torch.randn(32, 1)
    stack = Stack(
        lambda: Variational(plain(), events=100.0, layers=layers, initial=1.0, without=plain().STUDENT), [1, 2]
    )
    value = stack.call("loss", x, c)
    assert value.shape == (2, 32)
    value.sum().backward()
    sigmas = {name: p for name, p in stack.named_parameters() if name.startswith("log_sigma")}
    assert sigmas
    assert all(p.grad.abs().sum() > 0 for p in sigmas.values())
    one = Variational(plain(), events=100.0, layers=layers, without=plain().STUDENT)
    one.load_state_dict(stack.state_of(1))
    models = [plain() for _ in range(2)]
    for model, state in zip(models, one.posterior(2, seed=5), strict=True):
        model.load_state_dict(state)
    noise = torch.randn(32, 2)
    first, second = (m.sample(c, noise) for m in models)
    assert torch.isfinite(first).all()
    assert not torch.allclose(first, second)
    # The mean is a plain model as well, and is left alone by the draws.
    again = plain()
    again.load_state_dict(one.module.state_dict())
    assert torch.equal(again.sample(c, noise), one.module.sample(c, noise))


def test_what_cannot_be_given_a_posterior_is_refused():
    with pytest.raises(ConfigError, match="no linear layer"):
        Variational(nn.LayerNorm(3), events=10.0)
    with pytest.raises(ConfigError, match="prior 0"):
        Variational(Regression(), events=10.0, prior=0.0)

    class Bypass(Regression):
        def loss(self, x: Tensor, condition: Tensor) -> Tensor:
            return (condition @ self.layer.weight.T).squeeze(1)

    with pytest.raises(ConfigError, match=r"does not call its layers \['layer'\]"):
        Variational(Bypass(), events=10.0).loss(torch.zeros(2, 1), torch.zeros(2, FEATURES))
