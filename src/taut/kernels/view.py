"""Views: where the elements of a tensor lie in a buffer, by offset and strides.

What only moves elements (transpose, slice, reshape, broadcast) is arithmetic on a view and costs nothing at
run time. Strides count elements. The arithmetic is numpy's own, done on an array that is never read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import ml_dtypes  # noqa: F401 (teaches numpy the name bfloat16)
import numpy as np


class Storage(Enum):
    """Where a buffer lies while the network runs."""

    ARENA = "arena"
    INPUT = "input"
    OUTPUT = "output"
    WEIGHTS = "weights"


@dataclass(eq=False)
class Buffer:
    """Memory of one piece; two buffers are the same only if they are one object."""

    storage: Storage
    dtype: str
    elements: int
    name: str = ""
    """Of the input or output it is"""
    content: np.ndarray | None = field(default=None, repr=False)
    """Of weights, as they are read"""

    @property
    def bytes(self) -> int:
        return self.elements * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class View:
    """Elements of a buffer: element i, j, ... lies at ``offset + i * strides[0] + j * strides[1] ...``."""

    buffer: Buffer
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @staticmethod
    def whole(buffer: Buffer, shape: Sequence[int]) -> View:
        """Return a buffer's first elements in row-major order."""
        return View(buffer, tuple(shape), row_major(shape))

    @property
    def dtype(self) -> str:
        return self.buffer.dtype

    @property
    def is_row_major(self) -> bool:
        """Whether elements follow one another in order, without gaps."""
        return self._effective(self.strides) == self._effective(row_major(self.shape))

    @property
    def order(self) -> tuple[int, ...]:
        """Axes from the outermost in memory to the innermost; broadcast ones and those of size one first."""
        weights = [stride if size > 1 else 0 for size, stride in zip(self.shape, self.strides, strict=True)]
        moving = sorted((axis for axis, weight in enumerate(weights) if weight), key=lambda a: -weights[a])
        still = [axis for axis, weight in enumerate(weights) if not weight]
        return (*still, *moving)

    def transpose(self, axes: Sequence[int]) -> View:
        return self._numpy(lambda array: array.transpose(axes))

    def slice(self, slices: Sequence[slice]) -> View:
        """Steps may be negative."""
        # The ellipsis: without it numpy makes a copy of an element that has no axes.
        places: tuple[Any, ...] = (*slices, ...)
        return self._numpy(lambda array: array[places])

    def broadcast(self, shape: Sequence[int]) -> View:
        return self._numpy(lambda array: np.broadcast_to(array, shape))

    def reshape(self, shape: Sequence[int]) -> View | None:
        """Return the same elements in another shape; None where they would have to be copied."""
        try:
            return self._numpy(lambda array: array.reshape(shape, copy=False))
        except ValueError:
            return None

    def take(self, axis: int, indices: np.ndarray) -> View | None:
        """Return elements along an axis by number, in the shape of the indices; None where no strides do it.

        Indices must be an affine function of their place, as those of sliding windows are.
        """
        steps = affine_steps(indices)
        if steps is None:
            return None
        first = int(indices.reshape(-1)[0]) if indices.size else 0
        stride = self.strides[axis]
        return View(
            self.buffer,
            (*self.shape[:axis], *indices.shape, *self.shape[axis + 1 :]),
            (*self.strides[:axis], *(step * stride for step in steps), *self.strides[axis + 1 :]),
            self.offset + first * stride,
        )

    def split(self, axis: int, sizes: Sequence[int]) -> View:
        """Return an axis as several, the last of which runs fastest."""
        strides = tuple(step * self.strides[axis] for step in row_major(sizes))
        return View(
            self.buffer,
            (*self.shape[:axis], *sizes, *self.shape[axis + 1 :]),
            (*self.strides[:axis], *strides, *self.strides[axis + 1 :]),
            self.offset,
        )

    def windows(
        self, axis: int, places: int, size: int, stride: int = 1, dilation: int = 1, first: int = 0
    ) -> View:
        """Return an axis as places of a window; a last axis runs through the window, backwards if asked."""
        step = self.strides[axis]
        return View(
            self.buffer,
            (*self.shape[:axis], places, *self.shape[axis + 1 :], size),
            (*self.strides[:axis], stride * step, *self.strides[axis + 1 :], dilation * step),
            self.offset + first * step,
        )

    def part(self, start: int, end: int) -> View:
        """Return a view of some of the axes, at the others' first place."""
        return View(self.buffer, self.shape[start:end], self.strides[start:end], self.offset)

    def at(self, axis: int, index: int) -> View:
        """Return one slice along an axis, which is gone."""
        return View(
            self.buffer,
            (*self.shape[:axis], *self.shape[axis + 1 :]),
            (*self.strides[:axis], *self.strides[axis + 1 :]),
            self.offset + index * self.strides[axis],
        )

    def _effective(self, strides: Sequence[int]) -> list[int]:
        return [stride for size, stride in zip(self.shape, strides, strict=True) if size != 1]

    def _numpy(self, change: Callable[[np.ndarray], np.ndarray]) -> View:
        """Change a view of bytes that nobody reads; only its address arithmetic counts."""
        template = np.lib.stride_tricks.as_strided(_NEVER_READ, self.shape, self.strides)
        changed = change(template)
        moved = changed.__array_interface__["data"][0] - template.__array_interface__["data"][0]
        if changed.size == 0:
            moved = 0
        return replace(self, shape=changed.shape, strides=changed.strides, offset=self.offset + moved)


_NEVER_READ = np.empty(1, np.uint8)


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides of elements in row-major order."""
    return tuple(math.prod(shape[place + 1 :]) for place in range(len(shape)))


def affine_steps(indices: np.ndarray) -> tuple[int, ...] | None:
    """Steps s with indices[i, j, ...] = indices[0, 0, ...] + i s[0] + j s[1] ..., or None."""
    if indices.size == 0:
        return (0,) * indices.ndim
    origin = (0,) * indices.ndim
    steps = []
    expected = np.full(indices.shape, indices[origin], np.int64)
    for axis, size in enumerate(indices.shape):
        place = tuple(1 if other == axis else 0 for other in range(indices.ndim))
        step = int(indices[place]) - int(indices[origin]) if size > 1 else 0
        steps.append(step)
        expected += step * np.arange(size).reshape(
            [-1 if other == axis else 1 for other in range(indices.ndim)]
        )
    return tuple(steps) if np.array_equal(expected, indices) else None
