"""What a job knows of its processes."""

import sys
from types import SimpleNamespace

import pytest

from truthward.run import launch


@pytest.mark.parametrize(
    ("resources", "gpus"), [({}, 0), ({"gpus": 2}, 2), ({"gpu": 1}, 1), ({"nvidia_gpu": "3"}, 3), ({"gpu": 0}, 0)]
)
def test_gpus_under_all_their_names(resources, gpus) -> None:
    assert launch.gpus(SimpleNamespace(**resources)) == gpus


def test_the_number_of_a_process(monkeypatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert launch.rank() is None
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert launch.rank() == 1


def test_torchrun_takes_the_place_of_the_script(monkeypatch) -> None:
    called = []
    monkeypatch.setattr(launch.os, "execv", lambda *given: called.append(given))
    monkeypatch.setattr(sys, "argv", ["script.py", "word"])
    launch.torchrun(3)
    ((program, words),) = called
    assert program == words[0] == sys.executable
    assert words[-4:] == ["--signals-to-handle", "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1", "script.py", "word"]
    assert words[words.index("--nproc-per-node") + 1] == "3"
