"""A training that was stopped anywhere ends as one that was not, bit by bit."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from truthward.errors import CorruptError, StaleError
from truthward.learn.fit import Settings, fit
from truthward.learn.nets import MLP
from truthward.learn.resume import Interrupted
from truthward.learn.stack import Stack

EPOCHS, STEPS = 5, 4
SETTINGS = Settings(epochs=EPOCHS, batch_size=16, learning_rate=2e-2, weight_decay=1e-2, patience=4)


class Killed(Exception):
    """Ends a training as a crash does: nothing is saved at that moment."""


def run(
    state: Path | None,
    *,
    key: str = "k",
    seconds: float = 0.0,
    act=None,
    at: int = -1,
    settings=SETTINGS,
    validating=False,
):
    """Train a stack of two, whose loss draws random numbers; `act` is done in training step `at` of this call."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(80, 2, generator=generator)
    stack = Stack(lambda: MLP(2, 1, width=8, depth=1), [1, 2])
    held = torch.arange(80) % 5 == 0
    calls = 0

    def loss(x: Tensor) -> Tensor:
        nonlocal calls
        if validating and not stack.training and calls == at:
            act()
        if stack.training:
            calls += 1
            if calls - 1 == at and not validating:
                act()
        noisy = x + 0.1 * torch.randn_like(x)
        return (stack.call("forward", noisy).squeeze(-1) - x[:, 0] * x[:, 1]).square()

    weights = torch.poisson(torch.ones(80, 2), generator=generator)
    history = fit(
        stack, loss, (x,), weights, settings, seed=3, validation=held, state=state, state_key=key, state_seconds=seconds
    )
    return stack.state_dict(), history, calls


def crash() -> None:
    raise Killed


def same(a, b) -> bool:
    return a[1] == b[1] and all(torch.equal(a[0][k], b[0][k]) for k in a[0])


@pytest.fixture(scope="module")
def whole():
    return run(None)


def test_steps_are_as_the_tests_believe(whole):
    assert whole[2] == EPOCHS * STEPS


def test_a_state_file_changes_nothing(whole, tmp_path):
    assert same(run(tmp_path / "s.pt"), whole)


@pytest.mark.parametrize("at", [0, 1, STEPS - 1, STEPS, STEPS + 1, EPOCHS * STEPS - 1])
def test_a_crash_at_any_step(whole, tmp_path, at):
    path = tmp_path / "s.pt"
    with pytest.raises(Killed):
        run(path, act=crash, at=at)
    torch.manual_seed(1234)
    resumed = run(path)
    assert same(resumed, whole)
    assert resumed[2] == EPOCHS * STEPS - at


def test_crash_upon_crash(whole, tmp_path):
    path = tmp_path / "s.pt"
    for _ in range(EPOCHS * STEPS // 3):
        with pytest.raises(Killed):
            run(path, act=crash, at=3)
    assert same(run(path), whole)


def test_steps_since_the_last_saved_state_are_done_again(whole, tmp_path):
    path = tmp_path / "s.pt"
    with pytest.raises(Killed):
        run(path, act=crash, at=7, seconds=1e9)
    assert not path.exists()
    assert same(run(path), whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("at", [2, STEPS - 1])
def test_a_signal_saves_the_state(whole, tmp_path, number, at):
    path = tmp_path / "s.pt"
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match="run again to go on") as caught:
        run(path, act=lambda: os.kill(os.getpid(), number), at=at, seconds=1e9)
    assert caught.value.number == number
    assert signal.getsignal(number) is before
    resumed = run(path)
    assert same(resumed, whole)
    assert resumed[2] == EPOCHS * STEPS - at - 1


def test_a_signal_in_the_last_validation_is_not_lost(whole, tmp_path):
    path = tmp_path / "s.pt"
    with pytest.raises(Interrupted, match="run again to go on"):
        run(path, act=lambda: os.kill(os.getpid(), signal.SIGTERM), at=EPOCHS * STEPS, seconds=1e9, validating=True)
    resumed = run(path)
    assert same(resumed, whole)
    assert resumed[2] == 0


def test_a_signal_without_a_state_says_stopped():
    with pytest.raises(Interrupted, match="stopped"):
        run(None, act=lambda: os.kill(os.getpid(), signal.SIGTERM), at=2)


def test_a_finished_training_is_returned_at_once(whole, tmp_path):
    path = tmp_path / "s.pt"
    run(path)
    again = run(path)
    assert again[2] == 0
    assert same(again, whole)


def test_early_stopping_is_resumed_too(tmp_path):
    settings = Settings(epochs=60, batch_size=16, learning_rate=0.1, patience=2)
    expected = run(None, settings=settings)
    assert len(expected[1].train) < 60
    path = tmp_path / "s.pt"
    with pytest.raises(Killed):
        run(path, act=crash, at=expected[2] - 2, settings=settings)
    assert same(run(path, settings=settings), expected)


@pytest.mark.parametrize("finished", [False, True])
def test_another_key_is_refused(tmp_path, finished):
    path = tmp_path / "s.pt"
    if finished:
        run(path)
    else:
        with pytest.raises(Killed):
            run(path, act=crash, at=3)
    content = path.read_bytes()
    with pytest.raises(StaleError, match="another spec or other code"):
        run(path, key="other")
    assert path.read_bytes() == content


@pytest.mark.parametrize("damage", ["list", "fields", "shapes"])
def test_the_state_of_another_training_is_refused(tmp_path, damage):
    path = tmp_path / "s.pt"
    with pytest.raises(Killed):
        run(path, act=crash, at=3)
    content = torch.load(path, weights_only=True)
    if damage == "list":
        content = [1, 2]
    elif damage == "fields":
        del content["rng"]
    else:
        content["module"] = {k: v[:1] for k, v in content["module"].items()}
    torch.save(content, path)
    with pytest.raises(CorruptError, match="no resume state of this training"):
        run(path)


@pytest.mark.parametrize("damage", ["empty", "half", "text", "bit", "byte of a weight"])
def test_a_damaged_state_is_reported_and_trained_anew(whole, tmp_path, caplog, damage):
    path = tmp_path / "s.pt"
    with pytest.raises(Killed):
        run(path, act=crash, at=3)
    content = path.read_bytes()
    weight = torch.load(path, weights_only=True)["module"]["layers|0|weight"].numpy().tobytes()
    flipped = bytearray(content)
    # Not any byte: those between two records are neither read nor under a checksum.
    flipped[content.index(weight if damage == "byte of a weight" else b"history") + 1] ^= 64
    damaged = {"empty": b"", "half": content[: len(content) // 2], "text": b"no state"}
    path.write_bytes(damaged.get(damage, flipped))
    again = run(path)
    assert same(again, whole)
    assert again[2] == EPOCHS * STEPS
    assert "s.pt: resume state is truncated or damaged" in caplog.text
    assert "this training starts again" in caplog.text


class Trap:
    """Runs code when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self):
        return (Path.touch, (self.victim,))


@pytest.mark.parametrize("save", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing, protocol=2))])
def test_nothing_is_unpickled(whole, tmp_path, save):
    path, victim = tmp_path / "s.pt", tmp_path / "victim"
    save({"key": "k", "trap": Trap(victim)}, path)
    assert same(run(path), whole)
    assert not victim.exists()


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("tests_resume", sys.argv[2])
module = module_from_spec(spec)
spec.loader.exec_module(module)
def wait():
    print("waiting", flush=True)
    sys.stdin.readline()
module.run(Path(sys.argv[3]), act=wait, at=9)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_is_taken_up_by_the_next(whole, tmp_path, root, number):
    path = tmp_path / "s.pt"
    words = [sys.executable, "-c", SCRIPT, str(root / "src"), __file__, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, text=True, **pipes) as process:
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(number)
        _, error = process.communicate(None if number == signal.SIGKILL else "go on\n", timeout=60)
    # SIGKILL falls in step 9 and loses it; SIGTERM lets it end, saves, and fails the process.
    done = 9 if number == signal.SIGKILL else 10
    assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 1)
    assert number == signal.SIGKILL or "run again to go on" in error
    resumed = run(path)
    assert same(resumed, whole)
    assert resumed[2] == EPOCHS * STEPS - done
    assert [p.name for p in tmp_path.iterdir()] == ["s.pt"]
