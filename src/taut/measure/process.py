"""The parent's handle on one measured process: start it, ask it, and say clearly how it failed.

A crash, a hang and an error inside the process all become ``EnvironmentFailed`` with the end of what the
process wrote to standard error. It ends on every way out.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from taut.core.errors import EnvironmentFailed
from taut.core.runner import RunnerSpec

_TAIL_BYTES = 600
_CLOSE_TIMEOUT_S = 5.0
_POOL_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass
class Child:
    """One process with one runner, from entering the context to leaving it.

    It is stopped except while it works on an answer: thread pools spin for up to 50 ms after a run, and would
    burn the cores on which the next runner is being timed.

    with Child("new", spec, items_file, cores=(0, 1)) as child:
        child.ask("start")                  # build the runner; until then several may boot side by side
        child.ask("open")
        child.ask("run", start=0, discard=1, count=10)["latency_ms"]
    """

    name: str
    spec: RunnerSpec
    items: Path | None = None
    cores: Sequence[int] = ()
    timeout_s: float = 120.0
    """Longest silence before the process counts as hung"""
    _process: subprocess.Popen[bytes] = field(init=False, repr=False)
    _complaints: IO[bytes] = field(init=False, repr=False)
    _unread: bytes = field(default=b"", init=False, repr=False)

    def __enter__(self) -> Child:
        setup = _as_line(self._setup())
        self._complaints = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "taut.measure.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env=_environment(len(self.cores)),
            process_group=0,  # Ctrl-C is the parent's to handle
        )
        with suppress(EnvironmentFailed):  # dead already: the first answer that is awaited says why
            self._send("boot", setup)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_exception: object) -> None:
        """End the process: by the end of its input, in an emergency by force."""
        assert self._process.stdin is not None and self._process.stdout is not None
        if kind is not None:
            self._process.kill()
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.send_signal(signal.SIGCONT)
        self._end()
        self._process.stdout.close()
        self._complaints.close()

    @property
    def process_id(self) -> int:
        return self._process.pid

    def ask(self, command: str, **arguments: Any) -> Mapping[str, Any]:
        """Send a command and wait for its answer; EnvironmentFailed if there is none, or an error."""
        self._process.send_signal(signal.SIGCONT)
        self._send(command, _as_line({"do": command, **arguments}))
        reply: Mapping[str, Any] = json.loads(self._line(command))
        self._stop()
        if "error" in reply:
            rule = f"failed to {command}: {reply['error']}"
            raise EnvironmentFailed(f"runner {self.name!r}", rule, _WAY_OUT)
        return reply

    def _stop(self) -> None:
        self._process.send_signal(signal.SIGSTOP)
        if hasattr(os, "waitid"):  # not on every system; there the signal is on its way
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def _setup(self) -> Mapping[str, Any]:
        return {
            "parent": os.getpid(),
            "factory": self.spec.factory,
            "arguments": dict(self.spec.arguments),
            "items": None if self.items is None else str(self.items),
            "cores": list(self.cores),
        }

    def _send(self, what: str, line: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._death(what) from None

    def _line(self, what: str) -> bytes:
        assert self._process.stdout is not None
        answers = select.poll()
        answers.register(self._process.stdout, select.POLLIN)
        end = time.monotonic() + self.timeout_s
        while b"\n" not in self._unread:
            if not answers.poll(max(0.0, end - time.monotonic()) * 1000):
                self._process.kill()
                rule = f"did not answer {what!r} within {self.timeout_s:g} s{self._tail()}"
                raise EnvironmentFailed(f"runner {self.name!r}", rule, _WAY_OUT)
            chunk = os.read(self._process.stdout.fileno(), 1 << 16)
            if not chunk:
                raise self._death(what)
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _death(self, what: str) -> EnvironmentFailed:
        code = self._end()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return EnvironmentFailed(
            f"runner {self.name!r}", f"died ({how}) during {what!r}{self._tail()}", _WAY_OUT
        )

    def _tail(self) -> str:
        size = self._complaints.seek(0, os.SEEK_END)
        self._complaints.seek(max(0, size - _TAIL_BYTES))
        text = self._complaints.read().decode(errors="replace").strip()
        return f"; it said: {text}" if text else ""

    def _end(self) -> int:
        """Wait for the process to end by itself, else end it by force; return its exit code."""
        try:
            return self._process.wait(_CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


_WAY_OUT = "run it alone to see why, or leave it out"


def _as_line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _environment(threads: int) -> dict[str, str]:
    """The parent's environment with its import path, and thread pools held to the given threads."""
    import_path = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    pools = dict.fromkeys(_POOL_VARIABLES, str(threads)) if threads else {}
    return {**os.environ, "PYTHONPATH": import_path, **pools}
