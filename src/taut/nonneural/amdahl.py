"""Where the time of a program goes, and what it would take on more cores: Amdahl's law, step by step.

Everything is measured on one thread (the time of each step) or on two (what it costs to wake a helper and
to hand over a step); the model adds nothing but how units are divided. It knows no contention for memory:
where the prediction for two threads falls short of what was measured, that is what is missing. On more
cores than there are here each further helper is taken to cost as much as the first, and the result is
modelled, not measured.
"""

from __future__ import annotations

import ctypes
import heapq
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from taut.kernels.base import Code, Read
from taut.kernels.soft_float import arithmetic_target
from taut.kernels.target import Target
from taut.kernels.view import View
from taut.nonneural.base import Build, as_program, given, open_program
from taut.runtimes.aot.library import Library
from taut.runtimes.aot.program import WORTH_DIVIDING, Program

MERGES = frozenset({"vote", "centroids", "reduce"})
"""Kernels that put together what parts have kept for themselves"""
_HANDOVERS = 400


@dataclass(frozen=True)
class StepCost:
    """One step of a program."""

    kernel: str
    units: int
    """Equal pieces; 1 where it is not divided"""
    serial_s: float
    """By one thread"""


@dataclass(frozen=True)
class Overheads:
    """What threads cost beside the work."""

    wake_s: float
    """From the beginning of a call until a helper is there, and to let it go"""
    barrier_s: float
    """To hand a part to one helper and to wait for it, beyond the work"""


@dataclass(frozen=True)
class Profile:
    """A program's steps, and what threads cost on this machine."""

    steps: tuple[StepCost, ...]
    overheads: Overheads

    @property
    def serial_s(self) -> float:
        return sum(step.serial_s for step in self.steps)

    @property
    def parallel_fraction(self) -> float:
        """Share of the time on one thread that is divided among threads."""
        return sum(step.serial_s for step in self.steps if step.units > 1) / self.serial_s

    @property
    def merge_s(self) -> float:
        return sum(step.serial_s for step in self.steps if step.kernel in MERGES)

    def barriers_s(self, cores: int) -> float:
        """What handing over costs on so many cores."""
        return sum(step.units > 1 for step in self.steps) * self.overheads.barrier_s * (cores - 1)

    def amdahl(self, cores: int) -> float:
        """Amdahl's bound on the speed-up: no overheads, perfect division."""
        return 1 / (1 - self.parallel_fraction + self.parallel_fraction / cores)


@dataclass(frozen=True)
class _StepBegins:
    time_s: float
    number: int

    def handle(self, run: _Run) -> list[_Event]:
        """Hand out the step's parts; one that is not divided is the first core's."""
        if self.number == len(run.profile.steps):
            run.finished_s = self.time_s
            return []
        step = run.profile.steps[self.number]
        parts = run.cores if step.units > 1 else 1
        ends = [step.units * (part + 1) // parts - step.units * part // parts for part in range(parts)]
        run.missing = parts
        return [_PartEnds(self.time_s + step.serial_s * units / step.units, self.number) for units in ends]


@dataclass(frozen=True)
class _PartEnds:
    time_s: float
    number: int

    def handle(self, run: _Run) -> list[_Event]:
        """The last part opens the barrier."""
        run.missing -= 1
        if run.missing:
            return []
        is_divided = run.profile.steps[self.number].units > 1
        barrier_s = run.profile.overheads.barrier_s * (run.cores - 1) if is_divided else 0.0
        return [_StepBegins(self.time_s + barrier_s, self.number + 1)]


_Event = _StepBegins | _PartEnds


@dataclass
class _Run:
    """The state of one simulated call."""

    profile: Profile
    cores: int
    missing: int = 0
    finished_s: float = 0.0


def simulate(profile: Profile, cores: int) -> float:
    """Return the seconds of a call on so many cores, event by event."""
    run = _Run(profile, cores)
    events: list[tuple[float, int, _Event]] = []
    pushed = 0
    new: Sequence[_Event] = [_StepBegins(profile.overheads.wake_s if cores > 1 else 0.0, 0)]
    while new or events:
        for event in new:
            heapq.heappush(events, (event.time_s, pushed, event))
            pushed += 1
        new = heapq.heappop(events)[2].handle(run)
    return run.finished_s


def steps_of(program: Program, settings: Build, seconds: np.ndarray) -> tuple[StepCost, ...]:
    """Return the costs of a program's steps: seconds (steps,) of one thread."""
    target = arithmetic_target(settings.arithmetic)
    kernels = [step.kernel for step in program.steps]
    units = [kernel.code(target).units if kernel.multiply_adds > WORTH_DIVIDING else 1 for kernel in kernels]
    return tuple(
        StepCost(kernel.name, count, float(took))
        for kernel, count, took in zip(kernels, units, seconds, strict=True)
    )


def step_seconds(library: Library, steps: int) -> np.ndarray:
    """Return what each step of the last call took, of a library built with ``is_timed``."""
    return np.array((ctypes.c_double * steps).in_dll(library.handle, "taut_seconds"))


@dataclass(frozen=True)
class _Nothing:
    """A step that is divided and does nothing: what remains is the handing over."""

    x: View
    name: str = "nothing"
    precision: str = "float32"

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.x,)

    @property
    def writes(self) -> tuple[View, ...]:
        return ()

    @property
    def multiply_adds(self) -> int:
        return WORTH_DIVIDING + 1

    def code(self, _target: Target, /) -> Code:
        return Code(("const float *x",), (self.x,), "", 2)

    def reference(self, _read: Read) -> tuple[np.ndarray, ...]:
        return ()


class OverheadMeter:
    """Measures what threads cost, so that it can take turns with what is timed."""

    def __init__(self, settings: Build) -> None:
        self._x = np.zeros(1, np.float32)
        x = given("x", 1)
        once, often = (as_program([_Nothing(x)] * count, [x], []) for count in (1, _HANDOVERS))
        one, pair = (Build(threads, settings.arithmetic) for threads in (1, 2))
        self._alone, self._pair = open_program(once, one), open_program(once, pair)
        self._handovers = open_program(often, replace(pair, is_timed=True))

    def take(self) -> tuple[float, float]:
        """Return the fields of ``Overheads``, measured once."""
        alone_s, pair_s = (timed_s(library, [self._x], []) for library in (self._alone, self._pair))
        self._handovers.run([self._x], [])
        barrier_s = float(np.median(step_seconds(self._handovers, _HANDOVERS)))
        return pair_s - alone_s - barrier_s, barrier_s


def timed_s(library: Library, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> float:
    """Run once, and return the seconds."""
    began = time.perf_counter()
    library.run(inputs, outputs)
    return time.perf_counter() - began
