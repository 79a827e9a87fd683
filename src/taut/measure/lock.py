"""One timing at a time on a machine: an advisory lock on a file in the system's temporary folder.

Timers hold it exclusively, trainers only ask whether it is free. The file is empty and is never written,
so a planted one can at worst delay; links are refused. Works between users and processes, not between
containers with temporary folders of their own.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from taut.core.errors import EnvironmentFailed
from taut.core.move import Progress, no_progress

_FILE_NAME = "taut-timing.lock"
_inside = threading.RLock()
_is_held = False


@contextmanager
def timing_lock(progress: Progress = no_progress) -> Iterator[None]:
    """Hold the machine for timing; waits for whoever holds it. A thread may enter again while inside."""
    global _is_held
    with _inside:
        if _is_held:
            yield
            return
        descriptor = _open()
        try:
            _acquire(descriptor, progress)
            _is_held = True
            yield
        finally:
            _is_held = False
            # Unlock in words: a forked process that inherited the descriptor would keep it locked.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)


def wait_while_timing() -> None:
    """Return at once when nobody else times, else when they are done; a trainer calls it between steps."""
    with _inside:  # another thread of this process may time
        if _is_held:
            return
        descriptor = _open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)


def _acquire(descriptor: int, progress: Progress) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        progress("waiting for another process that is timing", 0.0)
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _open() -> int:
    """Open the lock file without following links; any user may, whoever created it."""
    path = Path(tempfile.gettempdir()) / _FILE_NAME
    # Not blocking: opening a planted pipe would otherwise wait for its writer.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = _open_or_create(path, flags)
    except OSError as error:
        reason = "it is a link" if error.errno == errno.ELOOP else error.strerror
        raise EnvironmentFailed(f"timing lock {path}", f"cannot be opened: {reason}", "remove it") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise EnvironmentFailed(f"timing lock {path}", "is not a plain file", "remove it")
    return descriptor


def _open_or_create(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another process was quicker
            created = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o444)
            os.fchmod(created, 0o444)  # whatever the umask: other users must be able to open it
            os.close(created)
        return os.open(path, flags)
