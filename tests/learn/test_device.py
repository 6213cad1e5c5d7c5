"""Every tensor of a batch goes where the module is, and the module comes back."""

from __future__ import annotations

import logging
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from truthward.errors import ConfigError
from truthward.learn import fit as loop
from truthward.learn.device import placed, rng_state, set_rng_state, training_device
from truthward.learn.fit import Settings, fit
from truthward.learn.nets import MLP
from truthward.learn.stack import Stack
from truthward.run import launch

CPU, META = torch.device("cpu"), torch.device("meta")


@pytest.fixture(autouse=True)
def _asked_anew():
    training_device.cache_clear()
    yield
    training_device.cache_clear()


class Seen(Exception):
    """Ends a training at its first loss."""


@pytest.mark.parametrize("members", [1, 3])
def test_nothing_of_a_training_stays_behind(monkeypatch, members):
    """On torch's `meta` device, which has shapes and no values, and refuses to be mixed with the CPU."""
    stack, places = Stack(lambda: MLP(2, 1, width=4), list(range(members))), []

    def loss(x: Tensor, y: Tensor) -> Tensor:
        value = (stack.call("forward", x).squeeze(-1) - y).square()
        places.extend(t.device.type for t in (x, y, value, *stack.parameters(), *stack.buffers()))
        raise Seen

    # No values come back from there: it goes, and does not return.
    monkeypatch.setattr(loop, "placed", lambda module, device: nullcontext(module.to(device)))
    monkeypatch.setattr(loop, "training_device", lambda: META)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    with pytest.raises(Seen):
        fit(stack, loss, (torch.zeros(20, 2), torch.zeros(20)), torch.ones(20, members), Settings(epochs=1), seed=1)
    assert set(places) == {"meta"}


def test_the_module_comes_back_whatever_happens():
    class Tracked(nn.Linear):
        def to(self, device, **options):
            visited.append(str(device))
            return super().to(device, **options)

    visited: list[str] = []
    module = Tracked(2, 1)
    weight = module.weight
    inside = placed(module, CPU)
    with pytest.raises(Seen), inside:
        raise Seen
    assert visited == ["cpu", "cpu"]
    # A caller that holds on to a parameter holds on to what is trained.
    assert module.weight is weight


def test_random_states_are_restored():
    state = rng_state(CPU)
    first = torch.rand(3)
    set_rng_state(state, CPU)
    assert torch.equal(torch.rand(3), first)


@pytest.mark.parametrize(("given", "text"), [("1", "1 GPU was given"), ("4", "4 GPUs were given"), ("0", None)])
def test_gpus_that_torch_does_not_see_are_told_once(monkeypatch, caplog, given, text):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv(launch.GIVEN, given)
    with caplog.at_level(logging.WARNING, "truthward"):
        assert training_device() == training_device() == CPU
    assert [r.getMessage() for r in caplog.records] == (
        [f"{text}, but torch sees none: training on the CPU"] if text else []
    )


def test_each_process_has_a_gpu_of_its_own(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert training_device() == torch.device("cuda", 1)
    assert chosen == [1]
    training_device.cache_clear()
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ConfigError, match="but torch sees 2; set it to 2"):
        training_device()
