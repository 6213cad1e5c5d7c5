"""The transformer behind a velocity: tokens, their order, and what is done once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from truthward.errors import ConfigError
from truthward.models.transformer_flow_matching import TransformerFlowMatching


def model(dimensions: int = 6, conditions: int = 4, **options) -> TransformerFlowMatching:
    torch.manual_seed(3)
    return TransformerFlowMatching(dimensions=dimensions, conditions=conditions, width=8, steps=3, **options)


def swapped(x: Tensor, size: int) -> Tensor:
    """(B, T S) with the first and the last token exchanged."""
    tokens = x.unflatten(-1, (-1, size))
    return torch.cat([tokens[:, -1:], tokens[:, 1:-1], tokens[:, :1]], dim=1).flatten(-2)


@pytest.mark.parametrize("positions", [True, False])
@pytest.mark.parametrize("token", [1, 2, 3])
def test_without_positions_particles_are_a_set(token, positions):
    made = model(token=token, condition_token=2, positions=positions)
    noise, condition = torch.randn(20, 6), torch.randn(20, 4)
    straight, turned = made.sample(condition, noise), made.sample(condition, swapped(noise, token))
    other = made.sample(swapped(condition, 2), noise)
    assert torch.allclose(turned, swapped(straight, token), atol=1e-5) != positions
    assert torch.allclose(other, straight, atol=1e-5) != positions
    with torch.no_grad():
        density, of_swapped = made.log_prob(straight, condition), made.log_prob(swapped(straight, token), condition)
    assert torch.allclose(density, of_swapped, atol=1e-4) != positions
    # The control: columns are no tokens.
    if token > 1:
        assert not torch.allclose(made.sample(condition, noise.flip(-1)), straight.flip(-1), atol=1e-3)


def test_every_token_sees_all_tokens_and_the_whole_condition():
    made = model(token=2)
    x, t, condition = torch.randn(1, 6), torch.full((1, 1), 0.4), torch.randn(1, 4)
    by_x = torch.autograd.functional.jacobian(lambda x: made.velocity(x, t, made.encode(condition)), x)
    by_condition = torch.autograd.functional.jacobian(lambda c: made.velocity(x, t, made.encode(c)), condition)
    assert (by_x.abs() > 1e-6).all()
    assert (by_condition.abs() > 1e-6).all()


def test_the_condition_is_encoded_once(monkeypatch):
    made, calls = model(batch=10), []
    encode = made.encode
    monkeypatch.setattr(made, "encode", lambda condition: (calls.append(len(condition)), encode(condition))[1])
    made.sample(torch.randn(20, 4))
    assert calls == [10, 10]


def test_nothing_of_a_condition_is_left_without_one():
    names = [name for name, _ in model(conditions=0).named_parameters()]
    assert not [n for n in names if "keys" in n or "encoder" in n or "condition" in n]
    assert model(conditions=0).sample(torch.empty(5, 0)).shape == (5, 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"token": 4}, "dimensions = 6 is no multiple of token = 4"),
        ({"condition_token": 3}, "conditions = 4 is no multiple of condition_token = 3"),
        ({"heads": 3}, "width = 8 is no multiple of heads = 3"),
        ({"depth": 0}, "depth 0"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        model(**options)
