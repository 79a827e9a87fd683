"""The measured side: ``python -m taut.measure.child`` builds one Runner and obeys JSON lines.

Standard output carries the protocol alone: what libraries print goes to standard error. The process pins
itself to the cores it is given and dies with its parent, which keeps it stopped while others have their turn.

Memory is the growth of the resident set: its peak since ``open`` less its size just before. What the
runner's module had already imported by then is not counted, what ``open`` loads is.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from taut.core.runner import Item, Runner, RunnerSpec
from taut.measure.exchange import load_items, save_arrays

_PR_SET_PDEATHSIG = 1
# A warm-up window must outlast the clock's jitter and hold enough runs for a median.
_WINDOW_S = 0.02
_WINDOW_RUNS = 3
# Still warming up while a window's median is more than this much faster than the window's before.
_WARM_GAIN = 0.02


@dataclass
class Host:
    """One runner, its items and the commands that the parent may send: start, open, then any."""

    spec: RunnerSpec
    items_file: Path | None
    is_open: bool = False
    resident_before_bytes: int = 0

    @cached_property
    def runner(self) -> Runner:
        return self.spec.build()

    @cached_property
    def items(self) -> Sequence[Item]:
        return [] if self.items_file is None else load_items(self.items_file)

    def start(self) -> Mapping[str, Any]:
        """Build the runner and read the items."""
        return {"items": len(self.items), "quantities": [each.name for each in self.runner.quantities]}

    def open(self) -> Mapping[str, Any]:
        """Open the runner, timed."""
        gc.collect()
        _reset_peak()
        self.resident_before_bytes = _resident_bytes()
        begin = time.perf_counter_ns()
        self.runner.open()
        elapsed_ms = (time.perf_counter_ns() - begin) / 1e6
        self.is_open = True
        return {"open_ms": elapsed_ms}

    def warm(self, seconds: float) -> Mapping[str, Any]:
        """Run until a window is no longer faster than the one before it, or the seconds are over."""
        end = time.perf_counter() + seconds
        now, done, is_stable = np.inf, 0, False
        while not is_stable and (not done or time.perf_counter() < end):
            window, before = self._window(done, end), now
            now = float(np.median(window))
            done, is_stable = done + len(window), now > before * (1 - _WARM_GAIN)
        # The least, for it sizes the turns, which a busy moment must not shrink.
        return {"latency_ms": min(window), "stable": is_stable, "cpu_s": time.process_time()}

    def _window(self, start: int, end: float) -> list[float]:
        """Latencies in ms of as many runs as a warm-up window needs, at least one."""
        latency_ms = self._timed(start, 1)
        while len(latency_ms) < _WINDOW_RUNS or sum(latency_ms) < _WINDOW_S * 1e3:
            if time.perf_counter() > end:
                break
            latency_ms += self._timed(start + len(latency_ms), 1)
        return latency_ms

    def run(self, start: int, discard: int, count: int) -> Mapping[str, Any]:
        """Run ``discard`` untimed and ``count`` timed items, cycling from item ``start``."""
        self._timed(start - discard, discard)
        latency_ms = self._timed(start, count)
        return {"latency_ms": latency_ms, "cpu_s": time.process_time()}

    def _timed(self, start: int, count: int) -> list[float]:
        chosen = [self.items[(start + index) % len(self.items)] for index in range(count)]
        elapsed_ns = []
        gc.disable()
        for item in chosen:
            begin = time.perf_counter_ns()
            self.runner.run(item)
            elapsed_ns.append(time.perf_counter_ns() - begin)
        gc.enable()
        return [value / 1e6 for value in elapsed_ns]

    def outputs(self, items: str, into: str) -> Mapping[str, Any]:
        """Run every item of one file once, in order, and write the outputs to another."""
        rows = [self._outputs_of(item) for item in load_items(Path(items))]
        save_arrays(Path(into), rows)
        return {"rows": len(rows)}

    def _outputs_of(self, item: Item) -> dict[str, np.ndarray]:
        # Copied, for a runtime may write the next outputs into the same memory.
        return {name: np.array(array) for name, array in self.runner.run(item).outputs.items()}

    def memory(self) -> Mapping[str, Any]:
        """Peak resident set and its growth over the state before ``open``."""
        peak = _peak_bytes()
        return {"peak_bytes": peak, "growth_bytes": max(0, peak - self.resident_before_bytes)}

    def close(self) -> Mapping[str, Any]:
        """Close the runner; the end of the commands does the same."""
        if self.is_open:
            self.runner.close()
        self.is_open = False
        return {}


def main() -> None:
    """Read the recipe from the first line, answer each further line with one line, close at the end."""
    requests, replies = _take_over_streams()
    setup = json.loads(requests.readline())
    _die_with(setup["parent"])
    if setup["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, setup["cores"])

    items_file = None if setup["items"] is None else Path(setup["items"])
    host = Host(RunnerSpec(setup["factory"], setup["arguments"]), items_file)
    for line in requests:
        command = json.loads(line)
        print(json.dumps(_answer(host, command.pop("do"), command)), file=replies, flush=True)
    _answer(host, "close", {})
    sys.stderr.flush()
    os._exit(0)  # libraries can take seconds to take themselves apart, or crash over it


def _answer(host: Host, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return dict(getattr(host, name)(**arguments))
    except Exception as error:  # whatever a runner raises must reach the parent, which owns the decision
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}


def _take_over_streams() -> tuple[TextIO, TextIO]:
    """Keep the protocol's two pipes for ourselves; libraries get an empty input and standard error."""
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return requests, replies


def _die_with(parent: int) -> None:
    """Ask Linux to kill us with our parent; elsewhere the end of standard input ends the loop."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        sys.exit(1)


def _reset_peak() -> None:
    """Let Linux forget the peak so far, which reading the items may have set."""
    with contextlib.suppress(OSError):  # not Linux, or not allowed: the peak then includes what came before
        Path("/proc/self/clear_refs").write_text("5")


def _resident_bytes() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def _peak_bytes() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


if __name__ == "__main__":
    main()
