"""Times taken in turns in one process, under the machine's timing lock, less rounds that others disturbed.

One process suffices, since both sides run the same kernels: what may differ between processes (where memory
lies) is the same for both.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from taut.devices.local import local_device
from taut.kernels.soft_float import Arithmetic
from taut.measure import timing_lock
from taut.measure.contention import ForeignLoad, Patience
from taut.nonneural.amdahl import OverheadMeter, Overheads, Profile, step_seconds, steps_of, timed_s
from taut.nonneural.base import Build, open_program
from taut.runtimes.aot.program import Program

_WINDOW_S = 0.5
_FOREIGN_SHARE_LIMIT = 0.06
"""Stricter than where one core is timed: two halves wait for each other. Three ticks of 10 ms in a window"""
_PATIENCE = 40
"""Times as long as all rounds last; of it ``Patience`` gives a fifth to waiting"""


@dataclass(frozen=True)
class Job:
    """A program with what it reads and writes."""

    program: Program
    inputs: Sequence[np.ndarray]
    outputs: Sequence[np.ndarray]

    def timer(self, settings: Build) -> Callable[[], float]:
        """Return what runs it once and says how many seconds that took; once it has run already."""
        library = open_program(self.program, settings)
        library.run(self.inputs, self.outputs)
        return lambda: timed_s(library, self.inputs, self.outputs)


@dataclass(frozen=True)
class Dropped:
    """What something else on the machine disturbed."""

    rounds: int
    turns: int
    """Of the rounds that were kept"""


@dataclass(frozen=True)
class ThreadTimes:
    """A job by one thread and by two, and where its time goes."""

    one_s: float
    two_s: float
    profile: Profile
    dropped: Dropped

    @property
    def speed_up(self) -> float:
        return self.one_s / self.two_s


def time_threads(job: Job, rounds: int) -> ThreadTimes:
    """Run a job in turns on one thread and two, and the same with its steps timed; medians over all turns."""
    timed = open_program(job.program, Build(is_timed=True))
    meter = OverheadMeter(Build())
    count = len(job.program.steps)

    def steps() -> np.ndarray:
        timed.run(job.inputs, job.outputs)
        return step_seconds(timed, count)

    turns = {"one": job.timer(Build(1)), "two": job.timer(Build(2)), "steps": steps, "overheads": meter.take}
    taken, dropped = interleave(turns, rounds)
    seconds = np.median(taken["steps"], axis=0)
    # Medians of parts add up to less than the median of the whole where delays hit now this, now that part.
    seconds *= np.median(np.sum(taken["steps"], axis=1)) / seconds.sum()
    overheads = np.median(taken["overheads"], axis=0)
    profile = Profile(steps_of(job.program, Build(), seconds), Overheads(*map(float, overheads)))
    return ThreadTimes(float(np.median(taken["one"])), float(np.median(taken["two"])), profile, dropped)


def time_arithmetics(job: Job, rounds: int) -> dict[Arithmetic, float]:
    """Return the median seconds of a job on one thread for each way to compute, taken in turns."""
    turns = {arithmetic.value: job.timer(Build(1, arithmetic)) for arithmetic in Arithmetic}
    taken, _ = interleave(turns, rounds)
    return {arithmetic: float(np.median(taken[arithmetic.value])) for arithmetic in Arithmetic}


def interleave(turns: Mapping[str, Callable[[], object]], rounds: int) -> tuple[dict[str, list], Dropped]:
    """Return what each gives in every turn of so many undisturbed rounds, and what was dropped.

    A round lasts as long as foreign load needs to be seen. On a machine that is never quiet rounds are kept
    as they come once waiting has cost many times what they last; turns in which one of our threads had to
    leave its core are dropped even then, unless that leaves nothing of a round.
    """
    kept: dict[str, list] = {name: [] for name in turns}
    load, patience = ForeignLoad(range(local_device().cores)), Patience(_PATIENCE * rounds * _WINDOW_S)
    rng = np.random.default_rng(0)
    played = dropped = disturbed = 0
    with timing_lock():
        while played < rounds:
            load.begin(0.0)
            taken: dict[str, list[tuple[object, bool]]] = {name: [] for name in turns}
            while load.elapsed_s < _WINDOW_S:
                for name in rng.permutation(list(turns)):
                    taken[name].append(_watched(turns[name]))
            if load.share(0.0) > _FOREIGN_SHARE_LIMIT and not patience.is_over:
                patience.lost_s += load.elapsed_s
                dropped += 1
                continue
            played += 1
            for name, values in taken.items():
                calm = [value for value, is_calm in values if is_calm]
                disturbed += len(values) - len(calm) if calm else 0
                kept[name] += calm or [value for value, _ in values]
    return kept, Dropped(dropped, disturbed)


def _watched(turn: Callable[[], object]) -> tuple[object, bool]:
    """Return what a turn gives, and whether no thread of ours was made to leave its core meanwhile."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    value = turn()
    return value, resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw == before
