"""Laws of every generative model in the folder: a new file is tested by its presence."""

from __future__ import annotations

import copy
from functools import cache

import pytest
import torch

from truthward.errors import ConfigError
from truthward.learn import checkpoint
from truthward.learn.distil import distil
from truthward.learn.fit import Settings, fit
from truthward.learn.nets import seeded
from truthward.learn.stack import Stack
from truthward.models.base import GenerativeModel
from truthward.study import plugins

KINDS = plugins.kinds("models")
pytestmark = pytest.mark.parametrize("kind", KINDS)


SMALL = {"consistency": {"pairs": 9000, "epochs": 12, "batch_size": 250}}
"""Options of a kind that shorten its tests."""


def build(kind: str, dimensions: int = 2, conditions: int = 1, seed: int = 3) -> GenerativeModel:
    entry = {"kind": kind, **SMALL.get(kind, {})}
    return seeded(seed, plugins.build, "models", entry, dimensions=dimensions, conditions=conditions)


def with_students(stack: Stack, condition: torch.Tensor) -> Stack:
    """The stack after the second training, which most models do not have."""
    distil(stack, condition, torch.ones(len(condition), 1), seed=6)
    return stack


def toy(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two half moons: the condition (-1 or 1) says which; no ellipse describes either."""
    g = torch.Generator().manual_seed(seed)
    side = (torch.rand(n, 1, generator=g) < 0.5).float() * 2 - 1
    angle = torch.rand(n, 1, generator=g) * torch.pi
    moon = torch.cat([angle.cos() + 0.5 * side, side * (angle.sin() - 0.25)], 1)
    return 1.2 * (moon + 0.06 * torch.randn(n, 2, generator=g)), side


@cache
def trained(kind: str) -> GenerativeModel:
    """The model, trained once on the toy for all tests of this file: 480 steps, about twice what each kind needs."""
    x, condition = toy(3000, seed=1)
    model = build(kind)
    settings = Settings(epochs=40, batch_size=250, learning_rate=4e-3)
    fit(model, model.loss, (x, condition), torch.ones(len(x)), settings, seed=5, label=kind)
    stack = with_students(Stack(lambda: copy.deepcopy(model), [0]), condition)
    model.load_state_dict(stack.state_of(0))
    return model


@pytest.mark.parametrize(("dimensions", "conditions"), [(1, 0), (2, 1), (5, 3)])
def test_shapes(kind, dimensions, conditions):
    model = build(kind, dimensions, conditions)
    x, c = torch.randn(7, dimensions), torch.randn(7, conditions)
    assert model.loss(x, c).shape == (7,)
    drawn = model.sample(c)
    assert drawn.shape == (7, dimensions)
    assert torch.isfinite(drawn).all()
    assert not drawn.requires_grad
    assert model.sample(c[:0]).shape == (0, dimensions)


def test_every_parameter_has_a_gradient(kind):
    model, (x, condition) = build(kind), toy(256, seed=2)
    loss = model.loss(x, condition)
    if model.STUDENT:
        loss = loss + model.student_loss(torch.randn(256, 2), condition, x)
    loss.mean().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().any()]
    assert not idle


def test_mixed_precision_gives_nearly_the_same_loss(kind):
    """`fit` may run the loss under autocast: what cannot bear eight bits has to say so."""
    x, c = toy(500, seed=7)
    losses = []
    for mixed in (False, True):
        model = copy.deepcopy(trained(kind))
        torch.manual_seed(4)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            losses.append(model.loss(x, c).float())
        losses[-1].mean().backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    exact, rounded = (loss.detach() for loss in losses)
    assert abs(float(rounded.mean() - exact.mean())) < 0.02
    assert float((rounded - exact).abs().median()) < 0.05


def test_save_and_load_is_the_identity(kind, tmp_path):
    name = f"truthward.models.{kind}:{plugins.class_name(kind)}"
    recipe = {"class": name, "arguments": {"dimensions": 2, "conditions": 1}}
    checkpoint.save(tmp_path / "m.safetensors", {"m": trained(kind)}, recipe=recipe, provenance={})
    loaded = checkpoint.load(tmp_path / "m.safetensors")[0]["m"]
    condition, noise = torch.ones(50, 1), torch.randn(50, 2, generator=torch.Generator().manual_seed(1))
    assert torch.equal(loaded.sample(condition, noise), trained(kind).sample(condition, noise))


def test_permuting_events_permutes_samples(kind):
    g = torch.Generator().manual_seed(2)
    condition, noise, order = toy(300, seed=4)[1], torch.randn(300, 2, generator=g), torch.randperm(300, generator=g)
    straight = trained(kind).sample(condition, noise)
    torch.testing.assert_close(
        trained(kind).sample(condition[order], noise[order]), straight[order], rtol=1e-4, atol=1e-5
    )


def test_a_sample_does_not_depend_on_the_number_drawn_with_it(kind):
    condition, noise = toy(5000, seed=4)[1], torch.randn(5000, 2, generator=torch.Generator().manual_seed(2))
    whole, part = trained(kind).sample(condition, noise), trained(kind).sample(condition[:100], noise[:100])
    torch.testing.assert_close(whole[:100], part, rtol=1e-4, atol=1e-5)


def energy_distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """Szekely's energy distance of two samples (N, D) and (M, D)."""
    return float(2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean())


def test_learns_a_non_gaussian_target_under_its_condition(kind):
    truth, condition = toy(2000, seed=8)
    torch.manual_seed(9)
    drawn = trained(kind).sample(condition)
    for side in (-1.0, 1.0):
        here = condition[:, 0] == side
        wanted = truth[here]
        gauss = wanted.mean(0) + torch.randn(len(wanted), 2) @ torch.linalg.cholesky(wanted.T.cov()).T
        found, naive = energy_distance(drawn[here], wanted), energy_distance(gauss, wanted)
        assert found < 0.25 * naive, (found, naive)
        # Negative control: the other condition gives the other moon.
        assert energy_distance(drawn[~here], wanted) > 20 * found


def test_works_in_a_stack_with_equal_random_numbers(kind):
    stack = Stack(lambda: build(kind), [4, 4, 9])
    x, c = toy(64, seed=3)
    with_students(stack, c)
    torch.manual_seed(1)
    shared = stack.call("loss", x, c)
    torch.manual_seed(1)
    own = stack.call("loss", x.expand(3, -1, -1), c, own=(True, False))
    assert shared.shape == own.shape == (3, 64)
    torch.testing.assert_close(shared, own)
    noise = torch.randn(64, 2, generator=torch.Generator().manual_seed(1))
    drawn = stack.call("sample", c, noise)
    single = build(kind)
    single.load_state_dict(stack.state_of(2))
    torch.testing.assert_close(drawn[2], single.sample(c, noise), rtol=1e-4, atol=1e-5)
    if single.LIKELIHOOD:
        with torch.no_grad():
            torch.testing.assert_close(stack.call("log_prob", x, c)[2], single.log_prob(x, c), rtol=1e-3, atol=1e-4)


def test_log_prob_integrates_to_one_or_says_that_it_cannot(kind):
    model = trained(kind)
    if not model.LIKELIHOOD:
        with pytest.raises(ConfigError, match="no tractable density"):
            model.log_prob(torch.zeros(1, 2), torch.zeros(1, 1))
        return
    axis = torch.linspace(-3.2, 3.2, 61)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        density = model.log_prob(grid, torch.ones(len(grid), 1)).double().exp()
    assert abs(float(density.sum() * (axis[1] - axis[0]) ** 2) - 1) < 0.03


def test_bad_sizes_are_refused(kind):
    with pytest.raises(ConfigError, match="dimensions = 0"):
        build(kind, dimensions=0)
