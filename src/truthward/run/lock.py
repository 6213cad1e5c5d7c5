"""One job at a time makes an artefact, also where a job outlives the call of Snakemake that started it."""

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

    A POSIX lock: the kernel, or the server of a shared file system (NFS, Lustre, GPFS, CephFS, where locks are not
    switched off), frees it when its holder or the holder's machine dies, so that none is ever left behind. A file
    that says who is at work would need a heartbeat, and nothing that a training does may hold one up. It is asked for
    again and again instead of waited for: servers lose waiting requests. The file is removed at the end.

    Where the file system has no locks at all a warning says so and the work is done without.
    """
    handle = _acquire(Path(path), what)
    try:
        yield
    finally:
        if handle is not None:
            # In this order: removed after its release it might be another's.
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
        # The holder before removed the file between our opening and locking it.
        os.close(handle)


def _is_same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
