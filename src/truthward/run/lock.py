"""Only one job at a time makes an artefact, even if a job outlives the call of Snakemake that started it."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger("truthward.run.lock")

POLL = 0.5
"""Seconds between two tries."""

_BUSY = (errno.EACCES, errno.EAGAIN)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def locked(path: str | Path, what: str) -> Iterator[None]:
    """Hold the lock file `path` while `what` is made; wait for whoever holds it.

    It is a POSIX lock: the kernel, or the server of a shared file system (NFS, Lustre, GPFS, CephFS, unless locks are
    switched off), frees it if its holder or the machine dies, so no lock remains. A file with the name of the holder
    would need a heartbeat, which a training could delay. The lock is tried repeatedly, because servers lose waiting
    requests. The file is removed at the end.

    If the file system has no locks, there is a warning, and the job works without a lock.
    """
    handle = _acquire(Path(path), what)
    try:
        yield
    finally:
        if handle is not None:
            # In this order: after the release, the file may belong to another job.
            Path(path).unlink(missing_ok=True)
            os.close(handle)


def _acquire(path: Path, what: str) -> int | None:
    told = False
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(handle, 200).decode("utf-8", "replace")
            os.close(handle)
            if error.errno in _NO_LOCKS:
                log.warning(
                    "%s: the file system has no locks (%s), so two jobs could make %s at the same time",
                    path.parent,
                    error.strerror,
                    what,
                )
                return None
            if error.errno not in _BUSY:
                raise
            if not told:
                log.info("%s is being made by another job (%s): waits for its end", what, holder or "just started")
                told = True
            time.sleep(POLL)
            continue
        if _is_same(handle, path):
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}".encode())
            return handle
        # The last holder removed the file after this process opened it and before it locked it.
        os.close(handle)


def _is_same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
