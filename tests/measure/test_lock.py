from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from taut.core.errors import EnvironmentFailed
from taut.measure.lock import timing_lock, wait_while_timing

HOLDER = """
import sys
from taut.measure.lock import timing_lock
with timing_lock():
    print("held", flush=True)
    sys.stdin.readline()
"""
WAITER = """
from taut.measure.lock import {name}
print("ready", flush=True)
{statement}
print("through", flush=True)
"""


def python(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def lock_file() -> Path:
    return Path(tempfile.gettempdir()) / "taut-timing.lock"


@pytest.mark.parametrize(
    ("name", "statement"),
    [("timing_lock", "with timing_lock(): pass"), ("wait_while_timing", "wait_while_timing()")],
)
def test_other_process_waits_until_timing_is_over(name: str, statement: str) -> None:
    with python(HOLDER) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with python(WAITER.format(name=name, statement=statement)) as waiter:
            assert waiter.stdout is not None and waiter.stdout.readline() == "ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                waiter.wait(timeout=0.3)
            holder.communicate("go on\n")
            assert waiter.communicate()[0] == "through\n"


def test_waiting_is_reported() -> None:
    told: list[str] = []
    with python(HOLDER) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        release = threading.Timer(0.2, lambda: holder.communicate("go on\n"))
        release.start()
        with timing_lock(lambda what, _share: told.append(what)):
            pass
        release.join()
    assert told == ["waiting for another process that is timing"]


def test_holder_may_enter_again_and_does_not_wait_for_itself() -> None:
    with timing_lock():
        with timing_lock():
            wait_while_timing()
        with python(WAITER.format(name="wait_while_timing", statement="wait_while_timing()")) as other:
            assert other.stdout is not None and other.stdout.readline() == "ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                other.wait(timeout=0.3)
            other.kill()


def test_other_thread_waits() -> None:
    passed = threading.Event()

    def wait() -> None:
        wait_while_timing()
        passed.set()

    waiter = threading.Thread(target=wait)
    with timing_lock():
        waiter.start()
        assert not passed.wait(0.2)
    assert passed.wait(30)
    waiter.join()


def test_lock_is_free_after_an_error() -> None:
    with pytest.raises(ValueError, match="inside"), timing_lock():
        raise ValueError("inside")
    with python(HOLDER) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        other.communicate("go on\n")


def test_planted_link_is_refused_and_its_target_untouched(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("kept")
    lock_file().symlink_to(target)
    with pytest.raises(EnvironmentFailed, match="it is a link"), timing_lock():
        pass
    assert target.read_text() == "kept"


def test_planted_pipe_is_refused_without_waiting_for_its_writer() -> None:
    os.mkfifo(lock_file())
    with pytest.raises(EnvironmentFailed, match="not a plain file"):
        wait_while_timing()


def test_file_can_be_opened_by_other_users_whatever_the_umask() -> None:
    before = os.umask(0o077)
    try:
        wait_while_timing()
    finally:
        os.umask(before)
    assert lock_file().stat().st_mode & 0o777 == 0o444
    assert lock_file().stat().st_size == 0
