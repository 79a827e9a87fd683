from __future__ import annotations

import time
from types import SimpleNamespace

import psutil
import pytest

from taut.measure.contention import ForeignLoad, Patience


class FakeMachine:
    """Two processors whose busy seconds and clock a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.busy_s, self.now_s = [0.0, 0.0], 0.0
        monkeypatch.setattr(psutil, "cpu_times", self._cpu_times)
        monkeypatch.setattr(time, "monotonic", lambda: self.now_s)
        monkeypatch.setattr(time, "process_time", lambda: 0.0)

    def _cpu_times(self, percpu: bool) -> list[object]:
        assert percpu
        return [_Times(user=busy, idle=self.now_s - busy, guest=busy / 2) for busy in self.busy_s]


class _Times(SimpleNamespace):
    def __iter__(self):
        return iter(vars(self).values())


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    return FakeMachine(monkeypatch)


def share_seen(machine: FakeMachine, cores: tuple[int, ...], own_s: float, busy_s: list[float]) -> float:
    load = ForeignLoad(cores)
    load.begin(own_s=3.0)
    machine.now_s, machine.busy_s = 1.0, busy_s
    assert load.elapsed_s == 1.0
    return load.share(own_s=3.0 + own_s)


def test_own_time_is_not_foreign(machine: FakeMachine) -> None:
    assert share_seen(machine, (0, 1), own_s=1.5, busy_s=[0.75, 0.75]) == pytest.approx(0.0)


def test_time_of_others_on_our_cores_is_foreign(machine: FakeMachine) -> None:
    assert share_seen(machine, (1,), own_s=0.6, busy_s=[0.0, 1.0]) == pytest.approx(0.4)


def test_time_of_others_elsewhere_counts_as_a_share_of_the_machine(machine: FakeMachine) -> None:
    assert share_seen(machine, (1,), own_s=1.0, busy_s=[0.8, 1.0]) == pytest.approx(0.4)


def test_ticks_that_undercount_us_are_no_negative_share(machine: FakeMachine) -> None:
    assert share_seen(machine, (0,), own_s=0.9, busy_s=[0.8, 0.0]) == 0.0


def test_patience_ends_after_a_fifth_of_the_time() -> None:
    patience = Patience(10.0)
    patience.lost_s = 2.0
    assert not patience.is_over
    patience.lost_s = 2.1
    assert patience.is_over
