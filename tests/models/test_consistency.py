"""A student that draws in one step: it follows its teacher, knows when it does not, and is trained where models are."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from torch import Tensor

from truthward.errors import ConfigError, StaleError
from truthward.learn import checkpoint
from truthward.learn.distil import distil
from truthward.learn.fit import Settings, fit
from truthward.learn.members import train_members
from truthward.learn.nets import seeded
from truthward.learn.resume import Interrupted
from truthward.learn.stack import Stack
from truthward.models.consistency import Consistency
from truthward.study import plugins
from truthward.study.generative_members import Uncertainty

TEACHER = {"kind": "flow_matching", "width": 24, "depth": 2}
OPTIONS = {"width": 32, "depth": 2, "pairs": 6000, "epochs": 8, "batch_size": 250}
EVENTS = 600


def model(teacher: dict | None = None, **options) -> Consistency:
    chosen = {**OPTIONS, **options}
    return seeded(2, Consistency, dimensions=2, conditions=1, teacher=teacher or TEACHER, **chosen)


def events(n: int = EVENTS, seed: int = 1) -> tuple[Tensor, Tensor]:
    """The first column is an arc, on the side that the condition says."""
    g = torch.Generator().manual_seed(seed)
    side = (torch.rand(n, 1, generator=g) < 0.5).float() * 2 - 1
    angle = torch.rand(n, 1, generator=g) * torch.pi
    return torch.cat([side * angle.sin(), angle.cos()], 1) + 0.1 * torch.randn(n, 2, generator=g), side


def trained(stack: Stack, *, signed: bool = False, seed: int = 4) -> Stack:
    """First training of the members, without the second."""
    x, condition = events()
    weights = torch.ones(len(x), stack.members)
    if signed:
        weights[::5] = -1.0
    settings = Settings(epochs=20, batch_size=100, learning_rate=4e-3)
    fit(stack, lambda x, c: stack.call("loss", x, c), (x, condition), weights, settings, seed=seed)
    return stack


def taught(stack: Stack, weights: Tensor | None = None, seed: int = 5, **options) -> Stack:
    condition = events()[1]
    distil(stack, condition, torch.ones(len(condition), 1) if weights is None else weights, seed=seed, **options)
    return stack


def single(stack: Stack, member: int = 0, **options) -> Consistency:
    found = model(**options)
    found.load_state_dict(stack.state_of(member))
    return found.eval()


def missed(one: Consistency, n: int = 2000) -> float:
    """Mean distance of the student from the teacher, with noise that no training has seen."""
    noise, condition = torch.randn(n, 2, generator=torch.Generator().manual_seed(8)), events(n, seed=9)[1]
    with torch.no_grad():
        return float(one.student_loss(noise, condition, one.taught(condition, noise)).mean())


@pytest.mark.parametrize(
    "teacher",
    [
        TEACHER,
        {"kind": "diffusion", "width": 24, "depth": 2},
        {"kind": "bridge", "width": 24, "depth": 2},
        {"kind": "bridge", "width": 24, "depth": 2, "pairing": "paired"},
        {"kind": "transformer_flow_matching", "width": 8, "depth": 1},
        {"kind": "autoregressive", "width": 16},
    ],
    ids=lambda t: t.get("pairing", t["kind"]),
)
def test_a_student_draws_what_its_teacher_draws(teacher):
    stack = trained(Stack(lambda: model(teacher), [2]))
    before = missed(single(stack, teacher=teacher))
    one = single(taught(stack), teacher=teacher)
    assert missed(one) < 0.35 * before
    for name in ("CONDITIONAL", "PAIRED", "LIKELIHOOD"):
        assert getattr(one, name) == getattr(one.teacher, name)
    noise, condition = torch.randn(500, 2), events(500, seed=3)[1]
    # It is the student that draws, in one step: near the teacher, not equal.
    assert not torch.equal(one.sample(condition, noise), one.teacher.sample(condition, noise))
    wrong = (one.sample(-condition, noise) - one.taught(condition, noise)).square().mean()
    right = (one.sample(condition, noise) - one.taught(condition, noise)).square().mean()
    assert right < 0.5 * wrong, "the condition is ignored"


def test_the_second_training_leaves_the_teacher_and_its_density_as_they_were():
    stack = trained(Stack(model, [2]))
    before, one = stack.state_of(0), single(taught(stack))
    assert all(torch.equal(v, before[n]) for n, v in one.state_dict().items() if n.startswith("teacher."))
    assert not torch.equal(one.state_dict()["student.layers.0.weight"], before["student.layers.0.weight"])
    x, condition = events(50)
    assert torch.equal(one.log_prob(x, condition), one.teacher.log_prob(x, condition))
    plain = seeded(2, plugins.build, "models", TEACHER, dimensions=2, conditions=1)
    torch.manual_seed(1)
    loss = one.loss(x, condition)
    plain.load_state_dict(one.teacher.state_dict())
    torch.manual_seed(1)
    assert torch.equal(loss, plain.loss(x, condition))


def test_a_new_model_draws_with_its_teacher():
    one, noise, condition = model(), torch.randn(20, 2), events(20)[1]
    assert torch.equal(one.sample(condition, noise), one.teacher.sample(condition, noise))


def test_a_student_of_another_teacher_is_refused_until_it_has_learned_again():
    stack = taught(trained(Stack(model, [2, 3])))
    noise, condition = torch.randn(20, 2), events(20)[1]
    assert stack.call("sample", condition, noise).isfinite().all()
    # The least change of one member: the smallest step of one parameter.
    parameter = getattr(stack, "teacher|network|layers|0|bias")
    with torch.no_grad():
        parameter[1, 0] = torch.nextafter(parameter[1, 0], torch.tensor(9.0))
    with pytest.raises(StaleError, match="teacher was trained after"):
        stack.one(1, "sample", condition, noise)
    assert stack.one(0, "sample", condition, noise).isfinite().all()
    stacked = stack.call("sample", condition, noise)
    assert stacked[0].isfinite().all()
    assert stacked[1].isnan().all()
    trained(stack, signed=True, seed=7)
    with pytest.raises(StaleError):
        stack.each("sample", condition, noise)
    taught(stack)
    assert stack.each("sample", condition, noise).isfinite().all()
    assert missed(single(stack, 1)) < 0.1


def test_signs_of_weights_do_not_reach_the_student():
    weights = torch.ones(EVENTS, 1)
    weights[::2] = -1.0
    stacks = [taught(trained(Stack(model, [2])), w) for w in (weights, weights.abs())]
    for name, value in stacks[0].state_of(0).items():
        assert torch.equal(value, stacks[1].state_of(0)[name])


def test_conditions_without_weight_are_not_used():
    """Rows of weight zero may be events that are kept for tests."""
    condition = torch.cat([torch.zeros(50, 1), torch.full((50, 1), torch.nan)])
    weights = torch.cat([torch.ones(50, 2), torch.zeros(50, 2)])
    stack = Stack(lambda: model(pairs=500, epochs=1), [2])
    distil(stack, condition, weights, seed=1)
    assert all(v.isfinite().all() for v in stack.state_of(0).values())


def test_members_have_their_own_conditions():
    condition = torch.stack([torch.zeros(50, 1), torch.ones(50, 1)], 1)
    stack, alone = Stack(lambda: model(pairs=500, epochs=2), [2, 2]), Stack(lambda: model(pairs=500, epochs=2), [2])
    distil(stack, condition, torch.ones(50, 2), seed=1)
    distil(alone, condition[:, 1], torch.ones(50, 1), seed=1)
    for name, value in alone.state_of(0).items():
        torch.testing.assert_close(stack.state_of(1)[name], value, rtol=1e-3, atol=1e-4)
    assert not torch.equal(*(stack.state_of(m)["student.layers.0.bias"] for m in (0, 1)))


def test_seeds_decide_and_an_interrupted_training_goes_on(tmp_path, monkeypatch):
    first, again, other = (taught(trained(Stack(model, [2])), seed=s) for s in (5, 5, 6))
    name = "student.layers.0.weight"
    assert torch.equal(first.state_of(0)[name], again.state_of(0)[name])
    assert not torch.equal(first.state_of(0)[name], other.state_of(0)[name])
    stack, calls = trained(Stack(model, [2])), 0
    plain = stack.call

    def stopped(method: str, *args, **options):
        nonlocal calls
        calls += method == "student_loss"
        if calls == 60:
            os.kill(os.getpid(), signal.SIGUSR1)
        return plain(method, *args, **options)

    monkeypatch.setattr(stack, "call", stopped)
    files = {"state": tmp_path / "model.pt", "state_key": "k"}
    with pytest.raises(Interrupted):
        taught(stack, **files)
    assert calls == 60
    fresh = taught(trained(Stack(model, [2])), **files)
    assert torch.equal(fresh.state_of(0)[name], first.state_of(0)[name])
    assert [p.name for p in tmp_path.iterdir()] == ["model.distil.pt"]


def test_save_and_load(tmp_path):
    one = single(taught(trained(Stack(model, [2]))))
    arguments = {"dimensions": 2, "conditions": 1, "teacher": TEACHER, **OPTIONS}
    recipe = {"class": "truthward.models.consistency:Consistency", "arguments": arguments}
    checkpoint.save(tmp_path / "m.safetensors", {"m": one}, recipe=recipe, provenance={})
    loaded = checkpoint.load(tmp_path / "m.safetensors")[0]["m"]
    noise, condition = torch.randn(3000, 2), events(3000)[1]
    assert torch.equal(loaded.sample(condition, noise), one.sample(condition, noise))
    assert not torch.equal(loaded.sample(condition, noise), loaded.taught(condition, noise))


@pytest.mark.parametrize("uncertainty", [{"kind": "ensemble"}, {"kind": "variational", "layers": "all"}])
def test_every_member_has_a_student_of_its_own(uncertainty):
    x, condition = events()
    chosen = Uncertainty(members=2, **uncertainty)
    stack, _ = train_members(
        lambda: Consistency(dimensions=2, conditions=1, teacher=TEACHER, **OPTIONS),
        chosen,
        x[:, None],
        condition,
        torch.ones(len(x), chosen.trainings),
        Settings(epochs=15, batch_size=100, learning_rate=4e-3),
        events=len(x),
        seeds=list(range(chosen.trainings)),
        seed=3,
    )
    members = [single(stack, m) for m in range(2)]
    assert not torch.equal(*(m.teacher.state_dict()["network.layers.4.weight"] for m in members))
    assert all(int(m.learned_from) == int(m.mark()) for m in members)
    # A student is nearer to its own teacher than to the other one.
    noise, given = torch.randn(2000, 2), events(2000, seed=9)[1]
    for one, other in (members, members[::-1]):
        drawn = one.sample(given, noise)
        own, others = ((drawn - m.taught(given, noise)).square().mean() for m in (one, other))
        assert own < others


def test_bad_options_are_refused():
    with pytest.raises(ConfigError, match="pairs 0"):
        model(pairs=0)
    with pytest.raises(ConfigError, match="draws in one step already"):
        model({"kind": "consistency"})
    with pytest.raises(ConfigError, match=r"consistency\.teacher\.kind"):
        model({"kind": "flow_machine"})
