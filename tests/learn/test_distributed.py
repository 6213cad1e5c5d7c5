"""Processes that torchrun started train as one process with their batches joined."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from truthward.learn.fit import Settings, fit
from truthward.learn.nets import MLP, seeded
from truthward.learn.stack import Stack

# Its fixtures are made once, on one worker.
pytestmark = pytest.mark.xdist_group("distributed")

EPOCHS, BATCH = 4, 16


def train(kind: str, processes: int, state: Path | None = None, slow: bool = False):
    """A small network on 205 training rows, whose last batch is smaller and of odd size; weights have both signs.

    `processes`: how many this training has; batches are as large in all as those of two processes.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 2, generator=generator)
    y = x[:, 0] * x[:, 1]
    held = torch.arange(256) % 5 == 0
    stacked = kind == "stacked"
    weights = 1.0 + torch.randn(256, *([3] if stacked else []), generator=generator)
    module = Stack(lambda: MLP(2, 1, width=8), [1, 2, 3]) if stacked else seeded(1, MLP, 2, 1, width=8)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        if slow and module.training:
            os.write(1, b"step\n")  # in one piece: two processes write
            time.sleep(0.05)
        if kind == "noisy":
            x = x + 0.1 * torch.randn_like(x)
        if kind == "nan":
            y = torch.where(y == y.max(), torch.nan, y)
        return ((module.call("forward", x) if stacked else module(x)).squeeze(-1) - y).square()

    settings = Settings(epochs=EPOCHS, batch_size=2 * BATCH // processes, learning_rate=1e-2, patience=3)
    history = fit(module, loss, (x, y), weights, settings, seed=3, validation=held, state=state, state_seconds=1e9)
    return module, history


def main(kind: str, processes: str, out: str, state: str, slow: str) -> None:
    """What each process of torchrun does."""
    torch.set_num_threads(1)
    module, history = train(kind, int(processes), Path(state) if state else None, bool(slow))
    rank = os.environ.get("RANK", "0")
    Path(out, f"{rank}.json").write_text(json.dumps([history.train, history.validation, history.best]))
    torch.save(module.state_dict(), Path(out, f"{rank}.pt"))


def words(out: Path, kind: str, state: Path | None = None, slow: bool = False) -> list[str]:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2"]
    torchrun += ["--signals-to-handle", "SIGTERM,SIGUSR1"]
    return [sys.executable, *torchrun, __file__, kind, "2", str(out), str(state or ""), "slow" * slow]


def environment(root: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"}


def read(folder: Path) -> list[tuple[list, dict[str, Tensor]]]:
    return [
        (json.loads((folder / f"{rank}.json").read_text()), torch.load(folder / f"{rank}.pt", weights_only=True))
        for rank in range(2)
    ]


def run(folder: Path, root: Path, kind: str, state: Path | None = None):
    folder.mkdir()
    command = words(folder, kind, state)
    done = subprocess.run(command, env=environment(root), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return read(folder)


def check(found, module, history) -> None:
    """Both processes have the same, bit by bit, and it is what one process has."""
    (losses, weights), (others, other_weights) = found
    assert losses == others
    assert all(torch.equal(weights[n], other_weights[n]) for n in weights)
    for one, other in zip(losses, (history.train, history.validation), strict=False):
        torch.testing.assert_close(torch.tensor(one), torch.tensor(other), rtol=1e-5, atol=0)
    assert losses[2] == history.best
    torch.testing.assert_close(weights, dict(module.state_dict()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["signed", "stacked"])
def test_two_processes_are_one_with_the_doubled_batch(tmp_path, root, kind):
    module, history = train(kind, 1)
    assert len(history.train) == EPOCHS
    check(run(tmp_path / "two", root, kind), module, history)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """A training with random numbers inside the loss, on two processes."""
    return run(tmp_path_factory.mktemp("noisy") / "whole", Path(__file__).parents[2], "noisy")


def test_random_numbers_are_others_in_each_process(noisy):
    alone = train("noisy", 1)[1]
    assert noisy[0][0] == noisy[1][0] != [alone.train, alone.validation, alone.best]
    for one, other in zip(noisy[0][0][1], alone.validation, strict=True):
        assert one[0] == pytest.approx(other[0], rel=0.3)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_the_state_of_all(noisy, tmp_path, root, number):
    """Of noise from a generator of each process: a state that is not of both would not lead to the same end."""
    state, folder = tmp_path / "s.pt", tmp_path / "stopped"
    folder.mkdir()
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words(folder, "noisy", state, slow=True), env=environment(root), **pipes) as process:
        for _ in range(20):
            assert process.stdout.readline() == "step\n"
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "run again to go on" in error
    content = torch.load(state, weights_only=True)
    assert len(content["rng"]) == 2
    assert 10 <= 7 * content["run"]["epoch"] + content["run"]["step"] < 7 * EPOCHS
    assert not list(folder.iterdir())
    for (losses, weights), (expected, expected_weights) in zip(
        run(tmp_path / "two", root, "noisy", state), noisy, strict=True
    ):
        assert losses == expected
        assert all(torch.equal(weights[n], expected_weights[n]) for n in weights)


def test_losses_that_are_not_finite_end_all_processes(tmp_path, root):
    done = subprocess.run(words(tmp_path, "nan"), env=environment(root), capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    # Of the whole batch, whichever process holds it, and from both.
    assert done.stderr.count("DivergedError: training: epoch 0") == 2


if __name__ == "__main__":
    main(*sys.argv[1:])
