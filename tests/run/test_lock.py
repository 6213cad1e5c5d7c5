"""One holder at a time; the death of a holder frees its lock, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import time

from truthward.run import digests
from truthward.run.lock import locked

HOLDER = """
import sys, time
from truthward.run.lock import locked
with locked(sys.argv[1], "x"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
    print("over", time.time(), flush=True)
"""


def holder(path, seconds: float) -> subprocess.Popen:
    """A process that has the lock."""
    environment = os.environ | {"PYTHONPATH": str(digests.PACKAGE.parent)}
    running = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), str(seconds)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert running.stdout.readline() == "held\n"
    return running


def test_the_second_waits_for_the_first_and_says_for_whom(tmp_path, caplog) -> None:
    path = tmp_path / "log" / ".a.lock"
    with caplog.at_level("INFO"), holder(path, 1.0) as first, locked(path, "a.parquet"):
        now = time.time()
        over = first.stdout.read().split()
        assert over[0] == "over"
        assert float(over[1]) <= now
    assert f"a.parquet is being made by another job (process {first.pid}, since " in caplog.text
    assert list(path.parent.iterdir()) == []


def test_a_killed_holder_holds_nothing(tmp_path) -> None:
    path = tmp_path / ".a.lock"
    with holder(path, 1000.0) as first:
        os.kill(first.pid, signal.SIGKILL)
        first.wait(timeout=20)
        assert path.exists()
        with locked(path, "a.parquet"):
            assert path.exists()
    assert not path.exists()


def test_a_lock_file_that_its_holder_removed_is_no_lock(tmp_path, monkeypatch) -> None:
    """The waiting one opened the file before it was removed: what it then locks is a file that nobody else sees."""
    path = tmp_path / ".a.lock"
    opened = []
    real = os.open

    def slow(name, *rest):
        handle = real(name, *rest)
        opened.append(name)
        if len(opened) == 1:
            path.unlink()
        return handle

    monkeypatch.setattr(os, "open", slow)
    with locked(path, "a.parquet"):
        assert path.exists()
    assert len(opened) == 2
