"""The training of students: from which events, with which seeds, resumed, and for every member."""

from __future__ import annotations

import os
import signal

import pytest
import torch

from tests.students import EVENTS, OPTIONS, TEACHER, events, model, single, taught, trained
from truthward.learn.distil import distil
from truthward.learn.fit import Settings
from truthward.learn.members import train_members
from truthward.learn.resume import Interrupted
from truthward.learn.stack import Stack
from truthward.models.consistency import Consistency
from truthward.models.flow_matching import FlowMatching
from truthward.study.generative_members import Uncertainty


def test_models_without_a_student_are_left_as_they_are() -> None:
    stack = Stack(lambda: FlowMatching(dimensions=2, conditions=1, width=4), [1])
    before = stack.state_of(0)
    assert distil(stack, torch.ones(5, 1), torch.ones(5, 1), seed=1) is None
    assert all(torch.equal(value, before[name]) for name, value in stack.state_of(0).items())


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
