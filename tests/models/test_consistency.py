"""A student that draws in one step: it follows its teacher, and knows when it does not."""

from __future__ import annotations

import pytest
import torch

from tests.students import OPTIONS, TEACHER, events, missed, model, single, taught, trained
from truthward.errors import ConfigError, StaleError
from truthward.learn import checkpoint
from truthward.learn.nets import seeded
from truthward.learn.stack import Stack
from truthward.study import plugins


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


def test_save_and_load(tmp_path):
    one = single(taught(trained(Stack(model, [2]))))
    arguments = {"dimensions": 2, "conditions": 1, "teacher": TEACHER, **OPTIONS}
    recipe = {"class": "truthward.models.consistency:Consistency", "arguments": arguments}
    checkpoint.save(tmp_path / "m.safetensors", {"m": one}, recipe=recipe, provenance={})
    loaded = checkpoint.load(tmp_path / "m.safetensors")[0]["m"]
    noise, condition = torch.randn(3000, 2), events(3000)[1]
    assert torch.equal(loaded.sample(condition, noise), one.sample(condition, noise))
    assert not torch.equal(loaded.sample(condition, noise), loaded.taught(condition, noise))


def test_bad_options_are_refused():
    with pytest.raises(ConfigError, match="pairs 0"):
        model(pairs=0)
    with pytest.raises(ConfigError, match="draws in one step already"):
        model({"kind": "consistency"})
    with pytest.raises(ConfigError, match=r"consistency\.teacher\.kind"):
        model({"kind": "flow_machine"})
