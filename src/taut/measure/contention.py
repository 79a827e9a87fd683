"""Whether something else used the processor while we timed.

Seen from outside: processor time of our cores, and of the whole machine, less what our own processes burnt.
The system counts in ticks of up to 10 ms, so a verdict needs a window of some tenths of a second; memory
traffic of others is not seen, nor is what a hypervisor hides.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil

# Two ticks of 10 ms on each of our cores stay below the limit in a window of this length.
WINDOW_S = 0.25
FOREIGN_SHARE_LIMIT = 0.15
# Waiting for quiet is worth a part of the time; on a machine that is never quiet it is lost.
_PATIENCE_SHARE = 0.2


@dataclass
class ForeignLoad:
    """Measures the share of processor time that others took between ``begin`` and ``share``."""

    cores: Sequence[int]
    _begin_s: float = field(default=0.0, init=False)
    _busy_s: list[float] = field(default_factory=list, init=False)
    _own_s: float = field(default=0.0, init=False)

    def begin(self, own_s: float) -> None:
        """Start a window; ``own_s`` is the processor time our runners have burnt so far."""
        self._begin_s, self._busy_s = time.monotonic(), _busy_seconds()
        self._own_s = own_s + time.process_time()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._begin_s

    def share(self, own_s: float) -> float:
        """Larger of the foreign shares of our cores and of the machine, 0 to 1, since ``begin``."""
        elapsed_s, own_s = self.elapsed_s, own_s + time.process_time() - self._own_s
        busy_s = [now - before for now, before in zip(_busy_seconds(), self._busy_s, strict=True)]
        on_ours = sum(busy_s[core] for core in self.cores if core < len(busy_s))
        ours = (on_ours - own_s) / (elapsed_s * len(self.cores))
        machine = (sum(busy_s) - own_s) / (elapsed_s * len(busy_s))
        return max(0.0, ours, machine)


def _busy_seconds() -> list[float]:
    """Seconds each processor was not idle since boot; time stolen by a hypervisor counts as busy."""
    return [sum(times) - _idle_seconds(times) for times in psutil.cpu_times(percpu=True)]


def _idle_seconds(times: object) -> float:
    # Guests' time is counted within user time already, so it must not be added again.
    fields = ("idle", "iowait", "guest", "guest_nice")
    return sum(getattr(times, name, 0.0) for name in fields)


@dataclass
class Patience:
    """How long to wait for a quiet machine; when it is over, rounds are kept as they come."""

    total_s: float
    """Of the whole measurement"""
    lost_s: float = 0.0

    @property
    def is_over(self) -> bool:
        return self.lost_s > _PATIENCE_SHARE * self.total_s
