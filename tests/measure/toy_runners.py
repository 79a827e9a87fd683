"""Runners of known behaviour for the tests of measuring."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from taut.core.quantities import P50, Quantity
from taut.core.runner import Item, Sample


@dataclass
class Spinner:
    """Counts to a number: its time is proportional to the number."""

    count: int
    quantities: tuple[Quantity, ...] = (P50,)

    def open(self) -> None:
        print("libraries print at will")

    def run(self, item: Item) -> Sample:
        total = 0
        for index in range(self.count):
            total += index
        return Sample({"double": item.inputs["x"] * 2, "total": np.array(total)})

    def close(self) -> None:
        print("closed")


@dataclass
class Sleeper:
    """Sleeps, which a busy machine stretches far less than computing."""

    seconds: float
    quantities: tuple[Quantity, ...] = (P50,)

    def open(self) -> None:
        time.sleep(0)

    def run(self, _item: Item) -> Sample:
        time.sleep(self.seconds)
        return Sample({})

    def close(self) -> None:
        time.sleep(0)


@dataclass
class Remembering:
    """Adds up what it is given since the last start of a sequence."""

    quantities: tuple[Quantity, ...] = (P50,)
    state: float = 0.0

    def open(self) -> None:
        self.state = 0.0

    def run(self, item: Item) -> Sample:
        self.state = float(item.inputs["x"].sum()) + (0.0 if item.starts_sequence else self.state)
        return Sample({"sum": np.array(self.state)})

    def close(self) -> None:
        self.state = 0.0


@dataclass
class Reusing:
    """Answers with its input, always in the same memory."""

    quantities: tuple[Quantity, ...] = (P50,)
    answer: np.ndarray = field(default_factory=lambda: np.empty(1))

    def open(self) -> None:
        self.answer = np.empty(1)

    def run(self, item: Item) -> Sample:
        self.answer[:] = item.inputs["x"]
        return Sample({"x": self.answer})

    def close(self) -> None:
        self.answer = np.empty(1)


@dataclass
class Hungry:
    """Holds a block of memory from ``open`` on."""

    size_bytes: int
    quantities: tuple[Quantity, ...] = (P50,)
    block: np.ndarray = field(default_factory=lambda: np.empty(0))

    def open(self) -> None:
        self.block = np.ones(self.size_bytes, dtype=np.uint8)

    def run(self, _item: Item) -> Sample:
        return Sample({"first": self.block[:1]})

    def close(self) -> None:
        self.block = np.empty(0)


@dataclass
class Surroundings:
    """Tells what its process was given."""

    quantities: tuple[Quantity, ...] = (P50,)

    def open(self) -> None:
        assert sys.stdin.read() == ""

    def run(self, _item: Item) -> Sample:
        cores = np.array(sorted(os.sched_getaffinity(0)))
        return Sample({"threads": np.array(os.environ["OMP_NUM_THREADS"]), "cores": cores})

    def close(self) -> None:
        sys.stdout.write("done")


@dataclass
class Failing:
    """Works for some runs, then fails in the given way: ``raise``, ``die`` or ``hang``."""

    way: str
    after: int = 0
    quantities: tuple[Quantity, ...] = (P50,)
    runs: int = 0

    def open(self) -> None:
        self.runs = 0

    def run(self, _item: Item) -> Sample:
        self.runs += 1
        if self.runs > self.after:
            print("about to fail", file=sys.stderr, flush=True)
            _fail(self.way)
        time.sleep(0.001)
        return Sample({})

    def close(self) -> None:
        self.runs = 0


@dataclass
class OpensOnce:
    """Opens in the first process that tries and leaves a mark; fails in every later one."""

    mark: str
    quantities: tuple[Quantity, ...] = (P50,)

    def open(self) -> None:
        if Path(self.mark).exists():
            _fail("raise")
        Path(self.mark).touch()

    def run(self, _item: Item) -> Sample:
        time.sleep(0.001)
        return Sample({})

    def close(self) -> None:
        pass


def _fail(way: str) -> None:
    if way == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if way == "hang":
        time.sleep(60)
    raise ValueError("the toy is broken")
