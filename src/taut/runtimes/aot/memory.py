"""The static plan of memory: every buffer of the arena gets its place before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from taut.kernels.base import Kernel
from taut.kernels.view import Buffer, Storage

ALIGNMENT = 64
"""Bytes of a cache line"""


@dataclass(frozen=True)
class MemoryPlan:
    """Byte offsets of the arena's buffers, and the arena's size, which is the peak."""

    offsets: Mapping[Buffer, int]
    bytes: int


@dataclass(frozen=True)
class _Life:
    """When a buffer is first written and last used, as numbers of kernels."""

    buffer: Buffer
    first: int
    last: int

    def meets(self, other: _Life) -> bool:
        return self.first <= other.last and other.first <= self.last


def plan_memory(kernels: Sequence[Kernel]) -> MemoryPlan:
    """Place buffers, the largest first, each as low as those that live at the same time allow.

    The greedy by size of Pisarchyk and Lee (arXiv 2001.03288).
    """
    placed: list[tuple[_Life, int]] = []
    for life in sorted(_lives(kernels), key=lambda life: (-life.buffer.bytes, life.first)):
        placed.append((life, _lowest(life, placed)))
    offsets = {life.buffer: offset for life, offset in placed}
    return MemoryPlan(offsets, max((o + _rounded(b.bytes) for b, o in offsets.items()), default=0))


def _lives(kernels: Sequence[Kernel]) -> list[_Life]:
    lives: dict[Buffer, tuple[int, int]] = {}
    for number, kernel in enumerate(kernels):
        for view in (*kernel.reads, *kernel.writes):
            if view.buffer.storage is Storage.ARENA:
                first, _ = lives.get(view.buffer, (number, number))
                lives[view.buffer] = (first, number)
    return [_Life(buffer, first, last) for buffer, (first, last) in lives.items()]


def _lowest(life: _Life, placed: Sequence[tuple[_Life, int]]) -> int:
    """The lowest offset at which nothing that lives at the same time is in the way."""
    offset = 0
    taken = sorted(
        (start, start + _rounded(other.buffer.bytes)) for other, start in placed if life.meets(other)
    )
    for start, end in taken:
        if offset + _rounded(life.buffer.bytes) <= start:
            break
        offset = max(offset, end)
    return offset


def _rounded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
