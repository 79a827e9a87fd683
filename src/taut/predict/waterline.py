"""The waterline: which kernels of a network wait for memory, and what that leaves attainable.

Lavin (arXiv 2404.03617, sections 3 and 4): a kernel takes at least ``max(operations / peak, bytes /
bandwidth)``, a sequence of kernels the sum of that. The waterline is the balance peak / bandwidth, in
operations per byte; a kernel of less intensity lies under water: memory bounds it. Efficiency is what relates
operations and latency:

    latency = operations / (peak x efficiency)

Deviation: on processors with caches there is a waterline for each level; that of the smallest level which
holds a kernel's bytes counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from taut.measure.peaks import Peaks
from taut.runtimes.aot.program import Program
from taut.runtimes.aot.traffic import touched_bytes


@dataclass(frozen=True)
class Work:
    """What a kernel has to do at least."""

    multiply_adds: float
    moved_bytes: float
    """Of what it reads and writes, each byte once"""
    precision: str = "float32"

    @property
    def intensity(self) -> float:
        """Multiply-adds per byte."""
        return self.multiply_adds / self.moved_bytes if self.moved_bytes else float("inf")


@dataclass(frozen=True)
class Waterline:
    """A sequence of kernels on a machine with such peaks."""

    works: Sequence[Work]
    peaks: Peaks

    @property
    def ideal_s(self) -> float:
        """If all computed at the peak."""
        return sum(work.multiply_adds / self._peak(work) for work in self.works)

    @property
    def attainable_s(self) -> float:
        return sum(self.of(work) for work in self.works)

    @property
    def most_efficiency(self) -> float:
        """Share of the peak that kernels one after the other can reach."""
        return self.ideal_s / self.attainable_s if self.attainable_s else 0.0

    def of(self, work: Work) -> float:
        """Return the least seconds of one kernel."""
        return max(work.multiply_adds / self._peak(work), work.moved_bytes / self._bandwidth(work))

    def level(self, work: Work) -> float:
        """Return the waterline for a kernel, in multiply-adds per byte."""
        return self._peak(work) / self._bandwidth(work)

    def is_under_water(self, work: Work) -> bool:
        return work.intensity < self.level(work)

    def _peak(self, work: Work) -> float:
        return self.peaks.multiply_adds[work.precision]

    def _bandwidth(self, work: Work) -> float:
        return self.peaks.bandwidth(work.moved_bytes)


def works_of(program: Program) -> list[Work]:
    """Return what each kernel of a program has to do."""
    kernels = [step.kernel for step in program.steps]
    return [Work(kernel.multiply_adds, touched_bytes(kernel), kernel.precision) for kernel in kernels]
